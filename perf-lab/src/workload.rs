//! What is recorded: tables, and statements that many connections run against a real MySQL.

use std::fmt::Write;

use millstream_bench::Numbers;

pub const DATABASE: &str = "lab";

/// How much is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Quick,
    Full,
}

/// One kind of load.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    pub name: &'static str,
    pub about: &'static str,
    /// Rows that are recorded, quick and full.
    pub rows: [u64; 2],
    /// Rows of one statement, which is one transaction; 0: all of them.
    pub rows_each: u64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// INSERT into one of so many tables like sysbench's.
    Oltp {
        tables: u64,
    },
    /// UPDATE of a few rows of one table.
    Hot,
    /// INSERT into one of so many tables with columns of common types.
    Orders {
        tables: u64,
    },
    Wide,
    Blobs,
    Json,
    Huge,
}

const SBTEST: &str = "(id BIGINT PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL, KEY k (k))";
const HOT_ROWS: u64 = 16;
const WIDE_COLUMNS: usize = 200;

/// Of `bulk-tables`.
pub const BULK_TABLES: u64 = 64;

pub const WORKLOADS: [Workload; 9] = [
    Workload {
        name: "oltp",
        about: "transactions of one row, a table like sysbench's, 195 bytes a row",
        rows: [60_000, 300_000],
        rows_each: 1,
        kind: Kind::Oltp { tables: 1 },
    },
    Workload {
        name: "bulk",
        about: "INSERT of 1,000 rows each: BIGINT, INT, 2 VARCHAR, DATETIME(6), DECIMAL(20,4), JSON, TIMESTAMP",
        rows: [400_000, 1_000_000],
        rows_each: 1000,
        kind: Kind::Orders { tables: 1 },
    },
    Workload {
        name: "bulk-tables",
        about: "the same rows, 100 each, in 64 tables",
        rows: [204_800, 819_200],
        rows_each: 100,
        kind: Kind::Orders { tables: BULK_TABLES },
    },
    Workload {
        name: "wide",
        about: "200 columns of INT, VARCHAR and DECIMAL, 50 rows a transaction",
        rows: [20_000, 50_000],
        rows_each: 50,
        kind: Kind::Wide,
    },
    Workload {
        name: "many-tables",
        about: "transactions of one row in 500 tables",
        rows: [30_000, 200_000],
        rows_each: 1,
        kind: Kind::Oltp { tables: 500 },
    },
    Workload {
        name: "hot-table",
        about: "UPDATE of one of 16 rows, before and after image",
        rows: [30_000, 200_000],
        rows_each: 1,
        kind: Kind::Hot,
    },
    Workload {
        name: "blobs",
        about: "BLOBs of 64 KiB, 4 a transaction",
        rows: [2_000, 8_000],
        rows_each: 4,
        kind: Kind::Blobs,
    },
    Workload {
        name: "json",
        about: "JSON documents of 2 KiB, 100 rows a transaction",
        rows: [20_000, 100_000],
        rows_each: 100,
        kind: Kind::Json,
    },
    Workload {
        name: "huge",
        about: "one transaction of rows of 1,000 bytes",
        rows: [130_000, 1_050_000],
        rows_each: 0,
        kind: Kind::Huge,
    },
];

/// By name.
///
/// # Panics
/// There is none of that name: a mistake of the experiment.
pub fn workload(name: &str) -> &'static Workload {
    WORKLOADS.iter().find(|workload| workload.name == name).expect("a workload of that name")
}

impl Workload {
    pub fn rows(&self, size: Size) -> u64 {
        self.rows[usize::from(size == Size::Full)]
    }

    pub fn transactions(&self, size: Size) -> u64 {
        self.rows(size).checked_div(self.rows_each).unwrap_or(1)
    }

    /// Statements that make its tables, and the rows that are there before the recording begins.
    pub fn tables(&self) -> Vec<String> {
        match self.kind {
            Kind::Oltp { tables } => {
                (0..tables).map(|table| format!("CREATE TABLE {} {SBTEST}", self.table(table))).collect()
            }
            Kind::Hot => {
                let mut rows = format!("INSERT INTO {} VALUES ", self.table(0));
                for id in 0..HOT_ROWS {
                    let _ = write!(rows, "{}({id}, 0, 'c', 'p')", if id > 0 { "," } else { "" });
                }
                vec![format!("CREATE TABLE {} {SBTEST}", self.table(0)), rows]
            }
            Kind::Orders { tables } => (0..tables)
                .map(|table| {
                    format!(
                        "CREATE TABLE {} (id BIGINT PRIMARY KEY, customer INT UNSIGNED, name VARCHAR(64), note VARCHAR(255), \
                         placed DATETIME(6), total DECIMAL(20,4), detail JSON, changed TIMESTAMP NULL)",
                        self.table(table)
                    )
                })
                .collect(),
            Kind::Wide => {
                let mut columns = String::new();
                for index in 0..WIDE_COLUMNS {
                    let kind = ["INT", "VARCHAR(40)", "DECIMAL(12,2)", "BIGINT UNSIGNED"][index % 4];
                    let _ = write!(columns, ", c{index} {kind}");
                }
                vec![format!("CREATE TABLE {} (id BIGINT PRIMARY KEY{columns})", self.table(0))]
            }
            Kind::Blobs => vec![format!("CREATE TABLE {} (id BIGINT PRIMARY KEY, b LONGBLOB)", self.table(0))],
            Kind::Json => vec![format!("CREATE TABLE {} (id BIGINT PRIMARY KEY, j JSON)", self.table(0))],
            Kind::Huge => vec![format!("CREATE TABLE {} (id BIGINT PRIMARY KEY, c VARCHAR(1000))", self.table(0))],
        }
    }

    /// Those that are empty before it.
    pub fn filled_tables(&self) -> Vec<String> {
        let count = match self.kind {
            Kind::Hot => 0,
            Kind::Oltp { tables } | Kind::Orders { tables } => tables,
            Kind::Wide | Kind::Blobs | Kind::Json | Kind::Huge => 1,
        };
        (0..count).map(|table| self.table(table)).collect()
    }

    fn table(&self, index: u64) -> String {
        format!("{DATABASE}.{}_{index}", self.name.replace('-', "_"))
    }

    /// One transaction, as one statement under autocommit. The same for the same number.
    pub fn statement(&self, transaction: u64, size: Size) -> String {
        let mut numbers = Numbers::new(transaction);
        let first = transaction * self.rows_each;
        let mut text = String::new();
        let list = |text: &mut String, row: &mut dyn FnMut(&mut String, u64)| {
            for id in first..first + self.rows_each {
                text.push_str(if id > first { ",(" } else { "(" });
                row(text, id);
                text.push(')');
            }
        };
        match self.kind {
            Kind::Oltp { tables } => {
                let _ = write!(text, "INSERT INTO {} VALUES ", self.table(transaction % tables));
                list(&mut text, &mut |text, id| {
                    let _ = write!(
                        text,
                        "{id}, {}, '{}', '{}'",
                        numbers.between(1, 1 << 20),
                        digits(&mut numbers, 119),
                        digits(&mut numbers, 59)
                    );
                });
            }
            Kind::Hot => {
                let c = digits(&mut numbers, 119);
                let _ = write!(
                    text,
                    "UPDATE {} SET k = {}, c = '{c}' WHERE id = {}",
                    self.table(0),
                    transaction + 1,
                    transaction % HOT_ROWS
                );
            }
            Kind::Orders { tables } => {
                let _ = write!(text, "INSERT INTO {} VALUES ", self.table(transaction % tables));
                list(&mut text, &mut |text, id| order(text, id, &mut numbers));
            }
            Kind::Wide => {
                let _ = write!(text, "INSERT INTO {} VALUES ", self.table(0));
                list(&mut text, &mut |text, id| {
                    let _ = write!(text, "{id}");
                    for index in 0..WIDE_COLUMNS {
                        let number = numbers.between(0, 1 << 30);
                        let _ = match index % 4 {
                            1 => write!(text, ",'value {number}'"),
                            2 => write!(text, ",{}.{:02}", number, number % 100),
                            _ => write!(text, ",{number}"),
                        };
                    }
                });
            }
            Kind::Huge => {
                let rows = self.rows(size);
                let _ = write!(
                    text,
                    "INSERT /*+ SET_VAR(cte_max_recursion_depth = {rows}) */ INTO {} WITH RECURSIVE s (n) AS (SELECT 1 UNION \
                     ALL SELECT n + 1 FROM s WHERE n < {rows}) SELECT n, REPEAT(CHAR(65 + n % 26), 1000) FROM s",
                    self.table(0)
                );
            }
            Kind::Blobs => {
                let _ = write!(text, "INSERT INTO {} VALUES ", self.table(0));
                list(&mut text, &mut |text, id| {
                    let _ = write!(text, "{id}, REPEAT('{:016x}', 4096)", numbers.draw());
                });
            }
            Kind::Json => {
                let _ = write!(text, "INSERT INTO {} VALUES ", self.table(0));
                list(&mut text, &mut |text, id| {
                    let _ = write!(text, "{id}, '{{\"id\": {id}, \"items\": [");
                    for item in 0..24 {
                        let comma = if item > 0 { ", " } else { "" };
                        let price = numbers.between(100, 100_000) as f64 / 100.0;
                        let _ = write!(
                            text,
                            "{comma}{{\"sku\": \"{}\", \"qty\": {}, \"price\": {price}, \"gift\": {}}}",
                            digits(&mut numbers, 12),
                            numbers.between(1, 20),
                            numbers.between(0, 2) == 1
                        );
                    }
                    text.push_str("]}'");
                });
            }
        }
        text
    }
}

/// Groups of digits, as sysbench fills its columns.
fn digits(numbers: &mut Numbers, length: usize) -> String {
    let mut text = String::with_capacity(length + 20);
    while text.len() < length {
        let _ = write!(text, "{:011}-", numbers.draw() % 100_000_000_000);
    }
    text.truncate(length);
    text
}

fn order(text: &mut String, id: u64, numbers: &mut Numbers) {
    const WORDS: [&str; 8] = ["amber", "basalt", "cobalt", "drift", "ember", "fjord", "granite", "harbour"];
    let mut word = || WORDS[numbers.between(0, 8) as usize];
    let (name, note) = (format!("{} {}", word(), word()), (0..6).map(|_| word()).collect::<Vec<_>>().join(" "));
    let sku = word();
    let _ = write!(
        text,
        "{id},{},'{name}','{note}','2026-{:02}-{:02} {:02}:59:{:02}.{:06}',{}.{:04},'{{\"qty\": {}, \"sku\": \"{sku}-{:05}\", \"paid\": {}, \"weight\": {}}}','2026-01-02 03:04:{:02}'",
        numbers.between(1, 4_000_000),
        1 + id % 12,
        numbers.between(1, 29),
        numbers.between(0, 24),
        numbers.between(0, 60),
        numbers.between(0, 1_000_000),
        numbers.between(0, 10_000_000_000),
        numbers.between(0, 10_000),
        numbers.between(1, 40),
        numbers.between(0, 100_000),
        numbers.between(0, 2) == 1,
        numbers.between(1, 100_000) as f64 / 100.0,
        numbers.between(0, 60),
    );
}
