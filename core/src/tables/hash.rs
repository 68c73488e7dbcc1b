//! The hash that a table's shard and bucket are chosen by.

use millstream_codec::wire::hash::stable_hash;

/// A table belongs to shard `hash % shards`, and to bucket `hash % 1024`.
///
/// FNV-1a 64 (offset basis `cbf29ce484222325`, prime `100000001b3`) over the database's name, its length as eight
/// little-endian bytes, the table's name, its length likewise; then MurmurHash3's 64-bit finalizer, because the low
/// bits are what counts. Fixed for ever: bucket assignments of clients are kept under it.
pub fn table_hash(database: &str, table: &str) -> u64 {
    stable_hash(&[database.as_bytes(), table.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_fixed_for_ever() {
        let check = |database: &str, table: &str, hash: u64| {
            assert_eq!(table_hash(database, table), hash, "{database}.{table}: {:#x}", table_hash(database, table));
        };
        check("", "", 0xa5e0_dba6_c385_580a);
        check("shop", "orders", 0x6fab_db46_6aba_f4a8);
        check("a", "b.c", 0x3f91_f22d_c0f9_4846);
        check("a.b", "c", 0xd79f_2a42_0fd0_9edd);
        check("täble", "表", 0xafae_9b7f_6577_d1b0);
    }

    #[test]
    fn buckets_fill_evenly() {
        let mut buckets = vec![0u32; 1024];
        for table in 0..102_400 {
            let bucket = table_hash("shop", &format!("orders_{table}")) % 1024;
            buckets[usize::try_from(bucket).unwrap()] += 1;
        }
        let (least, most) = (buckets.iter().min().unwrap(), buckets.iter().max().unwrap());
        // 100 on average, standard deviation 10.
        assert!(*least > 50 && *most < 150, "{least} to {most}");
    }
}
