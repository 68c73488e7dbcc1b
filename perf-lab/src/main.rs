//! `perf-lab/lab`: what Millstream does, beside its peers and beside the floors, in one run.

#![forbid(unsafe_code)]

mod clock;
mod experiment;
mod flame;
mod machine;
mod plot;
mod process;
mod progress;
mod recording;
mod replay;
mod report;
mod run;
mod source;
mod stats;
mod subject;
mod workload;

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};

use crate::experiment::{EXPERIMENTS, PROFILE, Settings};
use crate::source::SourceKind;
use crate::workload::Size;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Experiments: Millstream beside its peers and beside what the machine allows at best.
///
/// Every figure is a median of interleaved runs with its min and max; ratios are of one run. Recordings are made once, of a
/// real MySQL 9.7 (make servers), and kept in target/perf-lab.
#[derive(Debug, Parser)]
#[command(name = "lab", args_conflicts_with_subcommands = true, after_help = after_help())]
struct Arguments {
    #[command(subcommand)]
    hidden: Option<Hidden>,
    #[command(flatten)]
    measure: Measure,
}

#[derive(Debug, Args)]
struct Measure {
    /// One of those below, or `all`.
    experiment: Option<String>,
    /// Write what was found to this file, and a picture beside it; with `all`, the experiment's name is put before it.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Small recordings, few runs: all experiments in a quarter of an hour.
    #[arg(long)]
    quick: bool,
    /// Interleaved runs of each subject [default: 5; with --quick 3].
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
    /// What subjects read from.
    #[arg(long, value_enum, default_value = "replay")]
    source: SourceKind,
    /// Leave out the peers that need a JVM or Go.
    #[arg(long)]
    without_peers: bool,
}

#[derive(Debug, Subcommand)]
enum Hidden {
    /// A process that is measured; started by an experiment.
    #[command(hide = true)]
    Subject {
        name: String,
        #[command(flatten)]
        arguments: subject::StreamArgs,
    },
}

fn after_help() -> String {
    let lines = EXPERIMENTS.iter().map(|(name, about, _)| format!("  {name:<12} {about}"));
    let lines = lines.collect::<Vec<_>>().join("\n");
    format!("Experiments:\n{lines}\n  all          every one of them\n  {:<12} {}", PROFILE.0, PROFILE.1)
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Hidden::Subject { name, arguments }) = arguments.hidden {
        return subject::run(&name, &arguments);
    }
    let arguments = arguments.measure;
    let Some(name) = &arguments.experiment else { bail!("which experiment? `perf-lab/lab --help` lists them") };
    let size = if arguments.quick { Size::Quick } else { Size::Full };
    let runs = arguments.runs.unwrap_or(if arguments.quick { 3 } else { 5 }).max(1);
    let jvm_runs = if arguments.quick { 1 } else { 3 };
    let Measure { source, without_peers, .. } = arguments;
    let settings = Settings { size, runs, jvm_runs, source, peers: !without_peers };
    let chosen: Vec<_> = EXPERIMENTS
        .iter()
        .filter(|(known, ..)| name == "all" || name == known)
        .chain([&PROFILE].into_iter().filter(|(known, ..)| name == known))
        .collect();
    if chosen.is_empty() {
        bail!("no experiment '{name}'; `perf-lab/lab --help` lists them");
    }
    let load = machine::load();
    if load > 0.5 {
        eprintln!("lab: the machine is busy (load {load:.1}): figures will be worse than they are");
    }
    for (known, _, run) in chosen {
        progress::say(known);
        let mut report = run(&settings).with_context(|| format!("experiment {known}"))?;
        let quick = if arguments.quick { ", quick" } else { "" };
        match *known == PROFILE.0 {
            true => report.note(format!("load of the machine before: {load:.1}{quick}")),
            false => report.note(format!("{runs} interleaved runs{quick}; load of the machine before: {load:.1}")),
        }
        report.print();
        if let Some(path) = &arguments.json {
            let path = match name.as_str() {
                "all" => {
                    let file = path.file_name().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
                    path.with_file_name(format!("{known}-{file}"))
                }
                _ => path.clone(),
            };
            report.write(&path)?;
            eprintln!("lab: written to {}", path.display());
        }
    }
    Ok(())
}
