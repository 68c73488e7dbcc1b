//! Types of columns, with all their synonyms.

use super::super::token::{SqlMode, Token};
use super::parser::{Parsed, Parser};
use super::tree::{CharsetClause, Label, TextShape, TypeSpec};
use crate::catalog::{DefinedType, LobSize};

/// Which server's meaning a type's name has, where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Usual,
    Oracle,
    Maxdb,
}

impl Parser<'_, '_> {
    pub fn type_spec(&mut self) -> Parsed<TypeSpec> {
        let mode = self.session.sql_mode;
        let is_mariadb = self.session.dialect.is_mariadb;
        let mut meaning = match () {
            () if is_mariadb && mode.has(SqlMode::ORACLE) => Meaning::Oracle,
            // MySQL 8.0 has no such mode any more.
            () if mode.has(SqlMode::MAXDB) && (is_mariadb || self.session.dialect.server_version < 80_000) => {
                Meaning::Maxdb
            }
            () => Meaning::Usual,
        };
        for (schema, its_meaning) in
            [("mariadb_schema", Meaning::Usual), ("oracle_schema", Meaning::Oracle), ("maxdb_schema", Meaning::Maxdb)]
        {
            let mut ahead = self.tokens.clone();
            let qualified = ahead.name().is_some_and(|name| name.eq_ignore_ascii_case(schema));
            if is_mariadb && qualified && ahead.take_punctuation('.') {
                *self.tokens = ahead;
                meaning = its_meaning;
            }
        }
        let Some(Token::Word(word)) = self.tokens.peek() else { return Err(self.unexpected("a type")) };
        self.tokens.next();
        let word = word.to_ascii_uppercase();
        self.named_type(&word, meaning)
    }

    fn named_type(&mut self, word: &str, meaning: Meaning) -> Parsed<TypeSpec> {
        use DefinedType as D;
        let plain = |defined_type| Ok(TypeSpec::Plain(defined_type));
        match word {
            "TINYINT" | "INT1" => self.integer(1),
            "SMALLINT" | "INT2" => self.integer(2),
            "MEDIUMINT" | "INT3" | "MIDDLEINT" => self.integer(3),
            "INT" | "INTEGER" | "INT4" => self.integer(4),
            "BIGINT" | "INT8" => self.integer(8),
            "BOOL" | "BOOLEAN" => self.integer(1),
            "SERIAL" => plain(D::Integer { bytes: 8, unsigned: true }),
            "FLOAT" | "FLOAT4" => {
                let (length, scale) = self.length_and_scale()?;
                // FLOAT(p): p are bits of the mantissa; FLOAT(m, d) is what is shown.
                let is_double = scale.is_none() && length.is_some_and(|bits| bits > 24);
                self.sign();
                plain(if is_double { D::Double } else { D::Float })
            }
            "DOUBLE" | "FLOAT8" | "REAL" => {
                if word == "DOUBLE" {
                    self.word("PRECISION");
                }
                self.length_and_scale()?;
                self.sign();
                let is_float = word == "REAL" && self.session.sql_mode.has(SqlMode::REAL_AS_FLOAT);
                plain(if is_float { D::Float } else { D::Double })
            }
            "DECIMAL" | "DEC" | "NUMERIC" | "FIXED" => {
                let decimal = self.decimal()?;
                plain(decimal)
            }
            "NUMBER" if self.session.dialect.is_mariadb => {
                let defined = if self.at_punctuation('(') { self.decimal()? } else { D::Double };
                plain(defined)
            }
            "BIT" => {
                let bits = self.length()?.unwrap_or(1).max(1);
                let bits = u8::try_from(bits).ok().filter(|bits| *bits <= 64);
                plain(D::Bit { bits: bits.ok_or("a BIT of more than 64 bits")? })
            }
            "YEAR" => {
                self.length()?;
                self.sign();
                plain(D::Year)
            }
            "DATE" if meaning == Meaning::Oracle => plain(D::DateTime { digits: 0 }),
            "DATE" => plain(D::Date),
            "TIME" => plain(D::Time { digits: self.fraction()? }),
            "DATETIME" => plain(D::DateTime { digits: self.fraction()? }),
            "TIMESTAMP" if meaning == Meaning::Maxdb => plain(D::DateTime { digits: self.fraction()? }),
            "TIMESTAMP" => plain(D::Timestamp { digits: self.fraction()? }),
            "CHAR" | "CHARACTER" | "NCHAR" | "NATIONAL" | "VARCHAR" | "VARCHARACTER" | "NVARCHAR" | "VARCHAR2" => {
                self.character(word)
            }
            "TINYTEXT" => self.text(TextShape::Text(LobSize::Tiny)),
            "TEXT" => {
                let shape = match self.length()? {
                    Some(0) if self.empty_is_tiny() => TextShape::Text(LobSize::Tiny),
                    None | Some(0) => TextShape::Text(LobSize::Normal),
                    Some(characters) => TextShape::SizedText(characters),
                };
                self.text(shape)
            }
            "MEDIUMTEXT" => self.text(TextShape::Text(LobSize::Medium)),
            "LONGTEXT" => self.text(TextShape::Text(LobSize::Long)),
            "CLOB" if self.session.dialect.is_mariadb => self.text(TextShape::Text(LobSize::Long)),
            "LONG" if self.word("VARBINARY") => plain(D::Blob { size: LobSize::Medium }),
            "LONG" => {
                let _ = self.any_word(&["VARCHAR", "VARCHARACTER"])
                    || self.words(&["CHAR", "VARYING"])
                    || self.words(&["CHARACTER", "VARYING"]);
                self.text(TextShape::Text(LobSize::Medium))
            }
            "TINYBLOB" => plain(D::Blob { size: LobSize::Tiny }),
            "BLOB" => {
                let size = match self.length()? {
                    None if meaning == Meaning::Oracle => LobSize::Long,
                    Some(0) if self.empty_is_tiny() => LobSize::Tiny,
                    None | Some(0) => LobSize::Normal,
                    Some(bytes) => LobSize::holding(bytes),
                };
                self.compressed()?;
                plain(D::Blob { size })
            }
            "MEDIUMBLOB" => plain(D::Blob { size: LobSize::Medium }),
            "LONGBLOB" => plain(D::Blob { size: LobSize::Long }),
            "BINARY" => {
                let bytes = u16::try_from(self.length()?.unwrap_or(1)).map_err(|_| "a BINARY that is too long")?;
                plain(D::Binary { bytes })
            }
            "VARBINARY" => {
                let bytes = self.length()?.ok_or_else(|| self.unexpected("a length"))?;
                plain(varbinary(bytes))
            }
            "RAW" if self.session.dialect.is_mariadb => {
                let bytes = self.length()?.ok_or_else(|| self.unexpected("a length"))?;
                plain(varbinary(bytes))
            }
            "ENUM" | "SET" => {
                let labels = self.labels()?;
                let charset = self.charset_attributes()?;
                Ok(TypeSpec::Labels { is_set: word == "SET", labels, charset })
            }
            // A name for LONGTEXT with a check.
            "JSON" if self.session.dialect.is_mariadb => Ok(TypeSpec::Characters {
                shape: TextShape::Text(LobSize::Long),
                charset: CharsetClause::named("utf8mb4"),
            }),
            "JSON" => plain(D::Json),
            "GEOMETRY" | "POINT" | "LINESTRING" | "POLYGON" | "MULTIPOINT" | "MULTILINESTRING" | "MULTIPOLYGON"
            | "GEOMETRYCOLLECTION" | "GEOMCOLLECTION" => plain(D::Geometry),
            "VECTOR" => {
                self.length()?;
                plain(D::Vector)
            }
            "INET6" => plain(D::Inet6),
            "INET4" => plain(D::Inet4),
            "UUID" => plain(D::Uuid),
            _ => Err(format!("the type '{word}' is not known")),
        }
    }

    /// `(n)`
    fn length(&mut self) -> Parsed<Option<u64>> {
        if !self.punctuation('(') {
            return Ok(None);
        }
        let length = self.number()?;
        self.need_punctuation(')')?;
        Ok(Some(length))
    }

    /// `(n)` or `(n, m)`
    fn length_and_scale(&mut self) -> Parsed<(Option<u64>, Option<u64>)> {
        if !self.punctuation('(') {
            return Ok((None, None));
        }
        let length = self.number()?;
        let scale = if self.punctuation(',') { Some(self.number()?) } else { None };
        self.need_punctuation(')')?;
        Ok((Some(length), scale))
    }

    fn integer(&mut self, bytes: u8) -> Parsed<TypeSpec> {
        self.length()?;
        let unsigned = self.sign();
        Ok(TypeSpec::Plain(DefinedType::Integer { bytes, unsigned }))
    }

    /// SIGNED, UNSIGNED and ZEROFILL (which is unsigned): is it unsigned?
    fn sign(&mut self) -> bool {
        let mut unsigned = false;
        loop {
            if self.any_word(&["UNSIGNED", "ZEROFILL"]) {
                unsigned = true;
            } else if !self.word("SIGNED") {
                return unsigned;
            }
        }
    }

    fn decimal(&mut self) -> Parsed<DefinedType> {
        let (precision, scale) = self.length_and_scale()?;
        self.sign();
        let precision = precision.filter(|precision| *precision > 0).unwrap_or(10);
        let small = |number: u64| u8::try_from(number).ok().filter(|number| *number <= 65);
        match (small(precision), small(scale.unwrap_or(0))) {
            (Some(precision), Some(scale)) => Ok(DefinedType::Decimal { precision, scale }),
            _ => Err("a DECIMAL of more than 65 digits".to_owned()),
        }
    }

    /// Digits of a second's fraction.
    fn fraction(&mut self) -> Parsed<u8> {
        let digits = self.length()?.unwrap_or(0);
        u8::try_from(digits).ok().filter(|digits| *digits <= 6).ok_or_else(|| format!("a fraction of {digits} digits"))
    }

    fn character(&mut self, word: &str) -> Parsed<TypeSpec> {
        let is_national = matches!(word, "NCHAR" | "NATIONAL" | "NVARCHAR");
        let mut varies = matches!(word, "VARCHAR" | "VARCHARACTER" | "NVARCHAR" | "VARCHAR2");
        if word == "NATIONAL" {
            varies = self.any_word(&["VARCHAR", "VARCHARACTER"]);
            if !varies && !self.any_word(&["CHAR", "CHARACTER"]) {
                return Err(self.unexpected("CHAR"));
            }
        }
        varies |= self.word("VARYING") || (word == "NCHAR" && self.any_word(&["VARCHAR", "VARCHARACTER"]));
        let length = self.length()?;
        let shape = match (varies, length) {
            (true, Some(length)) => TextShape::Varchar(length),
            (true, None) => return Err(self.unexpected("a length")),
            (false, length) => TextShape::Char(length.unwrap_or(1)),
        };
        let TypeSpec::Characters { shape, mut charset } = self.text(shape)? else {
            return Err(self.unexpected("CHAR"));
        };
        if is_national {
            charset.charset = CharsetClause::named("utf8mb3").charset;
        }
        Ok(TypeSpec::Characters { shape, charset })
    }

    /// TEXT(0) is TINYTEXT since MySQL 8.0; before, and in MariaDB, it is TEXT.
    fn empty_is_tiny(&self) -> bool {
        let dialect = self.session.dialect;
        !dialect.is_mariadb && (dialect.server_version == 0 || dialect.server_version >= 80_000)
    }

    fn text(&mut self, shape: TextShape) -> Parsed<TypeSpec> {
        Ok(TypeSpec::Characters { shape, charset: self.charset_attributes()? })
    }

    /// What may stand behind a type of text. BINARY means a collation, and no other character set.
    fn charset_attributes(&mut self) -> Parsed<CharsetClause> {
        let mut clause = CharsetClause::default();
        loop {
            if self.word("ASCII") {
                clause.charset = CharsetClause::named("latin1").charset;
            } else if self.word("UNICODE") {
                clause.charset = CharsetClause::named("ucs2").charset;
            } else if self.word("BYTE") {
                clause.charset = CharsetClause::named("binary").charset;
            } else if !self.word("BINARY") && !self.compressed()? && !self.charset_clause(&mut clause)? {
                return Ok(clause);
            }
        }
    }

    /// MariaDB: `COMPRESSED[=method]`
    pub fn compressed(&mut self) -> Parsed<bool> {
        if !self.word("COMPRESSED") {
            return Ok(false);
        }
        if self.punctuation('=') {
            self.name_or_text("a method of compression")?;
        }
        Ok(true)
    }

    fn is_utf8(&self) -> bool {
        self.session.charset.is_none_or(|charset| charset.starts_with("utf8") || charset == "binary")
    }

    fn labels(&mut self) -> Parsed<Vec<Label>> {
        self.need_punctuation('(')?;
        let mut labels = Vec::new();
        loop {
            labels.push(self.label()?);
            if !self.punctuation(',') {
                break;
            }
        }
        self.need_punctuation(')')?;
        Ok(labels)
    }

    fn label(&mut self) -> Parsed<Label> {
        let unexpected = self.unexpected("a label");
        let of_bytes = |bytes: Option<Vec<u8>>| bytes.map(Label::Bytes).ok_or_else(|| unexpected.clone());
        match self.tokens.next() {
            Some(Token::Text(text)) if !text.is_ascii() && !self.is_utf8() => Ok(Label::Recoded(text.into_owned())),
            Some(Token::Text(text)) => Ok(Label::Text(text.into_owned())),
            Some(Token::Word(prefix)) => {
                if let Some(digits) = prefix.strip_prefix("0x") {
                    return of_bytes(hex(digits));
                }
                if let Some(digits) = prefix.strip_prefix("0b") {
                    return of_bytes(bits(digits));
                }
                if prefix.starts_with('_') {
                    // An introducer: the bytes of a string are of that character set, so only ASCII is what it looks like.
                    return match self.label()? {
                        Label::Text(text) | Label::Recoded(text) if !text.is_ascii() => Err(unexpected),
                        label => Ok(label),
                    };
                }
                match (prefix, self.tokens.next()) {
                    ("n" | "N", Some(Token::Text(text))) => Ok(Label::Text(text.into_owned())),
                    ("x" | "X", Some(Token::Text(digits))) => of_bytes(hex(&digits)),
                    ("b" | "B", Some(Token::Text(digits))) => of_bytes(bits(&digits)),
                    _ => Err(unexpected),
                }
            }
            _ => Err(unexpected),
        }
    }
}

fn varbinary(bytes: u64) -> DefinedType {
    // Out of strict mode, a VARBINARY that is too long becomes a BLOB; in strict mode the server refuses it.
    match u16::try_from(bytes) {
        Ok(bytes) => DefinedType::Varbinary { bytes: bytes.into() },
        Err(_) => DefinedType::Blob { size: LobSize::holding(bytes) },
    }
}

/// As a number: without a leading half byte `f` is `0f`.
fn hex(digits: &str) -> Option<Vec<u8>> {
    let padded = if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("0{digits}") };
    super::super::hex(&padded)
}

fn bits(digits: &str) -> Option<Vec<u8>> {
    digits
        .as_bytes()
        .rchunks(8)
        .rev()
        .map(|byte| {
            std::str::from_utf8(byte)
                .ok()
                .filter(|digits| digits.bytes().all(|digit| matches!(digit, b'0' | b'1')))
                .and_then(|digits| u8::from_str_radix(digits, 2).ok())
        })
        .collect()
}
