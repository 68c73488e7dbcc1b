//! Tables: layouts, for tools and for people who want the `.capnp` file; what is known of their past; repairs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Response, StatusCode};
use millstream_codec::wire::layout::{Layout, LayoutColumn};
use millstream_core::history::TableName;
use serde::Serialize;

use super::answer;
use crate::state::{DestinationView, SharedState};

/// How long the source has to tell about a table.
const SOURCE_PATIENCE: Duration = Duration::from_secs(5);
const SOURCE_POLL: Duration = Duration::from_millis(10);

#[derive(Serialize)]
struct Tables {
    tables: Vec<ListedTable>,
}

#[derive(Serialize)]
struct ListedTable {
    database: String,
    table: String,
    /// `None`: known from before, and no change of it has passed since this start.
    version: Option<u32>,
}

#[derive(Serialize)]
struct TableLayout<'a> {
    database: &'a str,
    table: &'a str,
    version: u32,
    /// 64-bit ids as text: many JSON readers round such numbers.
    struct_id: String,
    file_id: String,
    data_words: u16,
    pointers: u16,
    columns: Vec<Column<'a>>,
}

#[derive(Serialize)]
struct Column<'a> {
    name: &'a str,
    field: &'a str,
    ordinal: u16,
    kind: String,
    slot: u32,
    null_slot: Option<u32>,
    mysql_type: &'a str,
    digits: u8,
    bits: u8,
    labels: &'a [String],
    primary_key: u16,
}

pub async fn list(State(state): State<Arc<SharedState>>, Path(destination): Path<String>) -> Response<Body> {
    let view = match find(&state, &destination) {
        Ok(view) => view,
        Err(refusal) => return refusal,
    };
    let tables = view.tables().into_iter().map(|(database, table)| {
        let version = view.layout(&database, &table).map(|layout| layout.version);
        ListedTable { database, table, version }
    });
    answer::json(&Tables { tables: tables.collect() })
}

pub async fn layout(
    State(state): State<Arc<SharedState>>,
    Path((destination, database, table)): Path<(String, String, String)>,
) -> Response<Body> {
    match find_layout(&state, &destination, &database, &table).await {
        Ok(layout) => answer::json(&TableLayout::of(&layout)),
        Err(refusal) => refusal,
    }
}

pub async fn schema(
    State(state): State<Arc<SharedState>>,
    Path((destination, database, table)): Path<(String, String, String)>,
) -> Response<Body> {
    match find_layout(&state, &destination, &database, &table).await {
        Ok(layout) => answer::text(StatusCode::OK, layout.described().capnp_text.clone()),
        Err(refusal) => refusal,
    }
}

type Refusal = Response<Body>;

#[allow(clippy::result_large_err)] // The error is the answer, and is made once a request.
fn find<'s>(state: &'s SharedState, destination: &str) -> Result<&'s dyn DestinationView, Refusal> {
    state.destination(destination).map(|view| view.as_ref()).ok_or_else(|| {
        let known: Vec<_> = state.destinations.iter().map(|view| view.name()).collect();
        let reason = format!("no destination '{destination}'; known: {}", known.join(", "));
        answer::error(StatusCode::NOT_FOUND, &reason)
    })
}

/// As the stream has met it; a table of which no change has passed is asked for at the source.
async fn find_layout(
    state: &SharedState,
    destination: &str,
    database: &str,
    table: &str,
) -> Result<Arc<Layout>, Refusal> {
    let view = find(state, destination)?;
    if let Some(layout) = view.layout(database, table) {
        return Ok(layout);
    }
    let name = (database.to_owned(), table.to_owned());
    view.ask_preview(&name);
    answered(&name, || view.take_preview(&name)).await
}

/// Waits for what the source core finds out about a table.
async fn answered<T>(
    (database, table): &TableName,
    take: impl Fn() -> Option<Result<T, String>>,
) -> Result<T, Refusal> {
    let deadline = Instant::now() + SOURCE_PATIENCE;
    loop {
        match take() {
            Some(Ok(found)) => return Ok(found),
            Some(Err(reason)) => return Err(answer::error(StatusCode::NOT_FOUND, &reason)),
            None if Instant::now() >= deadline => {
                let reason = format!("the source did not tell about {database}.{table} in time; try again");
                return Err(answer::error(StatusCode::GATEWAY_TIMEOUT, &reason));
            }
            None => tokio::time::sleep(SOURCE_POLL).await,
        }
    }
}

/// What the schema history knows of a table.
pub async fn history(
    State(state): State<Arc<SharedState>>,
    Path((destination, database, table)): Path<(String, String, String)>,
) -> Response<Body> {
    #[derive(Serialize)]
    struct History {
        versions: Vec<String>,
    }
    match find(&state, &destination) {
        Ok(view) => answer::json(&History { versions: view.history(&(database, table)) }),
        Err(refusal) => refusal,
    }
}

/// Reads a table's columns again, from where they could last not be told.
pub async fn repair(
    State(state): State<Arc<SharedState>>,
    Path((destination, database, table)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response<Body> {
    #[derive(Serialize)]
    struct Repaired {
        repaired: String,
    }
    // A page in a browser on this machine can send a plain POST to us, but not with this header.
    if headers.get(CONTENT_TYPE).is_none_or(|value| value != "application/json") {
        let reason = "send it with the header Content-Type: application/json (millstream schema repair does)";
        return answer::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason);
    }
    let view = match find(&state, &destination) {
        Ok(view) => view,
        Err(refusal) => return refusal,
    };
    let name = (database, table);
    view.ask_repair(&name);
    match answered(&name, || view.take_repair(&name)).await {
        Ok(repaired) => answer::json(&Repaired { repaired }),
        Err(refusal) => refusal,
    }
}

impl<'a> TableLayout<'a> {
    fn of(layout: &'a Layout) -> Self {
        TableLayout {
            database: &layout.database,
            table: &layout.table,
            version: layout.version,
            struct_id: format!("0x{:016x}", layout.struct_id),
            file_id: format!("0x{:016x}", layout.file_id),
            data_words: layout.data_words,
            pointers: layout.pointers,
            columns: layout.columns.iter().map(Column::of).collect(),
        }
    }
}

impl<'a> Column<'a> {
    fn of(column: &'a LayoutColumn) -> Self {
        Column {
            name: &column.name,
            field: &column.field,
            ordinal: column.ordinal,
            // As in millstream.capnp: `Int8` there is `int8`.
            kind: format!("{:?}", column.kind).to_lowercase(),
            slot: column.slot,
            null_slot: column.null_slot,
            mysql_type: &column.mysql_type,
            digits: column.digits,
            bits: column.bits,
            labels: &column.labels,
            primary_key: column.primary_key,
        }
    }
}
