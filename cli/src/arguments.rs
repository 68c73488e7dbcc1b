//! The arguments, and the help that teaches them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use millstream_client::wire::messages::{ColumnFilter, Filter, Op};
use millstream_codec::mysql::position::BinlogPosition;

use crate::start::StartArgument;

#[derive(Debug, Parser)]
#[command(
    name = "millstream",
    version,
    about = "Row changes of MySQL and MariaDB, typed and in order",
    long_about = "Row changes of MySQL and MariaDB, typed and in order.\n\n\
                  `tail` and `status` ask a running millstreamd; `decode` reads binlog files and `check` looks at a \
                  MySQL or MariaDB server, both without one.",
    after_help = crate::EXIT_CODES,
    propagate_version = true,
    max_term_width = 110
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print row changes as they are committed
    #[command(after_long_help = TAIL_EXAMPLES)]
    Tail(TailArguments),
    /// Print the row changes in binlog files, without any server
    #[command(after_long_help = DECODE_EXAMPLES)]
    Decode(DecodeArguments),
    /// Show how a table's rows lie in their Cap'n Proto struct, or export its .capnp file
    Schema {
        #[command(subcommand)]
        command: SchemaCommand,
    },
    /// Show what a server does: sources, subscriptions, lag, memory
    #[command(after_long_help = STATUS_EXAMPLES)]
    Status(StatusArguments),
    /// Tell whether a MySQL or MariaDB server and an account can do change data capture
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check(CheckArguments),
}

#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// Print the columns of a table, with their fields, ordinals and kinds
    #[command(after_long_help = SCHEMA_EXAMPLES)]
    Show(SchemaArguments),
    /// Print the table's .capnp file, to generate code from
    #[command(after_long_help = SCHEMA_EXAMPLES)]
    Export(SchemaArguments),
    /// Print what the schema history knows of a table: its columns by place in the log
    #[command(after_long_help = SCHEMA_EXAMPLES)]
    History(SchemaArguments),
    /// Have the server read a table's columns again from its source, where the log and the schema history disagree
    #[command(after_long_help = REPAIR_EXAMPLES)]
    Repair(SchemaArguments),
}

const TAIL_EXAMPLES: &str = "\
Examples:
  millstream tail
      every row of the destination `main`, from now on
  millstream tail --filter 'shop.*' --exclude 'shop.sessions' --kinds insert,delete
  millstream tail --format jsonl --from earliest --max-rows 1000 > rows.jsonl
  millstream tail --from binlog.000042:1234
  millstream tail --from @2026-01-31T08:00:00Z
      the first transaction committed at or after that time; also seconds since 1970: @1769846400
  millstream tail --format jsonl --subscription billing | ./load
      with a durable cursor: acknowledged once printed, and resumed there the next time
  millstream tail --format jsonl --from resume --subscription nightly --idle-timeout 5
      what came since the last time, then ends

A transaction that --max-rows cuts is not acknowledged: it comes again, whole, the next time.
The JSON line is described in docs/protocol.md; it is the same as that of `millstream decode`.";

const DECODE_EXAMPLES: &str = "\
Examples:
  millstream decode /var/lib/mysql/binlog.000042
  millstream decode --format jsonl binlog.0000* > rows.jsonl
      several files in one run, in their order
  millstream decode --filter 'shop.orders' --from binlog.000042:1234 --to binlog.000043:4 binlog.00004[23]
  mysqlbinlog --raw ... or zstd -dc binlog.000042.zst | millstream decode -

Column names come from the files themselves (binlog_row_metadata=FULL); without them columns are called @1, @2, ...
Only committed transactions are printed.";

const STATUS_EXAMPLES: &str = "\
Examples:
  millstream status
  millstream status --admin db7:7441
  millstream status --json | jq '.destinations[].lag_us'";

const REPAIR_EXAMPLES: &str = "\
A table is quarantined when its rows in the log do not fit the columns that are known of it: it was changed without a trace
in the log (SET sql_log_bin = 0, another server), or the schema history is damaged. `millstream status` shows it, with both
sides. Repair takes the columns that the source has now, to count from the first row that could not be read; rows must fit
them. A damaged history is put aside, and begun anew. Rows that were passed over meanwhile (policy \"skip\") do not come
again.

Examples:
  millstream schema repair shop.orders
  millstream schema repair shop.orders --destination main --admin db7:7441";

const SCHEMA_EXAMPLES: &str = "\
Examples:
  millstream schema show shop.orders
  millstream schema export shop.orders > orders.capnp && capnp compile -oc++ orders.capnp
  millstream schema export --destination archive shop.orders

The server knows a table once a change of it has passed through.";

const CHECK_EXAMPLES: &str = "\
Examples:
  millstream check --source mysql://repl:secret@db7:3306
  DB_PASSWORD=secret millstream check --source mysql://repl@db7:3306 --password-env DB_PASSWORD

Each finding is printed with the statement that mends it. Exit code 1 where one of them is an error.";

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One line a row, for people; with colour on a terminal
    Text,
    /// One JSON object a row, for programs
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Insert,
    Update,
    Delete,
}

impl From<Kind> for Op {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Insert => Op::Insert,
            Kind::Update => Op::Update,
            Kind::Delete => Op::Delete,
        }
    }
}

#[derive(Debug, Args)]
pub struct FilterArguments {
    /// Tables to print: `db.table`, with `*` inside either part, or `/regex/` on the whole name; repeatable. Default: all
    #[arg(long = "filter", value_name = "PATTERN")]
    pub include: Vec<String>,
    /// Tables to leave out; repeatable
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Print only these columns of matching tables (primary keys always): `PATTERN:col,col`; repeatable
    #[arg(long, value_name = "PATTERN:COLUMNS", value_parser = parse_columns)]
    pub columns: Vec<ColumnFilter>,
    /// Kinds of changes. Default: all
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND,..")]
    pub kinds: Vec<Kind>,
    /// Leave out statements that change the schema
    #[arg(long)]
    pub no_ddl: bool,
}

impl FilterArguments {
    pub fn filter(&self) -> Filter {
        Filter {
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            columns: self.columns.clone(),
            kinds: self.kinds.iter().map(|kind| Op::from(*kind)).collect(),
            ddl: !self.no_ddl,
        }
    }
}

/// A regex may hold colons, a column list cannot: the last one divides.
fn parse_columns(text: &str) -> Result<ColumnFilter, String> {
    let hint = "write PATTERN:COLUMN,COLUMN, for example 'shop.orders:id,total'";
    let (tables, columns) = text.rsplit_once(':').ok_or(hint)?;
    let columns: Vec<String> = columns.split(',').map(|column| column.trim().to_owned()).collect();
    if tables.trim().is_empty() || columns.iter().any(String::is_empty) {
        return Err(hint.to_owned());
    }
    Ok(ColumnFilter { tables: tables.trim().to_owned(), columns })
}

#[derive(Debug, Args)]
pub struct TailArguments {
    /// Servers to ask, in turn; port 7440 where none is given
    #[arg(
        long,
        env = "MILLSTREAM_SERVER",
        value_name = "HOST:PORT,..",
        value_delimiter = ',',
        default_value = "127.0.0.1:7440"
    )]
    pub server: Vec<String>,
    #[arg(long, short, env = "MILLSTREAM_DESTINATION", default_value = "main")]
    pub destination: String,
    /// Where to start
    ///
    /// `latest`, `earliest`, `resume` (the subscription's cursor), FILE:OFFSET, a GTID set (executed so far), or @TIME
    /// (seconds since 1970, or RFC 3339). Default: `resume` with --subscription, else `latest`. Any other start moves the
    /// subscription's cursor there.
    #[arg(long, value_name = "START")]
    pub from: Option<StartArgument>,
    #[command(flatten)]
    pub filter: FilterArguments,
    /// Use the durable cursor of this name, and acknowledge what was printed
    #[arg(long, value_name = "NAME")]
    pub subscription: Option<String>,
    /// Wait where another client has the subscription, and take over when it goes
    #[arg(long, requires = "subscription")]
    pub standby: bool,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// End after so many rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_rows: Option<u64>,
    /// End when no row came for so long
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub idle_timeout: Option<Duration>,
    #[arg(long, env = "MILLSTREAM_USER", default_value = "")]
    pub user: String,
    #[arg(long, env = "MILLSTREAM_PASSWORD", default_value = "", hide_env_values = true, hide_default_value = true)]
    pub password: String,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be more than 0".to_owned()),
    }
}

/// What to do about a row change that was logged as a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatementDml {
    /// Stop there
    Fail,
    /// Warn, and leave it out
    #[value(alias = "skip")]
    Warn,
}

#[derive(Debug, Args)]
pub struct DecodeArguments {
    /// Binlog files, in their order; `-` reads one from standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    #[command(flatten)]
    pub filter: FilterArguments,
    /// Leave out transactions that begin before it
    #[arg(long, value_name = "FILE:OFFSET")]
    pub from: Option<BinlogPosition>,
    /// Leave out transactions that end behind it
    #[arg(long, value_name = "FILE:OFFSET")]
    pub to: Option<BinlogPosition>,
    /// What to do about row changes that were logged as statements (binlog_format was not ROW)
    #[arg(long, value_enum, default_value_t = StatementDml::Warn)]
    pub statement_dml: StatementDml,
    /// The largest event to read, in MiB, also after decompression
    #[arg(long, value_name = "MIB", default_value_t = 1088, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub event_max: u64,
}

#[derive(Debug, Args)]
pub struct AdminArguments {
    /// The server's admin address
    #[arg(long, env = "MILLSTREAM_ADMIN", value_name = "HOST:PORT", default_value = "127.0.0.1:7441")]
    pub admin: String,
}

#[derive(Debug, Args)]
pub struct SchemaArguments {
    #[arg(value_name = "DB.TABLE", value_parser = parse_table)]
    pub table: TableName,
    #[arg(long, short, env = "MILLSTREAM_DESTINATION", default_value = "main")]
    pub destination: String,
    #[command(flatten)]
    pub admin: AdminArguments,
    /// Print the answer of the server as it is (`show` only)
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    pub database: String,
    pub table: String,
}

fn parse_table(text: &str) -> Result<TableName, String> {
    match text.split_once('.') {
        Some((database, table)) if !database.is_empty() && !table.is_empty() => {
            Ok(TableName { database: database.to_owned(), table: table.to_owned() })
        }
        _ => Err("write DATABASE.TABLE, for example shop.orders".to_owned()),
    }
}

#[derive(Debug, Args)]
pub struct StatusArguments {
    #[command(flatten)]
    pub admin: AdminArguments,
    /// Print the answer of the server as it is
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The server to look at: mysql://USER:PASSWORD@HOST:PORT
    #[arg(long, env = "MILLSTREAM_SOURCE", value_name = "URL", hide_env_values = true)]
    pub source: String,
    /// Name of the environment variable that holds the password
    #[arg(long, value_name = "VARIABLE")]
    pub password_env: Option<String>,
    /// For the connection and for each answer
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub timeout: Duration,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_teaches_with_an_example() {
        fn check(command: &mut clap::Command) {
            let help = command.render_long_help().to_string();
            let name = command.get_name().to_owned();
            if command.has_subcommands() {
                command.get_subcommands_mut().filter(|sub| sub.get_name() != "help").for_each(check);
            } else {
                assert!(help.contains("Examples:"), "{name}");
            }
        }
        check(&mut Cli::command());
    }

    #[test]
    fn arguments_become_what_was_meant() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.command);
        let Ok(Command::Tail(tail)) = parse(
            "millstream tail --server a:1,b --filter shop.* --filter /x:y/ --columns shop.o:id,total --kinds insert,delete \
             --subscription s --max-rows 3 --idle-timeout 0.5",
        ) else {
            panic!("tail");
        };
        assert_eq!(tail.server, ["a:1", "b"]);
        let filter = tail.filter.filter();
        assert_eq!(filter.include, ["shop.*", "/x:y/"]);
        assert_eq!(
            filter.columns,
            [ColumnFilter { tables: "shop.o".into(), columns: vec!["id".into(), "total".into()] }]
        );
        assert_eq!(filter.kinds, [Op::Insert, Op::Delete]);
        assert!(filter.ddl);
        assert_eq!((tail.max_rows, tail.idle_timeout), (Some(3), Some(Duration::from_millis(500))));
        for wrong in [
            "millstream tail --max-rows 0",
            "millstream tail --idle-timeout 0",
            "millstream tail --idle-timeout soon",
            "millstream tail --standby",
            "millstream tail --columns shop.orders",
            "millstream tail --columns shop.orders:id,",
            "millstream tail --from yesterday",
            "millstream decode",
            "millstream schema show orders",
            "millstream check",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
