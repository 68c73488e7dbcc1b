//! The statement of a QUERY event.
//!
//! ```text
//! u8 mode: bit 0 MariaDB, bits 1-3 sql_mode, bits 4-7 character set   u8 version   rest: the statement
//! ```
//! Holds: an answer for everything, no longer than a multiple of the statement; blanks before it change nothing; DDL is
//! followed alike each time.

use millstream_core::catalog::{Catalog, Outcome, ServerFacts};
use millstream_core::source::statement::{DdlStatement, Dialect, Session, Statement, classify, excerpt};

use crate::input::Input;

const CHARSETS: [&str; 8] = ["utf8mb4", "latin1", "gbk", "sjis", "ucs2", "utf8mb3", "big5", "none"];

pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let (mode, version) = (input.u8(), u32::from(input.u8()));
    let dialect = Dialect {
        is_mariadb: mode & 1 != 0,
        server_version: version * 1000,
        ansi_quotes: mode & 2 != 0,
        no_backslash_escapes: mode & 4 != 0,
    };
    let charset = (mode & 8 != 0).then(|| CHARSETS[usize::from(mode >> 4) % CHARSETS.len()]);
    let session = Session { dialect, database: "shop", charset, ..Session::default() };
    let sql = input.rest();
    let statement = classify(sql, &session);
    let text = format!("{statement:?}");
    // Every byte may become an escaped replacement character, and stand in the text and in a name.
    assert!(text.len() <= 4096 + 64 * sql.len(), "{} bytes of {}", text.len(), sql.len());
    assert!(excerpt(sql, &session).chars().count() <= 200 + 3);
    if let Statement::Ddl(ddl) = &statement {
        follow(ddl, &session);
    }
    if charset != Some("ucs2") && !matches!(statement, Statement::Dummy) {
        let padded = [b" \n\t", sql].concat();
        let again = classify(&padded, &session);
        assert_eq!(std::mem::discriminant(&statement), std::mem::discriminant(&again), "{statement:?} {again:?}");
    }
}

/// The same statement on the same tables has the same outcome, and what is said to be changed is all that is.
fn follow(ddl: &DdlStatement, session: &Session<'_>) {
    let tables = || {
        let mut catalog = Catalog::new(ServerFacts::default());
        catalog.put_database("shop", "latin1".into());
        for sql in [&b"CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10), b ENUM('x'))"[..], b"CREATE TABLE u LIKE t"] {
            let session = Session { database: "shop", ..Session::default() };
            let Statement::Ddl(ddl) = classify(sql, &session) else { panic!("not DDL") };
            assert_eq!(catalog.apply(&ddl, &session).outcome, Outcome::Understood);
        }
        catalog
    };
    let (mut first, mut second, before) = (tables(), tables(), tables());
    assert_eq!(first.apply(ddl, session), second.apply(ddl, session));
    let effect = first.clone().apply(&DdlStatement::unknown(String::new()), session);
    assert!(matches!(effect.outcome, Outcome::Dangerous { .. }));
    let mut third = tables();
    let effect = third.apply(ddl, session);
    for (name, state) in before.tables() {
        let is_said = effect.changed.contains(name);
        assert!(is_said || third.table(&name.0, &name.1) == state, "{name:?} changed unseen");
    }
}
