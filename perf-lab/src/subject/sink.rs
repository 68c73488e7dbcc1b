//! A client of Millstream that only counts: each row is visited and one value of it read.

use std::hint::black_box;

use millstream_client::blocking::Client;
use millstream_client::{Change, ClientConfig, Start, Transaction};

use super::{Arrivals, StreamArgs, say};

/// Acked at least so often, and whenever nothing more is at hand.
const ACK_EVERY: u64 = 1024;

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
    let rows_wanted = arguments.rows;
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
    arrivals.transaction(rows_wanted);
    arrivals.done()
}

fn connect(arguments: &StreamArgs, index: usize) -> anyhow::Result<Client> {
    let address = format!("{}:{}", arguments.host, arguments.port);
    // Patterns that match the same tables and are not equal: a view for each.
    let pattern = match arguments.filters.as_str() {
        "different" => format!("/^{}\\.(.*|never_{index})$/", arguments.database),
        _ => format!("{}.*", arguments.database),
    };
    let config = ClientConfig::new([address], "main")
        .subscription(format!("lab-{index}"))
        .include(pattern)
        .start(Start::Latest)
        .without_reconnect();
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
