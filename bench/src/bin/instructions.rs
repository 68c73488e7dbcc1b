//! One stage of the hot path for an emulator that counts instructions: `scripts/instructions.sh` runs this under
//! callgrind, which collects inside [`measured_stage`] only.
//!
//! ```text
//! instructions              names of all stages
//! instructions STAGE        runs it: STAGE: UNITS units, digest 0123456789abcdef
//! ```

use std::hint::black_box;
use std::process::ExitCode;

use millstream_bench::stages::{self, Size, Stage};

/// The function that the emulator is told: its name must be the only one like it.
#[inline(never)]
fn measured_stage(stage: &mut dyn Stage) -> u64 {
    stage.run(&mut |bytes| {
        black_box(bytes);
    })
}

fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        stages::all().for_each(|entry| println!("{}", entry.name));
        return ExitCode::SUCCESS;
    };
    let Some(entry) = stages::by_name(&name) else {
        eprintln!("no stage is called {name}");
        return ExitCode::from(2);
    };
    let (mut stage, outcome) = entry.ready(Size::Smoke);
    stage.prepare();
    let units = black_box(measured_stage(&mut *stage));
    assert_eq!(units, outcome.units, "a second run does the same");
    println!("{name}: {units} {}, digest {:016x}", entry.units, outcome.digest);
    ExitCode::SUCCESS
}
