//! `millstream`, the command line: rows on a terminal or as JSON lines, binlog files without a server, schemas of
//! tables, the state of a server, and whether a MySQL or MariaDB can be followed at all.
//!
//! It never changes anything: not at the source, not at the server but the cursor of the subscription that it is told to use.

mod admin;
mod arguments;
mod check;
mod decode;
mod exit;
mod lines;
mod printer;
mod progress;
mod schema;
mod start;
mod status;
mod style;
mod table;
mod tail;

use clap::Parser;

use arguments::{Cli, Command, SchemaCommand};
use exit::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Tail(arguments) => tail::run(arguments),
        Command::Decode(arguments) => decode::run(arguments),
        Command::Schema { command: SchemaCommand::Show(arguments) } => schema::show(arguments),
        Command::Schema { command: SchemaCommand::Export(arguments) } => schema::export(arguments),
        Command::Schema { command: SchemaCommand::History(arguments) } => schema::history(arguments),
        Command::Schema { command: SchemaCommand::Repair(arguments) } => schema::repair(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Check(arguments) => check::run(arguments),
    };
    let exit = result.unwrap_or_else(|failure| failure.report());
    exit.into()
}

/// For `Exit`'s documentation in `--help`.
const EXIT_CODES: &str = Exit::HELP;
