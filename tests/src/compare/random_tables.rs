//! Tables of random columns with random values, as SQL. What the rows are is the server's business: out of strict mode
//! it clips, rounds and replaces what it is given, and SELECT tells.

use super::{RowLine, SelectedTables, rows_of};
use crate::harness::{Kind, MysqlServer, Version};
use crate::load::Random;

/// Tables that were made and filled in a database of their own.
pub struct RandomTables {
    database: String,
    /// `database.table.`, and how it was made.
    definitions: Vec<(String, String)>,
}

impl RandomTables {
    /// # Errors
    /// Those of the server, but for values that it does not take.
    pub fn fill(server: &MysqlServer, random: &mut Random, database: &str, count: usize) -> anyhow::Result<Self> {
        const BATCHES: u64 = 9;
        const ROWS: u64 = 4;
        let dialect = Dialect::of(server)?;
        let session = server.session()?;
        session.run(&format!("{RANDOM_SESSION}; CREATE DATABASE {database}"))?;
        let mut definitions = Vec::new();
        while definitions.len() < count {
            let table = RandomTable::new(random, &dialect, &format!("t{}", definitions.len()));
            let definition = table.create(random, &dialect, database);
            // forty wide columns may be more than a row can hold
            if session.query(&definition).is_err() {
                continue;
            }
            definitions.push((format!("{database}.{}.", table.name), definition));
            session.query(random_logging(random, &dialect))?;
            for batch in 0..BATCHES {
                // a server refuses some values even so, as an empty geometry where NULL is not allowed
                let _ = session.query(&table.insert(random, database, batch * ROWS..(batch + 1) * ROWS));
                if batch % 3 == 2 {
                    let _ = session.query(&table.update(random, &dialect, database));
                }
            }
        }
        Ok(Self { database: database.to_owned(), definitions })
    }

    /// What SELECT gives otherwise; the tables concerned are printed.
    ///
    /// # Errors
    /// Those of the server; when a change names a row that is not there, or hardly a row was taken at all.
    pub fn complaints(&self, server: &MysqlServer, rows: &[RowLine]) -> anyhow::Result<Vec<String>> {
        let selected = SelectedTables::read(server, &[&self.database])?;
        let count = selected.row_count();
        anyhow::ensure!(count > 10 * self.definitions.len(), "only {count} rows in {}", self.database);
        let complaints = selected.complaints(&rows_of(rows, &[&self.database]))?;
        for (prefix, definition) in &self.definitions {
            if complaints.iter().any(|complaint| complaint.starts_with(prefix.as_str())) {
                println!("{definition}");
            }
        }
        Ok(complaints)
    }
}

/// A table to be made, and the means to fill it.
pub struct RandomTable {
    pub name: String,
    columns: Vec<Column>,
}

#[derive(Clone)]
struct Column {
    name: String,
    definition: String,
    values: Values,
}

/// Which literals a column is given.
#[derive(Clone, Debug)]
enum Values {
    Integer,
    Digits { whole: u64, fraction: u64 },
    Float,
    Year,
    Date,
    Time { digits: u64 },
    Moment { digits: u64 },
    Text { chars_max: u64 },
    Bytes { bytes_max: u64 },
    Label { labels: Vec<String> },
    Labels { labels: Vec<String> },
    Json { depth: u64 },
    Geometry,
    Vector { function: &'static str, elements: u64 },
    Inet6,
    Inet4,
    Uuid,
}

/// What one server knows.
#[derive(Clone, Debug)]
pub struct Dialect {
    kind: Kind,
    version: Version,
    charsets: Vec<String>,
}

impl Dialect {
    /// # Errors
    /// That of the server.
    pub fn of(server: &MysqlServer) -> anyhow::Result<Self> {
        let set = server.query(
            "SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS \
             WHERE CHARACTER_SET_NAME <> 'binary' ORDER BY 1",
        )?;
        let charsets = (0..set.rows.len()).filter_map(|row| set.text(row, 0)).collect();
        Ok(Self { kind: server.kind(), version: server.version, charsets })
    }

    /// All but `binary`.
    pub fn charsets(&self) -> &[String] {
        &self.charsets
    }

    fn is(&self, kind: Kind, version: Version) -> bool {
        self.kind == kind && self.version >= version
    }
}

/// What a session may change about how its rows are logged, one of which holds for a table.
fn random_logging(random: &mut Random, dialect: &Dialect) -> &'static str {
    let settings: &[&str] = match dialect.kind {
        Kind::Mysql if dialect.version >= Version(8, 0, 20) => &[
            "SET binlog_row_value_options = '', binlog_transaction_compression = OFF",
            "SET binlog_row_value_options = 'PARTIAL_JSON', binlog_transaction_compression = OFF",
            "SET binlog_row_value_options = 'PARTIAL_JSON', binlog_transaction_compression = ON",
        ],
        Kind::Mysql => &["DO 0"],
        Kind::Mariadb => &["SET GLOBAL log_bin_compress = OFF", "SET GLOBAL log_bin_compress = ON"],
    };
    random.pick(settings).unwrap_or(&"DO 0")
}

/// Before the statements of random tables: no strictness, and the dates that there are not.
pub const RANDOM_SESSION: &str =
    "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'";

impl RandomTable {
    pub fn new(random: &mut Random, dialect: &Dialect, name: &str) -> Self {
        let count_max = [12, 12, 12, 40][random.below(4) as usize];
        let count = 1 + random.below(count_max);
        let mut table = Self { name: name.to_owned(), columns: Vec::new() };
        for _ in 0..count {
            let column = table.new_column(random, dialect);
            table.columns.push(column);
        }
        table
    }

    fn new_column(&self, random: &mut Random, dialect: &Dialect) -> Column {
        let (definition, values) = column(random, dialect);
        let taken = |name: &String| self.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        let name = loop {
            let number = random.below(100);
            let name = match random.pick(NAMES).filter(|_| random.below(2) == 0) {
                Some(name) => (*name).to_owned(),
                None => format!("c{number}"),
            };
            if !taken(&name) {
                break name;
            }
        };
        Column { name, definition, values }
    }

    pub fn create(&self, random: &mut Random, dialect: &Dialect, database: &str) -> String {
        let mut text = format!("CREATE TABLE {database}.{} (id INT NOT NULL PRIMARY KEY", self.name);
        for column in &self.columns {
            text += &format!(", `{}` {}", column.name, column.definition);
        }
        text += ")";
        // the default is what most columns of the metadata event refer to
        if random.below(2) == 0
            && let Some(charset) = random.pick(&dialect.charsets)
        {
            text += &format!(" DEFAULT CHARACTER SET {charset}");
        }
        text
    }

    pub fn insert(&self, random: &mut Random, database: &str, ids: std::ops::Range<u64>) -> String {
        let rows: Vec<String> = ids
            .map(|id| {
                let values: Vec<String> = self.columns.iter().map(|column| column.values.literal(random)).collect();
                format!("({id}, {})", values.join(", "))
            })
            .collect();
        let names: Vec<String> = self.columns.iter().map(|column| format!("`{}`", column.name)).collect();
        format!("INSERT IGNORE INTO {database}.{} (id, {}) VALUES {}", self.name, names.join(", "), rows.join(", "))
    }

    /// Of some of the rows and some of the columns.
    pub fn update(&self, random: &mut Random, dialect: &Dialect, database: &str) -> String {
        let mut sets: Vec<String> = Vec::new();
        for column in &self.columns {
            let name = &column.name;
            if matches!(column.values, Values::Json { .. })
                && dialect.is(Kind::Mysql, Version(5, 7, 8))
                && random.below(4) > 0
            {
                sets.push(format!("`{name}` = {}", json_change(random, name)));
            } else if sets.is_empty() || random.below(3) == 0 {
                sets.push(format!("`{name}` = {}", column.values.literal(random)));
            }
        }
        let rest = random.below(3);
        format!("UPDATE IGNORE {database}.{} SET {} WHERE id % 3 = {rest}", self.name, sets.join(", "))
    }

    /// A column comes, goes, moves, or gets another type or name. Where the server refuses it, [`Altered::undo`] is due.
    pub fn alter(&mut self, random: &mut Random, dialect: &Dialect, database: &str) -> Altered<'_> {
        let before: Vec<Column> = self.columns.clone();
        let at = random.below(self.columns.len() as u64) as usize;
        let place = |random: &mut Random, columns: &[Column]| match random.below(3) {
            0 => " FIRST".to_owned(),
            1 => random.pick(columns).map_or(String::new(), |column| format!(" AFTER `{}`", column.name)),
            _ => String::new(),
        };
        let action = match random.below(5) {
            0 if self.columns.len() > 1 => format!("DROP COLUMN `{}`", self.columns.remove(at).name),
            1 => {
                let new = self.new_column(random, dialect);
                let text =
                    format!("CHANGE COLUMN `{}` `{}` {}", self.columns[at].name, new.name, self.columns[at].definition);
                self.columns[at].name = new.name;
                text
            }
            2 => {
                let (definition, values) = column(random, dialect);
                // MySQL makes a VECTOR of any bytes, also of such as are no whole numbers
                let values_fit = !matches!(values, Values::Vector { .. });
                if values_fit {
                    (self.columns[at].definition, self.columns[at].values) = (definition, values);
                }
                let others: Vec<Column> =
                    before.iter().filter(|column| column.name != self.columns[at].name).cloned().collect();
                let place = place(random, &others);
                format!("MODIFY COLUMN `{}` {}{place}", self.columns[at].name, self.columns[at].definition)
            }
            _ => {
                let new = self.new_column(random, dialect);
                let place = place(random, &self.columns);
                let text = format!("ADD COLUMN `{}` {}{place}", new.name, new.definition);
                self.columns.push(new);
                text
            }
        };
        let statement = format!("ALTER IGNORE TABLE {database}.{} {action}", self.name);
        let statement = match dialect.kind {
            Kind::Mysql => statement.replacen("ALTER IGNORE TABLE", "ALTER TABLE", 1),
            Kind::Mariadb => statement,
        };
        Altered { statement, table: self, before }
    }
}

/// An ALTER TABLE that the table already reckons with.
pub struct Altered<'a> {
    pub statement: String,
    table: &'a mut RandomTable,
    before: Vec<Column>,
}

impl Altered<'_> {
    /// The server has refused it.
    pub fn undo(self) {
        self.table.columns = self.before;
    }
}

fn column(random: &mut Random, dialect: &Dialect) -> (String, Values) {
    let (definition, values) = loop {
        if let Some(chosen) = kind_of_column(random, dialect) {
            break chosen;
        }
    };
    let null = match random.below(5) {
        0 => " NOT NULL",
        _ => " NULL",
    };
    (definition + null, values)
}

fn kind_of_column(random: &mut Random, dialect: &Dialect) -> Option<(String, Values)> {
    let digits = random.below(7);
    let mysql = dialect.kind == Kind::Mysql;
    Some(match random.below(23) {
        0..=2 => {
            let width = random.pick(&["TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "BOOLEAN"])?;
            let sign = if *width == "BOOLEAN" { &"" } else { random.pick(&["", " UNSIGNED", " UNSIGNED ZEROFILL"])? };
            (format!("{width}{sign}"), Values::Integer)
        }
        3 => (format!("BIT({})", 1 + random.below(64)), Values::Integer),
        4 | 5 => {
            let precision = 1 + random.below(65);
            let fraction = random.below(1 + precision.min(30));
            let sign = random.pick(&["", "", " UNSIGNED", " UNSIGNED ZEROFILL"])?;
            let values = Values::Digits { whole: precision - fraction + random.below(2), fraction: fraction + 1 };
            (format!("DECIMAL({precision},{fraction}){sign}"), values)
        }
        6 => {
            let width =
                random.pick(&["FLOAT", "DOUBLE", "FLOAT UNSIGNED", "DOUBLE UNSIGNED", "FLOAT(9,3)", "DOUBLE(20,5)"])?;
            ((*width).to_owned(), Values::Float)
        }
        7 => ("YEAR".into(), Values::Year),
        8 => ("DATE".into(), Values::Date),
        9 => (format!("TIME({digits})"), Values::Time { digits }),
        10 => (format!("DATETIME({digits})"), Values::Moment { digits }),
        11 => (format!("TIMESTAMP({digits})"), Values::Moment { digits }),
        12 | 13 => {
            let chars_max = *random.pick(&[1, 7, 63, 64, 85, 86, 255, 256, 400])?;
            let fixed = chars_max < 256 && random.below(2) == 0;
            let width = if fixed { "CHAR" } else { "VARCHAR" };
            (format!("{width}({chars_max}){}", charset(random, dialect)), Values::Text { chars_max })
        }
        14 => {
            let width = random.pick(&["TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"])?;
            (format!("{width}{}", charset(random, dialect)), Values::Text { chars_max: 50 })
        }
        15 => {
            let bytes_max = *random.pick(&[1, 16, 255, 256, 300])?;
            let fixed = bytes_max < 256 && random.below(2) == 0;
            (format!("{}({bytes_max})", if fixed { "BINARY" } else { "VARBINARY" }), Values::Bytes { bytes_max })
        }
        16 => {
            let width = random.pick(&["TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"])?;
            ((*width).to_owned(), Values::Bytes { bytes_max: 200 })
        }
        17 => {
            let labels = labels(random, 300);
            (format!("ENUM({}){}", labels.join(","), charset(random, dialect)), Values::Label { labels })
        }
        18 => {
            let labels = labels(random, 64);
            (format!("SET({}){}", labels.join(","), charset(random, dialect)), Values::Labels { labels })
        }
        19 if !mysql || dialect.is(Kind::Mysql, Version(5, 7, 8)) => ("JSON".into(), Values::Json { depth: 4 }),
        20 => (random.pick(&["GEOMETRY", "POINT", "LINESTRING"]).map(|_| "GEOMETRY".into())?, Values::Geometry),
        21 if dialect.is(Kind::Mysql, Version(9, 0, 0)) => {
            let elements = 1 + random.below(20);
            (format!("VECTOR({elements})"), Values::Vector { function: "STRING_TO_VECTOR", elements })
        }
        21 if dialect.is(Kind::Mariadb, Version(11, 7, 1)) => {
            let elements = 1 + random.below(20);
            (format!("VECTOR({elements})"), Values::Vector { function: "VEC_FromText", elements })
        }
        22 if dialect.is(Kind::Mariadb, Version(10, 10, 1)) => match random.below(4) {
            0 => ("INET6".into(), Values::Inet6),
            1 => ("INET4".into(), Values::Inet4),
            2 => ("UUID".into(), Values::Uuid),
            _ => {
                let width = random.pick(&["TEXT COMPRESSED", "VARCHAR(300) COMPRESSED", "MEDIUMTEXT COMPRESSED"])?;
                ((*width).to_owned(), Values::Text { chars_max: 300 })
            }
        },
        _ => return None,
    })
}

fn charset(random: &mut Random, dialect: &Dialect) -> String {
    match random.below(3) {
        0 => String::new(),
        _ => random.pick(&dialect.charsets).map_or(String::new(), |charset| format!(" CHARACTER SET {charset}")),
    }
}

/// Of ASCII alone, so that every character set has them, and different whatever the case.
fn labels(random: &mut Random, count_max: u64) -> Vec<String> {
    let count = match random.below(3) {
        0 => 1 + random.below(count_max),
        _ => 1 + random.below(9.min(count_max)),
    };
    (0..count).map(|index| format!("'{}{index}'", ["l", "O''", "two words ", "#"][random.below(4) as usize])).collect()
}

/// Names that are hard for somebody: keywords of Cap'n Proto and Python, and what collides once it is in camel case.
const NAMES: &[&str] = &[
    "union",
    "struct",
    "schema",
    "import",
    "List",
    "Text",
    "class",
    "def",
    "None",
    "order_id",
    "order__id",
    "orderId",
    "ORDERID2",
    "order_id_is_null",
    "a",
    "a_is_null",
    "aIsNull2",
    "größe in €",
    "Ж",
    "日本",
    "it's",
    "x.y",
    "1st",
    "_",
    "__",
    "$",
    "#",
    "retired0",
    "retired1",
    "which",
    "initN",
    "reader",
    "name\"quoted",
    "tab\tbed",
    "a-very-long-name-of-sixty-four-characters-in-all-0123456789-abc",
];

const LETTERS: &[&str] = &[
    "a", "Z", "0", " ", "~", "'", "\"", "\\", "\n", "\0", "\u{1a}", "%", "é", "ß", "ÿ", "€", "Œ", "ž", "Ł", "ő", "ş",
    "Ж", "ё", "Ω", "ώ", "א", "ש", "ع", "ไ", "ა", "Հ", "中", "文", "龍", "の", "カ", "ｶ", "가", "힣", "、", "￦", "🦀",
    "𝔘", "\u{301}", "\u{feff}",
];

impl Values {
    fn literal(&self, random: &mut Random) -> String {
        if random.below(8) == 0 {
            return "NULL".into();
        }
        match self {
            Self::Integer => integer(random),
            Self::Digits { whole, fraction } => {
                let sign = if random.below(2) == 0 { "-" } else { "" };
                let (whole, fraction) = (digits(random, *whole), digits(random, *fraction));
                format!("'{sign}{whole}.{fraction}'")
            }
            Self::Float => match random.below(4) {
                0 => integer(random),
                1 => (*random
                    .pick(&["0e0", "-0e0", "1e-5", "0.1e0", "1e22", "3.4028234e38", "1e-45", "5e-324"])
                    .unwrap_or(&"0"))
                .to_owned(),
                2 => finite(f64::from(f32::from_bits(random.next() as u32))),
                _ => finite(f64::from_bits(random.next())),
            },
            Self::Year => format!("{}", [0, 1901, 2155, 1900 + random.below(260)][random.below(4) as usize]),
            Self::Date => format!("'{}'", date(random)),
            Self::Time { digits } => {
                let sign = if random.below(2) == 0 { "-" } else { "" };
                let hours = if random.below(2) == 0 { random.below(24) } else { random.below(840) };
                format!("'{sign}{hours}:{:02}:{:02}{}'", random.below(60), random.below(60), fraction(random, *digits))
            }
            Self::Moment { digits } => {
                let (hour, minute, second) = (random.below(24), random.below(60), random.below(60));
                format!("'{} {hour:02}:{minute:02}:{second:02}{}'", date(random), fraction(random, *digits))
            }
            Self::Text { chars_max } => {
                let count = random.below(1 + chars_max.min(&30));
                text(random, count)
            }
            Self::Bytes { bytes_max } => {
                let count = random.below(1 + bytes_max);
                let bytes = |random: &mut Random| [0, 0x20, 0xff, random.next() as u8][random.below(4) as usize];
                format!("x'{}'", (0..count).map(|_| format!("{:02x}", bytes(random))).collect::<String>())
            }
            Self::Label { labels } => match random.below(6) {
                0 => "'no such label'".into(),
                _ => random.pick(labels).cloned().unwrap_or_default(),
            },
            Self::Labels { labels } => match labels.len() {
                64 => random.next().to_string(),
                count => random.below(1 << count).to_string(),
            },
            Self::Json { depth } => {
                let document = json(random, *depth);
                format!("'{}'", document.replace('\\', "\\\\").replace('\'', "''"))
            }
            Self::Geometry => geometry(random),
            Self::Vector { function, elements } => {
                let numbers: Vec<String> =
                    (0..*elements).map(|_| finite(f64::from(f32::from_bits(random.next() as u32) % 1e9))).collect();
                format!("{function}('[{}]')", numbers.join(","))
            }
            Self::Inet6 => {
                let parts: Vec<String> =
                    (0..8).map(|_| format!("{:x}", (random.next() & 0xffff) >> random.below(17))).collect();
                format!("'{}'", parts.join(":"))
            }
            Self::Inet4 => format!("'{}.{}.0.{}'", random.below(256), random.below(256), random.below(256)),
            Self::Uuid => {
                let hex = format!("{:016x}{:016x}", random.next(), random.next());
                format!("'{}-{}-{}-{}-{}'", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
            }
        }
    }
}

fn integer(random: &mut Random) -> String {
    let number = random.next() >> random.below(64);
    match random.below(4) {
        0 => number.to_string(),
        1 => format!("-{}", number >> 1),
        2 => (1u128 << random.below(65)).to_string(),
        _ => ["0", "1", "-1", "127", "-128", "255"][random.below(6) as usize].to_owned(),
    }
}

fn digits(random: &mut Random, count: u64) -> String {
    let run = 1 + random.below(count.max(1));
    match random.below(4) {
        0 => "9".repeat(count as usize),
        1 => "0".to_owned(),
        _ => (0..run).map(|_| char::from(b'0' + random.below(10) as u8)).collect(),
    }
}

fn finite(number: f64) -> String {
    match number.is_finite() {
        true => format!("{number:e}"),
        false => "1.5e0".into(),
    }
}

fn date(random: &mut Random) -> String {
    match random.below(6) {
        0 => "0000-00-00".into(),
        1 => format!("{:04}-{:02}-{:02}", random.below(10_000), random.below(13), random.below(32)),
        2 => (*random
            .pick(&["1000-01-01", "9999-12-31", "1970-01-01", "2038-01-19", "2024-02-29", "2023-02-31"])
            .unwrap_or(&""))
        .to_owned(),
        _ => format!("{:04}-{:02}-{:02}", 1970 + random.below(137), 1 + random.below(12), 1 + random.below(28)),
    }
}

fn fraction(random: &mut Random, digits: u64) -> String {
    match (digits, random.below(3)) {
        (0, 0..=1) | (_, 0) => String::new(),
        (_, 1) => format!(".{}", "9".repeat(digits.min(6) as usize)),
        _ => format!(".{:06}", random.below(1_000_000)),
    }
}

fn text(random: &mut Random, count: u64) -> String {
    let letters: String = (0..count).filter_map(|_| random.pick(LETTERS).copied()).collect();
    format!("'{}'", letters.replace('\\', "\\\\").replace('\'', "''").replace('\0', "\\0"))
}

fn json(random: &mut Random, depth: u64) -> String {
    let count = random.below(5);
    match random.below(if depth == 0 { 7 } else { 10 }) {
        0 => "null".into(),
        1 => (*random.pick(&["true", "false"]).unwrap_or(&"true")).to_owned(),
        2 => integer(random),
        3 => finite(f64::from_bits(random.next())),
        // never a whole number: MySQL 5.7 prints 7.0 as 7, later ones as 7.0, and so is it delivered
        4 => format!("{}.{}", random.below(1000), 1 + random.below(999)),
        5 | 6 => json_text(random),
        7 => format!("[{}]", (0..count).map(|_| json(random, depth - 1)).collect::<Vec<_>>().join(", ")),
        8 => format!("[{}]", (0..random.below(40)).map(|_| json(random, 0)).collect::<Vec<_>>().join(", ")),
        _ => {
            let members = (0..count).map(|index| {
                let value = json(random, depth - 1);
                match random.below(3) {
                    0 => format!("\"{index}\": {value}"),
                    1 => format!("\"key{index}\": {value}"),
                    _ => {
                        let key = json_text(random);
                        format!("{}{index}\": {value}", &key[..key.len() - 1])
                    }
                }
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A change of a part of a document, which the log may tell as a difference.
fn json_change(random: &mut Random, name: &str) -> String {
    let mut path = String::from("$");
    for _ in 0..1 + random.below(3) {
        path += &match random.below(4) {
            0 => format!("[{}]", random.below(6)),
            1 => "[last]".to_owned(),
            2 => format!(".\"{}\"", random.below(5)),
            _ => format!(".\"key{}\"", random.below(3)),
        };
    }
    let depth = random.below(2);
    let value = json(random, depth).replace('\\', "\\\\").replace('\'', "''");
    match random.below(5) {
        0 => format!("JSON_REMOVE(`{name}`, '{path}')"),
        1 => format!("JSON_REPLACE(`{name}`, '{path}', CAST('{value}' AS JSON))"),
        2 => format!(
            "JSON_SET(`{name}`, '{path}', {})",
            ["'short'", "1", "'a text that is somewhat longer than others'", "NULL"][random.below(4) as usize]
        ),
        3 => format!("JSON_REMOVE(JSON_SET(`{name}`, '{path}', CAST('{value}' AS JSON)), '$[0]')"),
        _ => format!("JSON_SET(`{name}`, '{path}', CAST('{value}' AS JSON))"),
    }
}

fn json_text(random: &mut Random) -> String {
    let count = [random.below(6), random.below(6), 127, 128][random.below(4) as usize];
    let letters = (0..count).filter_map(|_| random.pick(LETTERS).copied()).map(|letter| match letter {
        "\"" => "\\\"".to_owned(),
        "\\" => "\\\\".to_owned(),
        "\n" => "\\n".to_owned(),
        control if control < " " => format!("\\u{:04x}", control.as_bytes()[0]),
        letter => letter.to_owned(),
    });
    format!("\"{}\"", letters.collect::<String>())
}

fn geometry(random: &mut Random) -> String {
    let mut point = || format!("{} {}", random.below(1000) as i64 - 500, finite(random.below(1 << 40) as f64 / 1024.0));
    let points: Vec<String> = (0..4).map(|_| point()).collect();
    let shape = match random.below(4) {
        0 => format!("POINT({})", points[0]),
        1 => format!("LINESTRING({})", points.join(",")),
        2 => format!("MULTIPOINT({})", points.join(",")),
        _ => format!("GEOMETRYCOLLECTION(POINT({}),POLYGON((0 0,0 5,5 5,0 0)))", points[1]),
    };
    format!("ST_GeomFromText('{shape}')")
}
