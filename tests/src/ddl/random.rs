//! Random DDL on a few tables: names collide on purpose, and what the server refuses is no matter.

use crate::harness::{Kind, Version};
use crate::load::Random;

/// Statements that follow from a seed.
pub struct RandomDdl {
    random: Random,
    is_mariadb: bool,
    version: Version,
    /// ENUM and SET, and then only character sets that hold ASCII as it is: CONVERT leaves labels in their bytes, and what
    /// information_schema shows of those is not what they are.
    labels: bool,
}

// No name that must be encoded as a file's: MariaDB leaves the old table's .frm there after ALTER ... RENAME by copying.
const TABLES: [&str; 6] = ["t1", "t2", "t3", "`T_4`", "r2.t5", "r2.t1"];
const COLUMNS: [&str; 10] = ["a", "b", "c", "d", "`e f`", "`ö`", "g", "A", "id", "z9"];
const CHARSETS: [&str; 10] =
    ["latin1", "utf8", "utf8mb4", "binary", "gbk", "cp1251", "ucs2", "utf32", "sjis", "utf16le"];
const TYPES: [&str; 74] = [
    "INT",
    "TINYINT(1)",
    "SMALLINT UNSIGNED",
    "MEDIUMINT ZEROFILL",
    "BIGINT",
    "INT1",
    "INT2 UNSIGNED",
    "INT3",
    "INT4",
    "INT8",
    "MIDDLEINT",
    "INTEGER(7) UNSIGNED ZEROFILL",
    "BOOL",
    "BOOLEAN",
    "DEC(7)",
    "FIXED(5,2) UNSIGNED",
    "NUMERIC",
    "DECIMAL(65,30)",
    "DECIMAL(0)",
    "FLOAT",
    "FLOAT(24)",
    "FLOAT(25)",
    "FLOAT(7,4)",
    "FLOAT4",
    "FLOAT8",
    "DOUBLE PRECISION",
    "DOUBLE(20,10) UNSIGNED",
    "REAL",
    "BIT",
    "BIT(13)",
    "YEAR",
    "YEAR(4)",
    "DATE",
    "TIME",
    "TIME(3)",
    "DATETIME",
    "DATETIME(6)",
    "TIMESTAMP(2) NULL",
    "TIMESTAMP NULL",
    "CHAR",
    "CHAR(0)",
    "CHAR(11)",
    "CHARACTER(3)",
    "CHAR VARYING(20)",
    "CHARACTER VARYING(9)",
    "NCHAR(5)",
    "NATIONAL CHAR(6)",
    "NVARCHAR(8)",
    "NATIONAL VARCHAR(9)",
    "NCHAR VARCHAR(4)",
    "NATIONAL CHAR VARYING(4)",
    "CHAR(7) BYTE",
    "VARCHAR(30) BINARY",
    "VARCHAR(40)",
    "VARCHAR(700)",
    "TINYTEXT",
    "TEXT",
    "TEXT(63)",
    "TEXT(64)",
    "TEXT(300)",
    "TEXT(70000)",
    "MEDIUMTEXT",
    "LONGTEXT",
    "LONG",
    "LONG VARCHAR",
    "LONG VARBINARY",
    "BINARY(5)",
    "VARBINARY(600)",
    "BLOB",
    "BLOB(200)",
    "TINYBLOB",
    "LONGBLOB",
    "GEOMETRY",
    "POINT",
];

impl RandomDdl {
    pub fn new(mut random: Random, kind: Kind, version: Version) -> Self {
        let labels = random.below(2) == 0;
        Self { labels, random, is_mariadb: kind == Kind::Mariadb, version }
    }

    /// What must have been run before the first of them.
    pub fn beginning() -> &'static str {
        "CREATE DATABASE r1 CHARACTER SET latin1; CREATE DATABASE r2; USE r1"
    }

    pub fn statement(&mut self) -> String {
        match self.random.below(40) {
            0..=8 => self.create(),
            9..=28 => self.alter(),
            29..=30 => self.rename(),
            31 => format!("DROP TABLE IF EXISTS {}, {}", self.table(), self.table()),
            32 => format!("CREATE TABLE {}{} LIKE {}", self.if_not_exists(), self.table(), self.table()),
            33 => format!("CREATE TABLE {} SELECT * FROM {}", self.table(), self.table()),
            34 => {
                let (database, charset) = (if self.one_in(2) { "r1" } else { "r2" }, self.charset());
                format!("ALTER DATABASE {database} CHARACTER SET {charset}")
            }
            35 => format!("DROP INDEX {} ON {}", if self.one_in(2) { "`PRIMARY`" } else { "k1" }, self.table()),
            36 => format!("CREATE INDEX k1 ON {} ({})", self.table(), self.column()),
            37 => {
                let modes = ["", "STRICT_ALL_TABLES", "ANSI", "REAL_AS_FLOAT", "NO_BACKSLASH_ESCAPES", "TRADITIONAL"];
                format!("SET SESSION sql_mode = '{}'", self.of(&modes))
            }
            38 => format!("SET NAMES {}", self.of(&["utf8mb4", "latin1", "gbk", "utf8"])),
            _ => format!("TRUNCATE TABLE {}", self.table()),
        }
    }

    fn of<'x>(&mut self, list: &[&'x str]) -> &'x str {
        self.random.pick(list).copied().unwrap_or_default()
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.random.below(bound) == 0
    }

    fn table(&mut self) -> &'static str {
        self.of(&TABLES)
    }

    fn column(&mut self) -> &'static str {
        self.of(&COLUMNS)
    }

    fn charset(&mut self) -> &'static str {
        let count = if self.labels { 6 } else { CHARSETS.len() };
        self.of(&CHARSETS[..count])
    }

    fn if_not_exists(&mut self) -> &'static str {
        if self.one_in(4) { "IF NOT EXISTS " } else { "" }
    }

    /// MariaDB's, in ALTER.
    fn if_exists(&mut self) -> &'static str {
        if self.is_mariadb && self.one_in(4) { "IF EXISTS " } else { "" }
    }

    fn new_if_not_exists(&mut self) -> &'static str {
        if self.is_mariadb && self.one_in(4) { "IF NOT EXISTS " } else { "" }
    }

    fn column_type(&mut self) -> String {
        let is_json = self.is_mariadb || self.version >= Version(5, 7, 8);
        match self.random.below(12) {
            0 if self.labels => format!("ENUM({}){}", self.labels(), self.own_charset()),
            1 if self.labels => format!("SET({}){}", self.labels(), self.own_charset()),
            2 if is_json => "JSON".to_owned(),
            3 if self.is_mariadb && self.version >= Version(10, 10, 0) => {
                self.of(&["UUID", "INET4", "INET6"]).to_owned()
            }
            4 => format!("VARCHAR({}){}", self.of(&["1", "17", "255", "17000", "33000", "66000"]), self.own_charset()),
            5 => format!("{}{}", self.of(&["CHAR(9)", "TEXT", "TEXT(80)", "MEDIUMTEXT"]), self.own_charset()),
            _ => self.of(&TYPES).to_owned(),
        }
    }

    fn labels(&mut self) -> &'static str {
        self.of(&["'a','b'", "'x '", "'it''s', 'b,c', ')'", "'q', 0x41, b'01000010'", "'none'"])
    }

    fn own_charset(&mut self) -> String {
        match self.random.below(5) {
            0 | 1 => format!(" CHARACTER SET {}", self.charset()),
            2 => format!(" COLLATE {}", self.of(&["latin1_bin", "utf8mb4_bin", "binary", "utf8_general_ci"])),
            3 => self
                .of(if self.labels { &[" ASCII", " BINARY"] } else { &[" ASCII", " UNICODE", " BYTE", " BINARY"] })
                .to_owned(),
            _ => String::new(),
        }
    }

    fn attributes(&mut self) -> &'static str {
        self.of(&[
            "",
            "",
            "",
            "",
            " NULL",
            " NOT NULL",
            " DEFAULT NULL",
            " COMMENT 'a, b) FIRST'",
            " PRIMARY KEY",
            " UNIQUE",
            " NOT NULL COMMENT ''",
            " KEY",
        ])
    }

    fn definition(&mut self) -> String {
        format!("{}{}", self.column_type(), self.attributes())
    }

    fn place(&mut self) -> String {
        match self.random.below(5) {
            0 => " FIRST".to_owned(),
            1 | 2 => format!(" AFTER {}", self.column()),
            _ => String::new(),
        }
    }

    fn create(&mut self) -> String {
        let mut parts = Vec::new();
        for _ in 0..=self.random.below(6) {
            parts.push(format!("{} {}", self.column(), self.definition()));
        }
        if self.one_in(3) {
            parts.push(format!("PRIMARY KEY ({}, {})", self.column(), self.column()));
        }
        if self.one_in(4) {
            parts.insert(0, format!("KEY k1 ({})", self.column()));
        }
        let options = match self.random.below(6) {
            0 => format!(" DEFAULT CHARSET={}", self.charset()),
            1 => format!(" ENGINE=MyISAM CHARACTER SET {} COMMENT='CHARSET=latin2'", self.charset()),
            2 if self.is_mariadb => " WITH SYSTEM VERSIONING".to_owned(),
            3 => " COLLATE utf8mb4_bin PARTITION BY KEY() PARTITIONS 2".to_owned(),
            _ => String::new(),
        };
        let or_replace = if self.is_mariadb && self.one_in(3) { "OR REPLACE " } else { "" };
        let if_not_exists = if or_replace.is_empty() { self.if_not_exists() } else { "" };
        format!("CREATE {or_replace}TABLE {if_not_exists}{} ({}){options}", self.table(), parts.join(", "))
    }

    fn alter(&mut self) -> String {
        let mut clauses = Vec::new();
        for _ in 0..=self.random.below(4) {
            clauses.push(self.clause());
        }
        format!("ALTER TABLE {} {}", self.table(), clauses.join(", "))
    }

    fn clause(&mut self) -> String {
        match self.random.below(24) {
            0..=5 => {
                format!("ADD {}{} {}{}", self.new_if_not_exists(), self.column(), self.definition(), self.place())
            }
            6 => format!("ADD COLUMN ({} {}, {} INT)", self.column(), self.definition(), self.column()),
            7..=9 => format!("DROP {}{}", self.if_exists(), self.column()),
            10..=12 => format!("MODIFY {}{} {}{}", self.if_exists(), self.column(), self.definition(), self.place()),
            13..=15 => {
                let (from, to) = (self.column(), self.column());
                format!("CHANGE {}{from} {to} {}{}", self.if_exists(), self.definition(), self.place())
            }
            16 => format!("RENAME COLUMN {} TO {}", self.column(), self.column()),
            17 => format!("RENAME {}{}", self.of(&["TO ", "AS ", "= ", ""]), self.table()),
            18 => format!("CONVERT TO CHARACTER SET {}", self.charset()),
            19 => format!("DEFAULT CHARACTER SET = {}", self.charset()),
            20 => format!("ADD PRIMARY KEY ({}, {})", self.column(), self.column()),
            21 => "DROP PRIMARY KEY".to_owned(),
            22 if self.is_mariadb => self.of(&["ADD SYSTEM VERSIONING", "DROP SYSTEM VERSIONING"]).to_owned(),
            _ => self.of(&["ENGINE=InnoDB", "FORCE", "COMMENT='x, DROP a'", "ORDER BY a, b", "ADD KEY (a)"]).to_owned(),
        }
    }

    fn rename(&mut self) -> String {
        match self.random.below(3) {
            0 => {
                let (a, b) = (self.table(), self.table());
                format!("RENAME TABLE {a} TO tmp, {b} TO {a}, tmp TO {b}")
            }
            _ => format!("RENAME TABLE {} TO {}", self.table(), self.table()),
        }
    }
}
