//! MariaDB's long unique keys (10.4 and later): a UNIQUE over whole texts, or over more than the engine indexes, or one
//! USING HASH, is kept as a hash in a hidden column. Such columns are part of row images, behind all others.

use super::alter::same_name;
use super::{ColumnDefinition, DefinedType, TableDefinition, charset};
use crate::source::statement::ddl::{AlterClause, ColumnSpec, UniqueKey};

const PREFIX: &str = "DB_ROW_HASH_";
/// The longest key of InnoDB's DYNAMIC rows, in bytes.
const INNODB_KEY_BYTES_MAX: u64 = 3_072;
/// The longest key of MyISAM, the smallest of the other engines.
const OTHER_KEY_BYTES_MAX: u64 = 1_000;
/// At least what a column takes in a key that is neither text nor binary.
const OTHER_COLUMN_BYTES: u64 = 16;

pub(super) fn is_hash(column: &ColumnDefinition) -> bool {
    column.hidden && column.name.starts_with(PREFIX)
}

fn count(definition: &TableDefinition) -> usize {
    definition.columns.iter().filter(|column| is_hash(column)).count()
}

fn push(definition: &mut TableDefinition) {
    let name = format!("{PREFIX}{}", count(definition) + 1);
    let defined_type = DefinedType::Integer { bytes: 8, unsigned: true };
    definition.columns.push(ColumnDefinition { name, defined_type, primary_key: 0, hidden: true });
}

pub(super) fn key_of_column(spec: &ColumnSpec) -> UniqueKey {
    UniqueKey { uses_hash: false, parts: vec![(spec.name.clone(), None)] }
}

/// Whether clauses that only concern keys could change the table's hidden columns.
pub(super) fn keys_matter(before: &TableDefinition, clauses: &[AlterClause]) -> bool {
    count(before) > 0
        || clauses.iter().any(|clause| match clause {
            // The first one of all, or one that is hashed.
            AlterClause::AddUnique(key) => before.without_unique_keys || is_hashed(before, key, None) != Ok(false),
            _ => false,
        })
}

/// The hidden columns of these keys.
///
/// # Errors
/// Where it is not certain whether a key is hashed.
pub(super) fn add(definition: &mut TableDefinition, keys: &[UniqueKey], engine: Option<&str>) -> Result<(), String> {
    for key in keys {
        if is_hashed(definition, key, engine)? {
            push(definition);
        }
    }
    Ok(())
}

fn is_hashed(definition: &TableDefinition, key: &UniqueKey, engine: Option<&str>) -> Result<bool, String> {
    let is_engine = |name: &str| engine.is_some_and(|engine| engine.eq_ignore_ascii_case(name));
    if is_engine("MEMORY") || is_engine("HEAP") {
        return Ok(false);
    }
    let mut bytes = 0;
    for (name, part) in &key.parts {
        // A period's name is no column.
        let Some(column) = definition.columns.iter().find(|column| same_name(&column.name, name)) else { continue };
        let (characters, width) = match &column.defined_type {
            DefinedType::Text { .. } | DefinedType::Blob { .. } if part.is_none() => return Ok(true),
            // POINT is indexed as it is, the others are not; which of them it is is not kept.
            DefinedType::Geometry if part.is_none() => {
                return Err("a unique key over a GEOMETRY, which may be hashed into a hidden column".to_owned());
            }
            DefinedType::Text { charset, .. } => (0, width(charset)),
            DefinedType::Char { charset, characters } => (u64::from(*characters), width(charset)),
            DefinedType::Varchar { charset, characters } => (u64::from(*characters), width(charset)),
            DefinedType::Varbinary { bytes } => (u64::from(*bytes), 1),
            DefinedType::Binary { bytes } => (u64::from(*bytes), 1),
            DefinedType::Blob { .. } => (0, 1),
            _ => (OTHER_COLUMN_BYTES, 1),
        };
        bytes += part.unwrap_or(characters).saturating_mul(width);
    }
    let is_innodb = engine.is_none() || is_engine("InnoDB");
    if key.uses_hash {
        Ok(true)
    } else if bytes > if is_innodb { INNODB_KEY_BYTES_MAX } else { OTHER_KEY_BYTES_MAX } {
        Err(format!("a unique key of {bytes} bytes, which the engine may hash into a hidden column"))
    } else {
        Ok(false)
    }
}

fn width(charset: &str) -> u64 {
    charset::bytes_max(charset).unwrap_or(4).into()
}

/// What ALTER does to the hidden columns of a table.
///
/// # Errors
/// Where it is not certain which of them are left.
pub(super) fn altered(
    before: &TableDefinition,
    after: &mut TableDefinition,
    clauses: &[AlterClause],
) -> Result<(), String> {
    let is_uncertain = |clause: &AlterClause| {
        matches!(
            clause,
            AlterClause::DropKey
                | AlterClause::DropColumn { .. }
                | AlterClause::ChangeColumn { .. }
                | AlterClause::ConvertCharset(_)
        )
    };
    let has_geometry = before.columns.iter().any(|column| column.defined_type == DefinedType::Geometry);
    if count(before) > 0 && (has_geometry || clauses.iter().any(is_uncertain)) {
        return Err("a table was altered that has a hashed unique key, which may be gone".to_owned());
    }
    // Which unique keys a column is part of is not kept, only that there are none.
    let is_lob = |column: &ColumnDefinition| {
        matches!(column.defined_type, DefinedType::Text { .. } | DefinedType::Blob { .. } | DefinedType::Geometry)
    };
    let becomes_lob = clauses.iter().any(|clause| {
        let AlterClause::ChangeColumn { from, column, .. } = clause else { return false };
        let find = |table: &TableDefinition, name: &str| {
            table.columns.iter().find(|column| same_name(&column.name, name)).is_some_and(is_lob)
        };
        find(after, &column.name) && !find(before, from)
    });
    if becomes_lob && !before.without_unique_keys {
        return Err(
            "a column became TEXT or BLOB, which is hashed into a hidden column if it has a unique key".to_owned()
        );
    }
    let keys: Vec<UniqueKey> = clauses
        .iter()
        .filter_map(|clause| match clause {
            AlterClause::AddUnique(key) => Some(key.clone()),
            AlterClause::AddColumn { column, .. } | AlterClause::ChangeColumn { column, .. } if column.unique => {
                Some(key_of_column(column))
            }
            _ => None,
        })
        .collect();
    after.without_unique_keys = before.without_unique_keys && keys.is_empty();
    add(after, &keys, None)
}

impl TableDefinition {
    /// The hidden columns of so many hashed unique keys.
    pub fn add_hidden_hashes(&mut self, keys: usize) {
        for _ in 0..keys {
            push(self);
        }
    }
}
