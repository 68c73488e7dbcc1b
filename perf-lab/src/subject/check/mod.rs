//! Whether a client has received what was recorded: every transaction once and in order, every row and every value of it.
//!
//! `mysql_common` reads the recorded file beside the client; nothing of ours has a part in what is expected. Both are brought to
//! one plain form, value by value, and the first difference is an error that says where it is.

mod plain;
#[cfg(test)]
mod tests;

pub use plain::Plain;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use millstream_client::{Change, RowReader, Transaction};
use mysql_common::binlog::BinlogFile;
use mysql_common::binlog::consts::{BinlogVersion, EventType};
use mysql_common::binlog::events::{EventData, GtidEvent};
use mysql_common::binlog::row::BinlogRow;

/// One image of a delivered row: its columns by name; one that the image does not carry is left out.
pub type Image<'a> = Vec<(&'a str, Plain<'a>)>;

/// A delivered row.
pub struct Delivered<'a> {
    pub database: &'a str,
    pub table: &'a str,
    pub before: Option<Image<'a>>,
    pub after: Option<Image<'a>>,
}

/// What was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    pub transactions: u64,
    pub rows: u64,
    pub values: u64,
}

/// The recorded file, read as the client goes on.
pub struct Checker<R> {
    events: BinlogFile<R>,
    /// Events that end at or before it are not of the recording.
    start: u64,
    /// Rows of the event that was read last, and where it ends.
    rows: VecDeque<(Option<BinlogRow>, Option<BinlogRow>)>,
    table: Arc<(String, String)>,
    place: u64,
    gtid: String,
    checked: Checked,
}

/// What comes next in the recording.
enum Next {
    /// With its GTID; empty where it has none.
    Begin(String),
    Row(Option<BinlogRow>, Option<BinlogRow>),
    Commit,
    End,
}

impl Checker<BufReader<File>> {
    /// # Errors
    /// The file cannot be read, or is no binlog.
    pub fn open(path: &Path, start: u64) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
        Self::new(BufReader::with_capacity(1 << 20, file), start)
    }

    /// # Errors
    /// It is not the recording's next transaction, or one of its rows or values is another one.
    pub fn transaction(&mut self, transaction: &Transaction) -> anyhow::Result<()> {
        self.begin(transaction.gtid())?;
        for change in transaction.changes() {
            let Change::Rows(rows) = change? else { bail!("{}: DDL, of which the recording has none", self.here()) };
            for row in rows.iter() {
                let (before, after) = (image_of(row.before)?, image_of(row.after)?);
                self.row(&Delivered { database: rows.database(), table: rows.table(), before, after })?;
            }
        }
        self.commit()
    }
}

impl<R: BufRead> Checker<R> {
    /// # Errors
    /// It is no binlog.
    pub fn new(file: R, start: u64) -> anyhow::Result<Self> {
        let events = BinlogFile::new(BinlogVersion::Version4, file)?;
        let (rows, table, gtid) = (VecDeque::new(), Arc::default(), String::new());
        Ok(Self { events, start, rows, table, place: start, gtid, checked: Checked::default() })
    }

    pub fn begin(&mut self, gtid: &str) -> anyhow::Result<()> {
        match self.next()? {
            Next::Begin(recorded) => {
                ensure!(
                    recorded.is_empty() || recorded == gtid,
                    "{}: transaction {gtid} came where {recorded} was recorded: one was lost, or came twice or out of order",
                    self.here()
                );
                self.gtid = gtid.to_owned();
                Ok(())
            }
            Next::End => bail!("{}: transaction {gtid} came, nothing more was recorded", self.here()),
            Next::Row(..) | Next::Commit => bail!("{}: the recording has no beginning here", self.here()),
        }
    }

    pub fn row(&mut self, delivered: &Delivered<'_>) -> anyhow::Result<()> {
        let Next::Row(before, after) = self.next()? else {
            bail!("{}: a row of {}.{} more than was recorded", self.here(), delivered.database, delivered.table);
        };
        let table = self.table.clone();
        ensure!(
            (table.0.as_str(), table.1.as_str()) == (delivered.database, delivered.table),
            "{}: a row of {}.{}, one of {}.{} was recorded",
            self.here(),
            delivered.database,
            delivered.table,
            table.0,
            table.1
        );
        self.image("before", before.as_ref(), delivered.before.as_ref())?;
        self.image("after", after.as_ref(), delivered.after.as_ref())?;
        self.checked.rows += 1;
        Ok(())
    }

    pub fn commit(&mut self) -> anyhow::Result<()> {
        ensure!(matches!(self.next()?, Next::Commit), "{}: fewer rows than were recorded", self.here());
        self.checked.transactions += 1;
        Ok(())
    }

    /// Whether everything has come.
    ///
    /// # Errors
    /// There is more in the recording.
    pub fn finish(mut self) -> anyhow::Result<Checked> {
        ensure!(matches!(self.next()?, Next::End), "{}: more was recorded than came", self.here());
        Ok(self.checked)
    }

    fn image(&mut self, name: &str, recorded: Option<&BinlogRow>, came: Option<&Image<'_>>) -> anyhow::Result<()> {
        let (recorded, came) = match (recorded, came) {
            (Some(recorded), Some(came)) => (recorded, came),
            (None, None) => return Ok(()),
            (Some(_), None) => bail!("{}: no {name} image, there is one in the recording", self.here()),
            (None, Some(_)) => bail!("{}: a {name} image, there is none in the recording", self.here()),
        };
        ensure!(
            recorded.len() == came.len(),
            "{}: {} columns {name}, {} were recorded",
            self.here(),
            came.len(),
            recorded.len()
        );
        for (index, ((column, came), expected)) in came.iter().zip(recorded.columns_ref()).enumerate() {
            let here = || format!("{}, column {column} {name}", self.here());
            ensure!(*column == expected.name_str(), "{}: {} was recorded here", here(), expected.name_str());
            let value = recorded.as_ref(index).with_context(here)?;
            let value = Plain::of_theirs(expected.column_type(), value).with_context(here)?;
            ensure!(*came == value, "{}: {} came, {} was recorded", here(), came.shown(), value.shown());
        }
        self.checked.values += came.len() as u64;
        Ok(())
    }

    /// For errors.
    fn here(&self) -> String {
        let Checked { transactions, rows, .. } = self.checked;
        format!(
            "transaction {} ({}), row {rows} of all, in the event that ends at {}",
            transactions, self.gtid, self.place
        )
    }

    fn next(&mut self) -> anyhow::Result<Next> {
        if let Some((before, after)) = self.rows.pop_front() {
            return Ok(Next::Row(before, after));
        }
        let mut gtid = None;
        loop {
            let Some(event) = self.events.next() else { return Ok(Next::End) };
            let event = event?;
            let header = event.header();
            if u64::from(header.log_pos()) <= self.start {
                continue;
            }
            self.place = header.log_pos().into();
            let data = event.read_data()?;
            match data {
                Some(EventData::GtidEvent(event)) => gtid = Some(text_of(&event)),
                Some(EventData::QueryEvent(query)) if query.query_raw() == b"BEGIN" => {
                    return Ok(Next::Begin(gtid.unwrap_or_default()));
                }
                Some(EventData::QueryEvent(query)) => bail!("{}: the recording has {:?}", self.here(), query.query()),
                Some(EventData::RowsEvent(rows)) => {
                    let map = self.events.reader().get_tme(rows.table_id()).context("its TABLE_MAP")?;
                    let name = (map.database_name(), map.table_name());
                    if (self.table.0.as_str(), self.table.1.as_str()) != (&*name.0, &*name.1) {
                        self.table = Arc::new((name.0.into_owned(), name.1.into_owned()));
                    }
                    self.rows = rows.rows(map).collect::<Result<_, _>>()?;
                    if let Some((before, after)) = self.rows.pop_front() {
                        return Ok(Next::Row(before, after));
                    }
                }
                Some(EventData::XidEvent(_)) => return Ok(Next::Commit),
                // The recording server's end.
                Some(EventData::RotateEvent(_)) => return Ok(Next::End),
                _ if header.event_type() == Ok(EventType::STOP_EVENT) => return Ok(Next::End),
                Some(EventData::TableMapEvent(_)) => {}
                _ => bail!("{}: the recording has an event of type {}", self.here(), header.event_type_raw()),
            }
        }
    }
}

/// A client's image of a row.
fn image_of(image: Option<RowReader<'_>>) -> anyhow::Result<Option<Image<'_>>> {
    let Some(image) = image else { return Ok(None) };
    let values = image.values().filter_map(|(column, value)| {
        let plain = value.map_err(anyhow::Error::from).and_then(Plain::of_ours);
        plain.map(|plain| Some((column.name.as_str(), plain?))).transpose()
    });
    values.collect::<anyhow::Result<_>>().map(Some)
}

/// As a server prints it.
fn text_of(gtid: &GtidEvent) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let sid = gtid.sid();
    let parts = [&sid[..4], &sid[4..6], &sid[6..8], &sid[8..10], &sid[10..]].map(hex);
    match gtid.tag() {
        Some(tag) => format!("{}:{}:{}", parts.join("-"), tag.as_str(), gtid.gno()),
        None => format!("{}:{}", parts.join("-"), gtid.gno()),
    }
}
