//! Options of a table: only its character set and its versioning matter, but the others must be known to be skipped.

use super::super::token::Token;
use super::parser::{Parsed, Parser};
use super::tree::TableOptions;

/// `OPTION [=] value`
const OPTIONS: [&str; 30] = [
    "AUTOEXTEND_SIZE",
    "AUTO_INCREMENT",
    "AVG_ROW_LENGTH",
    "CHECKSUM",
    "COMMENT",
    "COMPRESSION",
    "CONNECTION",
    "DELAY_KEY_WRITE",
    "ENCRYPTION",
    "ENGINE_ATTRIBUTE",
    "INSERT_METHOD",
    "KEY_BLOCK_SIZE",
    "MAX_ROWS",
    "MIN_ROWS",
    "PACK_KEYS",
    "PAGE_CHECKSUM",
    "PASSWORD",
    "ROW_FORMAT",
    "SECONDARY_ENGINE",
    "SECONDARY_ENGINE_ATTRIBUTE",
    "SEQUENCE",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "STORAGE",
    "TABLESPACE",
    "TABLE_CHECKSUM",
    "TRANSACTIONAL",
    "UNION",
    "NODEGROUP",
];

impl Parser<'_, '_> {
    /// Takes one option; false where there is none that is known.
    pub fn table_option(&mut self, options: &mut TableOptions) -> Parsed<bool> {
        let mut ahead = self.tokens.clone();
        if ahead.take_word("DEFAULT") && ahead.peek().is_some_and(|token| token.is_any(&CHARSET_WORDS)) {
            *self.tokens = ahead;
        }
        if self.charset_clause(&mut options.charset)? {
            return Ok(true);
        }
        if self.words(&["WITH", "SYSTEM", "VERSIONING"]) {
            options.system_versioning = true;
            return Ok(true);
        }
        if self.words(&["START", "TRANSACTION"]) {
            return Ok(true);
        }
        if self.words(&["DATA", "DIRECTORY"]) || self.words(&["INDEX", "DIRECTORY"]) || self.any_word(&OPTIONS) {
            self.punctuation('=');
            self.option_value()?;
            return Ok(true);
        }
        if self.any_word(&["ENGINE", "TYPE"]) {
            self.punctuation('=');
            options.engine = Some(self.name_or_text("an engine")?);
            return Ok(true);
        }
        let mut ahead = self.tokens.clone();
        if ahead.name().is_some() && ahead.take_punctuation('=') {
            *self.tokens = ahead;
            self.option_value()?;
            return Ok(true);
        }
        Ok(false)
    }

    fn option_value(&mut self) -> Parsed<()> {
        if self.at_punctuation('(') {
            return self.skip_parentheses();
        }
        self.punctuation('-');
        match self.tokens.next() {
            Some(Token::Punctuation(_)) | None => Err(self.unexpected("an option's value")),
            Some(_) => {
                // A number with a fraction.
                if self.punctuation('.') {
                    self.tokens.next();
                }
                Ok(())
            }
        }
    }
}

const CHARSET_WORDS: [&str; 4] = ["CHARACTER", "CHAR", "CHARSET", "COLLATE"];
