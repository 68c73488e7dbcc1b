//! One run: the corpus on a server of this variant, followed and decoded.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};

use super::{Metadata, Peculiarity, RowImage, Variant};
use crate::compare::{DdlLine, Images, KnownTables, LeftOut, Outcome, RowLine, Told, corpus_outcome};
use crate::harness::{CorpusScript, Millstreamd, MysqlServer, Options};
use crate::ways::{decode_with_warnings, rows_of_tail, tail, write_last_row};

/// What a variant gave, both ways.
#[derive(Clone, Debug, Default)]
pub struct VariantReport {
    pub live: Outcome,
    pub files: Outcome,
}

/// `None` where this machine does not have the server.
///
/// # Errors
/// Those of the servers and programs; what differs from the known answers is in the report.
pub fn run(variant: Variant, corpus: &[CorpusScript]) -> anyhow::Result<Option<VariantReport>> {
    let options = variant.options();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let Some(server) = MysqlServer::start(variant.flavour, &options)? else { return Ok(None) };
    let daemon = Millstreamd::start(&server, Options::default().destination("statement_dml", "\"skip\""))?;
    let (file, offset) = server.binlog_end()?;
    let live = tail(&daemon, &format!("{file}:{offset}"))?;
    for script in corpus {
        server.run_script(&script.script).with_context(|| script.name.clone())?;
    }
    write_last_row(&server)?;
    let live = rows_of_tail(live).with_context(|| format!("followed: {}", daemon.log()))?;
    drop(daemon);
    let decoded = decode_with_warnings(&server.binlog_files()?)?;
    let mut refused = LeftOut::new();
    if variant.peculiarity == Peculiarity::OldTemporal {
        refused = tables_with_fractions(&server)?;
    }
    let other = decoded.warnings.iter().find(|warning| {
        let of_refused = refused.iter().any(|(database, table)| warning.contains(&format!("{database}.{table}")));
        !of_refused && !warning.contains("a change was logged as a statement")
    });
    ensure!(other.is_none(), "millstream decode warns: {other:?}");
    // a file does not tell how many digits there are; its rows are refused when they turn out to be none
    let guessed = live.iter().find(|row| refused.contains(&(row.database.clone(), row.table.clone())));
    ensure!(guessed.is_none(), "a row of a table that cannot be decoded came: {guessed:?}");

    let images = if variant.image == RowImage::Full { Images::Full } else { Images::Partial };
    // without names in the log a definition of today is used for all rows
    let mut redefined = refused.clone();
    if variant.metadata != Metadata::Full {
        redefined.extend(redefined_tables(&decoded.ddl));
        // their labels cannot be had from `information_schema`
        redefined.insert(("ms_extremes".into(), "labels_beyond".into()));
    }
    let mut files = decoded.rows;
    let told = match variant.metadata {
        Metadata::NoLog => Told::Formats,
        Metadata::Minimal | Metadata::Full => Told::SignsAndCharsets,
    };
    let known = KnownTables::read(&server, told)?;
    files.iter_mut().for_each(|row| known.complete(row));
    // values of which a file loses something are not carried by its images
    let images_of_files = if variant.metadata == Metadata::NoLog { Images::Partial } else { images };
    let outcome = |rows: &[RowLine], images| {
        let mut outcome = Outcome::default();
        for script in corpus {
            outcome.add(corpus_outcome(&server, script, rows, images, &redefined)?);
        }
        anyhow::Ok(outcome)
    };
    Ok(Some(VariantReport { live: outcome(&live, images)?, files: outcome(&files, images_of_files)? }))
}

/// Tables that were made and then changed, or made twice.
fn redefined_tables(ddl: &[DdlLine]) -> LeftOut {
    let mut seen = BTreeSet::new();
    let mut redefined = LeftOut::new();
    for line in ddl.iter().filter(|line| line.kind != "truncate" && line.kind != "truncate_table") {
        for name in &line.tables {
            let Some((database, table)) = name.split_once('.') else { continue };
            let key = (database.to_owned(), table.to_owned());
            if !seen.insert(key.clone()) {
                redefined.insert(key);
            }
        }
    }
    redefined
}

/// The format before MySQL 5.6 does not tell in the log how many digits a fraction has: such tables are refused.
fn tables_with_fractions(server: &MysqlServer) -> anyhow::Result<LeftOut> {
    let set = server.query(
        "SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME FROM information_schema.COLUMNS WHERE DATETIME_PRECISION > 0 \
         AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')",
    )?;
    let name = |row: usize| Some((set.text(row, 0)?, set.text(row, 1)?));
    Ok((0..set.rows.len()).filter_map(name).collect())
}
