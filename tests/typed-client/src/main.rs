//! A client with generated code: it reads columns of `typed.orders` as fields of a struct, straight from the receive
//! buffer, and knows nothing of layouts.
//!
//! ```text
//! millstream-typed-client HOST:PORT SUBSCRIPTION COUNT
//! ```
//!
//! Prints a line for each row, `insert id=1 total=12.50 ..`, until COUNT transactions have come, and acknowledges them.
//! Where the table no longer has what it was compiled for, it ends with status 4 and says which field.

use std::io::Write;
use std::process::ExitCode;

use millstream_client::blocking::Client;
use millstream_client::{Change, ClientConfig, ClientError, Op, Rows};

#[allow(dead_code, clippy::all)]
mod orders_capnp {
    include!(concat!(env!("OUT_DIR"), "/orders_capnp.rs"));
}

use orders_capnp::orders;

/// What the program reads; it does not mind what becomes of the others.
const FIELDS: &[&str] = &["id", "customerName", "total", "quantity", "paidAt"];

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let schema_break = matches!(error.downcast_ref(), Some(ClientError::SchemaBreak { .. }));
            ExitCode::from(if schema_break { 4 } else { 1 })
        }
    }
}

fn run() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, subscription, count] = arguments.as_slice() else {
        return Err("usage: millstream-typed-client HOST:PORT SUBSCRIPTION COUNT".into());
    };
    let config = ClientConfig::new([server], "main")
        .subscription(subscription)
        .include("typed.orders")
        .compiled::<orders::Owned>("typed.orders", FIELDS)?;
    let mut client = Client::connect(config)?;
    say("subscribed")?;
    for _ in 0..count.parse::<u64>()? {
        let Some(transaction) = client.next_transaction()? else { break };
        for change in transaction.changes() {
            if let Change::Rows(rows) = change? {
                print_rows(&rows)?;
            }
        }
        client.ack(&transaction)?;
    }
    client.close()?;
    Ok(())
}

fn print_rows(rows: &Rows<'_>) -> Outcome<()> {
    let op = match rows.op() {
        Op::Insert => "insert",
        Op::Update => "update",
        Op::Delete => "delete",
    };
    let images = if rows.op() == Op::Delete { rows.before_as::<orders::Owned>()? } else { rows.after_as()? };
    for row in images {
        say(&format!("{op} {}", shown(row)?))?;
    }
    Ok(())
}

fn shown(row: orders::Reader<'_>) -> Outcome<String> {
    let number = |is_null: bool, value: i64| if is_null { "NULL".to_owned() } else { value.to_string() };
    let name = if row.has_customer_name() { row.get_customer_name()?.to_str()? } else { "NULL" };
    let total = if row.has_total() { row.get_total()?.to_str()? } else { "NULL" };
    Ok(format!(
        "id={} name={name} total={total} quantity={} paid_at={}",
        number(row.get_id_is_null(), row.get_id().into()),
        number(row.get_quantity_is_null(), row.get_quantity().into()),
        number(row.get_paid_at_is_null(), row.get_paid_at()),
    ))
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
