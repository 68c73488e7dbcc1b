//! Words, names, strings and punctuation of a statement: a tolerant tokenizer of MySQL's and MariaDB's SQL.
//!
//! It never fails: a string or comment without an end goes to the end of the text. Comments are skipped, except those
//! that the server itself executes: `/*! */`, `/*!50110 */` up to its version, `/*M! */` on MariaDB.

use std::borrow::Cow;

/// How the statement's session and server read text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dialect {
    /// `"` quotes a name (sql_mode ANSI_QUOTES).
    pub ansi_quotes: bool,
    /// `\` is a character like any other in strings (sql_mode NO_BACKSLASH_ESCAPES).
    pub no_backslash_escapes: bool,
    pub is_mariadb: bool,
    /// As 80036 for 8.0.36, 101106 for MariaDB 10.11.6; 0: not known, then every versioned comment counts.
    pub server_version: u32,
}

/// The bits of `sql_mode` as QUERY events have them, which are the same for both servers as far as they are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SqlMode(pub u64);

impl SqlMode {
    pub const REAL_AS_FLOAT: Self = Self(1 << 0);
    pub const ANSI_QUOTES: Self = Self(1 << 2);
    /// MariaDB: VARCHAR2, NUMBER, RAW, CLOB; DATE is DATETIME, BLOB is LONGBLOB.
    pub const ORACLE: Self = Self(1 << 9);
    /// MySQL to 5.7, MariaDB: TIMESTAMP is DATETIME.
    pub const MAXDB: Self = Self(1 << 12);
    pub const NO_BACKSLASH_ESCAPES: Self = Self(1 << 20);
    pub const STRICT_TRANS_TABLES: Self = Self(1 << 21);
    pub const STRICT_ALL_TABLES: Self = Self(1 << 22);

    /// Is this bit (or one of these) set?
    pub const fn has(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }
}

impl Dialect {
    pub fn with_sql_mode(self, sql_mode: u64) -> Self {
        let mode = SqlMode(sql_mode);
        Self {
            ansi_quotes: mode.has(SqlMode::ANSI_QUOTES),
            no_backslash_escapes: mode.has(SqlMode::NO_BACKSLASH_ESCAPES),
            ..self
        }
    }

    /// Does this server execute what a comment marked with this version holds?
    fn executes(self, mark: Mark, version: u32) -> bool {
        match mark {
            Mark::Mariadb if !self.is_mariadb => false,
            // MariaDB leaves out what is meant for MySQL 5.7 and later.
            Mark::Any if self.is_mariadb && (50_700..=99_999).contains(&version) => false,
            _ => self.server_version == 0 || version <= self.server_version,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// `/*!`
    Any,
    /// `/*M!`
    Mariadb,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token<'a> {
    /// A keyword, an unquoted name, or a number.
    Word(&'a str),
    /// A name in back-ticks (or in `"` with ANSI_QUOTES).
    Name(Cow<'a, str>),
    Text(Cow<'a, str>),
    Punctuation(char),
}

impl Token<'_> {
    /// Is it this keyword, in whatever case?
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    pub fn is_punctuation(&self, punctuation: char) -> bool {
        *self == Token::Punctuation(punctuation)
    }
}

/// The tokens of a text, one after the other.
#[derive(Debug, Clone)]
pub struct Tokens<'a> {
    rest: &'a str,
    dialect: Dialect,
    /// Executed comments that are open.
    open_comments: u32,
}

impl<'a> Tokens<'a> {
    pub fn new(text: &'a str, dialect: Dialect) -> Self {
        Self { rest: text, dialect, open_comments: 0 }
    }

    pub fn peek(&self) -> Option<Token<'a>> {
        self.clone().next()
    }

    /// Takes the next token if it is this keyword.
    pub fn take_word(&mut self, keyword: &str) -> bool {
        self.take_if(|token| token.is(keyword))
    }

    pub fn take_punctuation(&mut self, punctuation: char) -> bool {
        self.take_if(|token| token.is_punctuation(punctuation))
    }

    pub fn take_if(&mut self, wanted: impl FnOnce(&Token<'a>) -> bool) -> bool {
        let mut ahead = self.clone();
        let taken = ahead.next().is_some_and(|token| wanted(&token));
        if taken {
            *self = ahead;
        }
        taken
    }

    /// Takes all of these keywords, or none.
    pub fn take_all(&mut self, keywords: &[&str]) -> bool {
        let mut ahead = self.clone();
        let taken = keywords.iter().all(|keyword| ahead.take_word(keyword));
        if taken {
            *self = ahead;
        }
        taken
    }

    /// A name: quoted, or a word.
    pub fn name(&mut self) -> Option<String> {
        let mut ahead = self.clone();
        let name = match ahead.next()? {
            Token::Word(word) => word.to_owned(),
            Token::Name(name) => name.into_owned(),
            Token::Text(_) | Token::Punctuation(_) => return None,
        };
        *self = ahead;
        Some(name)
    }

    /// `table` or `database.table`; the database is empty where it is not said.
    pub fn table_name(&mut self) -> Option<(String, String)> {
        self.take_punctuation('.');
        let first = self.name()?;
        if !self.take_punctuation('.') {
            return Some((String::new(), first));
        }
        Some((first, self.name()?))
    }

    /// Skips spaces and comments that are not executed; enters and leaves those that are.
    fn skip_blank(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}' || c == '\0');
            if self.rest.starts_with('#') || is_dash_comment(self.rest) {
                self.rest = self.rest.find('\n').and_then(|end| self.rest.get(end..)).unwrap_or_default();
            } else if let Some(inside) = self.rest.strip_prefix("/*") {
                self.comment(inside);
            } else if self.open_comments > 0
                && let Some(behind) = self.rest.strip_prefix("*/")
            {
                self.open_comments -= 1;
                self.rest = behind;
            } else {
                return;
            }
        }
    }

    fn comment(&mut self, inside: &'a str) {
        let marked = inside
            .strip_prefix('!')
            .map(|behind| (Mark::Any, behind))
            .or_else(|| inside.strip_prefix("M!").map(|behind| (Mark::Mariadb, behind)));
        if let Some((mark, behind)) = marked {
            let digits = behind.bytes().take(6).take_while(u8::is_ascii_digit).count();
            let digits = if digits >= 5 { digits } else { 0 };
            let (version, content) = behind.split_at_checked(digits).unwrap_or(("", behind));
            if self.dialect.executes(mark, version.parse().unwrap_or(0)) {
                self.open_comments += 1;
                self.rest = content;
                return;
            }
        }
        self.rest = behind_comment(inside, marked.is_some());
    }

    /// Behind the quote that opened it: the content, up to the same quote.
    fn quoted(&mut self, quote: char, escapes: bool) -> Cow<'a, str> {
        let text = self.rest;
        let mut content: Option<String> = None;
        let mut from = 0;
        let mut characters = text.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            if character == quote {
                let behind = at + character.len_utf8();
                if characters.peek().is_some_and(|(_, next)| *next == quote) {
                    // Doubled: one of them counts.
                    content.get_or_insert_default().push_str(text.get(from..behind).unwrap_or_default());
                    characters.next();
                    from = behind + quote.len_utf8();
                    continue;
                }
                self.rest = text.get(behind..).unwrap_or_default();
                let last = text.get(from..at).unwrap_or_default();
                return match content {
                    None => Cow::Borrowed(last),
                    Some(content) => Cow::Owned(content + last),
                };
            }
            if character == '\\' && escapes {
                let content = content.get_or_insert_default();
                content.push_str(text.get(from..at).unwrap_or_default());
                if let Some((next_at, next)) = characters.next() {
                    if matches!(next, '%' | '_') {
                        // Left as they are, for patterns.
                        content.push('\\');
                    }
                    content.push(unescaped(next));
                    from = next_at + next.len_utf8();
                } else {
                    from = text.len();
                }
            }
        }
        self.rest = "";
        let last = text.get(from..).unwrap_or_default();
        match content {
            None => Cow::Borrowed(last),
            Some(content) => Cow::Owned(content + last),
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let first = self.rest.chars().next()?;
        let behind = self.rest.get(first.len_utf8()..).unwrap_or_default();
        let escapes = !self.dialect.no_backslash_escapes;
        match first {
            '`' => {
                self.rest = behind;
                Some(Token::Name(self.quoted('`', false)))
            }
            '"' if self.dialect.ansi_quotes => {
                self.rest = behind;
                Some(Token::Name(self.quoted('"', false)))
            }
            '\'' | '"' => {
                self.rest = behind;
                Some(Token::Text(self.quoted(first, escapes)))
            }
            _ if is_word(first) => {
                let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at_checked(end)?;
                self.rest = rest;
                Some(Token::Word(word))
            }
            _ => {
                self.rest = behind;
                Some(Token::Punctuation(first))
            }
        }
    }
}

/// What follows a comment that is skipped. A versioned one may hold comments of one level.
fn behind_comment(inside: &str, nests: bool) -> &str {
    let mut rest = inside;
    loop {
        let Some(end) = rest.find("*/") else { return "" };
        match rest.find("/*").filter(|begin| nests && *begin < end) {
            Some(begin) => rest = behind_comment(rest.get(begin + 2..).unwrap_or_default(), false),
            None => return rest.get(end + 2..).unwrap_or_default(),
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// `--` is a comment only before a blank or the end.
fn is_dash_comment(text: &str) -> bool {
    text.strip_prefix("--")
        .is_some_and(|rest| rest.chars().next().is_none_or(|c| c.is_ascii_whitespace() || c.is_ascii_control()))
}

fn unescaped(c: char) -> char {
    match c {
        '0' => '\0',
        'b' => '\u{8}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'Z' => '\u{1a}',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, dialect: Dialect, expected: &[&str]) {
        let tokens: Vec<String> = Tokens::new(text, dialect)
            .map(|token| match token {
                Token::Word(word) => word.to_owned(),
                Token::Name(name) => format!("`{name}`"),
                Token::Text(text) => format!("'{text}'"),
                Token::Punctuation(c) => c.to_string(),
            })
            .collect();
        assert_eq!(tokens, expected, "{text}");
    }

    #[test]
    fn names_strings_and_comments() {
        let plain = Dialect::default();
        check("", plain, &[]);
        check("a.`b``c` = 'it''s' -- x\n, \"q\\\"r\"#y", plain, &["a", ".", "`b`c`", "=", "'it's'", ",", "'q\"r'"]);
        check("/* 'x */ rename /* gh-ost */ table", plain, &["rename", "table"]);
        check("5--3", plain, &["5", "-", "-", "3"]);
        check("tä$1 '\\n\\\\'", plain, &["tä$1", "'\n\\'"]);
        check("'no end \\", plain, &["'no end '"]);
        check("`no end", plain, &["`no end`"]);
        check("/* no end", plain, &[]);
        check("'a\\'b'", plain, &["'a'b'"]);
        check("'\\%\\_\\q'", plain, &["'\\%\\_q'"]);
        check("'a\\' b", plain.with_sql_mode(1 << 20), &["'a\\'", "b"]);
        check("\"a\"\"b\"", plain.with_sql_mode(4), &["`a\"b`"]);
    }

    #[test]
    fn versioned_comments_count_where_the_server_executes_them() {
        let mysql = Dialect { server_version: 80_036, ..Dialect::default() };
        let mariadb = Dialect { server_version: 101_106, is_mariadb: true, ..Dialect::default() };
        check("a /*!50110 b */ c", mysql, &["a", "b", "c"]);
        check("a /*!99999 b */ c", mysql, &["a", "c"]);
        check("a /*!99999 b /* x */ c */ d", mysql, &["a", "d"]);
        check("a /* b /* x */ c", mysql, &["a", "c"]);
        check("a /*!99999 b /* x */", mysql, &["a"]);
        check("a /*! b /* x */ c */ d", mysql, &["a", "b", "c", "d"]);
        check("a /*M! b */ c", mysql, &["a", "c"]);
        check("a /*M!100400 b */ c", mariadb, &["a", "b", "c"]);
        check("a /*M!110400 b */ c", mariadb, &["a", "c"]);
        check("a /*!80000 b */ c /*!50100 d */", mariadb, &["a", "c", "d"]);
        check("a /*!100400 b */", mariadb, &["a", "b"]);
        check("a /*+ hint */ b", mysql, &["a", "b"]);
        check("/*!999999 b */ c", Dialect::default(), &["b", "c"]);
    }
}
