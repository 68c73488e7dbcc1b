//! Rows events to Cap'n Proto lists, beside `mysql_common`'s row reader on the same bytes in the same process.
//!
//! `cargo bench -p millstream-bench` measures; `cargo test --benches` runs a small size once, so that this cannot rot.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use millstream_bench::encoding::Encoding;
use millstream_bench::rows::Rows;
use millstream_bench::{digest, orders};
use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::{EventData, RowsEventData};
use mysql_common::binlog::value::BinlogValue;
use mysql_common::binlog::{EventStreamReader, events::Event};
use mysql_common::value::Value;

/// Target and stretch, in rows a second of `mysql_common`'s.
const RATIO_MIN: f64 = 8.0;
/// Bytes out to bytes in.
const GROWTH_MAX: f64 = 1.4;

/// `mysql_common`: events cut and parsed before the clock starts, rows read and looked at.
struct Theirs {
    reader: EventStreamReader,
    events: Vec<Event>,
}

impl Theirs {
    fn new(orders: &Rows) -> Self {
        let mut reader = EventStreamReader::new(BinlogVersion::Version4);
        reader.read(&orders.table_map[..]).expect("a TABLE_MAP");
        let events =
            orders.events.iter().map(|event| reader.read(&event[..]).expect("an event").expect("an event")).collect();
        Self { reader, events }
    }

    /// Returns the number of rows and the sum of their ids.
    fn run(&self) -> (usize, i64) {
        let (mut count, mut ids) = (0, 0);
        for event in &self.events {
            let Ok(Some(EventData::RowsEvent(data))) = event.read_data() else { panic!("not rows") };
            let RowsEventData::WriteRowsEvent(_) = &data else { panic!("not an insert") };
            let map = self.reader.get_tme(data.table_id()).expect("its TABLE_MAP");
            for row in data.rows(map) {
                let (_, after) = row.expect("a row");
                let after = after.expect("an after image");
                if let Some(BinlogValue::Value(Value::Int(id))) = after.as_ref(0) {
                    ids += id;
                }
                black_box(&after);
                count += 1;
            }
        }
        (count, ids)
    }
}

/// Best time of `rounds`: the machine is shared, and disturbance only ever adds.
fn best(rounds: usize, mut round: impl FnMut()) -> Duration {
    let timed = (0..rounds).map(|_| {
        let start = Instant::now();
        round();
        start.elapsed()
    });
    timed.min().unwrap_or_default()
}

fn compare(row_count: usize, rounds: usize, is_measured: bool) {
    let orders = orders::orders(row_count, 7);
    let (mut ours, theirs) = (Encoding::new(&orders), Theirs::new(&orders));
    let mut result = 0;
    let (rows, bytes) = ours.run(&orders, |sealed| result = digest(sealed, result));
    let (their_rows, their_ids) = theirs.run();
    assert_eq!((rows, their_rows), (orders.row_count, orders.row_count));
    assert_eq!(their_ids, (1..=row_count as i64).sum::<i64>());
    let growth = bytes as f64 / orders.bytes as f64;
    assert!(growth <= GROWTH_MAX, "{growth:.2} times the bytes, at most {GROWTH_MAX}");
    if !is_measured {
        println!(
            "decode_encode: {rows} rows, {:.0} bytes a row in, out/in {growth:.3}, digest {result:016x}",
            orders.bytes as f64 / rows as f64
        );
        return;
    }

    // In turn, so that a change of the machine's speed hits both.
    let (mut our_time, mut their_time) = (Duration::MAX, Duration::MAX);
    for _ in 0..rounds {
        our_time = our_time.min(best(4, || {
            black_box(ours.run(&orders, |sealed| {
                black_box(sealed);
            }));
        }));
        their_time = their_time.min(best(1, || {
            black_box(theirs.run());
        }));
    }
    let per_second = |time: Duration| rows as f64 / time.as_secs_f64();
    let ratio = per_second(our_time) / per_second(their_time);
    println!(
        "decode_encode: {:.2} Mrows/s, {:.0} MB/s in; mysql_common {:.3} Mrows/s; ratio {ratio:.1} (wanted {RATIO_MIN}); \
         {:.0} ns a row; {:.0} bytes a row in, out/in {growth:.3}; digest {result:016x}",
        per_second(our_time) / 1e6,
        orders.bytes as f64 / our_time.as_secs_f64() / 1e6,
        per_second(their_time) / 1e6,
        our_time.as_secs_f64() * 1e9 / rows as f64,
        orders.bytes as f64 / rows as f64,
    );
}

fn main() {
    // Criterion's own rule: without --bench, or with --test, everything runs once.
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let is_measured = has("--bench") && !has("--test") && !has("--list");
    compare(if is_measured { 50_000 } else { 2_000 }, 12, is_measured);
    if !has("--bench") {
        return;
    }

    let mut criterion = Criterion::default().configure_from_args();
    let orders = orders::orders(if is_measured { 20_000 } else { 200 }, 7);
    let (mut ours, theirs) = (Encoding::new(&orders), Theirs::new(&orders));
    let mut group = criterion.benchmark_group("decode_encode");
    group.throughput(Throughput::Elements(orders.row_count as u64)).sample_size(10);
    group.bench_function("millstream", |bencher| {
        bencher.iter(|| {
            ours.run(&orders, |sealed| {
                black_box(sealed);
            })
        });
    });
    group.bench_function("mysql_common", |bencher| bencher.iter(|| theirs.run()));
    group.finish();
    criterion.final_summary();
}
