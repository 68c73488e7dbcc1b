//! Answers what others want to know of the source, over a connection of its own: layouts of tables before their first row
//! has passed, tables to be read again, patterns that match nothing.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use millstream_codec::wire::layout::Layout;
use millstream_core::catalog::TableDefinition;
use millstream_core::engine::shared::{Destination, FilterCheck, lock};
use millstream_core::filter::{Filter, FilterSpec};
use millstream_core::history::TableName;
use millstream_core::position::Position;
use millstream_core::source::config::SourceConfig;

use crate::engine::DestinationConfig;
use crate::source::connection::Connector;
use crate::source::schema::SchemaReader;

/// Runs until the executor ends.
pub async fn run(config: Arc<DestinationConfig>) {
    let shared = &config.shared;
    loop {
        let asked = until_asked(shared).await;
        for name in asked.previews {
            let answer = layout(&config.source, shared, &name).await.map(Arc::new);
            shared.previews.answer(name, answer);
        }
        for name in asked.repairs {
            let answer = repair(&config.source, shared, &name).await;
            if let Ok(answer) = &answer {
                tracing::warn!(destination = %shared.name, "{answer}");
            }
            shared.repairs.answer(name, answer);
        }
        for check in asked.filter_checks {
            let unmatched = unmatched(&config.source, shared, &check).await.unwrap_or_default();
            shared.filter_checks.answer(check, unmatched);
        }
    }
}

struct Asked {
    previews: Vec<TableName>,
    repairs: Vec<TableName>,
    filter_checks: Vec<FilterCheck>,
}

async fn until_asked(shared: &Destination) -> Asked {
    poll_fn(|cx| {
        shared.questions_doorbell.register(cx.waker());
        let asked = Asked {
            previews: shared.previews.asked(),
            repairs: shared.repairs.asked(),
            filter_checks: shared.filter_checks.asked(),
        };
        let is_empty = asked.previews.is_empty() && asked.repairs.is_empty() && asked.filter_checks.is_empty();
        if is_empty { Poll::Pending } else { Poll::Ready(asked) }
    })
    .await
}

/// The table as it is now on the first server that answers; `None` where that has no such table.
async fn read(source: &SourceConfig, (database, table): &TableName) -> Result<Option<TableDefinition>, String> {
    let connector = Connector::new(source.clone()).map_err(|error| error.to_string())?;
    let mut last = "servers is empty".to_owned();
    for server in &source.servers {
        match SchemaReader::new(connector.clone()).table(server, database, table).await {
            Ok(found) => return Ok(found),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn no_table((database, table): &TableName) -> String {
    format!("there is no table {database}.{table} on the source, or its account may not see it")
}

async fn layout(source: &SourceConfig, shared: &Destination, name: &TableName) -> Result<Layout, String> {
    let (database, table) = name;
    if !shared.allowed.matches_table(database, table) {
        return Err(format!("{database}.{table} is outside of what this destination may read"));
    }
    let definition = read(source, name).await?.ok_or_else(|| no_table(name))?;
    let position = shared.position();
    lock(&shared.tables).preview(&definition.schema(), position.as_deref().unwrap_or(&Position::default()))
}

/// A damaged history is put aside first: a person has decided that the past may be assumed.
async fn repair(source: &SourceConfig, shared: &Destination, name: &TableName) -> Result<String, String> {
    let found = read(source, name).await?;
    let (database, table) = name;
    let position = shared.position().ok_or("the destination has not reached its source yet; try again")?;
    let mut tables = lock(&shared.tables);
    let history = tables.history_mut();
    let mut said = match &found {
        Some(definition) => format!("{database}.{table} was read again: {} columns", definition.columns.len()),
        None if history.table_at(name, &position).is_none() => return Err(no_table(name)),
        None => format!("{database}.{table} is not on the source any more"),
    };
    if history.damage().is_some() {
        let aside = history.reset().map_err(|error| error.to_string())?;
        said.push_str(&format!("; the damaged schema history is now {aside}, and a new one was begun"));
    }
    history.repair(&position, name.clone(), found);
    tables.commit().map_err(|error| error.to_string())?;
    // The reader that found it may have ended since.
    shared.release_table(&format!("{database}.{table}"));
    Ok(said)
}

/// Those of the patterns that match no table which is there now, or ever was.
async fn unmatched(source: &SourceConfig, shared: &Destination, check: &FilterCheck) -> Option<Vec<String>> {
    let connector = Connector::new(source.clone()).ok()?;
    let mut names = lock(&shared.tables).registered();
    for server in &source.servers {
        if let Ok(found) = SchemaReader::new(connector.clone()).table_names(server).await {
            names.extend(found);
            let matches_none = |pattern: &&String| {
                let spec = FilterSpec { include: vec![(*pattern).clone()], ..FilterSpec::default() };
                Filter::compile(&spec)
                    .is_ok_and(|filter| !names.iter().any(|(database, table)| filter.matches_table(database, table)))
            };
            return Some(check.patterns.iter().filter(matches_none).cloned().collect());
        }
    }
    None
}
