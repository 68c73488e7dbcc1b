//! The time of every stage of the hot path.
//!
//! `cargo bench -p millstream-bench --bench stages` measures, with a part of a name behind `--` only those stages.
//! Without `--bench` (`cargo test`) each runs a small size, and prints a digest of what it put out.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use millstream_bench::stages::{self, Size};

fn main() {
    // Criterion's own rule: without --bench, or with --test, everything runs once.
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if !has("--bench") || has("--test") {
        for entry in stages::all() {
            let (_, outcome) = entry.ready(Size::Smoke);
            println!("{}: {} {}, digest {:016x}", entry.name, outcome.units, entry.units, outcome.digest);
        }
        return;
    }

    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("stages");
    for entry in stages::all() {
        let (mut stage, outcome) = entry.ready(Size::Full);
        group.throughput(Throughput::Elements(outcome.units));
        group.bench_function(entry.name, |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    stage.prepare();
                    let start = Instant::now();
                    let units = stage.run(&mut |bytes| {
                        black_box(bytes);
                    });
                    total += start.elapsed();
                    black_box(units);
                }
                total
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
