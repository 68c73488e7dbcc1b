//! What a QUERY event's statement means to a reader of rows: a transaction's beginning or end, a savepoint, XA, DDL,
//! a row change that was logged as a statement, or nothing.
//!
//! Cheap for what is frequent (BEGIN, COMMIT), tolerant for the rest. A statement that is not understood is said to be
//! so ([`Statement::Unknown`]); it is never taken for harmless. DDL is parsed by [`ddl`], as far as it says what columns,
//! keys, names and character sets tables have; [`catalog`](crate::catalog) applies it.

pub mod ddl;
mod token;

pub use ddl::{ColumnRenames, DdlStatement, Touches};
pub use token::{Dialect, SqlMode};

use millstream_codec::mysql::event::{QueryEvent, Xid};
use millstream_codec::mysql::value::charset;
use token::{Token, Tokens};

use crate::limits::{DDL_PARSED_BYTES_MAX, STATEMENT_EXCERPT_CHARS};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    RollbackTo(String),
    ReleaseSavepoint,
    XaStart(XaName),
    XaEnd,
    XaPrepare(XaName),
    XaCommit {
        xid: XaName,
        one_phase: bool,
    },
    XaRollback(XaName),
    Ddl(Box<DdlStatement>),
    /// Changes rows that are not in the log: the word that it begins with.
    Dml(String),
    /// Changes neither rows nor tables.
    Harmless,
    /// What MariaDB puts in the place of an event that a replica would not understand.
    Dummy,
    Unknown(String),
}

/// An XA transaction's name as MySQL's binlog writes it, `X'6162',X'',1`; another text where it could not be read.
pub type XaName = String;

/// What a statement was written with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Session<'a> {
    pub dialect: Dialect,
    /// Its default database.
    pub database: &'a str,
    /// Name of its character set, where it is known.
    pub charset: Option<&'a str>,
    /// What its definitions mean: see [`SqlMode`].
    pub sql_mode: SqlMode,
    /// The character set of `collation_server`, which a new database has by default.
    pub server_charset: Option<&'a str>,
    /// The character set of `collation_database`, where the session set it to another than its database's.
    pub database_charset: Option<&'a str>,
    /// What the statement ended with at the server; 0: it succeeded. One that failed is logged where it did a part of its
    /// work: DROP TABLE of which some are missing, MariaDB's CREATE OR REPLACE TABLE after it dropped the old one.
    pub error_code: u16,
}

impl<'a> Session<'a> {
    /// The session of an event's statement, on a server of this dialect.
    pub fn of(query: &'a QueryEvent<'_>, dialect: Dialect) -> Self {
        let sql_mode = SqlMode(query.sql_mode.unwrap_or(0));
        Self {
            dialect: dialect.with_sql_mode(sql_mode.0),
            database: &query.database,
            charset: query.charset(),
            sql_mode,
            server_charset: query.server_charset(),
            database_charset: query.database_charset(),
            error_code: query.error_code,
        }
    }
}

/// Never fails: see [`Statement::Unknown`].
pub fn classify(sql: &[u8], session: &Session<'_>) -> Statement {
    match sql {
        b"BEGIN" => return Statement::Begin,
        b"COMMIT" => return Statement::Commit,
        _ if sql.starts_with(b"# Dum") => return Statement::Dummy,
        _ => {}
    }
    // What is looked at; the whole text is only needed for DDL.
    let head = sql.get(..DDL_PARSED_BYTES_MAX).unwrap_or(sql);
    let text = decode(head, session);
    let mut tokens = Tokens::new(&text, session.dialect);
    let mut statement = of_tokens(&mut tokens, session);
    if let Statement::Ddl(ddl) = &mut statement {
        ddl.text = decode(sql, session).into_owned();
        let doubt = if head.len() < sql.len() {
            Some("the statement is too long to be parsed")
        } else if ddl.kind == "create_table" && is_of_two_character_sets(sql, session) {
            Some("the statement may be written in UTF-8, and not in its session's character set")
        } else {
            None
        };
        if let Some(reason) = doubt {
            let whole = std::mem::replace(&mut **ddl, DdlStatement::of(ddl::Change::Harmless));
            **ddl = whole.doubted(reason);
        }
    }
    statement
}

fn decode<'a>(sql: &'a [u8], session: &Session<'_>) -> std::borrow::Cow<'a, str> {
    // ASCII is the same in every character set that a client can have.
    match session.charset {
        Some(name) if !sql.is_ascii() => charset::decode(name, sql).0,
        _ => String::from_utf8_lossy(sql),
    }
}

/// A server that logs a CREATE TABLE of its own making (for CREATE TABLE ... SELECT or LIKE) writes it in UTF-8, but says
/// that it is in the session's character set. Is this one of that form, with bytes that make a difference?
fn is_of_two_character_sets(sql: &[u8], session: &Session<'_>) -> bool {
    let is_utf8 = session.charset.is_none_or(|charset| charset.starts_with("utf8"));
    let is_made = |text: &str| text.starts_with("CREATE ") && (text.contains(" (\n  `") || text.contains(" (\n  \""));
    !is_utf8 && !sql.is_ascii() && std::str::from_utf8(sql).is_ok_and(is_made)
}

fn of_tokens(tokens: &mut Tokens<'_>, session: &Session<'_>) -> Statement {
    let verb = match tokens.next() {
        None => return Statement::Harmless,
        Some(Token::Word(verb)) => verb.to_ascii_uppercase(),
        // A query expression in parentheses: only a SELECT with effects is ever logged so.
        Some(Token::Punctuation('(')) => return Statement::Dml("(".into()),
        Some(Token::Punctuation(';')) if tokens.peek().is_none() => return Statement::Harmless,
        Some(other) => return Statement::Unknown(format!("{other:?}")),
    };
    match verb.as_str() {
        "BEGIN" => Statement::Begin,
        "START" if tokens.take_word("TRANSACTION") => Statement::Begin,
        "COMMIT" => Statement::Commit,
        "ROLLBACK" => {
            tokens.take_word("WORK");
            if !tokens.take_word("TO") {
                return Statement::Rollback;
            }
            tokens.take_word("SAVEPOINT");
            named(tokens, "ROLLBACK TO", Statement::RollbackTo)
        }
        "SAVEPOINT" => named(tokens, "SAVEPOINT", Statement::Savepoint),
        "RELEASE" => Statement::ReleaseSavepoint,
        "XA" => xa(tokens),
        "CREATE" | "ALTER" | "DROP" | "RENAME" | "TRUNCATE" => ddl::parse(&verb, tokens, session),
        // Makes tables from files that only the server has.
        "IMPORT" => Statement::Ddl(Box::new(DdlStatement::unknown("IMPORT TABLE".to_owned()))),
        "SET" if tokens.take_word("STATEMENT") => {
            // MariaDB: SET STATEMENT variable = value, ... FOR statement
            while let Some(token) = tokens.next() {
                if token.is("FOR") {
                    return of_tokens(tokens, session);
                }
            }
            Statement::Unknown("SET STATEMENT".into())
        }
        "LOAD" if tokens.take_word("INDEX") => Statement::Harmless,
        "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "WITH" | "CALL" | "SELECT" | "DO" | "VALUES"
        | "TABLE" | "EXECUTE" | "MERGE" => Statement::Dml(verb),
        "ANALYZE" | "BINLOG" | "CACHE" | "CHANGE" | "CHECK" | "CHECKSUM" | "CLONE" | "DEALLOCATE" | "DESC"
        | "DESCRIBE" | "EXPLAIN" | "FLUSH" | "GRANT" | "HELP" | "INSTALL" | "KILL" | "LOCK" | "OPTIMIZE"
        | "PREPARE" | "PURGE" | "REPAIR" | "RESET" | "RESTART" | "REVOKE" | "SET" | "SHOW" | "SHUTDOWN" | "START"
        | "STOP" | "UNINSTALL" | "UNLOCK" | "USE" => Statement::Harmless,
        _ => Statement::Unknown(verb),
    }
}

fn named(tokens: &mut Tokens<'_>, what: &str, statement: impl FnOnce(String) -> Statement) -> Statement {
    tokens.name().map_or_else(|| Statement::Unknown(what.to_owned()), statement)
}

fn xa(tokens: &mut Tokens<'_>) -> Statement {
    let Some(Token::Word(verb)) = tokens.next() else { return Statement::Unknown("XA".into()) };
    let verb = verb.to_ascii_uppercase();
    if verb == "RECOVER" {
        return Statement::Harmless;
    }
    let Some(xid) = xid(tokens) else { return Statement::Unknown(format!("XA {verb}")) };
    match verb.as_str() {
        "START" | "BEGIN" => Statement::XaStart(xid),
        "END" => Statement::XaEnd,
        "PREPARE" => Statement::XaPrepare(xid),
        "COMMIT" => Statement::XaCommit { xid, one_phase: tokens.take_word("ONE") },
        "ROLLBACK" => Statement::XaRollback(xid),
        _ => Statement::Unknown(format!("XA {verb}")),
    }
}

/// `gtrid [, bqual [, formatID]]`: each part a string, `X'..'` or `0x..`.
fn xid(tokens: &mut Tokens<'_>) -> Option<XaName> {
    let gtrid = xid_part(tokens)?;
    let mut bqual = Vec::new();
    let mut format_id = 1;
    if tokens.take_punctuation(',') {
        bqual = xid_part(tokens)?;
        if tokens.take_punctuation(',') {
            format_id = match tokens.next()? {
                Token::Word(word) => word.parse().ok()?,
                _ => return None,
            };
        }
    }
    Some(Xid { format_id, gtrid, bqual }.to_string())
}

fn xid_part(tokens: &mut Tokens<'_>) -> Option<Vec<u8>> {
    match tokens.next()? {
        Token::Text(text) => Some(text.as_bytes().to_vec()),
        Token::Word(word) if word.eq_ignore_ascii_case("x") => match tokens.next()? {
            Token::Text(text) => hex(&text),
            _ => None,
        },
        Token::Word(word) => hex(word.strip_prefix("0x")?),
        _ => None,
    }
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    digits
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect()
}

/// The beginning of a statement, for errors and notices.
pub fn excerpt(sql: &[u8], session: &Session<'_>) -> String {
    // Four bytes hold any character.
    let head = sql.get(..STATEMENT_EXCERPT_CHARS * 4).unwrap_or(sql);
    let text = decode(head, session);
    let mut excerpt: String = text.chars().take(STATEMENT_EXCERPT_CHARS).collect();
    if excerpt.len() < text.len() || head.len() < sql.len() {
        excerpt.push_str("...");
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: Statement) {
        assert_eq!(classify(sql.as_bytes(), &Session::default()), expected, "{sql}");
    }

    #[test]
    fn transactions_and_savepoints() {
        check("BEGIN", Statement::Begin);
        check("begin /* x */", Statement::Begin);
        check("START TRANSACTION", Statement::Begin);
        check("COMMIT", Statement::Commit);
        check("COMMIT /* x */", Statement::Commit);
        check("ROLLBACK", Statement::Rollback);
        check("SAVEPOINT `s 1`", Statement::Savepoint("s 1".into()));
        check("ROLLBACK TO `s 1`", Statement::RollbackTo("s 1".into()));
        check("ROLLBACK WORK TO SAVEPOINT s1", Statement::RollbackTo("s1".into()));
        check("RELEASE SAVEPOINT s1", Statement::ReleaseSavepoint);
    }

    #[test]
    fn xa_names_have_one_form() {
        let x2 = || "X'7832',X'',1".to_owned();
        check("XA START X'7832',X'',1", Statement::XaStart(x2()));
        check("XA END X'7832',X'',1", Statement::XaEnd);
        check("XA PREPARE 'x2'", Statement::XaPrepare(x2()));
        check("XA COMMIT 0x7832, ''", Statement::XaCommit { xid: x2(), one_phase: false });
        check("xa commit x'7832',x'',1 one phase", Statement::XaCommit { xid: x2(), one_phase: true });
        check("XA ROLLBACK 'x3','branch',7", Statement::XaRollback("X'7833',X'6272616e6368',7".into()));
        check("XA RECOVER", Statement::Harmless);
        check("XA COMMIT", Statement::Unknown("XA COMMIT".into()));
        check("XA COMMIT X'7'", Statement::Unknown("XA COMMIT".into()));
    }

    #[test]
    fn row_changes_as_statements() {
        for (sql, verb) in [
            ("INSERT INTO t VALUES (1)", "INSERT"),
            ("/* app */ update t set v=1", "UPDATE"),
            ("REPLACE t SELECT 1", "REPLACE"),
            ("LOAD DATA INFILE 'x' INTO TABLE t", "LOAD"),
            ("WITH c AS (SELECT 1) DELETE FROM t", "WITH"),
            ("SELECT `db`.`f`()", "SELECT"),
            ("SET STATEMENT max_statement_time=1 FOR DELETE FROM t", "DELETE"),
            ("/*!80000 DELETE FROM t */", "DELETE"),
        ] {
            check(sql, Statement::Dml(verb.into()));
        }
    }

    #[test]
    fn what_changes_no_rows() {
        for sql in [
            "",
            "-- only a comment",
            "FLUSH TABLES",
            "GRANT ALL ON *.* TO x",
            "CREATE USER 'a'@'b' IDENTIFIED BY 'c'",
            "ALTER USER a IDENTIFIED BY 'b'",
            "DROP ROLE r",
            "RENAME USER a TO b",
            "SET PASSWORD FOR a = 'x'",
            "ANALYZE TABLE t",
            "OPTIMIZE TABLE t",
            "CREATE TEMPORARY TABLE x (a INT)",
            "DROP TEMPORARY TABLE IF EXISTS `x` /* generated by server */",
        ] {
            check(sql, Statement::Harmless);
        }
        check("# Dummy event replacing event type 160 that slave cannot handle.", Statement::Dummy);
        check("FROBNICATE t", Statement::Unknown("FROBNICATE".into()));
    }

    #[test]
    fn statements_are_read_in_their_character_set() {
        // 0x5c, the backslash, is the second byte of a character of Shift-JIS and GBK.
        let session = Session { charset: Some("sjis"), ..Session::default() };
        let Statement::Ddl(ddl) = classify(b"DROP TABLE `\x95\x5c`", &session) else { panic!("not DDL") };
        assert_eq!(ddl.tables, [(String::new(), "表".to_owned())]);
        assert_eq!(ddl.text, "DROP TABLE `表`");
        assert_eq!(excerpt(b"INSERT '\x95\x5c'", &session), "INSERT '表'");
        assert!(excerpt(&[b'a'; 5000], &session).ends_with("aaa..."));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut seed = 1u32;
        for length in 0..400 {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let alphabet = b"CREATE TABLE`a``'\"\\/*!50000*/#-- (),.\xff\xc3\xa9ALTERRENAMEXA0x'";
                    alphabet[(seed >> 16) as usize % alphabet.len()]
                })
                .collect();
            for prefix in ["", "ALTER TABLE ", "CREATE TABLE t ", "RENAME TABLE ", "XA START "] {
                let mut sql = prefix.as_bytes().to_vec();
                sql.extend(&bytes);
                classify(&sql, &Session::default());
            }
        }
    }
}
