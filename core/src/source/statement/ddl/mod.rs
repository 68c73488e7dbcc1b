//! Which tables a DDL statement touches, as far as it says so plainly, and which columns it renames.
//!
//! Not the parser of the schema history: definitions of columns are skipped, not understood.

use super::token::{Token, Tokens};
use super::{Session, Statement};

/// Whose columns a statement may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touches {
    /// No table's.
    Nothing,
    /// Those of the tables that are listed.
    Listed,
    /// It does not say.
    Unknown,
}

/// Columns of one table that change their names, all at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnRenames {
    pub database: String,
    pub table: String,
    pub columns: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DdlStatement {
    /// create_table, alter_table, drop_table, rename_table, truncate_table, other.
    pub kind: &'static str,
    /// (database, table); the database is empty where the statement means the session's, and there is none.
    pub tables: Vec<(String, String)>,
    pub touches: Touches,
    pub renames: Option<ColumnRenames>,
    /// It also fills the table, from a SELECT: rows that the log does not hold.
    pub carries_rows: bool,
    /// The whole statement.
    pub text: String,
}

impl DdlStatement {
    pub(super) fn other(touches: Touches) -> Self {
        Self { kind: "other", tables: Vec::new(), touches, renames: None, carries_rows: false, text: String::new() }
    }

    /// For a statement that is not known at all.
    pub fn unknown(text: String) -> Self {
        Self { text, ..Self::other(Touches::Unknown) }
    }

    fn of(kind: &'static str, tables: Vec<(String, String)>) -> Self {
        // A statement that should name a table and does not was not understood.
        let touches = if tables.is_empty() { Touches::Unknown } else { Touches::Listed };
        Self { kind, tables, ..Self::other(touches) }
    }
}

pub(super) fn parse(verb: &str, tokens: &mut Tokens<'_>, session: &Session<'_>) -> Statement {
    let parsed = match verb {
        "CREATE" => create(tokens),
        "ALTER" => alter(tokens),
        "DROP" => drop_statement(tokens),
        "RENAME" => rename(tokens),
        _ => {
            tokens.take_word("TABLE");
            Some(DdlStatement::of("truncate_table", tokens.table_name().into_iter().collect()))
        }
    };
    let Some(mut ddl) = parsed else { return Statement::Harmless };
    let own = |database: &mut String| {
        if database.is_empty() {
            session.database.clone_into(database);
        }
    };
    ddl.tables.iter_mut().for_each(|(database, _)| own(database));
    ddl.renames.iter_mut().for_each(|renames| own(&mut renames.database));
    Statement::Ddl(Box::new(ddl))
}

/// Accounts, and what else is no business of a reader of rows. Their statements hold password hashes.
const ACCOUNTS: [&str; 2] = ["USER", "ROLE"];
/// Objects that are not tables, whose statements change no table.
const NOT_TABLES: [&str; 15] = [
    "PROCEDURE",
    "FUNCTION",
    "EVENT",
    "TRIGGER",
    "SERVER",
    "TABLESPACE",
    "LOGFILE",
    "UNDO",
    "RESOURCE",
    "PACKAGE",
    "LIBRARY",
    "INSTANCE",
    "REFERENCE",
    "CATALOG",
    "MASKING",
];

fn if_exists(tokens: &mut Tokens<'_>) {
    let _ = tokens.take_all(&["IF", "NOT", "EXISTS"]) || tokens.take_all(&["IF", "EXISTS"]);
}

/// The word that says what kind of object it is, behind the options that may stand before it.
fn object<'a>(tokens: &mut Tokens<'a>, modifiers: &mut Vec<String>) -> Option<&'a str> {
    const OBJECTS: [&str; 9] =
        ["TABLE", "TABLES", "INDEX", "DATABASE", "SCHEMA", "VIEW", "SEQUENCE", "PREPARE", "MATERIALIZED"];
    // DEFINER=`u`@`h` SQL SECURITY INVOKER: 9 tokens are the most that stand there; 64 are tolerated.
    for _ in 0..64 {
        match tokens.next()? {
            Token::Word(word) => {
                let known = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(word));
                if known(&OBJECTS) || known(&ACCOUNTS) || known(&NOT_TABLES) {
                    return Some(word);
                }
                modifiers.push(word.to_ascii_uppercase());
            }
            Token::Name(_) | Token::Text(_) | Token::Punctuation(_) => {}
        }
    }
    None
}

fn create(tokens: &mut Tokens<'_>) -> Option<DdlStatement> {
    let mut modifiers = Vec::new();
    let object = object(tokens, &mut modifiers).unwrap_or_default().to_ascii_uppercase();
    let has = |modifier: &str| modifiers.iter().any(|known| known == modifier);
    Some(match object.as_str() {
        "TABLE" if has("TEMPORARY") => return None,
        "TABLE" => {
            if_exists(tokens);
            let table = tokens.table_name();
            let carries_rows = table.is_some() && selects(tokens);
            DdlStatement { carries_rows, ..DdlStatement::of("create_table", table.into_iter().collect()) }
        }
        "INDEX" => index(tokens),
        "VIEW" | "SEQUENCE" => {
            if_exists(tokens);
            listed("other", tokens)
        }
        "DATABASE" | "SCHEMA" if has("REPLACE") => DdlStatement::other(Touches::Unknown),
        "DATABASE" | "SCHEMA" => DdlStatement::other(Touches::Nothing),
        _ => return remaining(&object),
    })
}

/// Statements about what is not a table: `None` where they are no one's business.
fn remaining(object: &str) -> Option<DdlStatement> {
    match object {
        "PREPARE" => None,
        _ if ACCOUNTS.contains(&object) => None,
        _ if NOT_TABLES.contains(&object) => Some(DdlStatement::other(Touches::Nothing)),
        _ => Some(DdlStatement::other(Touches::Unknown)),
    }
}

/// Behind the name of a new table: is it filled at once?
fn selects(tokens: &mut Tokens<'_>) -> bool {
    let mut depth = 0u32;
    while let Some(token) = tokens.next() {
        match token {
            Token::Punctuation('(') => depth += 1,
            Token::Punctuation(')') => depth = depth.saturating_sub(1),
            // SELECT is reserved, and no expression of a definition may hold one.
            _ if token.is("SELECT") => return true,
            _ if depth == 0 && token.is_any(&["VALUES", "TABLE"]) => return true,
            _ if depth == 0 && token.is("WITH") && !tokens.take_word("SYSTEM") => return true,
            _ => {}
        }
    }
    false
}

/// `[name] ... ON table`
fn index(tokens: &mut Tokens<'_>) -> DdlStatement {
    while let Some(token) = tokens.next() {
        if token.is("ON") {
            return DdlStatement::of("other", tokens.table_name().into_iter().collect());
        }
    }
    DdlStatement::other(Touches::Unknown)
}

/// One or more names, separated by commas.
fn listed(kind: &'static str, tokens: &mut Tokens<'_>) -> DdlStatement {
    let mut tables = Vec::new();
    loop {
        tables.extend(tokens.table_name());
        if !tokens.take_punctuation(',') {
            return DdlStatement::of(kind, tables);
        }
    }
}

fn drop_statement(tokens: &mut Tokens<'_>) -> Option<DdlStatement> {
    let mut modifiers = Vec::new();
    let object = object(tokens, &mut modifiers).unwrap_or_default().to_ascii_uppercase();
    Some(match object.as_str() {
        "TABLE" | "TABLES" | "SEQUENCE" if modifiers.iter().any(|word| word == "TEMPORARY") => return None,
        "TABLE" | "TABLES" => {
            if_exists(tokens);
            listed("drop_table", tokens)
        }
        "VIEW" | "SEQUENCE" => {
            if_exists(tokens);
            listed("other", tokens)
        }
        "INDEX" => index(tokens),
        // Every table of it.
        "DATABASE" | "SCHEMA" => DdlStatement::other(Touches::Unknown),
        _ => return remaining(&object),
    })
}

fn rename(tokens: &mut Tokens<'_>) -> Option<DdlStatement> {
    if !tokens.take_word("TABLE") && !tokens.take_word("TABLES") {
        let Some(Token::Word(word)) = tokens.next() else { return Some(DdlStatement::other(Touches::Unknown)) };
        return remaining(&word.to_ascii_uppercase());
    }
    if_exists(tokens);
    let mut tables = Vec::new();
    loop {
        tables.extend(tokens.table_name());
        wait(tokens);
        if !tokens.take_word("TO") && !tokens.take_word("AS") {
            // Not understood to its end: more tables may be touched than were found.
            return Some(DdlStatement { kind: "rename_table", tables, ..DdlStatement::other(Touches::Unknown) });
        }
        tables.extend(tokens.table_name());
        if !tokens.take_punctuation(',') {
            let mut seen: Vec<(String, String)> = Vec::with_capacity(tables.len());
            for table in tables {
                if !seen.contains(&table) {
                    seen.push(table);
                }
            }
            return Some(DdlStatement::of("rename_table", seen));
        }
    }
}

/// MariaDB: WAIT n, NOWAIT.
fn wait(tokens: &mut Tokens<'_>) {
    if tokens.take_word("WAIT") {
        tokens.next();
    } else {
        tokens.take_word("NOWAIT");
    }
}

fn alter(tokens: &mut Tokens<'_>) -> Option<DdlStatement> {
    let mut modifiers = Vec::new();
    let object = object(tokens, &mut modifiers).unwrap_or_default().to_ascii_uppercase();
    Some(match object.as_str() {
        "TABLE" => alter_table(tokens),
        "VIEW" | "SEQUENCE" => {
            if_exists(tokens);
            listed("other", tokens)
        }
        "DATABASE" | "SCHEMA" => DdlStatement::other(Touches::Nothing),
        _ => return remaining(&object),
    })
}

fn alter_table(tokens: &mut Tokens<'_>) -> DdlStatement {
    if_exists(tokens);
    let Some((database, table)) = tokens.table_name() else {
        return DdlStatement { kind: "alter_table", ..DdlStatement::other(Touches::Unknown) };
    };
    wait(tokens);
    let mut tables = vec![(database.clone(), table.clone())];
    let mut columns = Vec::new();
    loop {
        if tokens.take_word("RENAME") {
            if tokens.take_word("COLUMN") {
                if_exists(tokens);
                if let Some(from) = tokens.name()
                    && tokens.take_word("TO")
                    && let Some(to) = tokens.name()
                {
                    columns.push((from, to));
                }
            } else if !tokens.take_word("INDEX") && !tokens.take_word("KEY") {
                let _ = tokens.take_word("TO") || tokens.take_word("AS") || tokens.take_punctuation('=');
                tables.extend(tokens.table_name());
            }
        } else if tokens.take_word("CHANGE") {
            tokens.take_word("COLUMN");
            if_exists(tokens);
            if let Some(from) = tokens.name()
                && let Some(to) = tokens.name()
                && from != to
            {
                columns.push((from, to));
            }
        } else if tokens.take_all(&["CONVERT", "TABLE"]) {
            tables.extend(tokens.table_name());
        } else if tokens.take_all(&["CONVERT", "PARTITION"]) {
            tokens.next();
            if tokens.take_all(&["TO", "TABLE"]) {
                tables.extend(tokens.table_name());
            }
        } else if tokens.take_all(&["EXCHANGE", "PARTITION"]) {
            tokens.next();
            if tokens.take_all(&["WITH", "TABLE"]) {
                tables.extend(tokens.table_name());
            }
        }
        // The rest of this change, up to the comma that ends it.
        let mut depth = 0u32;
        loop {
            match tokens.next() {
                Some(Token::Punctuation('(')) => depth += 1,
                Some(Token::Punctuation(')')) => depth = depth.saturating_sub(1),
                Some(Token::Punctuation(',')) if depth == 0 => break,
                Some(_) => {}
                None => {
                    let renames = (!columns.is_empty()).then_some(ColumnRenames { database, table, columns });
                    return DdlStatement { renames, ..DdlStatement::of("alter_table", tables) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
