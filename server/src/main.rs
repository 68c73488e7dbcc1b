//! millstreamd: follows MySQL and MariaDB servers and serves their row changes.

mod config;
mod run;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::config::Config;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit status where the configuration is at fault, as sysexits.h has it: a supervisor need not try again.
const EXIT_CONFIG: u8 = 78;

/// The change-data-capture server for MySQL and MariaDB: reads their binary logs as a replica would, and serves every
/// row change to its subscribers, typed, in order, and never lost.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "\
Start it with a configuration, look at it, read from it:
  millstreamd --config /etc/millstream/millstreamd.toml
  curl http://127.0.0.1:7441/readyz
  millstream status
  millstream tail --destination main

Signals: SIGTERM and SIGINT end it cleanly; acks that were received are durable then.
Exit status: 0 ended cleanly, 1 a failure at run time, 78 the configuration is at fault."
)]
struct Arguments {
    /// The configuration; conf/millstreamd.toml of the sources explains every key
    #[arg(short, long, default_value = "/etc/millstream/millstreamd.toml", env = "MILLSTREAM_CONFIG")]
    config: PathBuf,
    /// Check the configuration, tell every complaint with its line, and end
    #[arg(long)]
    check_config: bool,
    /// Ask for a password (or read it from standard input) and print its hash for [[clients.users]]
    #[arg(long)]
    hash_password: bool,
}

fn main() -> ExitCode {
    let _ = take_small_pages();
    let arguments = Arguments::parse();
    if arguments.hash_password {
        return match config::hash_password_command() {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                eprintln!("millstreamd: {reason}");
                ExitCode::FAILURE
            }
        };
    }
    if arguments.check_config {
        return if config::check(&arguments.config) { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIG) };
    }
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(complaints) => {
            for complaint in complaints {
                eprintln!("{}", complaint.show(&arguments.config));
            }
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if let Err(error) = log_to_stderr(&config.server.log) {
        eprintln!("millstreamd: server.log: {error}");
        return ExitCode::from(EXIT_CONFIG);
    }
    for warning in &config.warnings {
        tracing::warn!("{}", warning.show(&arguments.config));
    }
    match run::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Of a huge page one used byte is 2 MiB: a server that idles with 4 MiB in use took 22. The allocator is built so that it does
/// not ask for them (`no_thp`); this is for systems that give them unasked. No gain in throughput was
/// found. Where the kernel refuses, everything works with more memory.
fn take_small_pages() -> rustix::io::Result<()> {
    rustix::thread::disable_transparent_huge_pages(true)
}

fn log_to_stderr(directives: &str) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(directives)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}
