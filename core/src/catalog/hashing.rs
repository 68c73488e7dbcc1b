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
const ENDLESS: u64 = 1 << 40;

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
    UniqueKey { parts: vec![(spec.name.clone(), None)], ..UniqueKey::default() }
}

/// Whether clauses that only concern keys could change the table's hidden columns.
pub(super) fn keys_matter(before: &TableDefinition, clauses: &[AlterClause]) -> bool {
    count(before) > 0
        || clauses.iter().any(|clause| match clause {
            // The first one of all, or one that is hashed.
            AlterClause::AddUnique(key) => before.without_unique_keys || is_hashed(before, key, None) != Ok(false),
            AlterClause::Engine(_) => !before.without_unique_keys,
            _ => false,
        })
}

/// The hidden columns of these keys.
///
/// # Errors
/// Where it is not certain whether a key is hashed, or made at all.
pub(super) fn add(definition: &mut TableDefinition, keys: &[UniqueKey], engine: Option<&str>) -> Result<(), String> {
    for key in keys {
        if is_hashed(definition, key, engine)? {
            if key.hangs_on_names {
                // Names of keys are not kept.
                return Err("a hashed unique key that is made only where no key has its name".to_owned());
            }
            push(definition);
        }
    }
    Ok(())
}

fn is_hashed(definition: &TableDefinition, key: &UniqueKey, engine: Option<&str>) -> Result<bool, String> {
    let engine = engine.map(str::to_ascii_lowercase);
    if matches!(engine.as_deref(), Some("memory" | "heap")) {
        return Ok(false);
    }
    let mut bytes = 0;
    for (name, part) in &key.parts {
        // A period's name is no column.
        let Some(column) = definition.columns.iter().find(|column| same_name(&column.name, name)) else { continue };
        let (characters, width) = match (&column.defined_type, part) {
            (DefinedType::Text { .. } | DefinedType::Blob { .. }, None) => return Ok(true),
            // POINT is indexed as it is, the others are not; which of them it is is not kept.
            (DefinedType::Geometry, None) => {
                return Err("a unique key over a GEOMETRY, which may be hashed into a hidden column".to_owned());
            }
            (other, _) => size(other),
        };
        bytes += part.unwrap_or(characters).saturating_mul(width);
    }
    let is_innodb = engine.as_deref() == Some("innodb");
    if key.uses_hash {
        Ok(true)
    } else if bytes > if is_innodb { INNODB_KEY_BYTES_MAX } else { OTHER_KEY_BYTES_MAX } {
        Err(format!("a unique key of {bytes} bytes, which the engine may hash into a hidden column"))
    } else {
        Ok(false)
    }
}

/// How many characters of how many bytes a whole column is in a key; what has no bound counts as endless.
fn size(defined_type: &DefinedType) -> (u64, u64) {
    let width = |charset: &str| charset::bytes_max(charset).unwrap_or(4).into();
    match defined_type {
        DefinedType::Char { charset, characters } => ((*characters).into(), width(charset)),
        DefinedType::Varchar { charset, characters } => ((*characters).into(), width(charset)),
        DefinedType::Varbinary { bytes } => ((*bytes).into(), 1),
        DefinedType::Binary { bytes } => ((*bytes).into(), 1),
        DefinedType::Text { charset, .. } => (ENDLESS, width(charset)),
        DefinedType::Blob { .. } | DefinedType::Geometry => (ENDLESS, 1),
        _ => (OTHER_COLUMN_BYTES, 1),
    }
}

fn bytes(column: &ColumnDefinition) -> u64 {
    let (characters, width) = size(&column.defined_type);
    characters * width
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
                | AlterClause::Engine(_)
        )
    };
    let has_geometry = before.columns.iter().any(|column| column.defined_type == DefinedType::Geometry);
    if count(before) > 0 && (has_geometry || clauses.iter().any(is_uncertain)) {
        return Err("a table was altered that has a hashed unique key, which may be gone".to_owned());
    }
    // Which unique keys a column is part of is not kept, only that there are none; nor is the engine.
    let find = |table: &TableDefinition, name: &str| {
        table.columns.iter().find(|column| same_name(&column.name, name)).map_or(0, bytes)
    };
    let grows = clauses.iter().any(|clause| match clause {
        AlterClause::ChangeColumn { from, column, .. } => find(after, &column.name) > find(before, from),
        AlterClause::ConvertCharset(_) => before.columns.iter().any(|column| find(after, &column.name) > bytes(column)),
        AlterClause::Engine(engine) => !engine.eq_ignore_ascii_case("InnoDB"),
        _ => false,
    });
    let longest_key: u64 = after.columns.iter().map(bytes).sum();
    if grows && longest_key > OTHER_KEY_BYTES_MAX && !before.without_unique_keys {
        return Err(
            "a unique key, if it has one, may have become too long, and be hashed into a hidden column".to_owned()
        );
    }
    let keys: Vec<UniqueKey> = clauses
        .iter()
        .filter_map(|clause| match clause {
            AlterClause::AddUnique(key) => Some(key.clone()),
            // The condition of a column holds for its key too, and asks for the key's name.
            AlterClause::AddColumn { column, if_not_exists: conditional, .. }
            | AlterClause::ChangeColumn { column, if_exists: conditional, .. }
                if column.unique =>
            {
                Some(UniqueKey { hangs_on_names: *conditional, ..key_of_column(column) })
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
