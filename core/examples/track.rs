use std::sync::{Arc, Mutex};
use millstream_core::engine::interest::*;
use millstream_core::filter::*;
use millstream_core::source::file::*;
use millstream_core::source::tracker::*;
use millstream_core::tables::*;
use millstream_codec::mysql::rows::RowsEvent;
fn main() {
    let tables = Arc::new(Mutex::new(Tables::open("main", Box::new(MemoryStore::default())).unwrap()));
    let filter = Arc::new(Filter::everything());
    let interest = Arc::new(InterestSet { version: 1, views: vec![ViewInterest { view: ViewId(1), filter }] });
    let skip = std::env::var("SKIP").is_ok();
    let hold: usize = std::env::var("HOLD").ok().and_then(|h| h.parse().ok()).unwrap_or(64 << 20);
    let quiet = std::env::var("QUIET").is_ok();
    let config = TrackerConfig { shards: 1, hold_bytes_max: hold, event_bytes_max: 1 << 30, statement_dml: if skip { StatementPolicy::Skip } else { StatementPolicy::Halt }, first_sequence: 1 };
    let mut decode = FileDecode::new(config, tables, interest);
    for path in std::env::args().skip(1) {
        let name = path.rsplit('/').next().unwrap();
        decode.begin_file(name);
        let bytes = std::fs::read(&path).unwrap();
        for slice in bytes.chunks(100_000) {
            if let Err(e) = decode.push(slice) { println!("ERROR {e}"); }
            drain(&mut decode, quiet, &path);
        }
        if let Err(e) = decode.finish_file() { println!("ERROR {e}"); }
    }
    decode.finish();
    drain(&mut decode, quiet, "");
    println!("{:?} {:?}", decode.tracker().stats(), decode.tracker().position());
}
fn drain(decode: &mut FileDecode, quiet: bool, path: &str) {
    loop {
        match decode.poll() {
            Err(e) => { println!("ERROR {e}"); return }
            Ok(None) => { return }
            Ok(Some(TrackerOutput::Need(need))) => {
                println!("NEED {need:?}");
                while let Some(open) = decode.rereads() {
                    let file = format!("{}/{}", path.rsplit_once('/').unwrap().0, open.file);
                    let bytes = std::fs::read(file).unwrap();
                    decode.push_reread(&bytes[open.offset as usize..]).unwrap();
                    drain(decode, quiet, path);
                }
            }
            Ok(Some(TrackerOutput::Notice(n))) => println!("NOTICE {n}"),
            Ok(Some(TrackerOutput::Batch(batch))) => {
                for part in &batch.transactions {
                    if quiet { continue }
                    println!("#{} {:?}{} {:?} {}..{} t={} xa={:?} trunc={:?}", part.sequence, part.end, if part.begin {" begin"} else {""}, part.gtid.map(|g| g.to_string()), part.start, part.position, part.commit_time_us, part.open_xa.as_ref().map(|x| x.iter().map(|x| x.xid.clone()).collect::<Vec<_>>()), part.truncate_to);
                    if let Some(ddl) = &part.ddl { println!("    DDL {} {:?} {:.60}", ddl.kind, ddl.tables, ddl.statement.replace('\n', " ")); }
                    for event in &batch.events[part.events.start as usize..part.events.end as usize] {
                        let body = &batch.chunks[event.chunk as usize][event.start as usize..event.end as usize];
                        let rows = RowsEvent::parse(event.type_code, body).unwrap();
                        let table = &batch.tables[event.table as usize].schema;
                        println!("    {:?} {}.{} @{} #{} {} bytes {:02x?}", rows.op, table.database, table.table, event.offset, event.index, rows.rows.len(), &rows.rows[..rows.rows.len().min(20)]);
                    }
                }
            }
        }
    }
}
