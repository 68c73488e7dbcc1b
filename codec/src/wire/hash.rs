//! The 64-bit hash behind struct ids, file ids and the checksum of resume tokens. Fixed for ever: a changed bit
//! would give every table a new identity.
//!
//! FNV-1a over the parts, each followed by its length as eight little-endian bytes (so that `a.b` + `c` differs from
//! `a` + `b.c`), then the finalizer of MurmurHash3, since FNV alone mixes its high bits poorly.

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The hash of a sequence of byte strings.
pub fn stable_hash(parts: &[&[u8]]) -> u64 {
    let mut hash = FNV_OFFSET;
    for part in parts {
        hash = fnv(hash, part);
        hash = fnv(hash, &(part.len() as u64).to_le_bytes());
    }
    finalize(hash)
}

/// The id of a Cap'n Proto declaration: [`stable_hash`] with the top bit set, as the language asks of ids.
pub fn declaration_id(parts: &[&[u8]]) -> u64 {
    stable_hash(parts) | 1 << 63
}

fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    for &byte in bytes {
        hash ^= u64::from(byte);
        hash = hash.wrapping_mul(FNV_PRIME);
    }
    hash
}

fn finalize(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_fixed_for_ever() {
        assert_eq!(stable_hash(&[]), 0xefd0_1f60_ba99_2926);
        assert_eq!(stable_hash(&[b"main", b"shop", b"orders"]), 0x7ee5_3b95_d606_4dd5);
    }

    #[test]
    fn parts_are_kept_apart() {
        assert_ne!(stable_hash(&[b"a.b", b"c"]), stable_hash(&[b"a", b"b.c"]));
        assert_ne!(stable_hash(&[b"ab", b""]), stable_hash(&[b"a", b"b"]));
    }
}
