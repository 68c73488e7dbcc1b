//! From what a statement writes to what the server makes of it: character sets, lengths, sizes of text.

use std::sync::Arc;

use millstream_codec::mysql::schema::CharsetName;
use millstream_codec::mysql::value::charset as text_of;

use super::charset::{self, OfCollation};
use super::{ColumnDefinition, DefinedType, LobSize};
use crate::source::statement::ddl::{CharsetClause, CharsetWord, ColumnSpec, Label, TextShape, TypeSpec};

const BINARY: &str = "binary";
/// What VARCHAR and VARBINARY hold at most, in bytes.
const VARCHAR_BYTES_MAX: u64 = 65_535;

/// The character set that a clause means, where `default` is what is meant without one.
pub(super) fn charset_of(clause: &CharsetClause, default: &CharsetName) -> Result<CharsetName, String> {
    let named = match &clause.charset {
        Some(CharsetWord::Named(name)) => {
            Some(charset::canonical(name).ok_or_else(|| format!("the character set '{name}' is not known"))?)
        }
        Some(CharsetWord::Default) | None => None,
    };
    match (named, &clause.collation) {
        (Some(named), _) => Ok(named),
        (None, None) => Ok(default.clone()),
        (None, Some(collation)) => match charset::of_collation(collation) {
            OfCollation::Of(name) => Ok(name),
            OfCollation::Any => Ok(default.clone()),
            OfCollation::Unknown => Err(format!("the collation '{collation}' is not known")),
        },
    }
}

/// A column as the server makes it. `converted` is the character set of CONVERT TO in the same statement, which all text
/// gets that is not binary.
pub(super) fn column(
    spec: &ColumnSpec,
    default: &CharsetName,
    converted: Option<&CharsetName>,
) -> Result<ColumnDefinition, String> {
    let effective = |clause: &CharsetClause| -> Result<CharsetName, String> {
        let own = charset_of(clause, default)?;
        Ok(match converted {
            Some(converted) if &*own != BINARY => converted.clone(),
            _ => own,
        })
    };
    let explained = |reason| format!("column {}: {reason}", spec.name);
    let defined_type = match &spec.type_spec {
        TypeSpec::Plain(plain) => plain.clone(),
        TypeSpec::Characters { shape, charset } => {
            characters(*shape, effective(charset).map_err(explained)?).map_err(explained)?
        }
        TypeSpec::Labels { is_set, labels, charset } => {
            let charset = effective(charset).map_err(explained)?;
            let labels: Arc<[String]> =
                labels.iter().map(|label| shown(label, &charset)).collect::<Result<_, _>>().map_err(explained)?;
            if *is_set { DefinedType::Set { charset, labels } } else { DefinedType::Enum { charset, labels } }
        }
    };
    Ok(ColumnDefinition { name: spec.name.clone(), defined_type, primary_key: 0, hidden: false })
}

fn characters(shape: TextShape, charset: CharsetName) -> Result<DefinedType, String> {
    let bytes_max =
        charset::bytes_max(&charset).ok_or_else(|| format!("the character set '{charset}' is not known"))?;
    let bytes = |characters: u64| characters.saturating_mul(bytes_max.into());
    let too_long = || "a text that is too long".to_owned();
    let is_binary = &*charset == BINARY;
    Ok(match shape {
        TextShape::Char(characters) => {
            let characters = u16::try_from(characters).map_err(|_| too_long())?;
            if is_binary {
                DefinedType::Binary { bytes: characters }
            } else {
                DefinedType::Char { charset, characters }
            }
        }
        // Out of strict mode; in strict mode the server refuses it.
        TextShape::Varchar(characters) if bytes(characters) > VARCHAR_BYTES_MAX => {
            lob(LobSize::holding(bytes(characters)), charset)
        }
        TextShape::Varchar(characters) => {
            let characters = u32::try_from(characters).map_err(|_| too_long())?;
            if is_binary {
                DefinedType::Varbinary { bytes: characters }
            } else {
                DefinedType::Varchar { charset, characters }
            }
        }
        TextShape::Text(size) => lob(size, charset),
        TextShape::SizedText(characters) => lob(LobSize::holding(bytes(characters)), charset),
    })
}

fn lob(size: LobSize, charset: CharsetName) -> DefinedType {
    if &*charset == BINARY { DefinedType::Blob { size } } else { DefinedType::Text { charset, size } }
}

/// A label as it is stored: without blanks at its end, except in binary, and with `?` for what the character set lacks.
fn shown(label: &Label, charset: &str) -> Result<String, String> {
    let text = match label {
        Label::Recoded(_) if charset == BINARY => {
            return Err("labels of a binary column in another character set".to_owned());
        }
        Label::Recoded(text) => charset::representable(text, charset).into_owned(),
        Label::Text(text) => charset::representable(text, charset).into_owned(),
        Label::Bytes(bytes) => {
            // A literal that is shorter than a character is filled up on the left.
            let width = charset::bytes_min(charset);
            let missing = bytes.len().next_multiple_of(width) - bytes.len();
            let padded: Vec<u8> = std::iter::repeat_n(0, missing).chain(bytes.iter().copied()).collect();
            text_of::decode(charset, &padded).0.into_owned()
        }
    };
    Ok(if charset == BINARY { text } else { text.trim_end_matches(' ').to_owned() })
}

/// CONVERT TO CHARACTER SET for a column that was there: text has room for as many characters as before, so a TEXT may
/// become a MEDIUMTEXT. Binary columns, and those without text, stay.
pub(super) fn converted(old: &DefinedType, charset: &CharsetName) -> Result<DefinedType, String> {
    match old {
        DefinedType::Char { characters, .. } => characters_of(TextShape::Char((*characters).into()), charset),
        DefinedType::Varchar { characters, charset: old } => {
            let converted = characters_of(TextShape::Varchar((*characters).into()), charset)?;
            let is_text = matches!(converted, DefinedType::Text { .. });
            if is_text && charset::bytes_max(old).is_some_and(|bytes| bytes > 1) {
                // MySQL 8.0 and later count its characters otherwise, and make a TEXT that does not hold them all.
                return Err("a VARCHAR that CONVERT TO CHARACTER SET makes a TEXT".to_owned());
            }
            Ok(converted)
        }
        DefinedType::Text { size: LobSize::Long, .. } => Ok(lob(LobSize::Long, charset.clone())),
        DefinedType::Text { size, charset: old } => {
            let characters = size.bytes_max() / u32::from(charset::bytes_max(old).unwrap_or(1));
            characters_of(TextShape::SizedText(characters.into()), charset)
        }
        // The servers give these another character set, but leave the bytes of their labels.
        DefinedType::Enum { charset: old, labels } if stay_the_same(labels, old, charset) => {
            let charset = if &**old == BINARY { old } else { charset };
            Ok(DefinedType::Enum { charset: charset.clone(), labels: labels.clone() })
        }
        DefinedType::Set { charset: old, labels } if stay_the_same(labels, old, charset) => {
            let charset = if &**old == BINARY { old } else { charset };
            Ok(DefinedType::Set { charset: charset.clone(), labels: labels.clone() })
        }
        DefinedType::Enum { .. } | DefinedType::Set { .. } => {
            Err("labels that CONVERT TO CHARACTER SET leaves in bytes of another character set".to_owned())
        }
        other => Ok(other.clone()),
    }
}

fn stay_the_same(labels: &[String], old: &str, new: &str) -> bool {
    let is_ascii =
        |charset: &str| text_of::Charset::by_name(charset).is_some_and(|charset| charset.is_ascii_superset());
    old == new || old == BINARY || (is_ascii(old) && is_ascii(new) && labels.iter().all(|label| label.is_ascii()))
}

fn characters_of(shape: TextShape, charset: &CharsetName) -> Result<DefinedType, String> {
    characters(shape, charset.clone())
}
