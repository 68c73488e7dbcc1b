//! Follows a source and prints its transactions: `feed HOST:PORT USER PASSWORD [START] [TRANSACTIONS]`.
//!
//! START is `latest` (the default), `earliest`, `file=FILE:OFFSET`, `gtids=SET` or `time=MICROSECONDS`. TLS mode by
//! the variable `FEED_TLS` (`preferred`), the servers' list may be separated by commas.

use std::sync::{Arc, Mutex};

use millstream_core::engine::batch::SourceBatch;
use millstream_core::engine::interest::{InterestSet, ViewId, ViewInterest};
use millstream_core::filter::Filter;
use millstream_core::position::FilePosition;
use millstream_core::source::config::SourceConfig;
use millstream_core::source::error::SourceError;
use millstream_core::source::start::Start;
use millstream_core::source::tracker::{StatementPolicy, TrackerConfig};
use millstream_core::tables::Tables;
use millstream_io::runtime::{Runtime, block_on};
use millstream_io::source::SourceFeed;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [servers, user, password, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: feed HOST:PORT USER PASSWORD [START] [TRANSACTIONS]");
        std::process::exit(2);
    };
    let mut config = SourceConfig {
        servers: servers.split(',').map(|server| server.parse().expect("HOST:PORT")).collect(),
        user: user.clone(),
        password: password.clone(),
        ..SourceConfig::default()
    };
    if let Ok(mode) = std::env::var("FEED_TLS") {
        config.tls.mode = mode.parse().expect("a TLS mode");
    }
    let start = start(rest.first().map_or("latest", String::as_str));
    let transactions = rest.get(1).map_or(u64::MAX, |count| count.parse().expect("a number of transactions"));
    block_on(Runtime::default(), async {
        if let Err(error) = follow(config, start, transactions).await {
            eprintln!("{:?} ({}): {error}", error.disposition(), error.code());
        }
    })
    .expect("a core");
}

fn start(text: &str) -> Start {
    match text.split_once('=') {
        None if text == "earliest" => Start::Earliest,
        None => Start::Latest,
        Some(("file", place)) => {
            let (file, offset) = place.rsplit_once(':').expect("FILE:OFFSET");
            Start::File(FilePosition { file: file.into(), offset: offset.parse().expect("an offset") })
        }
        Some(("gtids", set)) => Start::Gtids(set.parse().expect("a GTID set")),
        Some(("time", us)) => Start::Timestamp(us.parse().expect("microseconds")),
        Some((kind, _)) => panic!("unknown start {kind}"),
    }
}

async fn follow(config: SourceConfig, start: Start, transactions: u64) -> Result<(), SourceError> {
    let tables = Tables::in_memory("example");
    let everything = ViewInterest { view: ViewId(0), filter: Arc::new(Filter::everything()) };
    let interest = Arc::new(InterestSet { version: 1, views: vec![everything] });
    let tracker = TrackerConfig {
        shards: 1,
        hold_bytes_max: 64 << 20,
        event_bytes_max: usize::try_from(config.event_bytes_max).unwrap_or(usize::MAX),
        statement_dml: StatementPolicy::Halt,
        quarantine: Arc::default(),
        first_sequence: 1,
    };
    let mut feed = SourceFeed::open(config, start, tracker, Arc::new(Mutex::new(tables)), interest).await?;
    println!("streaming from {} ({}) at {}", feed.server(), feed.server_info().version, feed.position());
    while feed.stats().transactions < transactions {
        print(&*feed.next().await?);
    }
    println!("{:?}", feed.stats());
    Ok(())
}

fn print(batch: &SourceBatch) {
    for part in &batch.transactions {
        let gtid = part.gtid.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        println!("transaction {} {gtid} {:?} begins {} ends {}", part.sequence, part.end, part.start, part.position);
        if let Some(ddl) = &part.ddl {
            println!("  {}: {}", ddl.kind, ddl.statement);
        }
        for event in part.events.clone().filter_map(|index| batch.events.get(index as usize)) {
            if let Some(table) = batch.tables.get(event.table as usize) {
                let (database, table) = (&table.schema.database, &table.schema.table);
                println!("  rows event {} of {database}.{table} at {}", event.index, event.offset);
            }
        }
    }
}
