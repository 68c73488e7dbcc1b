//! Which tables, columns and kinds of changes a subscription wants.
//!
//! A [`FilterSpec`] is what a client or a configuration says; a [`Filter`] is the same, checked and compiled. Names are
//! compared as MySQL compares them on Linux by default: with case. Compiling tells every complaint at once. A filter
//! never fails afterwards, whatever names the source sends.

use std::fmt::Write;
use std::sync::Arc;

use millstream_codec::millstream_capnp::Op;
use millstream_codec::mysql::schema::TableSchema;
use millstream_codec::wire::messages;
use regex::Regex;

use crate::engine::interest::Projection;
use crate::limits::{FILTER_PATTERN_BYTES_MAX, FILTER_PATTERNS_MAX, FILTER_REGEX_BYTES_MAX};

/// What is wanted, in words. The default is everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterSpec {
    /// `db.table` with `*` inside either part, or `/regex/` on the whole `db.table`. Empty: every table.
    pub include: Vec<String>,
    /// Taken away from what `include` gives.
    pub exclude: Vec<String>,
    pub columns: Vec<ColumnSpec>,
    /// Empty: all.
    pub kinds: Vec<Op>,
    pub ddl: bool,
}

impl Default for FilterSpec {
    fn default() -> Self {
        Self { include: Vec::new(), exclude: Vec::new(), columns: Vec::new(), kinds: Vec::new(), ddl: true }
    }
}

/// The columns to send of the tables that a pattern matches. Where several match, their columns add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    pub tables: String,
    pub columns: Vec<String>,
}

impl From<messages::Filter> for FilterSpec {
    fn from(filter: messages::Filter) -> Self {
        let messages::Filter { include, exclude, columns, kinds, ddl } = filter;
        let columns = columns.into_iter().map(|of| ColumnSpec { tables: of.tables, columns: of.columns }).collect();
        FilterSpec { include, exclude, columns, kinds, ddl }
    }
}

/// Everything that is wrong with a [`FilterSpec`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .complaints.join("; "))]
pub struct FilterError {
    pub complaints: Vec<String>,
}

/// A set of row kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kinds(u8);

impl Kinds {
    pub const ALL: Self = Self(0b111);

    /// No kind named means all of them.
    pub fn new(kinds: &[Op]) -> Self {
        if kinds.is_empty() {
            return Self::ALL;
        }
        Self(kinds.iter().fold(0, |bits, kind| bits | Self::bit(*kind)))
    }

    #[inline]
    pub fn contains(self, kind: Op) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    fn bit(kind: Op) -> u8 {
        match kind {
            Op::Insert => 0b001,
            Op::Update => 0b010,
            Op::Delete => 0b100,
        }
    }
}

/// A checked filter. Equal keys mean equal behaviour, so that subscriptions can share a view.
#[derive(Debug)]
pub struct Filter {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    columns: Vec<(Pattern, Vec<String>)>,
    kinds: Kinds,
    ddl: bool,
    key: String,
    /// What may be seen at all, whatever is wanted.
    allowed: Option<Arc<Filter>>,
}

impl Filter {
    /// # Errors
    /// [`FilterError`] with every complaint: bad patterns, bad regexes, projections without columns, too many of them.
    pub fn compile(spec: &FilterSpec) -> Result<Self, FilterError> {
        let mut complaints = Vec::new();
        let count = spec.include.len() + spec.exclude.len() + spec.columns.len();
        if count > FILTER_PATTERNS_MAX {
            let complaint = format!("a filter of {count} patterns; at most {FILTER_PATTERNS_MAX} are allowed");
            return Err(FilterError { complaints: vec![complaint] });
        }
        let mut compile = |texts: &[String]| -> Vec<Pattern> {
            texts
                .iter()
                .filter_map(|text| Pattern::compile(text).map_err(|reason| complaints.push(reason)).ok())
                .collect()
        };
        let include = compile(&spec.include);
        let exclude = compile(&spec.exclude);
        let mut columns = Vec::new();
        for projection in &spec.columns {
            if projection.columns.is_empty() {
                complaints.push(format!("the projection of '{}' names no column", projection.tables));
            }
            match Pattern::compile(&projection.tables) {
                Ok(pattern) => columns.push((pattern, projection.columns.clone())),
                Err(reason) => complaints.push(reason),
            }
        }
        if !complaints.is_empty() {
            return Err(FilterError { complaints });
        }
        let kinds = Kinds::new(&spec.kinds);
        Ok(Self { include, exclude, columns, kinds, ddl: spec.ddl, key: canonical(spec, kinds), allowed: None })
    }

    /// Everything, DDL too.
    pub fn everything() -> Self {
        let spec = FilterSpec::default();
        let key = canonical(&spec, Kinds::ALL);
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            columns: Vec::new(),
            kinds: Kinds::ALL,
            ddl: true,
            key,
            allowed: None,
        }
    }

    pub fn matches_table(&self, database: &str, table: &str) -> bool {
        let included = self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(database, table));
        included
            && !self.exclude.iter().any(|pattern| pattern.matches(database, table))
            && self.allowed.as_ref().is_none_or(|allowed| allowed.matches_table(database, table))
    }

    /// The same filter, of the tables only that `allowed` has. It belongs to the destination: keys stay as they are.
    pub fn restricted(self, allowed: &Arc<Filter>) -> Self {
        Filter { allowed: Some(allowed.clone()), ..self }
    }

    /// The columns to send; `None`: all. The columns of the primary key are always sent.
    pub fn projection(&self, schema: &TableSchema) -> Projection {
        let mut wanted: Option<Vec<bool>> = None;
        for (pattern, names) in &self.columns {
            if !pattern.matches(&schema.database, &schema.table) {
                continue;
            }
            let wanted =
                wanted.get_or_insert_with(|| schema.columns.iter().map(|column| column.primary_key != 0).collect());
            for (wanted, column) in wanted.iter_mut().zip(&schema.columns) {
                // Column names have no case in MySQL.
                *wanted |= names.iter().any(|name| same_column(name, &column.name));
            }
        }
        wanted.filter(|wanted| wanted.contains(&false)).map(Into::into)
    }

    pub fn kinds(&self) -> Kinds {
        self.kinds
    }

    /// Whether a DDL statement on these tables is wanted. Where the statement does not say plainly which tables it
    /// touches, it is.
    pub fn wants_ddl(&self, database: &str, tables: &[(String, String)]) -> bool {
        if !self.ddl {
            return false;
        }
        let default = |name: &str| if name.is_empty() { database.to_owned() } else { name.to_owned() };
        tables.is_empty() || tables.iter().any(|(of, table)| self.matches_table(&default(of), table))
    }

    /// Canonical text: the same for filters that want the same in the same words, in whatever order.
    pub fn key(&self) -> &str {
        &self.key
    }
}

fn same_column(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// JSON-like quoting, so that no name can imitate the key's own punctuation.
fn canonical(spec: &FilterSpec, kinds: Kinds) -> String {
    let list = |texts: &[String]| {
        let mut texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
        texts.sort();
        texts.dedup();
        texts.join(",")
    };
    let mut columns: Vec<String> = spec
        .columns
        .iter()
        .map(|projection| format!("{:?}:[{}]", projection.tables, list(&projection.columns)))
        .collect();
    columns.sort();
    columns.dedup();
    let mut key = String::new();
    // Writing into a String cannot fail.
    let _ = write!(
        key,
        "include=[{}] exclude=[{}] columns=[{}] kinds={} ddl={}",
        list(&spec.include),
        list(&spec.exclude),
        columns.join(","),
        kinds.0,
        spec.ddl
    );
    key
}

#[derive(Debug)]
enum Pattern {
    /// Each part with `*` for any run of characters.
    Parts {
        database: String,
        table: String,
    },
    Regex(Regex),
}

impl Pattern {
    fn compile(text: &str) -> Result<Self, String> {
        if text.len() > FILTER_PATTERN_BYTES_MAX {
            let start: String = text.chars().take(40).collect();
            return Err(format!("the pattern '{start}...' is longer than {FILTER_PATTERN_BYTES_MAX} bytes"));
        }
        if let Some(inner) = text.strip_prefix('/') {
            let Some(regex) = inner.strip_suffix('/').filter(|regex| !regex.is_empty()) else {
                return Err(format!("'{text}' starts as a regex: write /REGEX/, with a slash at both ends"));
            };
            return regex::RegexBuilder::new(&format!("^(?:{regex})$"))
                .size_limit(FILTER_REGEX_BYTES_MAX)
                .build()
                .map(Self::Regex)
                .map_err(|error| format!("the regex '{text}' cannot be used: {}", one_line(&error.to_string())));
        }
        match text.split_once('.') {
            Some((database, table)) if !database.is_empty() && !table.is_empty() => {
                Ok(Self::Parts { database: database.to_owned(), table: table.to_owned() })
            }
            _ => Err(format!(
                "'{text}' is not a table pattern: write DATABASE.TABLE, with * for any run of characters in either \
                 part (*.* for every table), or /REGEX/ for the whole DATABASE.TABLE"
            )),
        }
    }

    fn matches(&self, database: &str, table: &str) -> bool {
        match self {
            Self::Parts { database: databases, table: tables } => {
                matches_star(databases.as_bytes(), database.as_bytes())
                    && matches_star(tables.as_bytes(), table.as_bytes())
            }
            Self::Regex(regex) => regex.is_match(&format!("{database}.{table}")),
        }
    }
}

/// The regex crate draws its complaint over several lines; the last one says what is wrong.
fn one_line(text: &str) -> String {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// `*` stands for any run of bytes. Linear in practice: on a mismatch only the last star is tried further.
fn matches_star(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(place) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(expected) if expected == byte => {
                at += 1;
                place += 1;
            }
            _ => match &mut star {
                Some((star_at, star_place)) => {
                    *star_place += 1;
                    (at, place) = (*star_at + 1, *star_place);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_codec::mysql::schema::{ColumnSchema, ColumnType};

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        let spec = FilterSpec { include: strings(include), exclude: strings(exclude), ..FilterSpec::default() };
        Filter::compile(&spec).unwrap()
    }

    #[test]
    fn tables_are_chosen_by_patterns() {
        let check = |include: &[&str], exclude: &[&str], name: (&str, &str), expected: bool| {
            assert_eq!(filter(include, exclude).matches_table(name.0, name.1), expected, "{include:?} {name:?}");
        };
        check(&[], &[], ("a", "b"), true);
        check(&[], &["a.*"], ("a", "b"), false);
        check(&["a.b"], &[], ("a", "b"), true);
        check(&["a.b"], &[], ("a", "B"), false);
        check(&["a.b"], &[], ("a", "bc"), false);
        check(&["*.*"], &[], ("x", "y"), true);
        check(&["shop_*.order*"], &[], ("shop_12", "orders"), true);
        check(&["shop_*.order*"], &[], ("shop", "orders"), false);
        check(&["*a*b*.t"], &[], ("xxaYYbZZ", "t"), true);
        check(&["*a*b*.t"], &[], ("xxbYYaZZ", "t"), false);
        check(&["*aab.t"], &[], ("aaaab", "t"), true);
        check(&["a.b.c"], &[], ("a", "b.c"), true);
        check(&["/shop_\\d+\\.orders/"], &[], ("shop_7", "orders"), true);
        check(&["/shop_\\d+\\.orders/"], &[], ("shop_7", "orders_old"), false);
        check(&["/a|b/"], &[], ("a", "b"), false);
        check(&["/a\\.x|b\\.x/"], &[], ("b", "x"), true);
        check(&["a.*", "b.c"], &["a.tmp*"], ("a", "tmp1"), false);
        check(&["a.*", "b.c"], &["a.tmp*"], ("b", "c"), true);
    }

    #[test]
    fn every_complaint_is_told() {
        let spec = FilterSpec {
            include: strings(&["orders", "/[/", "/x", ".t", "ok.ok"]),
            exclude: strings(&["db."]),
            columns: vec![ColumnSpec { tables: "noway".into(), columns: Vec::new() }],
            ..FilterSpec::default()
        };
        let error = Filter::compile(&spec).unwrap_err();
        assert_eq!(error.complaints.len(), 7, "{error}");
        let text = error.to_string();
        for part in ["'orders'", "'/[/'", "'/x'", "'.t'", "'db.'", "'noway'", "names no column", "*.*"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let many = FilterSpec { include: vec!["a.b".into(); FILTER_PATTERNS_MAX + 1], ..FilterSpec::default() };
        assert!(Filter::compile(&many).is_err());
        let long = FilterSpec { include: vec!["a".repeat(FILTER_PATTERN_BYTES_MAX + 1)], ..FilterSpec::default() };
        assert!(Filter::compile(&long).unwrap_err().to_string().contains("longer than"));
    }

    fn table(columns: &[(&str, u16)]) -> TableSchema {
        let column = |(name, primary_key): &(&str, u16)| ColumnSchema {
            name: (*name).into(),
            column_type: ColumnType::Double,
            primary_key: *primary_key,
        };
        TableSchema { database: "shop".into(), table: "orders".into(), columns: columns.iter().map(column).collect() }
    }

    #[test]
    fn a_projection_keeps_the_primary_key() {
        let check = |specs: &[(&str, &[&str])], expected: Option<&[bool]>| {
            let columns =
                specs.iter().map(|(tables, names)| ColumnSpec { tables: (*tables).into(), columns: strings(names) });
            let spec = FilterSpec { columns: columns.collect(), ..FilterSpec::default() };
            let projection =
                Filter::compile(&spec).unwrap().projection(&table(&[("id", 1), ("a", 0), ("Überschrift", 0)]));
            assert_eq!(projection.as_deref(), expected, "{specs:?}");
        };
        check(&[], None);
        check(&[("other.*", &["a"])], None);
        check(&[("shop.*", &["a"])], Some(&[true, true, false]));
        check(&[("shop.*", &["A"]), ("*.orders", &["überschrift"])], None);
        check(&[("shop.*", &["nothing"])], Some(&[true, false, false]));
        check(&[("shop.*", &["id", "a", "Überschrift"])], None);
    }

    #[test]
    fn kinds_and_ddl() {
        let spec =
            FilterSpec { kinds: vec![Op::Insert, Op::Delete], include: strings(&["a.*"]), ..FilterSpec::default() };
        let filter = Filter::compile(&spec).unwrap();
        assert!(filter.kinds().contains(Op::Insert) && filter.kinds().contains(Op::Delete));
        assert!(!filter.kinds().contains(Op::Update));
        assert_eq!(Kinds::new(&[]), Kinds::ALL);
        let named = |database: &str, table: &str| vec![(database.to_owned(), table.to_owned())];
        assert!(filter.wants_ddl("a", &[]));
        assert!(filter.wants_ddl("b", &named("a", "t")));
        assert!(filter.wants_ddl("a", &named("", "t")));
        assert!(!filter.wants_ddl("a", &named("b", "t")));
        let silent = Filter::compile(&FilterSpec { ddl: false, ..FilterSpec::default() }).unwrap();
        assert!(!silent.wants_ddl("a", &[]));
    }

    #[test]
    fn the_key_tells_filters_apart_and_not_their_order() {
        let key = |include: &[&str], exclude: &[&str]| filter(include, exclude).key().to_owned();
        assert_eq!(key(&["a.b", "c.d"], &[]), key(&["c.d", "a.b", "a.b"], &[]));
        assert_ne!(key(&["a.b"], &[]), key(&[], &["a.b"]));
        assert_ne!(key(&["a.b,c.d"], &[]), key(&["a.b", "c.d"], &[]));
        assert_ne!(key(&["a.b\",\"c.d"], &[]), key(&["a.b", "c.d"], &[]));
        assert_eq!(Filter::everything().key(), key(&[], &[]));
        let all = FilterSpec { kinds: vec![Op::Insert, Op::Update, Op::Delete], ..FilterSpec::default() };
        assert_eq!(Filter::compile(&all).unwrap().key(), Filter::everything().key());
    }
}
