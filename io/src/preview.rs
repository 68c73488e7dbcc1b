//! Answers who wants to see a table's layout before its first row has passed: from `information_schema`, over a
//! connection of its own.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use millstream_core::engine::shared::{Destination, lock};
use millstream_core::position::Position;
use millstream_core::source::config::SourceConfig;

use crate::engine::DestinationConfig;
use crate::source::connection::Connector;
use crate::source::schema::SchemaReader;

/// Runs until the executor ends.
pub async fn run(config: Arc<DestinationConfig>) {
    loop {
        let asked = until_asked(&config.shared).await;
        for (database, table) in asked {
            let answer = layout(&config.source, &config.shared, &database, &table).await;
            config.shared.answer_preview((database, table), answer);
        }
    }
}

async fn until_asked(shared: &Destination) -> Vec<(String, String)> {
    poll_fn(|cx| {
        shared.preview_doorbell.register(cx.waker());
        let asked = shared.asked_previews();
        if asked.is_empty() { Poll::Pending } else { Poll::Ready(asked) }
    })
    .await
}

async fn layout(
    source: &SourceConfig,
    shared: &Destination,
    database: &str,
    table: &str,
) -> Result<millstream_codec::wire::layout::Layout, String> {
    if !shared.allowed.matches_table(database, table) {
        return Err(format!("{database}.{table} is outside of what this destination may read"));
    }
    let connector = Connector::new(source.clone()).map_err(|error| error.to_string())?;
    let mut last = String::new();
    for server in &source.servers {
        match SchemaReader::new(connector.clone()).table(server, database, table).await {
            Ok(Some(schema)) => {
                let position = shared.position();
                return lock(&shared.tables).preview(&schema, position.as_deref().unwrap_or(&Position::default()));
            }
            Ok(None) => last = format!("there is no table {database}.{table} on {server}"),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}
