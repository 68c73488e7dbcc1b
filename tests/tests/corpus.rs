//! The corpus is right about the servers: every stated value is what SELECT gives, every stated change is in
//! the log in the stated order (as the server's own `mysqlbinlog` prints it), and replaying the changes gives
//! the tables' content. Decoders are held to these answers elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use millstream_tests::harness::{
    Answers, CorpusScript, Flavour, Kind, MysqlServer, RowEvent, TypeCase, load_corpus, mysqlbinlog,
};
use serde_json::{Map, Value};

fn confirm_on(flavour: Flavour) {
    // without GTIDs where they forbid what old scripts do: a MyISAM write inside a transaction
    let options: &[&str] = match flavour {
        Flavour::Mysql57 | Flavour::Mysql56 => &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"],
        _ => &[],
    };
    let Some(server) = MysqlServer::start(flavour, options).unwrap() else {
        return;
    };
    let mut complaints = Vec::new();
    for script in load_corpus().unwrap() {
        if let Err(error) = confirm(&server, &script, &mut complaints) {
            complaints.push(format!("{}: {error:#}", script.name));
        }
    }
    assert!(complaints.is_empty(), "{} complaints on {flavour}:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn answers_hold_on_mysql97() {
    confirm_on(Flavour::Mysql97);
}

#[test]
fn answers_hold_on_mysql57() {
    confirm_on(Flavour::Mysql57);
}

#[test]
fn answers_hold_on_mysql56() {
    confirm_on(Flavour::Mysql56);
}

#[test]
fn answers_hold_on_mariadb118() {
    confirm_on(Flavour::Mariadb118);
}

#[test]
fn answers_hold_on_mariadb1011() {
    confirm_on(Flavour::Mariadb1011);
}

#[test]
fn answers_hold_on_mariadb105() {
    confirm_on(Flavour::Mariadb105);
}

fn confirm(server: &MysqlServer, script: &CorpusScript, complaints: &mut Vec<String>) -> anyhow::Result<()> {
    server.sql("FLUSH BINARY LOGS")?;
    let older_files = server.binlog_files()?.len() - 1;
    server.run_script(&script.script)?;
    match &script.answers {
        Answers::Values(cases) => confirm_values(server, cases, complaints),
        Answers::Changes(changes) => {
            let changes: Vec<_> =
                changes.iter().filter(|change| change.applies_to(server.kind(), server.version)).cloned().collect();
            let files = server.binlog_files()?.split_off(older_files);
            confirm_order(server, files, &changes)?;
            // other scripts write rows that are not in the log
            if script.own { confirm_replay(server, &changes) } else { Ok(()) }
        }
    }
}

// ---- values ----------------------------------------------------------------------------------------

fn confirm_values(server: &MysqlServer, cases: &[TypeCase], complaints: &mut Vec<String>) -> anyhow::Result<()> {
    let session = server.session()?;
    let mut confirmed = 0;
    for case in cases.iter().filter(|case| case.applies_to(server.kind(), server.version)) {
        let (column, printed) =
            (quoted(&case.column), case.expect.is_object().then(|| select_form(case, server.kind())).flatten());
        let set = session.query(&format!(
            "SELECT {}, {column} FROM {}.{} WHERE id = {}",
            printed.as_deref().unwrap_or(&column),
            quoted(&case.database),
            quoted(&case.table),
            case.id
        ))?;
        ensure!(set.rows.len() == 1, "{}: {} rows", case.name, set.rows.len());
        if !agrees(&case.expect, set.text(0, 0), set.text(0, 1)) {
            let shorten = |text: Option<String>| text.map(|text| text.chars().take(200).collect::<String>());
            complaints.push(format!(
                "{}: expected {}, SELECT gives {:?} and {:?}",
                case.name,
                case.expect.to_string().chars().take(200).collect::<String>(),
                shorten(set.text(0, 0)),
                shorten(set.text(0, 1))
            ));
        }
        confirmed += 1;
    }
    ensure!(confirmed > 0, "no case applies to {}", server.name());
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// An expression that prints the value without loss; `None` where the column itself does.
fn select_form(case: &TypeCase, kind: Kind) -> Option<String> {
    let column = quoted(&case.column);
    match (case.expect["k"].as_str()?, case.sql_type.split('(').next()?) {
        // whole numbers of 64 bits; without the zeros of ZEROFILL
        ("int" | "bit" | "enum" | "set", _) if !case.sql_type.contains("INT") || case.sql_type.contains("ZEROFILL") => {
            Some(format!("CAST({column} AS UNSIGNED)"))
        }
        ("dec", _) if case.sql_type.contains("ZEROFILL") => Some(format!("{column} + 0")),
        // FLOAT is printed with six digits, DOUBLE so that it reads back
        ("f32" | "f64", _) => Some(format!("{column} * 1e0")),
        ("bytes", "INET6" | "UUID") => Some(format!("LOWER(HEX(CAST({column} AS BINARY(16))))")),
        ("bytes", "INET4") => Some(format!("LOWER(HEX(CAST({column} AS BINARY(4))))")),
        ("bytes", _) => Some(format!("LOWER(HEX({column}))")),
        ("vector", _) if kind == Kind::Mariadb => Some(format!("VEC_ToText({column})")),
        ("vector", _) => Some(format!("VECTOR_TO_STRING({column})")),
        _ => None,
    }
}

/// `printed` is [`select_form`], `plain` the column as it prints itself.
fn agrees(expect: &Value, printed: Option<String>, plain: Option<String>) -> bool {
    let Some(printed) = printed else {
        return expect.is_null();
    };
    let same = |key: &str| expect[key].as_str().is_some_and(|text| text == printed);
    match expect["k"].as_str() {
        Some("bytes") => same("hex"),
        Some("set") => same("mask") && expect["v"].as_str() == plain.as_deref(),
        Some("enum") => {
            expect["i"].as_u64().is_some_and(|number| number.to_string() == printed)
                && expect["v"].as_str() == plain.as_deref()
        }
        Some("f32") => {
            printed.parse::<f64>().is_ok_and(|value| expect["bits"] == format!("{:08x}", (value as f32).to_bits()))
        }
        Some("f64") => printed.parse::<f64>().is_ok_and(|value| expect["bits"] == format!("{:016x}", value.to_bits())),
        Some("vector") => serde_json::from_str::<Vec<f32>>(&printed)
            .is_ok_and(|numbers| serde_json::from_value::<Vec<f32>>(expect["v"].clone()).is_ok_and(|v| v == numbers)),
        _ => same("v"),
    }
}

// ---- changes ---------------------------------------------------------------------------------------

/// The changes as `mysqlbinlog -v` lists them: operation and table.
fn confirm_order(server: &MysqlServer, files: Vec<PathBuf>, changes: &[RowEvent]) -> anyhow::Result<()> {
    let Some(program) = mysqlbinlog(server.kind()) else {
        return Ok(());
    };
    let output = Command::new(program)
        .args(["--no-defaults", "-v", "--base64-output=DECODE-ROWS"])
        .args(files)
        .output()
        .context("running mysqlbinlog")?;
    ensure!(output.status.success(), "mysqlbinlog: {}", String::from_utf8_lossy(&output.stderr));
    let databases: Vec<_> = changes.iter().map(|change| format!("`{}`.", change.database)).collect();
    let logged: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let line = line.strip_prefix("### ")?;
            let (op, table) = ["INSERT INTO ", "UPDATE ", "DELETE FROM "]
                .into_iter()
                .zip(["insert", "update", "delete"])
                .find_map(|(words, op)| Some((op, line.strip_prefix(words)?)))?;
            databases
                .iter()
                .any(|database| table.starts_with(database.as_str()))
                .then(|| format!("{op} {}", table.trim_end()))
        })
        .collect();
    let mut in_log_order: Vec<_> = changes.iter().collect();
    in_log_order.sort_by_key(|change| change.log_order);
    let expected: Vec<_> = in_log_order
        .iter()
        .map(|change| format!("{} {}.{}", change.op, quoted(&change.database), quoted(&change.table)))
        .collect();
    if let Some(at) = (0..logged.len().max(expected.len())).find(|at| logged.get(*at) != expected.get(*at)) {
        let around = |list: &[String]| list[at.saturating_sub(2).min(list.len())..(at + 4).min(list.len())].to_vec();
        anyhow::bail!("change {at}: the log has .. {:?}, expected .. {:?}", around(&logged), around(&expected));
    }
    Ok(())
}

type Row = Map<String, Value>;

/// Applies the delivered changes to nothing, and compares with the tables.
fn confirm_replay(server: &MysqlServer, changes: &[RowEvent]) -> anyhow::Result<()> {
    let mut tables: BTreeMap<(&str, &str), Vec<Row>> = BTreeMap::new();
    for (index, change) in changes.iter().enumerate().filter(|(_, change)| !change.rolled_back_xa) {
        let rows = tables.entry((&change.database, &change.table)).or_default();
        let found = change.before.as_ref().map(|before| {
            rows.iter()
                .position(|row| before.iter().all(|(name, value)| row.get(name).is_none_or(|known| known == value)))
                .with_context(|| format!("change {index} ({} {}): no such row", change.op, change.table))
        });
        match (found.transpose()?, &change.after) {
            (None, Some(after)) => rows.push(after.clone()),
            (Some(at), Some(after)) => rows[at].extend(after.clone()),
            (Some(at), None) => drop(rows.remove(at)),
            (None, None) => anyhow::bail!("change {index} has no image"),
        }
    }
    for ((database, table), mut rows) in tables {
        let set = server.query(&format!("SELECT * FROM {}.{}", quoted(database), quoted(table)))?;
        ensure!(set.rows.len() == rows.len(), "{table}: {} rows, replayed {}", set.rows.len(), rows.len());
        for row in 0..set.rows.len() {
            let matching = rows.iter().position(|replayed| {
                set.columns.iter().enumerate().all(|(column, name)| {
                    // an image that leaves a column out says nothing of it
                    replayed.get(name).is_none_or(|value| printed(value) == set.text(row, column))
                })
            });
            let at = matching.with_context(|| {
                let stored: Vec<_> = (0..set.columns.len()).map(|column| set.text(row, column)).collect();
                format!("{table}: the stored row {stored:?} is not among the replayed {rows:?}")
            })?;
            rows.swap_remove(at);
        }
    }
    Ok(())
}

fn printed(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
