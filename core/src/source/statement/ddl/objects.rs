//! Which kind of object a statement is about, and statements that only name tables.

use super::super::token::Token;
use super::not_understood;
use super::parser::{Parsed, Parser};
use super::tree::{Change, CharsetClause, IndexChange, TableName, TypeSpec, UniqueKey, Unknown};
use crate::catalog::DefinedType;

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
const OBJECTS: [&str; 9] =
    ["TABLE", "TABLES", "INDEX", "DATABASE", "SCHEMA", "VIEW", "SEQUENCE", "PREPARE", "MATERIALIZED"];

/// The word that says what kind of object it is, and the words before it, all in upper case.
#[derive(Default)]
struct Object {
    word: String,
    modifiers: Vec<String>,
}

impl Object {
    fn has(&self, modifier: &str) -> bool {
        self.modifiers.iter().any(|known| known == modifier)
    }
}

impl<'a> Parser<'_, 'a> {
    fn object(&mut self) -> Object {
        let mut object = Object::default();
        // DEFINER=`u`@`h` SQL SECURITY INVOKER: 9 tokens are the most that stand there; 64 are tolerated.
        for _ in 0..64 {
            match self.tokens.next() {
                Some(Token::Word(word)) => {
                    let word = word.to_ascii_uppercase();
                    let known = |list: &[&str]| list.contains(&word.as_str());
                    if known(&OBJECTS) || known(&ACCOUNTS) || known(&NOT_TABLES) {
                        object.word = word;
                        return object;
                    }
                    object.modifiers.push(word);
                }
                Some(_) => {}
                None => return object,
            }
        }
        object
    }

    /// Behind CREATE; `None` where it is no one's business.
    pub fn create(&mut self) -> Option<Change> {
        let object = self.object();
        let or_replace = object.has("REPLACE");
        Some(match object.word.as_str() {
            "TABLE" if object.has("TEMPORARY") => return None,
            "TABLE" => self.create_table(),
            "INDEX" if object.has("UNIQUE") && self.session.dialect.is_mariadb => {
                self.index(IndexChange::AddUnique(UniqueKey { hangs_on_names: or_replace, ..UniqueKey::default() }))
            }
            "INDEX" => self.index(IndexChange::Add),
            "VIEW" => {
                self.if_not_exists();
                self.table_name().map_or_else(not_understood, Change::CreateView)
            }
            "SEQUENCE" if object.has("TEMPORARY") => return None,
            "SEQUENCE" => self.sequence(true),
            "DATABASE" | "SCHEMA" => self.create_database(or_replace).unwrap_or_else(not_understood),
            _ => return remaining(&object.word),
        })
    }

    /// Behind ALTER.
    pub fn alter(&mut self) -> Option<Change> {
        let object = self.object();
        Some(match object.word.as_str() {
            "TABLE" => self.alter_table(),
            "VIEW" => {
                self.if_exists();
                self.table_name().map_or_else(not_understood, Change::AlterView)
            }
            "SEQUENCE" => self.sequence(false),
            "DATABASE" | "SCHEMA" => self.alter_database().unwrap_or_else(not_understood),
            _ => return remaining(&object.word),
        })
    }

    /// Behind DROP.
    pub fn drop_statement(&mut self) -> Option<Change> {
        let object = self.object();
        Some(match object.word.as_str() {
            "TABLE" | "TABLES" | "SEQUENCE" if object.has("TEMPORARY") => return None,
            "TABLE" | "TABLES" | "VIEW" | "SEQUENCE" => {
                self.if_exists();
                match object.word.as_str() {
                    "VIEW" => self.dropped("other", Change::DropViews),
                    "SEQUENCE" => self.dropped("other", Change::DropSequences),
                    _ => self.dropped("drop_table", Change::DropTables),
                }
            }
            "INDEX" => self.index(IndexChange::Drop),
            "DATABASE" | "SCHEMA" => {
                self.if_exists();
                self.name("a database's name").map_or_else(not_understood, Change::DropDatabase)
            }
            _ => return remaining(&object.word),
        })
    }

    fn dropped(&mut self, kind: &'static str, change: fn(Vec<TableName>) -> Change) -> Change {
        let before = self.tokens.clone();
        let names = self.table_names();
        self.any_word(&["RESTRICT", "CASCADE"]);
        self.wait();
        match names {
            Ok(names) if self.at_end() => change(names),
            _ => {
                let reason = self.unexpected("the end of DROP");
                *self.tokens = before;
                let tables = self.table_name().into_iter().collect();
                Change::Unknown(Unknown { kind, tables, others: true, carries_rows: false, reason })
            }
        }
    }

    /// Behind RENAME.
    pub fn rename(&mut self) -> Option<Change> {
        if !self.any_word(&["TABLE", "TABLES"]) {
            return match self.tokens.next() {
                Some(Token::Word(word)) => remaining(&word.to_ascii_uppercase()),
                _ => Some(not_understood("RENAME of nothing".to_owned())),
            };
        }
        let if_exists = self.if_exists();
        let mut pairs = Vec::new();
        let mut tables = Vec::new();
        Some(loop {
            match self.renamed() {
                Ok(pair) => {
                    tables.extend([pair.0.clone(), pair.1.clone()]);
                    pairs.push(pair);
                }
                // Not understood to its end: more tables may be touched than were found.
                Err(reason) => {
                    let (kind, others, carries_rows) = ("rename_table", true, false);
                    break Change::Unknown(Unknown { kind, tables, others, carries_rows, reason });
                }
            }
            if !self.punctuation(',') {
                break Change::RenameTables { pairs, if_exists };
            }
        })
    }

    fn renamed(&mut self) -> Parsed<(TableName, TableName)> {
        let from = self.table_name()?;
        self.wait();
        if !self.any_word(&["TO", "AS"]) {
            return Err(self.unexpected("TO"));
        }
        Ok((from, self.table_name()?))
    }

    /// `[IF EXISTS] [name] ... ON table`
    fn index(&mut self, mut index: IndexChange) -> Change {
        let is_conditional = self.if_not_exists() || self.if_exists();
        if let (IndexChange::Drop, Some(Token::Name(name))) = (&index, self.tokens.peek())
            && name.eq_ignore_ascii_case("PRIMARY")
        {
            index = IndexChange::DropPrimaryKey;
        }
        let mut uses_hash = false;
        while let Some(token) = self.tokens.next() {
            if token.is_any(&["USING", "TYPE"]) {
                uses_hash = self.at("HASH");
            }
            if !token.is("ON") {
                continue;
            }
            let table = match self.table_name() {
                Ok(table) => table,
                Err(reason) => return not_understood(reason),
            };
            if let IndexChange::AddUnique(key) = &mut index {
                match self.unique_parts() {
                    Ok(parts) => {
                        *key = UniqueKey {
                            uses_hash: uses_hash || parts.uses_hash,
                            hangs_on_names: key.hangs_on_names || is_conditional,
                            ..parts
                        }
                    }
                    Err(reason) => {
                        let tables = vec![table];
                        let (kind, others, carries_rows) = ("other", false, false);
                        return Change::Unknown(Unknown { kind, tables, others, carries_rows, reason });
                    }
                }
            }
            return Change::Index { table, index };
        }
        not_understood("an index of no table".to_owned())
    }

    /// MariaDB: `name [AS type] ...`
    fn sequence(&mut self, creates: bool) -> Change {
        let if_not_exists = self.if_not_exists();
        self.if_exists();
        let name = match self.table_name() {
            Ok(name) => name,
            Err(reason) => return not_understood(reason),
        };
        let mut value = None;
        while let Some(token) = self.tokens.next() {
            if token.is("AS") {
                match self.type_spec() {
                    Ok(TypeSpec::Plain(defined_type @ DefinedType::Integer { .. })) => value = Some(defined_type),
                    _ => {
                        let (kind, reason) = ("other", "the type of a sequence's values".to_owned());
                        let tables = vec![name];
                        return Change::Unknown(Unknown { kind, tables, others: false, carries_rows: false, reason });
                    }
                }
            }
        }
        if creates {
            Change::CreateSequence { name, if_not_exists, value }
        } else {
            Change::AlterSequence { name, value }
        }
    }

    fn create_database(&mut self, or_replace: bool) -> Parsed<Change> {
        let if_not_exists = self.if_not_exists();
        let name = self.name("a database's name")?;
        Ok(Change::CreateDatabase { name, or_replace, if_not_exists, charset: self.database_options()? })
    }

    /// `[name] options`: without a name the session's database is meant.
    fn alter_database(&mut self) -> Parsed<Change> {
        const OPTIONS: [&str; 8] =
            ["DEFAULT", "CHARACTER", "CHAR", "CHARSET", "COLLATE", "ENCRYPTION", "READ", "COMMENT"];
        // CHARSET and others are not reserved: such a word is a name where an option stands behind it.
        let second = self.tokens.clone().nth(1);
        let is_option = self.at_any(&["DEFAULT", "CHARACTER", "CHAR", "COLLATE", "READ"])
            || (self.at_any(&["CHARSET", "ENCRYPTION", "COMMENT"])
                && !second.is_some_and(|token| token.is_any(&OPTIONS)));
        let name = if is_option { self.session.database.to_owned() } else { self.name("a database's name")? };
        Ok(Change::AlterDatabase { name, charset: self.database_options()? })
    }

    fn database_options(&mut self) -> Parsed<CharsetClause> {
        let mut charset = CharsetClause::default();
        while !self.at_end() {
            self.punctuation(',');
            self.word("DEFAULT");
            if self.charset_clause(&mut charset)? {
                continue;
            }
            if self.any_word(&["ENCRYPTION", "COMMENT"]) || self.words(&["READ", "ONLY"]) {
                self.punctuation('=');
                self.name_or_text("an option's value")?;
            } else {
                return Err(self.unexpected("an option of a database"));
            }
        }
        Ok(charset)
    }
}

/// Statements about what is not a table: `None` where they are no one's business.
fn remaining(object: &str) -> Option<Change> {
    match object {
        "PREPARE" => None,
        _ if ACCOUNTS.contains(&object) => None,
        _ if NOT_TABLES.contains(&object) => Some(Change::Harmless),
        "" => Some(not_understood("a kind of object that is not known".to_owned())),
        _ => Some(not_understood(format!("a kind of object that is not known: {object}"))),
    }
}
