//! What ALTER TABLE makes of a definition. The clauses are not applied one after the other, but as the servers do it: the
//! columns that are there are gone through once (dropped, changed, renamed), then the new and the moved ones are placed in
//! the order of the clauses.

use millstream_codec::mysql::schema::CharsetName;

use super::apply::set_primary_key;
use super::versioning::{self, Versioned};
use super::{ColumnDefinition, DefinedType, TableDefinition, hashing, resolve};
use crate::source::statement::Dialect;
use crate::source::statement::ddl::{AlterClause, ColumnSpec, KeyPart, Period, Place, RowBound};

/// As the servers compare names of columns.
pub(super) fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (!(a.is_ascii() && b.is_ascii()) && a.to_lowercase() == b.to_lowercase())
}

pub(super) fn no_name_twice(columns: &[ColumnDefinition]) -> Result<(), String> {
    let mut names: Vec<String> = columns.iter().map(|column| column.name.to_lowercase()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two columns called {}", pair[0])),
        None => Ok(()),
    }
}

/// The table as it is after all clauses. `database`: the default character set of its database.
///
/// # Errors
/// What does not fit the definition: then the definition was not what the server has.
pub(super) fn altered(
    before: &TableDefinition,
    clauses: &[AlterClause],
    database: &CharsetName,
    dialect: Dialect,
) -> Result<TableDefinition, String> {
    let mut after = before.clone();
    let mut converted = None;
    for clause in clauses {
        match clause {
            AlterClause::DefaultCharset(charset) => {
                let default = if charset.charset.is_some() { database } else { &before.charset };
                after.charset = resolve::charset_of(charset, default)?;
            }
            AlterClause::ConvertCharset(charset) => {
                let charset = resolve::charset_of(charset, database)?;
                after.charset = charset.clone();
                converted = Some(charset);
            }
            _ => {}
        }
    }
    let says_default = clauses.iter().any(|clause| matches!(clause, AlterClause::DefaultCharset(_)));
    if converted.is_some() && says_default {
        return Err("CONVERT TO CHARACTER SET and another default in one statement".to_owned());
    }
    let drops_versioning = clauses.iter().any(|clause| matches!(clause, AlterClause::DropSystemVersioning));
    if drops_versioning {
        versioning::remove(&mut after)?;
    }
    after.columns = Columns::of(&after, clauses, converted.as_ref(), dialect.is_mariadb)?.placed(before, clauses)?;
    no_name_twice(&after.columns)?;
    // Of such a column the servers keep the place in the key, or not.
    let is_in_key = |name: &str| before.columns.iter().any(|old| old.primary_key > 0 && same_name(&old.name, name));
    let is_made_again = clauses.iter().any(|clause| match clause {
        AlterClause::AddColumn { column, if_not_exists: false, .. } => is_in_key(&column.name),
        _ => false,
    });
    if is_made_again {
        return Err("a column of the primary key was dropped and added in one statement".to_owned());
    }
    let becomes_lob = |clause: &AlterClause| match clause {
        AlterClause::ChangeColumn { column, .. } => after.columns.iter().any(|new| {
            same_name(&new.name, &column.name)
                && matches!(new.defined_type, DefinedType::Text { .. } | DefinedType::Blob { .. })
        }),
        _ => false,
    };
    if converted.is_some() && !dialect.is_mariadb && clauses.iter().any(becomes_lob) {
        // MySQL 8.0 and later make the smallest type of some of them.
        return Err("CONVERT TO CHARACTER SET beside a change to TEXT or BLOB".to_owned());
    }
    renumber(&mut after);
    primary_key(&mut after, before, clauses)?;
    if clauses.iter().any(|clause| matches!(clause, AlterClause::AddSystemVersioning)) {
        let end = added(clauses).find(|spec| spec.row_bound == Some(RowBound::End));
        versioning::add(&mut after, end.map_or(Versioned::Implicitly, |end| Versioned::ByColumn(&end.name)))?;
    }
    let is_mariadb = dialect.is_mariadb;
    if !is_mariadb
        && (1..50_700).contains(&dialect.server_version)
        && converted.is_some()
        && after.columns == before.columns
    {
        // Where nothing else is to be done, the table's default stays what it was.
        return Err("MySQL 5.6 may pass over a CONVERT TO CHARACTER SET that changes no column".to_owned());
    }
    if is_mariadb {
        hashing::altered(before, &mut after, clauses)?;
    }
    Ok(after)
}

/// The columns that are new or defined anew.
fn added(clauses: &[AlterClause]) -> impl Iterator<Item = &ColumnSpec> {
    clauses.iter().filter_map(|clause| match clause {
        AlterClause::AddColumn { column, .. } | AlterClause::ChangeColumn { column, .. } => Some(column),
        _ => None,
    })
}

/// Columns on the way to their new order.
struct Columns {
    columns: Vec<ColumnDefinition>,
    /// For each clause, the column that it defines: new, or there already.
    defined: Vec<Option<ColumnDefinition>>,
}

impl Columns {
    /// Goes through the columns that are there: drops, changes and renames, all by the names of before.
    fn of(
        before: &TableDefinition,
        clauses: &[AlterClause],
        converted: Option<&CharsetName>,
        is_mariadb: bool,
    ) -> Result<Self, String> {
        let there = |name: &str| before.columns.iter().any(|column| same_name(&column.name, name));
        let missing = |name: &str| format!("the column {name} is not there");
        let mut defined = Vec::with_capacity(clauses.len());
        for clause in clauses {
            defined.push(match clause {
                AlterClause::AddColumn { column, if_not_exists, .. } => {
                    if *if_not_exists && there(&column.name) {
                        None
                    } else {
                        Some(resolve::column(column, &before.charset, converted)?)
                    }
                }
                AlterClause::ChangeColumn { from, if_exists, column, .. } => match there(from) {
                    true => Some(resolve::column(column, &before.charset, converted)?),
                    false if *if_exists => None,
                    // MariaDB: one that was added before it in the same statement, told by its new name.
                    false if is_mariadb && is_added(clauses, defined.len(), &column.name) => {
                        Some(resolve::column(column, &before.charset, converted)?)
                    }
                    false => return Err(missing(from)),
                },
                AlterClause::DropColumn { name, if_exists }
                | AlterClause::RenameColumn { from: name, if_exists, .. }
                    if !if_exists && !there(name) =>
                {
                    return Err(missing(name));
                }
                _ => None,
            });
        }
        let mut columns = Vec::with_capacity(before.columns.len() + clauses.len());
        for old in &before.columns {
            let of_this = |name: &str| same_name(name, &old.name);
            if clauses.iter().any(|clause| matches!(clause, AlterClause::DropColumn { name, .. } if of_this(name))) {
                continue;
            }
            let change = clauses
                .iter()
                .position(|clause| matches!(clause, AlterClause::ChangeColumn { from, .. } if of_this(from)));
            if let Some(index) = change
                && let Some(Some(new)) = defined.get_mut(index)
            {
                new.primary_key = old.primary_key;
                columns.push(new.clone());
                continue;
            }
            let mut kept = old.clone();
            if let Some(charset) = converted {
                kept.defined_type = resolve::converted(&old.defined_type, charset)?;
            }
            for clause in clauses {
                if let AlterClause::RenameColumn { from, to, .. } = clause
                    && of_this(from)
                {
                    kept.name.clone_from(to);
                }
            }
            columns.push(kept);
        }
        Ok(Self { columns, defined })
    }

    /// Puts the new and the moved ones where their clauses say.
    fn placed(self, before: &TableDefinition, clauses: &[AlterClause]) -> Result<Vec<ColumnDefinition>, String> {
        let Self { mut columns, defined } = self;
        for (clause, column) in clauses.iter().zip(defined) {
            let (place, is_new) = match clause {
                AlterClause::AddColumn { place, .. } => (place, true),
                AlterClause::ChangeColumn { from, place, .. } => {
                    (place, !before.columns.iter().any(|old| same_name(&old.name, from)))
                }
                _ => continue,
            };
            let Some(column) = column else { continue };
            if !is_new && *place == Place::Unsaid {
                continue;
            }
            if is_new && columns.iter().any(|other| same_name(&other.name, &column.name)) && if_not_exists(clause) {
                continue;
            }
            if matches!(clause, AlterClause::ChangeColumn { .. }) {
                columns.retain(|other| !same_name(&other.name, &column.name));
            }
            let index = match place {
                // Before those that the server added.
                Place::Unsaid => columns.iter().position(|other| other.hidden).unwrap_or(columns.len()),
                Place::First => 0,
                Place::After(name) => columns
                    .iter()
                    .position(|other| same_name(&other.name, name))
                    .map(|index| index + 1)
                    .ok_or_else(|| format!("the column {name} is not there"))?,
            };
            columns.insert(index, column);
        }
        Ok(columns)
    }
}

/// Is a column of this name added by one of the first clauses?
fn is_added(clauses: &[AlterClause], first: usize, name: &str) -> bool {
    clauses
        .iter()
        .take(first)
        .any(|clause| matches!(clause, AlterClause::AddColumn { column, .. } if same_name(&column.name, name)))
}

fn if_not_exists(clause: &AlterClause) -> bool {
    matches!(clause, AlterClause::AddColumn { if_not_exists: true, .. })
}

/// Columns of the key may be gone.
fn renumber(definition: &mut TableDefinition) {
    let mut places: Vec<u16> =
        definition.columns.iter().map(|column| column.primary_key).filter(|place| *place > 0).collect();
    places.sort_unstable();
    for column in &mut definition.columns {
        if let Ok(index) = places.binary_search(&column.primary_key) {
            column.primary_key = u16::try_from(index + 1).unwrap_or(u16::MAX);
        }
    }
}

fn primary_key(after: &mut TableDefinition, before: &TableDefinition, clauses: &[AlterClause]) -> Result<(), String> {
    let mut is_changed = false;
    let periods: Vec<Period> = clauses
        .iter()
        .filter_map(|clause| match clause {
            AlterClause::AddPeriod(period) => Some(period.clone()),
            _ => None,
        })
        .collect();
    if clauses.iter().any(|clause| matches!(clause, AlterClause::DropPrimaryKey { .. })) {
        after.columns.iter_mut().for_each(|column| column.primary_key = 0);
        is_changed = true;
    }
    let had_one = before.columns.iter().any(|column| column.primary_key > 0);
    for clause in clauses {
        match clause {
            AlterClause::AddPrimaryKey { if_not_exists: true, .. } if had_one => {}
            AlterClause::AddPrimaryKey { parts, .. } => {
                set_primary_key(after, parts, &periods)?;
                is_changed = true;
            }
            _ => {}
        }
    }
    for clause in clauses {
        let (spec, is_conditional) = match clause {
            AlterClause::AddColumn { column, if_not_exists, .. } => (column, *if_not_exists),
            AlterClause::ChangeColumn { column, if_exists, .. } => (column, *if_exists),
            _ => continue,
        };
        // MariaDB: IF [NOT] EXISTS holds for the key too, which is not made where the table had one, even one that goes.
        if is_conditional && had_one {
            continue;
        }
        // A clause that it makes void leaves its key, which means the column of that name, if there is one.
        if !after.columns.iter().any(|column| same_name(&column.name, &spec.name)) {
            continue;
        }
        if spec.primary_key && after.columns.iter().all(|column| column.primary_key == 0) {
            set_primary_key(after, &[KeyPart { name: spec.name.clone(), without_overlaps: false }], &periods)?;
            is_changed = true;
        }
    }
    if is_changed { versioning::restore_key(after) } else { Ok(()) }
}
