//! CREATE TABLE.

use super::super::token::{Token, Tokens};
use super::parser::{Parsed, Parser};
use super::tree::{Change, CreateBody, CreateTable, Elements, KeyPart, Period, TableOptions, UniqueKey, Unknown};

impl Parser<'_, '_> {
    /// Behind CREATE TABLE.
    pub fn create_table(&mut self) -> Change {
        let if_not_exists = self.if_not_exists();
        let unknown = |tables: Vec<_>, carries_rows, reason| {
            let others = tables.is_empty();
            Change::Unknown(Unknown { kind: "create_table", tables, others, carries_rows, reason })
        };
        let name = match self.table_name() {
            Ok(name) => name,
            Err(reason) => return unknown(Vec::new(), false, reason),
        };
        let behind_name = self.tokens.clone();
        match self.create_body() {
            Ok(body) => Change::CreateTable(CreateTable { name, if_not_exists, body }),
            Err(reason) => unknown(vec![name], selects(behind_name), reason),
        }
    }

    fn create_body(&mut self) -> Parsed<CreateBody> {
        if self.word("LIKE") || self.words_in_parentheses("LIKE") {
            let source = self.table_name()?;
            self.punctuation(')');
            return if self.at_end() { Ok(CreateBody::Like(source)) } else { Err(self.unexpected("the end")) };
        }
        let mut elements = Elements::default();
        if self.at_punctuation('(') && !self.at_query() {
            self.punctuation('(');
            elements = self.elements()?;
            self.need_punctuation(')')?;
        }
        let mut options = TableOptions::default();
        let mut selects_rows = false;
        loop {
            self.punctuation(',');
            if self.at_end() {
                break;
            }
            if self.words(&["PARTITION", "BY"]) {
                // Nothing but a query may follow the partitions.
                selects_rows = selects(self.tokens.clone());
                break;
            }
            if self.at_any(&["SELECT", "AS", "IGNORE", "REPLACE", "TABLE", "VALUES"])
                || (self.at("WITH") && !self.at_words(&["WITH", "SYSTEM"]))
                || self.at_punctuation('(')
            {
                selects_rows = true;
                break;
            }
            if !self.table_option(&mut options)? {
                return Err(self.unexpected("an option of the table"));
            }
        }
        Ok(CreateBody::Elements { elements, options, selects: selects_rows })
    }

    /// `( WORD`
    fn words_in_parentheses(&mut self, word: &str) -> bool {
        let mut ahead = self.tokens.clone();
        let found = ahead.take_punctuation('(') && ahead.take_word(word);
        if found {
            *self.tokens = ahead;
        }
        found
    }

    /// `(SELECT`, with any number of parentheses.
    fn at_query(&self) -> bool {
        let mut ahead = self.tokens.clone();
        while ahead.take_punctuation('(') {}
        ahead.next().is_some_and(|token| token.is_any(&["SELECT", "WITH", "VALUES"]))
    }

    /// Columns, keys, constraints, separated by commas, up to the closing parenthesis.
    pub fn elements(&mut self) -> Parsed<Elements> {
        let mut elements = Elements::default();
        loop {
            self.element(&mut elements)?;
            if !self.punctuation(',') {
                return Ok(elements);
            }
        }
    }

    fn element(&mut self, elements: &mut Elements) -> Parsed<()> {
        if self.word("CONSTRAINT") {
            self.constraint_name()?;
        }
        if self.words(&["PRIMARY", "KEY"]) {
            elements.primary_key = Some(self.primary_key()?);
            return Ok(());
        }
        if let Some(period) = self.period()? {
            elements.periods.push(period);
            return Ok(());
        }
        if self.session.dialect.is_mariadb && self.word("UNIQUE") {
            elements.unique_keys.push(self.unique_key()?);
            return Ok(());
        }
        if self.at_other_key() {
            return self.skip_part();
        }
        elements.columns.push(self.column()?.0);
        Ok(())
    }

    /// Behind CONSTRAINT: a name, if there is one.
    pub fn constraint_name(&mut self) -> Parsed<()> {
        self.if_not_exists();
        if !self.at_any(&["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"]) {
            self.name("a constraint's name")?;
        }
        Ok(())
    }

    /// A key that is not the primary one, a foreign key, or a check. All of these words are reserved, but for VECTOR.
    pub fn at_other_key(&self) -> bool {
        let mut ahead = self.tokens.clone();
        self.at_any(&["UNIQUE", "KEY", "INDEX", "FULLTEXT", "SPATIAL", "FOREIGN", "CHECK"])
            || (ahead.take_word("VECTOR")
                && ahead.next().is_some_and(|token| token.is_any(&["KEY", "INDEX"]) || token.is_punctuation('(')))
    }

    /// Behind PRIMARY KEY, and its options: `[name] [USING x] (parts) [options]`.
    pub fn primary_key(&mut self) -> Parsed<Vec<KeyPart>> {
        self.if_not_exists();
        if !self.at_punctuation('(') && !self.at_any(&["USING", "TYPE"]) {
            self.name("a key's name")?;
        }
        if self.any_word(&["USING", "TYPE"]) {
            self.name("a kind of index")?;
        }
        self.need_punctuation('(')?;
        let mut parts = Vec::new();
        loop {
            let name = self.name("a column's name")?;
            self.skip_parentheses_if_any()?;
            let without_overlaps = self.words(&["WITHOUT", "OVERLAPS"]);
            self.any_word(&["ASC", "DESC"]);
            parts.push(KeyPart { name, without_overlaps });
            if !self.punctuation(',') {
                break;
            }
        }
        self.need_punctuation(')')?;
        self.skip_part()?;
        Ok(parts)
    }

    /// Behind UNIQUE, and its options: `[KEY] [name] [USING x] (parts) [options]`.
    pub fn unique_key(&mut self) -> Parsed<UniqueKey> {
        self.any_word(&["KEY", "INDEX"]);
        let hangs_on_names = self.if_not_exists();
        if !self.at_punctuation('(') && !self.at_any(&["USING", "TYPE"]) {
            self.name("a key's name")?;
        }
        Ok(UniqueKey { hangs_on_names, ..self.unique_parts()? })
    }

    /// `[USING x] (parts) [options]`
    pub fn unique_parts(&mut self) -> Parsed<UniqueKey> {
        let mut key = UniqueKey::default();
        if self.any_word(&["USING", "TYPE"]) {
            key.uses_hash = self.name("a kind of index")?.eq_ignore_ascii_case("HASH");
        }
        self.need_punctuation('(')?;
        loop {
            let name = self.name("a column's name")?;
            let mut characters = None;
            if self.punctuation('(') {
                characters = Some(self.number()?);
                self.need_punctuation(')')?;
            }
            self.words(&["WITHOUT", "OVERLAPS"]);
            self.any_word(&["ASC", "DESC"]);
            key.parts.push((name, characters));
            if !self.punctuation(',') {
                break;
            }
        }
        self.need_punctuation(')')?;
        while !self.at_end() && !self.at_punctuation(',') && !self.at_punctuation(')') {
            if self.at_words(&["USING", "HASH"]) {
                key.uses_hash = true;
            }
            self.tokens.next();
        }
        Ok(key)
    }

    /// MariaDB: `PERIOD FOR name (start, end)`
    pub fn period(&mut self) -> Parsed<Option<Period>> {
        if !self.words(&["PERIOD", "FOR"]) {
            return Ok(None);
        }
        self.if_not_exists();
        let name = self.name("a period's name")?;
        self.need_punctuation('(')?;
        let start = self.name("a column's name")?;
        self.need_punctuation(',')?;
        let end = self.name("a column's name")?;
        self.need_punctuation(')')?;
        Ok(Some(Period { name, start, end }))
    }
}

/// Behind the name of a new table: is it filled at once?
fn selects(mut tokens: Tokens<'_>) -> bool {
    let mut depth = 0u32;
    while let Some(token) = tokens.next() {
        match token {
            Token::Punctuation('(') => depth += 1,
            Token::Punctuation(')') => depth = depth.saturating_sub(1),
            // SELECT is reserved, and no expression of a definition may hold one.
            _ if token.is("SELECT") => return true,
            // PARTITION ... VALUES stands in parentheses.
            _ if depth == 0 && token.is_any(&["VALUES", "TABLE"]) => return true,
            _ if depth == 0 && token.is("WITH") && !tokens.take_word("SYSTEM") => return true,
            _ => {}
        }
    }
    false
}
