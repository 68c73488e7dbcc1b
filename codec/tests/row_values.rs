//! Values of every type as six real servers wrote them, against what the same servers say of them in SELECT
//! (`data/values/record.sh`): rows are encoded, put into a batch, read back, and replayed to the tables' end state.
#![cfg(feature = "mysql")]

mod rows;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use millstream_codec::mysql::schema::{ColumnSchema, ColumnType, TableSchema};
use millstream_codec::mysql::server::ServerKind;
use millstream_codec::wire::encoded::Op;
use sha2::{Digest, Sha256};
use values::{Cell, hex, rows_of};

struct Recording {
    name: &'static str,
    binlog: &'static [u8],
    columns: &'static str,
    values: &'static str,
}

macro_rules! recording {
    ($name:literal) => {
        Recording {
            name: $name,
            binlog: include_bytes!(concat!("data/values/", $name, ".binlog")),
            columns: include_str!(concat!("data/values/", $name, ".columns.tsv")),
            values: include_str!(concat!("data/values/", $name, ".values.tsv")),
        }
    };
}

const RECORDINGS: [Recording; 6] = [
    recording!("mysql97"),
    recording!("mysql57"),
    recording!("mysql56"),
    recording!("mariadb118"),
    recording!("mariadb1011"),
    recording!("mariadb105"),
];

/// Table, id, column.
type Place = (String, String, String);

#[test]
fn values_are_those_that_the_server_selects() {
    for recording in &RECORDINGS {
        let expected = expected(recording);
        // Small pieces, so that events of many rows are cut.
        for piece_bytes_max in [1 << 20, 700] {
            let found = replayed(recording, piece_bytes_max);
            for (place, cell) in &found {
                let Some(expected) = expected.get(place) else {
                    // Virtual columns are in the log as NULL or not at all.
                    panic!("{} {place:?}: {cell:?} is not in the table", recording.name);
                };
                let text = cell.text.as_deref().map(|text| match (recording.name, cell.kind) {
                    ("mysql57", "json") => normal(cell.kind, &as_57_prints(text)),
                    (_, kind) => normal(kind, text),
                });
                assert_eq!(text.as_deref(), expected.as_deref(), "{} {place:?} {cell:?}", recording.name);
            }
            let found: BTreeSet<_> = found.keys().collect();
            assert_eq!(found, expected.keys().collect(), "{}", recording.name);
            assert!(found.len() > 750, "{}: {} values", recording.name, found.len());
        }
    }
}

/// MySQL 5.7 prints a double that is whole without its `.0`, as if it were an integer, and breaks long base64 by a bare
/// line feed, which JSON does not allow. Later ones do not, and their text is ours.
fn as_57_prints(json: &str) -> String {
    let mut text = format!("{json} ");
    for end in [", ", "]", "}", " "] {
        text = text.replace(&format!(".0{end}"), end);
    }
    if text.contains("base64:") {
        text = text.replace("\\n", "\n");
    }
    text.trim_end().to_owned()
}

/// The text in the form of the recorded ones.
fn normal(kind: &str, text: &str) -> String {
    let text = match kind {
        // MySQL prints no 17 digits for every double; what counts is the number.
        "float" => format!("{:?}", text.parse::<f64>().unwrap()),
        _ => text.to_owned(),
    };
    if text.len() > 300 { format!("#{}", hex(&Sha256::digest(text.as_bytes()))) } else { hex(text.as_bytes()) }
}

fn expected(recording: &Recording) -> BTreeMap<Place, Option<String>> {
    let schemas = schemas(recording);
    let line = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [table, id, column, text] = fields[..] else { panic!("{line}") };
        let schema = &schemas[table].columns;
        let is_float = schema
            .iter()
            .any(|known| known.name == column && matches!(known.column_type, ColumnType::Float | ColumnType::Double));
        let text = match text {
            "NULL" => None,
            text if is_float => {
                let bytes: Vec<u8> =
                    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap()).collect();
                Some(normal("float", std::str::from_utf8(&bytes).unwrap()))
            }
            text => Some(text.to_uppercase()),
        };
        ((table.to_owned(), id.to_owned(), column.to_owned()), text)
    };
    recording.values.lines().map(line).collect()
}

/// Every value at the end of the log, but the ids.
fn replayed(recording: &Recording, piece_bytes_max: usize) -> BTreeMap<Place, Cell> {
    let kind = if recording.name.starts_with("mariadb") { ServerKind::Mariadb } else { ServerKind::Mysql };
    let schemas = schemas(recording);
    let rows = rows_of(recording.binlog, kind, piece_bytes_max, |map| {
        let schema = map.schema_with(&schemas[&*map.table]);
        Some(schema.unwrap_or_else(|error| panic!("{}: {error}", recording.name)))
    });
    let mut state: BTreeMap<Place, Cell> = BTreeMap::new();
    let id_of = |cells: &[Cell]| cells.iter().find(|cell| cell.column == "id").and_then(|cell| cell.text.clone());
    for row in rows {
        let before = row.before.as_deref().map(|cells| id_of(cells).unwrap());
        if let (Op::Update, Some(before), Some(after)) = (row.op, &row.before, &row.after) {
            // The before image is what the log said before.
            for cell in before.iter().filter(|cell| cell.column != "id") {
                let id = id_of(before).unwrap();
                let known = state.get(&(row.table.clone(), id, cell.column.clone()));
                assert_eq!(known.map(|known| &known.text), Some(&cell.text), "{} {:?}", recording.name, row.table);
            }
            assert!(after.iter().all(|cell| cell.kind != "json diff"), "{} {:?}", recording.name, row.table);
        }
        match (row.after, before) {
            (Some(after), before) => {
                let id = id_of(&after).or(before).unwrap();
                // Columns that a MINIMAL insert leaves out are NULL in these tables.
                if row.op == Op::Insert {
                    let unnamed = &schemas[row.table.split_once('.').unwrap().1].columns;
                    for column in unnamed.iter().filter(|column| column.name != "id") {
                        let null = Cell { column: column.name.clone(), kind: "null", text: None };
                        state.insert((row.table.clone(), id.clone(), column.name.clone()), null);
                    }
                }
                for cell in after.into_iter().filter(|cell| cell.column != "id") {
                    state.insert((row.table.clone(), id.clone(), cell.column.clone()), cell);
                }
            }
            (None, Some(before)) => state.retain(|(table, id, _), _| (table, id) != (&row.table, &before)),
            (None, None) => panic!("a row without images"),
        }
    }
    state
        .into_iter()
        .map(|((table, id, column), cell)| ((table.split_once('.').unwrap().1.to_owned(), id, column), cell))
        .collect()
}

fn schemas(recording: &Recording) -> BTreeMap<String, TableSchema> {
    let mut tables = BTreeMap::new();
    for line in recording.columns.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [table, name, column_type, charset] = fields[..] else { panic!("{line}") };
        let schema = tables.entry(table.to_owned()).or_insert_with(|| TableSchema {
            database: "v".into(),
            table: table.into(),
            columns: Vec::new(),
        });
        let column_type = values::column_type(column_type, charset);
        schema.columns.push(ColumnSchema { name: name.into(), column_type, primary_key: u16::from(name == "id") });
    }
    tables
}
