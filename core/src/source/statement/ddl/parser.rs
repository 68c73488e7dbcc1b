//! The tokens of one statement with its session, and what all parts of the grammar use.

use super::super::Session;
use super::super::token::{Token, Tokens};
use super::tree::{CharsetClause, CharsetWord, TableName};

/// What was met instead of what the grammar knows.
pub(super) type Parsed<T> = Result<T, String>;

/// How many characters of an unknown token a reason repeats.
const SHOWN_CHARS: usize = 40;

pub(super) struct Parser<'t, 'a> {
    pub tokens: &'t mut Tokens<'a>,
    pub session: &'t Session<'t>,
}

impl<'a> Parser<'_, 'a> {
    pub fn word(&mut self, keyword: &str) -> bool {
        self.tokens.take_word(keyword)
    }

    pub fn words(&mut self, keywords: &[&str]) -> bool {
        self.tokens.take_all(keywords)
    }

    pub fn punctuation(&mut self, punctuation: char) -> bool {
        self.tokens.take_punctuation(punctuation)
    }

    /// Takes one of these keywords.
    pub fn any_word(&mut self, keywords: &[&str]) -> bool {
        self.tokens.take_if(|token| token.is_any(keywords))
    }

    /// Is the next token this keyword?
    pub fn at(&self, keyword: &str) -> bool {
        self.tokens.peek().is_some_and(|token| token.is(keyword))
    }

    pub fn at_any(&self, keywords: &[&str]) -> bool {
        self.tokens.peek().is_some_and(|token| token.is_any(keywords))
    }

    pub fn at_punctuation(&self, punctuation: char) -> bool {
        self.tokens.peek().is_some_and(|token| token.is_punctuation(punctuation))
    }

    /// Is what comes next these keywords, one behind the other?
    pub fn at_words(&self, keywords: &[&str]) -> bool {
        self.tokens.clone().take_all(keywords)
    }

    pub fn at_end(&self) -> bool {
        let mut ahead = self.tokens.clone();
        ahead.take_punctuation(';');
        ahead.next().is_none()
    }

    pub fn need(&mut self, keyword: &str) -> Parsed<()> {
        if self.word(keyword) { Ok(()) } else { Err(self.unexpected(keyword)) }
    }

    pub fn need_punctuation(&mut self, punctuation: char) -> Parsed<()> {
        if self.punctuation(punctuation) { Ok(()) } else { Err(self.unexpected(&format!("'{punctuation}'"))) }
    }

    pub fn unexpected(&self, wanted: &str) -> String {
        let found = match self.tokens.peek() {
            None => "the end".to_owned(),
            Some(Token::Word(word)) => word.chars().take(SHOWN_CHARS).collect(),
            Some(Token::Name(name)) => format!("`{}`", name.chars().take(SHOWN_CHARS).collect::<String>()),
            Some(Token::Text(text)) => format!("'{}'", text.chars().take(SHOWN_CHARS).collect::<String>()),
            Some(Token::Punctuation(c)) => format!("'{c}'"),
        };
        format!("{found} where {wanted} is expected")
    }

    pub fn name(&mut self, what: &str) -> Parsed<String> {
        self.tokens.name().ok_or_else(|| self.unexpected(what))
    }

    /// A column's name, which may stand behind its table's and database's.
    pub fn column_name(&mut self) -> Parsed<String> {
        self.punctuation('.');
        let mut name = self.name("a column's name")?;
        while self.punctuation('.') {
            name = self.name("a column's name")?;
        }
        Ok(name)
    }

    /// A table's name, in the session's database where none is said.
    pub fn table_name(&mut self) -> Parsed<TableName> {
        let (database, table) = self.tokens.table_name().ok_or_else(|| self.unexpected("a table's name"))?;
        Ok(if database.is_empty() { (self.session.database.to_owned(), table) } else { (database, table) })
    }

    pub fn table_names(&mut self) -> Parsed<Vec<TableName>> {
        let mut names = vec![self.table_name()?];
        while self.punctuation(',') {
            names.push(self.table_name()?);
        }
        Ok(names)
    }

    pub fn if_exists(&mut self) -> bool {
        self.words(&["IF", "EXISTS"])
    }

    pub fn if_not_exists(&mut self) -> bool {
        self.words(&["IF", "NOT", "EXISTS"])
    }

    /// A number without sign or fraction.
    pub fn number(&mut self) -> Parsed<u64> {
        let mut ahead = self.tokens.clone();
        let number = match ahead.next() {
            Some(Token::Word(digits)) => digits.parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| self.unexpected("a number"))?;
        *self.tokens = ahead;
        Ok(number)
    }

    /// What is in parentheses, whatever it is.
    pub fn skip_parentheses(&mut self) -> Parsed<()> {
        self.need_punctuation('(')?;
        let mut depth = 1u32;
        while depth > 0 {
            match self.tokens.next() {
                Some(Token::Punctuation('(')) => depth += 1,
                Some(Token::Punctuation(')')) => depth -= 1,
                Some(_) => {}
                None => return Err("parentheses that are not closed".to_owned()),
            }
        }
        Ok(())
    }

    pub fn skip_parentheses_if_any(&mut self) -> Parsed<()> {
        if self.at_punctuation('(') { self.skip_parentheses() } else { Ok(()) }
    }

    /// Up to the comma or the closing parenthesis that ends this part, or the end.
    pub fn skip_part(&mut self) -> Parsed<()> {
        while let Some(token) = self.tokens.peek() {
            match token {
                Token::Punctuation(',' | ')') => return Ok(()),
                Token::Punctuation('(') => self.skip_parentheses()?,
                _ => drop(self.tokens.next()),
            }
        }
        Ok(())
    }

    pub fn skip_all(&mut self) {
        for _ in self.tokens.by_ref() {}
    }

    /// A name, word or string.
    pub fn name_or_text(&mut self, what: &str) -> Parsed<String> {
        let mut ahead = self.tokens.clone();
        let name = match ahead.next() {
            Some(Token::Word(word)) => word.to_owned(),
            Some(Token::Name(name) | Token::Text(name)) => name.into_owned(),
            Some(Token::Punctuation(_)) | None => return Err(self.unexpected(what)),
        };
        *self.tokens = ahead;
        Ok(name)
    }

    /// CHARACTER SET, CHAR SET or CHARSET.
    pub fn charset_keyword(&mut self) -> bool {
        self.word("CHARSET") || self.words(&["CHARACTER", "SET"]) || self.words(&["CHAR", "SET"])
    }

    /// One `CHARACTER SET [=] x` or `COLLATE [=] x`; false where there is none.
    pub fn charset_clause(&mut self, clause: &mut CharsetClause) -> Parsed<bool> {
        let is_charset = self.charset_keyword();
        if !is_charset && !self.word("COLLATE") {
            return Ok(false);
        }
        self.punctuation('=');
        let is_default = self.at("DEFAULT");
        let name = self.name_or_text("the name of a character set")?;
        match (is_charset, is_default) {
            (true, true) => clause.charset = Some(CharsetWord::Default),
            (true, false) => clause.charset = Some(CharsetWord::Named(name)),
            // The default collation of whatever character set is said, or of the default one.
            (false, true) => {
                clause.charset.get_or_insert(CharsetWord::Default);
            }
            (false, false) => clause.collation = Some(name),
        }
        Ok(true)
    }
}
