//! The statement of a QUERY event.
//!
//! ```text
//! u8 mode: bit 0 MariaDB, bits 1-3 sql_mode, bits 4-7 character set   u8 version   rest: the statement
//! ```
//! Holds: an answer for everything, no longer than a multiple of the statement; blanks before it change nothing.

use millstream_core::source::statement::{Dialect, Session, Statement, classify, excerpt};

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
    let session = Session { dialect, database: "shop", charset };
    let sql = input.rest();
    let statement = classify(sql, &session);
    let text = format!("{statement:?}");
    // Every byte may become an escaped replacement character, and stand in the text and in a name.
    assert!(text.len() <= 4096 + 64 * sql.len(), "{} bytes of {}", text.len(), sql.len());
    assert!(excerpt(sql, &session).chars().count() <= 200 + 3);
    if charset != Some("ucs2") && !matches!(statement, Statement::Dummy) {
        let padded = [b" \n\t", sql].concat();
        let again = classify(&padded, &session);
        assert_eq!(std::mem::discriminant(&statement), std::mem::discriminant(&again), "{statement:?} {again:?}");
    }
}
