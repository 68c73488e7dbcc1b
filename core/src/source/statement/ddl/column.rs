//! A column's definition: its name, type and attributes.

use super::super::token::Token;
use super::parser::{Parsed, Parser};
use super::tree::{CharsetClause, ColumnSpec, Place, RowBound, TypeSpec};

/// What may follow a DEFAULT's value: where one of them stands, the value has ended.
const ATTRIBUTES: [&str; 38] = [
    "AFTER",
    "AS",
    "AUTO_INCREMENT",
    "CHECK",
    "COLLATE",
    "COLUMN_FORMAT",
    "COMMENT",
    "COMPRESSED",
    "CONSTRAINT",
    "DEFAULT",
    "ENFORCED",
    "ENGINE_ATTRIBUTE",
    "FIRST",
    "GENERATED",
    "INVISIBLE",
    "KEY",
    "NOT",
    "NULL",
    "ON",
    "PARTITION",
    "PERSISTENT",
    "PRIMARY",
    "REFERENCES",
    "REMOVE",
    "SECONDARY_ENGINE_ATTRIBUTE",
    "SERIAL",
    "SRID",
    "STORAGE",
    "STORED",
    "UNIQUE",
    "VIRTUAL",
    "VISIBLE",
    "WITH",
    "WITHOUT",
    "CHARACTER",
    "CHARSET",
    "UNSIGNED",
    "ZEROFILL",
];

impl Parser<'_, '_> {
    pub fn column(&mut self) -> Parsed<(ColumnSpec, Place)> {
        let name = self.column_name()?;
        self.column_named(name)
    }

    /// What stands behind the name. FIRST and AFTER are only known to ALTER, and nowhere else mean anything.
    pub fn column_named(&mut self, name: String) -> Parsed<(ColumnSpec, Place)> {
        // SERIAL is BIGINT UNSIGNED NOT NULL AUTO_INCREMENT UNIQUE.
        let is_serial = self.at("SERIAL");
        let type_spec = self.type_spec().map_err(|reason| format!("column {name}: {reason}"))?;
        let mut column = ColumnSpec {
            name,
            type_spec,
            primary_key: false,
            unique: is_serial,
            row_bound: None,
            system_versioning: false,
        };
        let mut place = Place::Unsaid;
        while !self.at_end() && !self.at_punctuation(',') && !self.at_punctuation(')') && !self.at_partitioning() {
            self.attribute(&mut column, &mut place).map_err(|reason| format!("column {}: {reason}", column.name))?;
        }
        Ok((column, place))
    }

    /// What may stand behind the last clause of ALTER TABLE without a comma.
    pub fn at_partitioning(&self) -> bool {
        self.at_words(&["PARTITION", "BY"]) || self.at_words(&["REMOVE", "PARTITIONING"])
    }

    fn attribute(&mut self, column: &mut ColumnSpec, place: &mut Place) -> Parsed<()> {
        let word = match self.tokens.peek() {
            Some(Token::Word(word)) => word.to_ascii_uppercase(),
            // An attribute of MariaDB's engines, in quotes.
            Some(Token::Name(_)) => return self.engine_attribute(),
            _ => return Err(self.unexpected("an attribute")),
        };
        let mut charset = CharsetClause::default();
        if self.charset_clause(&mut charset)? {
            if let TypeSpec::Characters { charset: known, .. } | TypeSpec::Labels { charset: known, .. } =
                &mut column.type_spec
            {
                known.charset = charset.charset.or(known.charset.take());
                known.collation = charset.collation.or(known.collation.take());
            }
            return Ok(());
        }
        if self.engine_attribute().is_ok() {
            return Ok(());
        }
        self.tokens.next();
        match word.as_str() {
            "NULL" | "AUTO_INCREMENT" | "VIRTUAL" | "STORED" | "PERSISTENT" | "VISIBLE" | "INVISIBLE" | "ENFORCED"
            | "COMPRESSED" => {}
            "NOT" if self.any_word(&["NULL", "SECONDARY", "ENFORCED"]) => {}
            "DEFAULT" => self.default_value()?,
            "ON" => self.on_update()?,
            "UNIQUE" => {
                self.word("KEY");
                column.unique = true;
            }
            "PRIMARY" | "KEY" => {
                if word == "PRIMARY" {
                    self.word("KEY");
                }
                column.primary_key = true;
            }
            "SERIAL" => {
                self.need("DEFAULT")?;
                self.need("VALUE")?;
                column.unique = true;
            }
            "COMMENT" | "COLUMN_FORMAT" | "STORAGE" | "SRID" | "ENGINE_ATTRIBUTE" | "SECONDARY_ENGINE_ATTRIBUTE" => {
                self.name_or_text("a value")?;
            }
            "GENERATED" => {
                self.need("ALWAYS")?;
                self.need("AS")?;
                column.row_bound = self.generated()?;
            }
            "AS" => column.row_bound = self.generated()?,
            "REFERENCES" => self.references()?,
            "CONSTRAINT" => {
                if !self.at("CHECK") {
                    self.name("a constraint's name")?;
                }
                if self.word("CHECK") {
                    self.skip_parentheses()?;
                } else if !self.at("REFERENCES") {
                    return Err(self.unexpected("CHECK"));
                }
            }
            "CHECK" => self.skip_parentheses()?,
            "WITH" | "WITHOUT" => {
                self.need("SYSTEM")?;
                self.need("VERSIONING")?;
                column.system_versioning |= word == "WITH";
            }
            "FIRST" => *place = Place::First,
            "AFTER" => *place = Place::After(self.column_name()?),
            _ => return Err(format!("the attribute '{word}' is not known")),
        }
        Ok(())
    }

    /// `name = value`: of an engine of MariaDB's, or ENGINE_ATTRIBUTE.
    fn engine_attribute(&mut self) -> Parsed<()> {
        let mut ahead = self.tokens.clone();
        if ahead.name().is_none() || !ahead.take_punctuation('=') {
            return Err(self.unexpected("an attribute"));
        }
        *self.tokens = ahead;
        self.name_or_text("a value").map(drop)
    }

    /// A literal, a function, an expression in parentheses; MariaDB takes any expression.
    fn default_value(&mut self) -> Parsed<()> {
        let _ = self.punctuation('-') || self.punctuation('+');
        if self.at_punctuation('(') {
            self.skip_parentheses()?;
        } else {
            self.tokens.next();
        }
        loop {
            match self.tokens.peek() {
                None | Some(Token::Punctuation(',' | ')' | ';')) => return Ok(()),
                Some(Token::Punctuation('(')) => self.skip_parentheses()?,
                Some(token) if token.is_any(&ATTRIBUTES) => return Ok(()),
                // A name and its value, of MariaDB's engines.
                Some(_) if self.tokens.clone().nth(1).is_some_and(|token| token.is_punctuation('=')) => return Ok(()),
                Some(_) => drop(self.tokens.next()),
            }
        }
    }

    /// Behind ON: of a foreign key, or of the column itself.
    fn on_update(&mut self) -> Parsed<()> {
        if !self.any_word(&["UPDATE", "DELETE"]) {
            return Err(self.unexpected("UPDATE"));
        }
        match () {
            () if self.any_word(&["RESTRICT", "CASCADE"]) => Ok(()),
            () if self.word("SET") => self.name("NULL").map(drop),
            () if self.word("NO") => self.need("ACTION"),
            () => {
                self.name("a time")?;
                self.skip_parentheses_if_any()
            }
        }
    }

    /// Behind AS.
    fn generated(&mut self) -> Parsed<Option<RowBound>> {
        if !self.word("ROW") {
            self.skip_parentheses()?;
            return Ok(None);
        }
        match () {
            () if self.word("START") => Ok(Some(RowBound::Start)),
            () if self.word("END") => Ok(Some(RowBound::End)),
            () => Err(self.unexpected("START or END")),
        }
    }

    fn references(&mut self) -> Parsed<()> {
        self.table_name()?;
        self.skip_parentheses_if_any()?;
        if self.word("MATCH") {
            self.name("FULL, PARTIAL or SIMPLE")?;
        }
        Ok(())
    }
}
