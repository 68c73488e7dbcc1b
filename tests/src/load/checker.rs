//! Holds a stream of deliveries against the ledger.
//!
//! What is checked, for every transaction as it arrives:
//! - it is one that was committed (nothing rolled back, nothing unknown), with exactly its rows in their order;
//! - within a connection each transaction is the direct successor of the one before: none skipped, none twice;
//! - a new connection begins behind the last ack that was known to be durable, and not behind a gap;
//! - writers' transactions come in their order, and GTIDs rise;
//! - a repeated transaction has the same row ids and values as the first time.
//!
//! And at the end: nothing is missing, and the rows that the changes add up to are the tables' content.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::ensure;
use serde_json::{Map, Value};

use super::delivery::{Change, Delivery};
use super::ledger::{Ledger, Outcome, TransactionKey};
use super::schema::{Op, RowChange, Table};
use crate::harness::MysqlServer;

/// More complaints than this say nothing new.
const COMPLAINTS_MAX: usize = 20;

pub struct Checker {
    ledger: Arc<Ledger>,
    database: String,
    /// In the order of the first delivery.
    seen: Vec<Seen>,
    by_id: HashMap<String, usize>,
    by_key: HashMap<TransactionKey, usize>,
    newest_of_writer: HashMap<u32, u64>,
    connection: Connection,
    /// Up to and with this index everything is known to be durably acknowledged.
    durable: Option<usize>,
    rows: BTreeMap<(Table, u64), Map<String, Value>>,
    report: Report,
}

struct Seen {
    key: TransactionKey,
    /// Row ids and values.
    content: u64,
    gtid_number: Option<u64>,
}

#[derive(Default)]
struct Connection {
    last: Option<usize>,
    by_sequence: BTreeMap<u64, usize>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Committed transactions that were delivered, each counted once.
    pub transactions: u64,
    /// Their rows.
    pub rows: u64,
    /// Committed rows that were not delivered.
    pub lost: u64,
    /// Rows that came again where they must not.
    pub duplicated: u64,
    /// Transactions that came again after a new connection, as they may.
    pub redelivered: u64,
    pub connections: u64,
    pub ddl: u64,
    pub complaints: Vec<String>,
}

impl Report {
    /// # Errors
    /// With every complaint.
    pub fn ensure_clean(&self) -> anyhow::Result<()> {
        ensure!(
            self.complaints.is_empty() && self.lost == 0 && self.duplicated == 0,
            "lost {} rows, duplicated {}, of {} transactions:\n{}",
            self.lost,
            self.duplicated,
            self.transactions,
            self.complaints.join("\n")
        );
        Ok(())
    }
}

impl Checker {
    pub fn new(ledger: Arc<Ledger>, database: &str) -> Self {
        Self {
            ledger,
            database: database.to_owned(),
            seen: Vec::new(),
            by_id: HashMap::new(),
            by_key: HashMap::new(),
            newest_of_writer: HashMap::new(),
            connection: Connection::default(),
            durable: None,
            rows: BTreeMap::new(),
            report: Report::default(),
        }
    }

    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Whether all that is committed by now has been delivered.
    pub fn is_complete(&self) -> bool {
        self.report.transactions >= self.ledger.committed()
    }

    fn complain(&mut self, complaint: impl FnOnce() -> String) {
        if self.report.complaints.len() < COMPLAINTS_MAX {
            self.report.complaints.push(complaint());
        }
    }

    /// A new connection, or a rollback: delivery begins again behind the last durable ack.
    pub fn connected(&mut self) {
        self.connection = Connection::default();
        self.report.connections += 1;
    }

    /// The server told that everything up to this sequence of this connection is durably acknowledged.
    pub fn durable(&mut self, sequence: u64) {
        // it may stand behind a transaction without rows for us: the newest one up to it counts
        let upto = self.connection.by_sequence.range(..=sequence).next_back().map(|(_, index)| *index);
        self.durable = self.durable.max(upto);
    }

    pub fn deliver(&mut self, delivery: &Delivery) {
        if delivery.changes.is_empty() {
            self.report.ddl += 1;
            return;
        }
        let index = match self.by_id.get(&delivery.id) {
            Some(index) => self.again(*index, delivery),
            None => match self.first(delivery) {
                Some(index) => index,
                None => return,
            },
        };
        self.connection.last = Some(index);
        self.connection.by_sequence.insert(delivery.sequence, index);
    }

    fn first(&mut self, delivery: &Delivery) -> Option<usize> {
        let Some(key) = self.identify(delivery) else {
            self.complain(|| {
                format!("{}: not a transaction of the ledger: {:?}", delivery.id, delivery.changes.first())
            });
            return None;
        };
        let Some(entry) = self.ledger.entry(key) else {
            self.complain(|| format!("{}: {} never sent its end, and was delivered", delivery.id, key.show()));
            return None;
        };
        if entry.outcome == Outcome::NotCommitted {
            self.complain(|| format!("{}: {} did not commit, and was delivered", delivery.id, key.show()));
        }
        if let Some(other) = self.by_key.get(&key) {
            let other = *other;
            self.report.duplicated += delivery.changes.len() as u64;
            self.complain(|| format!("{}: {} was delivered before, as number {other}", delivery.id, key.show()));
            return None;
        }
        self.check_rows(key, &entry.changes, delivery);
        let index = self.seen.len();
        if let Some(last) = self.connection.last
            && last + 1 != index
        {
            self.complain(|| format!("{}: skips from number {last} to {index}", delivery.id));
        }
        let gtid_number = gtid_number(&delivery.id);
        if let (Some(number), Some(before)) = (gtid_number, self.seen.last().and_then(|seen| seen.gtid_number))
            && number <= before
        {
            self.complain(|| format!("{}: comes behind {before}", delivery.id));
        }
        let newest = self.newest_of_writer.insert(key.writer, key.number).unwrap_or(0);
        if newest >= key.number {
            self.complain(|| format!("{}: {} comes behind {newest}", delivery.id, key.show()));
        }
        self.seen.push(Seen { key, content: delivery.content_hash(), gtid_number });
        self.by_id.insert(delivery.id.clone(), index);
        self.by_key.insert(key, index);
        self.report.transactions += 1;
        self.report.rows += delivery.changes.len() as u64;
        for change in &delivery.changes {
            self.fold(change);
        }
        Some(index)
    }

    /// A transaction that was delivered before.
    fn again(&mut self, index: usize, delivery: &Delivery) -> usize {
        self.report.redelivered += 1;
        match (self.connection.last, self.durable) {
            (Some(last), _) if last + 1 == index => {}
            (Some(last), _) => {
                self.report.duplicated += delivery.changes.len() as u64;
                self.complain(|| format!("{}: number {index} comes again behind number {last}", delivery.id));
            }
            (None, Some(durable)) if index <= durable => {
                self.report.duplicated += delivery.changes.len() as u64;
                let ago = durable - index;
                self.complain(|| {
                    format!("{}: number {index} comes again, {ago} before the last durable ack", delivery.id)
                });
            }
            (None, _) => {}
        }
        let seen = &self.seen[index];
        if seen.content != delivery.content_hash() {
            let key = seen.key;
            self.complain(|| format!("{}: {} has other row ids or values than before", delivery.id, key.show()));
        }
        index
    }

    /// Which transaction of the ledger it is; `None` where nothing in it tells.
    pub fn identify(&self, delivery: &Delivery) -> Option<TransactionKey> {
        // any row that the transaction itself wrote names it
        for change in &delivery.changes {
            if let Some(after) = &change.after {
                let number = |key: &str| after.get(key).and_then(Value::as_u64);
                let writer = number("writer").and_then(|writer| u32::try_from(writer).ok())?;
                return Some(TransactionKey { writer, number: number("txn")? });
            }
        }
        let first = delivery.changes.first()?;
        self.ledger.deleter(Table::named(&first.table)?, first.id()?)
    }

    fn check_rows(&mut self, key: TransactionKey, expected: &[RowChange], delivery: &Delivery) {
        let mut ordinals: HashMap<Table, u64> = HashMap::new();
        let delivered: Vec<Option<RowChange>> = delivery.changes.iter().map(Change::row_change).collect();
        let differs = (0..expected.len().max(delivered.len()))
            .find(|at| delivered.get(*at).copied().flatten().as_ref() != expected.get(*at));
        if let Some(at) = differs {
            self.complain(|| {
                format!(
                    "{}: {} has {} rows, expected {}; the first difference is row {at}: {:?}, expected {:?}",
                    delivery.id,
                    key.show(),
                    delivered.len(),
                    expected.len(),
                    delivery.changes.get(at),
                    expected.get(at)
                )
            });
            return;
        }
        for (change, row_change) in delivery.changes.iter().zip(expected) {
            let ordinal = ordinals.entry(row_change.table).or_default();
            if change.row != *ordinal {
                self.complain(|| {
                    format!("{}: row {} of {} has the ordinal {}", delivery.id, ordinal, row_change.table, change.row)
                });
                return;
            }
            *ordinal += 1;
        }
    }

    fn fold(&mut self, change: &Change) {
        let Some(RowChange { table, op, id }) = change.row_change() else { return };
        let existing = self.rows.remove(&(table, id));
        let fits = match op {
            Op::Insert => existing.is_none(),
            Op::Update | Op::Delete => existing.as_ref() == change.before.as_ref().map(without_nulls).as_ref(),
        };
        if !fits {
            self.complain(|| {
                format!("{op:?} of {table} {id} finds {existing:?}, its before image is {:?}", change.before)
            });
        }
        if let Some(after) = &change.after {
            self.rows.insert((table, id), without_nulls(after));
        }
    }

    /// Everything has been delivered that ever will be.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn finish(mut self, server: &MysqlServer) -> anyhow::Result<Report> {
        self.count_lost();
        for index in 0..self.seen.len() {
            let key = self.seen[index].key;
            if self.ledger.entry(key).is_none_or(|entry| entry.outcome != Outcome::Committed) {
                self.complain(|| format!("{} was delivered, and is not committed", key.show()));
            }
        }
        for table in Table::ALL {
            self.compare(server, table)?;
        }
        Ok(self.report)
    }

    fn count_lost(&mut self) {
        for (key, rows) in self.ledger.committed_keys() {
            if !self.by_key.contains_key(&key) {
                self.report.lost += rows;
                self.complain(|| format!("{} was committed with {rows} rows, and never delivered", key.show()));
            }
        }
    }

    fn compare(&mut self, server: &MysqlServer, table: Table) -> anyhow::Result<()> {
        let columns = server.query(&format!("SELECT * FROM {}.{table} LIMIT 0", self.database))?.columns;
        // without rows there are no names
        let columns = if columns.is_empty() { column_names(server, &self.database, table)? } else { columns };
        let forms: Vec<String> = columns.iter().map(|column| Table::select_form(column)).collect();
        let set = server.query(&format!("SELECT {} FROM {}.{table} ORDER BY id", forms.join(", "), self.database))?;
        let mut folded: BTreeMap<u64, Map<String, Value>> = BTreeMap::new();
        for ((of, id), row) in &self.rows {
            if *of == table {
                folded.insert(*id, row.clone());
            }
        }
        for row in 0..set.rows.len() {
            let id: u64 = set.text(row, 0).unwrap_or_default().parse()?;
            let Some(values) = folded.remove(&id) else {
                self.complain(|| format!("{table} {id} is stored, and not among the delivered rows"));
                continue;
            };
            for (column, name) in columns.iter().enumerate() {
                let (stored, delivered) = (set.text(row, column), values.get(name).and_then(printed));
                if !same(stored.as_deref(), delivered.as_deref()) {
                    self.complain(|| format!("{table} {id}.{name} is {stored:?}, delivered {delivered:?}"));
                }
            }
        }
        for id in folded.keys() {
            self.complain(|| format!("{table} {id} was delivered, and is not stored"));
        }
        Ok(())
    }
}

fn column_names(server: &MysqlServer, database: &str, table: Table) -> anyhow::Result<Vec<String>> {
    let set = server.query(&format!(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = '{database}' AND \
         table_name = '{table}' ORDER BY ordinal_position"
    ))?;
    Ok((0..set.rows.len()).filter_map(|row| set.text(row, 0)).collect())
}

/// A column that was added later is NULL in older rows, and absent from their images.
fn without_nulls(row: &Map<String, Value>) -> Map<String, Value> {
    row.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn printed(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Numbers compare as numbers: 0.5 is printed as 0.5 and 5e-1. Whole numbers are text, with all digits.
fn same(stored: Option<&str>, delivered: Option<&str>) -> bool {
    stored == delivered
        || match (stored.map(str::parse::<f64>), delivered.map(str::parse::<f64>)) {
            // FLOAT arrives as the shortest number of its width, and is printed at the width of DOUBLE
            (Some(Ok(stored)), Some(Ok(delivered))) => stored as f32 == delivered as f32 && stored.fract() != 0.0,
            _ => false,
        }
}

/// The running number of `uuid:7` and `0-1-7`; none for a file position.
fn gtid_number(id: &str) -> Option<u64> {
    let separator = if id.matches(['-']).count() == 2 && !id.contains(':') { '-' } else { ':' };
    let (before, number) = id.rsplit_once(separator)?;
    if before.contains('.') {
        return None;
    }
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ONE: TransactionKey = TransactionKey { writer: 1, number: 1 };
    const TWO: TransactionKey = TransactionKey { writer: 1, number: 2 };
    const THREE: TransactionKey = TransactionKey { writer: 2, number: 1 };

    /// One insert of the transaction's own into `items`.
    fn insert(key: TransactionKey) -> RowChange {
        RowChange { table: Table::Items, op: Op::Insert, id: u64::from(key.writer) * 100 + key.number }
    }

    fn delivery(key: TransactionKey, number: u64) -> Delivery {
        let RowChange { table, op, id } = insert(key);
        let after = json!({"id": id, "writer": key.writer, "txn": key.number});
        let change = Change {
            table: table.name().into(),
            op: op.name().into(),
            row: 0,
            before: None,
            after: after.as_object().cloned(),
        };
        Delivery { epoch: 1, sequence: number, id: format!("a-b:{number}"), changes: vec![change] }
    }

    fn checker() -> Checker {
        let ledger = Arc::new(Ledger::default());
        for (key, outcome) in [(ONE, Outcome::Committed), (TWO, Outcome::Committed), (THREE, Outcome::NotCommitted)] {
            ledger.enter(key, vec![insert(key)]);
            ledger.settle(key, outcome);
        }
        let mut checker = Checker::new(ledger, "d");
        checker.connected();
        checker
    }

    fn check(what: &str, steps: impl FnOnce(&mut Checker), expected: Option<&str>) {
        let mut checker = checker();
        steps(&mut checker);
        checker.count_lost();
        let complaints = checker.report.complaints.join("; ");
        match expected {
            None => assert_eq!(complaints, "", "{what}"),
            Some(words) => assert!(complaints.contains(words), "{what}: {complaints}"),
        }
    }

    #[test]
    fn every_broken_promise_is_noticed_and_no_kept_one() {
        let (one, two) = (delivery(ONE, 1), delivery(TWO, 2));
        check("complete", |c| [&one, &two].into_iter().for_each(|d| c.deliver(d)), None);
        check("lost at the end", |c| c.deliver(&one), Some("never delivered"));
        check("lost at the start", |c| c.deliver(&two), Some("never delivered"));
        check(
            "repeated after a new connection",
            |c| {
                [&one, &two].into_iter().for_each(|d| c.deliver(d));
                c.connected();
                [&one, &two].into_iter().for_each(|d| c.deliver(d));
            },
            None,
        );
        check(
            "repeated on one connection",
            |c| [&one, &two, &one].into_iter().for_each(|d| c.deliver(d)),
            Some("comes again behind number 1"),
        );
        check(
            "repeated before the durable ack",
            |c| {
                [&one, &two].into_iter().for_each(|d| c.deliver(d));
                c.durable(1);
                c.connected();
                [&one, &two].into_iter().for_each(|d| c.deliver(d));
            },
            Some("before the last durable ack"),
        );
        check(
            "repeated behind the durable ack",
            |c| {
                [&one, &two].into_iter().for_each(|d| c.deliver(d));
                c.durable(1);
                c.connected();
                c.deliver(&two);
            },
            None,
        );
        check("swapped", |c| [&two, &one].into_iter().for_each(|d| c.deliver(d)), Some("comes behind"));
        check("uncommitted", |c| c.deliver(&delivery(THREE, 1)), Some("did not commit"));
        let mut other = two.clone();
        other.changes[0].row = 1;
        check("wrong ordinal", |c| [&one, &other].into_iter().for_each(|d| c.deliver(d)), Some("has the ordinal 1"));
        let mut other = two.clone();
        other.changes.push(other.changes[0].clone());
        check("a row twice", |c| [&one, &other].into_iter().for_each(|d| c.deliver(d)), Some("has 2 rows, expected 1"));
        let mut other = two.clone();
        other.changes[0].after.as_mut().unwrap().insert("x".into(), json!(1));
        check(
            "other values the second time",
            |c| {
                [&one, &two].into_iter().for_each(|d| c.deliver(d));
                c.connected();
                c.deliver(&other);
            },
            Some("other row ids or values"),
        );
    }

    #[test]
    fn numbers_of_gtids_are_told_from_file_positions() {
        for (id, expected) in
            [("8f2c-1d:77", Some(77)), ("8f2c-1d:tag:5", Some(5)), ("0-12-9", Some(9)), ("binlog.000001:88", None)]
        {
            assert_eq!(gtid_number(id), expected, "{id}");
        }
    }
}
