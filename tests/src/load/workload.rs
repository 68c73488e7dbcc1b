//! What one writer does next: transactions of all shapes, from its seed and nothing else.
//!
//! A writer touches only rows that it made itself, so that writers never wait for each other and the order of a
//! row's changes is its writer's order.

use std::collections::HashSet;

use super::ledger::TransactionKey;
use super::random::Random;
use super::schema::{Op, RowChange, Table};

/// How a transaction ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// This statement commits: COMMIT, or the only one of its transaction.
    Commit(String),
    Rollback,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub key: TransactionKey,
    /// Sent together before the end.
    pub statements: Vec<String>,
    pub end: End,
    /// What it changes when it commits, in the order of the log.
    pub changes: Vec<RowChange>,
}

/// Rows of one multi-row insert of a large transaction.
const LARGE_STATEMENT_ROWS: u64 = 250;

pub struct Workload {
    database: String,
    writer: u32,
    number: u64,
    next_id: u64,
    random: Random,
    /// Ids of rows that exist, oldest first, by table.
    live: [Vec<u64>; Table::ALL.len()],
    /// One transaction in so many is a large one; 0: none.
    large_every: u64,
    large_rows: u64,
    /// Columns that ALTER TABLE has added to `notes` so far.
    pub added_columns: u32,
}

/// The statements and changes of a transaction in the making.
struct Draft {
    statements: Vec<String>,
    changes: Vec<RowChange>,
}

impl Workload {
    pub fn new(database: &str, seed: u64, writer: u32, large_every: u64, large_rows: u64) -> Self {
        Self {
            database: database.to_owned(),
            writer,
            number: 0,
            next_id: u64::from(writer) << 40,
            random: Random::new(seed ^ (u64::from(writer) << 32)),
            live: Default::default(),
            large_every,
            large_rows,
            added_columns: 0,
        }
    }

    pub fn next(&mut self) -> Plan {
        self.number += 1;
        let key = TransactionKey { writer: self.writer, number: self.number };
        let mut draft = Draft { statements: Vec::new(), changes: Vec::new() };
        // each writer at another time
        let due = self.large_every / 2 + u64::from(self.writer) * 37;
        if self.large_every > 0 && self.number % self.large_every == due % self.large_every {
            self.large(&mut draft);
            return self.finish(key, draft);
        }
        match self.random.below(100) {
            0..30 => self.insert(&mut draft, Table::Orders, 1),
            30..45 => self.update_one(&mut draft),
            45..53 => self.delete_one(&mut draft),
            53..78 => self.order(&mut draft),
            78..84 => self.insert(&mut draft, Table::Items, 10),
            84..88 => self.insert(&mut draft, Table::Notes, 1),
            88..92 => return self.rolled_back(key),
            92..96 => self.with_savepoint(&mut draft),
            _ => self.update_range(&mut draft),
        }
        if draft.changes.is_empty() {
            // nothing there yet to update or delete
            self.insert(&mut draft, Table::Accounts, 1);
        }
        self.finish(key, draft)
    }

    /// A single statement commits by itself; more want BEGIN and COMMIT.
    fn finish(&mut self, key: TransactionKey, draft: Draft) -> Plan {
        self.apply(&draft.changes);
        let Draft { mut statements, changes } = draft;
        let end = match statements.len() {
            1 => statements.remove(0),
            _ => "COMMIT".to_owned(),
        };
        Plan { key, statements, end: End::Commit(end), changes }
    }

    fn apply(&mut self, changes: &[RowChange]) {
        for change in changes {
            let live = &mut self.live[change.table as usize];
            match change.op {
                Op::Insert => live.push(change.id),
                Op::Update => {}
                Op::Delete => live.retain(|id| *id != change.id),
            }
        }
    }

    /// The transaction did not commit after all.
    pub fn undo(&mut self, plan: &Plan) {
        for change in plan.changes.iter().rev() {
            let live = &mut self.live[change.table as usize];
            match change.op {
                Op::Insert => live.retain(|id| *id != change.id),
                Op::Update => {}
                Op::Delete => live.push(change.id),
            }
        }
    }

    /// A query whose answer is 1 if the transaction has committed, 0 if not, asked before any other of this writer.
    pub fn committed_query(&self, plan: &Plan) -> Option<String> {
        let inserted: HashSet<(Table, u64)> = plan
            .changes
            .iter()
            .filter(|change| change.op == Op::Insert)
            .map(|change| (change.table, change.id))
            .collect();
        // What can still be seen is the last change of a row, and a row that comes and goes is absent either way.
        let mut later = HashSet::new();
        let seen = plan.changes.iter().rev().find(|change| {
            let row = (change.table, change.id);
            later.insert(row) && !(change.op == Op::Delete && inserted.contains(&row))
        })?;
        let table = format!("{}.{}", self.database, seen.table);
        Some(match seen.op {
            Op::Delete => format!("SELECT COUNT(*) = 0 FROM {table} WHERE id = {}", seen.id),
            Op::Insert | Op::Update => {
                format!("SELECT COUNT(*) FROM {table} WHERE id = {} AND txn = {}", seen.id, plan.key.number)
            }
        })
    }

    // ---- shapes ------------------------------------------------------------------------------------

    /// An order, its items, and the account that pays.
    fn order(&mut self, draft: &mut Draft) {
        self.insert(draft, Table::Orders, 1);
        let items = 1 + self.random.below(4);
        self.insert(draft, Table::Items, items);
        match self.random_live(Table::Accounts) {
            Some(id) => self.update(draft, Table::Accounts, id),
            None => self.insert(draft, Table::Accounts, 1),
        }
    }

    fn update_one(&mut self, draft: &mut Draft) {
        let table = self.random_table();
        if let Some(id) = self.random_live(table) {
            self.update(draft, table, id);
        }
    }

    fn delete_one(&mut self, draft: &mut Draft) {
        let table = self.random_table();
        if let Some(id) = self.random_live(table) {
            draft.statements.push(format!("DELETE FROM {}.{table} WHERE id = {id}", self.database));
            draft.changes.push(RowChange { table, op: Op::Delete, id });
        }
    }

    fn update_range(&mut self, draft: &mut Draft) {
        let live = &self.live[Table::Items as usize];
        if live.is_empty() {
            return;
        }
        let first = self.random.below(live.len() as u64) as usize;
        let low = live[first];
        let high = low + 20;
        let mut ids: Vec<u64> = live.iter().copied().filter(|id| (low..=high).contains(id)).collect();
        // the server changes them in the order of the primary key
        ids.sort_unstable();
        draft.statements.push(format!(
            "UPDATE {}.items SET txn = {}, quantity = quantity + 1 WHERE id BETWEEN {low} AND {high}",
            self.database, self.number
        ));
        draft.changes.extend(ids.into_iter().map(|id| RowChange { table: Table::Items, op: Op::Update, id }));
    }

    fn with_savepoint(&mut self, draft: &mut Draft) {
        self.insert(draft, Table::Orders, 1);
        draft.statements.push("SAVEPOINT a".to_owned());
        let kept = draft.changes.len();
        self.insert(draft, Table::Items, 3);
        if let Some(id) = self.random_live(Table::Accounts) {
            self.update(draft, Table::Accounts, id);
        }
        draft.statements.push("ROLLBACK TO a".to_owned());
        draft.changes.truncate(kept);
        self.insert(draft, Table::Notes, 2);
    }

    fn rolled_back(&mut self, key: TransactionKey) -> Plan {
        let mut draft = Draft { statements: Vec::new(), changes: Vec::new() };
        self.order(&mut draft);
        Plan { key, statements: draft.statements, end: End::Rollback, changes: Vec::new() }
    }

    /// Inserts many, changes them all, and deletes half of them.
    fn large(&mut self, draft: &mut Draft) {
        let first = self.next_id + 1;
        let mut rows = self.large_rows;
        while rows > 0 {
            let count = rows.min(LARGE_STATEMENT_ROWS);
            self.insert(draft, Table::Items, count);
            rows -= count;
        }
        let (last, half) = (self.next_id, first + self.large_rows / 2);
        let database = &self.database;
        draft
            .statements
            .push(format!("UPDATE {database}.items SET quantity = 1000 WHERE id BETWEEN {first} AND {last}"));
        draft.statements.push(format!("DELETE FROM {database}.items WHERE id BETWEEN {half} AND {last}"));
        let change = |op| move |id| RowChange { table: Table::Items, op, id };
        draft.changes.extend((first..=last).map(change(Op::Update)));
        draft.changes.extend((half..=last).map(change(Op::Delete)));
    }

    // ---- statements --------------------------------------------------------------------------------

    fn random_table(&mut self) -> Table {
        Table::ALL[self.random.below(Table::ALL.len() as u64) as usize]
    }

    fn random_live(&mut self, table: Table) -> Option<u64> {
        self.random.pick(&self.live[table as usize]).copied()
    }

    fn insert(&mut self, draft: &mut Draft, table: Table, rows: u64) {
        let mut values = Vec::new();
        let names = self.value_names(table);
        for _ in 0..rows {
            self.next_id += 1;
            let id = self.next_id;
            let rest = self.values(table);
            values.push(format!("({id}, {}, {}, {rest})", self.writer, self.number));
            draft.changes.push(RowChange { table, op: Op::Insert, id });
        }
        draft.statements.push(format!(
            "INSERT INTO {}.{table} (id, writer, txn, {names}) VALUES {}",
            self.database,
            values.join(", ")
        ));
    }

    fn update(&mut self, draft: &mut Draft, table: Table, id: u64) {
        let set = match table {
            Table::Orders => {
                let status = ["paid", "shipped", "cancelled"][self.random.below(3) as usize];
                format!("status = '{status}', updated_at = NOW(6)")
            }
            Table::Items => "quantity = quantity + 1, discount = 0.1".to_owned(),
            Table::Accounts => format!("balance = balance - {}, flags = 'vip,audited'", self.random.below(1_000_000)),
            Table::Notes => "tags = CONCAT('changed ', id), took = NULL".to_owned(),
        };
        draft
            .statements
            .push(format!("UPDATE {}.{table} SET txn = {}, {set} WHERE id = {id}", self.database, self.number));
        draft.changes.push(RowChange { table, op: Op::Update, id });
    }

    fn value_names(&self, table: Table) -> String {
        match table {
            Table::Orders => "customer, total, status, details, created_at, updated_at".to_owned(),
            Table::Items => "order_id, sku, quantity, price, discount".to_owned(),
            Table::Accounts => "balance, rating, flags, opened, bits".to_owned(),
            Table::Notes => {
                let added = (1..=self.added_columns).map(|number| format!(", added_{number}"));
                format!("body, tags, size, took, year{}", added.collect::<String>())
            }
        }
    }

    fn values(&mut self, table: Table) -> String {
        let number = self.random.below(1_000_000);
        match table {
            Table::Orders => format!(
                "'Kundin {number} é😀', {}.{:02}, 'new', '{{\"n\": {number}, \"tag\": \"x\"}}', NOW(6), {}",
                number / 7,
                number % 100,
                if number.is_multiple_of(3) { "NULL" } else { "NOW(6)" },
            ),
            Table::Items => format!("{number}, 'sku-{number:06}', {}, {}.50, NULL", number % 9 + 1, number % 5_000),
            Table::Accounts => {
                format!("{}, {}, 'vip', '2024-02-29', {}", number as i64 - 500_000, number as f64 / 64.0, number % 4096)
            }
            Table::Notes => {
                let added = (1..=self.added_columns).map(|number| format!(", {number}"));
                format!(
                    "'{}', {}, {}, '-12:34:56.789', {}{}",
                    "lorem ipsum ".repeat(1 + number as usize % 60),
                    if number.is_multiple_of(2) { "NULL".to_owned() } else { format!("'a,b,{number}'") },
                    number as i64 % 60_000 - 30_000,
                    1990 + number % 100,
                    added.collect::<String>()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_a_transaction_committed_is_asked_of_a_row_that_tells() {
        let change = |op, id| RowChange { table: Table::Items, op, id };
        for (what, changes, expected) in [
            ("an insert", vec![change(Op::Insert, 1)], Some("SELECT COUNT(*) FROM d.items WHERE id = 1 AND txn = 7")),
            ("a delete", vec![change(Op::Delete, 1)], Some("SELECT COUNT(*) = 0 FROM d.items WHERE id = 1")),
            (
                "its own rows deleted",
                vec![change(Op::Insert, 1), change(Op::Insert, 2), change(Op::Update, 2), change(Op::Delete, 2)],
                Some("SELECT COUNT(*) FROM d.items WHERE id = 1 AND txn = 7"),
            ),
            (
                "updated, then deleted",
                vec![change(Op::Update, 1), change(Op::Delete, 1)],
                Some("SELECT COUNT(*) = 0 FROM d.items WHERE id = 1"),
            ),
            ("nothing that stays", vec![change(Op::Insert, 1), change(Op::Delete, 1)], None),
        ] {
            let key = TransactionKey { writer: 1, number: 7 };
            let plan = Plan { key, statements: Vec::new(), end: End::Commit("COMMIT".into()), changes };
            let query = Workload::new("d", 1, 1, 0, 0).committed_query(&plan);
            assert_eq!(query.as_deref(), expected, "{what}");
        }
    }
}
