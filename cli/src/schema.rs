//! `schema show`, `schema export`, `schema history` and `schema repair`.

use serde::Deserialize;

use crate::admin;
use crate::arguments::SchemaArguments;
use crate::exit::{Exit, Failure};
use crate::style::{Colour, Style};
use crate::table::Table;

#[derive(Debug, Deserialize)]
struct TableLayout {
    database: String,
    table: String,
    version: u32,
    struct_id: String,
    data_words: u16,
    pointers: u16,
    columns: Vec<Column>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    field: String,
    ordinal: u16,
    kind: String,
    #[serde(default)]
    mysql_type: String,
    #[serde(default)]
    primary_key: u16,
    #[serde(default)]
    labels: Vec<String>,
}

fn path(arguments: &SchemaArguments) -> String {
    let segment = admin::segment;
    let (destination, database) = (segment(&arguments.destination), segment(&arguments.table.database));
    format!("/api/v1/destinations/{destination}/tables/{database}/{}", segment(&arguments.table.table))
}

pub fn export(arguments: &SchemaArguments) -> Result<Exit, Failure> {
    let text = admin::get(&arguments.admin, &format!("{}/schema.capnp", path(arguments)))?;
    print(&text)
}

pub fn show(arguments: &SchemaArguments) -> Result<Exit, Failure> {
    let body = admin::get(&arguments.admin, &path(arguments))?;
    match arguments.json {
        true => print(&body),
        false => print(&render(&admin::parse(&body)?, Style::of_stdout())),
    }
}

pub fn history(arguments: &SchemaArguments) -> Result<Exit, Failure> {
    #[derive(Deserialize)]
    struct History {
        versions: Vec<String>,
    }
    let body = admin::get(&arguments.admin, &format!("{}/history", path(arguments)))?;
    if arguments.json {
        return print(&body);
    }
    let history: History = admin::parse(&body)?;
    match history.versions.is_empty() {
        // Usual where the log tells the columns itself.
        true => {
            print("nothing is recorded: the log tells this table's columns itself, or none of its rows has passed\n")
        }
        false => print(&(history.versions.join("\n") + "\n")),
    }
}

pub fn repair(arguments: &SchemaArguments) -> Result<Exit, Failure> {
    #[derive(Deserialize)]
    struct Repaired {
        repaired: String,
    }
    let body = admin::post(&arguments.admin, &format!("{}/repair", path(arguments)))?;
    match arguments.json {
        true => print(&body),
        false => print(&(admin::parse::<Repaired>(&body)?.repaired + "\n")),
    }
}

/// `print!` would panic where the reader went away.
pub fn print(text: &str) -> Result<Exit, Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(Exit::Done)
}

fn render(layout: &TableLayout, style: Style) -> String {
    let name = format!("{}.{}", layout.database, layout.table);
    let mut out = format!(
        "{}  version {}, struct {}, {} data words, {} pointers\n\n",
        style.painted(Colour::Bold, &name),
        layout.version,
        layout.struct_id,
        layout.data_words,
        layout.pointers
    );
    let mut table = Table::new(&["column", "type", "key", "field", "ordinal", "kind", "labels"]);
    for column in &layout.columns {
        let key = if column.primary_key > 0 { column.primary_key.to_string() } else { String::new() };
        table.row(vec![
            column.name.clone(),
            column.mysql_type.clone(),
            key,
            column.field.clone(),
            format!("@{}", column.ordinal),
            column.kind.clone(),
            column.labels.join(", "),
        ]);
    }
    table.write(&mut out, style, "");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_fields_of_a_newer_server_is_read() {
        let body = r#"{"database":"shop","table":"orders","version":3,"struct_id":"0xab","file_id":"0x1","data_words":2,
            "pointers":1,"new":{"x":1},"columns":[{"name":"id","field":"id","ordinal":0,"kind":"int64","slot":0,
            "null_slot":64,"mysql_type":"bigint","digits":0,"bits":0,"labels":[],"primary_key":1,"later":true},
            {"name":"state","field":"state","ordinal":2,"kind":"enum","labels":["new","paid"]}]}"#;
        let layout: TableLayout = admin::parse(body).expect("answer");
        let text = render(&layout, Style::Plain);
        assert!(text.starts_with("shop.orders  version 3, struct 0xab, 2 data words, 1 pointers\n"), "{text}");
        assert!(text.contains("id      bigint  1    id     @0       int64"), "{text}");
        assert!(text.contains("new, paid"), "{text}");
    }
}
