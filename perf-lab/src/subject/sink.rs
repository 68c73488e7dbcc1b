//! A client of Millstream that only counts (each row is visited and one value of it read), or that checks all of it.

use std::fs::File;
use std::hint::black_box;
use std::io::BufReader;
use std::time::Duration;

use millstream_client::blocking::Client;
use millstream_client::{Change, ClientConfig, Start, Transaction};

use super::check::Checker;
use super::{Arrivals, StreamArgs, say};
use crate::clock::now_ns;
use crate::workload::workload;

/// Acked at least so often, and whenever nothing more is at hand.
const ACK_EVERY: u64 = 1024;
const EXTRA_WAIT: Duration = Duration::from_millis(300);

pub fn run(arguments: &StreamArgs) -> anyhow::Result<()> {
    if arguments.subscriptions > 1 {
        return many(arguments);
    }
    let mut client = connect(arguments, 0)?;
    say(&serde_json::json!({"event": "ready"}));
    if arguments.stopped {
        loop {
            std::thread::park();
        }
    }
    if let Some(recording) = &arguments.check {
        return check(client, Checker::open(recording, arguments.position)?, arguments.transactions);
    }
    let mut arrivals = Arrivals::new(arguments);
    let mut unacked = 0;
    while let Some(transaction) = client.next_transaction()? {
        let rows = rows_of(&transaction)?;
        let is_last = arrivals.transaction(rows);
        unacked += 1;
        if unacked >= ACK_EVERY || client.queued_transactions() == 0 || is_last {
            client.ack(&transaction)?;
            unacked = 0;
        }
        if is_last {
            break;
        }
    }
    arrivals.done()
}

/// The first difference is an error: what came is not what was recorded.
fn check(mut client: Client, mut checker: Checker<BufReader<File>>, transactions: u64) -> anyhow::Result<()> {
    for _ in 0..transactions {
        let Some(transaction) = client.next_transaction()? else { break };
        checker.transaction(&transaction)?;
        client.ack(&transaction)?;
    }
    let checked = checker.finish()?;
    // Nothing more may come either; what is on its way is here within this time.
    if let Some(more) = client.next_within(EXTRA_WAIT)? {
        anyhow::bail!("transaction {} came behind the last one that was recorded", more.id());
    }
    say(&serde_json::json!({"event": "done", "rows": checked.rows, "values": checked.values,
        "transactions": checked.transactions, "ns": now_ns()}));
    Ok(())
}

/// Many subscriptions: one thread each, the last one to finish ends.
fn many(arguments: &StreamArgs) -> anyhow::Result<()> {
    let clients: Vec<Client> =
        (0..arguments.subscriptions).map(|index| connect(arguments, index)).collect::<anyhow::Result<_>>()?;
    say(&serde_json::json!({"event": "ready"}));
    if arguments.stopped || arguments.rows == 0 {
        loop {
            std::thread::park();
        }
    }
    let divisor = if arguments.filters == "divided" { arguments.subscriptions as u64 } else { 1 };
    let rows_wanted = arguments.rows / divisor;
    let read = |mut client: Client| -> anyhow::Result<()> {
        let (mut rows, mut unacked) = (0, 0);
        while let Some(transaction) = client.next_transaction()? {
            rows += rows_of(&transaction)?;
            unacked += 1;
            if unacked >= ACK_EVERY || client.queued_transactions() == 0 || rows >= rows_wanted {
                client.ack(&transaction)?;
                unacked = 0;
            }
            if rows >= rows_wanted {
                break;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = clients
            .into_iter()
            .map(|client| std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, || read(client)))
            .collect::<Result<_, _>>()?;
        readers.into_iter().try_for_each(|reader| reader.join().unwrap_or_else(|_| anyhow::bail!("a reader panicked")))
    })?;
    let mut arrivals = Arrivals::new(arguments);
    arrivals.transaction(arguments.rows);
    arrivals.done()
}

fn connect(arguments: &StreamArgs, index: usize) -> anyhow::Result<Client> {
    let address = format!("{}:{}", arguments.host, arguments.port);
    // Patterns that match the same tables and are not equal: a view for each.
    let pattern = match arguments.filters.as_str() {
        "different" => format!("/^{}\\.(.*|never_{index})$/", arguments.database),
        _ => format!("{}.*", arguments.database),
    };
    let mut config = ClientConfig::new([address], "main").subscription(format!("lab-{index}"));
    if arguments.filters == "divided" {
        let tables = workload("bulk-tables").filled_tables();
        config = tables
            .iter()
            .skip(index)
            .step_by(arguments.subscriptions)
            .fold(config, |config, table| config.include(table));
    } else {
        config = config.include(pattern);
    }
    let start = match arguments.from_position {
        true => Start::File { file: arguments.file.clone(), offset: arguments.position },
        false => Start::Latest,
    };
    let config = config.start(start).without_reconnect();
    Ok(Client::connect(config)?)
}

/// Visits every row of a transaction, and reads its first column.
fn rows_of(transaction: &Transaction) -> anyhow::Result<u64> {
    let mut rows = 0;
    for change in transaction.changes() {
        let Change::Rows(of_table) = change? else { continue };
        let Some(first) = of_table.layout().columns.first() else { continue };
        for row in of_table.iter() {
            black_box(row.get(&first.name)?);
            rows += 1;
        }
    }
    Ok(rows)
}
