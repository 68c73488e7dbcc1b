//! What a statement makes of the catalog.

use std::sync::Arc;

use millstream_codec::mysql::schema::CharsetName;

use super::versioning::{self, Versioned};
use super::{
    Catalog, ColumnDefinition, DefinedType, Effect, Entry, Outcome, TableDefinition, TableKey, TableKind, alter,
    hashing, resolve,
};
use crate::source::statement::ddl::{
    AlterClause, AlterTable, Change, CharsetClause, CharsetWord, CreateBody, CreateTable, Elements, IndexChange,
    KeyPart, Period, RowBound, TableName, TableOptions, UniqueKey, Unknown, tables_of,
};
use crate::source::statement::{DdlStatement, Session};

pub(super) fn apply(catalog: &mut Catalog, ddl: &DdlStatement, session: &Session<'_>) -> Effect {
    let mut change = Changing { catalog, session, changed: Vec::new(), reason: None };
    let is_harmless = change.apply(&ddl.change);
    let mut changed = change.changed;
    let outcome = match change.reason {
        Some(reason) => Outcome::Dangerous { reason },
        None if is_harmless => Outcome::Harmless,
        None => Outcome::Understood,
    };
    changed.sort();
    changed.dedup();
    Effect { changed, outcome }
}

/// One statement at work.
struct Changing<'c, 's> {
    catalog: &'c mut Catalog,
    session: &'s Session<'s>,
    changed: Vec<TableKey>,
    /// Why it is dangerous, if it is.
    reason: Option<String>,
}

impl Changing<'_, '_> {
    /// True where nothing that matters could change.
    fn apply(&mut self, change: &Change) -> bool {
        let does_parts = matches!(
            change,
            Change::CreateTable(_)
                | Change::DropTables(_)
                | Change::CreateView(_)
                | Change::AlterView(_)
                | Change::DropViews(_)
                | Change::Harmless
        );
        if self.session.error_code != 0 && !does_parts {
            let reason = format!("it failed at the server with error {}", self.session.error_code);
            let (_, tables) = tables_of(change);
            tables.iter().for_each(|table| self.doubt_if_known(table, &reason));
            return false;
        }
        match change {
            Change::Harmless | Change::Truncate(_) => return true,
            Change::Index { index: IndexChange::Add, .. } => return true,
            Change::Index { table, index: IndexChange::AddUnique(key) } => {
                return self.alter_table(&AlterTable::of(table, AlterClause::AddUnique(key.clone())));
            }
            Change::Index { table, index: IndexChange::Drop } => {
                return self.alter_table(&AlterTable::of(table, AlterClause::DropKey));
            }
            Change::Index { table, index: IndexChange::DropPrimaryKey } => {
                let clause = AlterClause::DropPrimaryKey { if_exists: true };
                return self.alter_table(&AlterTable::of(table, clause));
            }
            Change::CreateTable(create) => self.create_table(create),
            Change::AlterTable(alter) => return self.alter_table(alter),
            Change::DropTables(tables) => tables.iter().for_each(|table| drop(self.take(table))),
            Change::RenameTables { pairs, if_exists } => {
                pairs.iter().for_each(|(from, to)| self.rename(from, to, *if_exists));
            }
            Change::CreateSequence { name, if_not_exists, value } => {
                if !(*if_not_exists && self.is_taken(name)) {
                    self.define_sequence(name, value.clone());
                }
            }
            Change::AlterSequence { value: None, .. } => return true,
            Change::AlterSequence { name, value } => self.define_sequence(name, value.clone()),
            Change::CreateView((database, view)) => {
                let key = self.catalog.key(database, view);
                self.catalog.views.insert(key);
                return true;
            }
            Change::AlterView(_) => return true,
            Change::DropViews(names) => {
                for (database, view) in names {
                    let key = self.catalog.key(database, view);
                    self.catalog.views.remove(&key);
                }
                return true;
            }
            // Of another kind of table nothing is dropped.
            Change::DropSequences(names) => {
                for name in names {
                    if matches!(self.state(name), Some(Entry::Known(table)) if table.kind == TableKind::Sequence) {
                        self.take(name);
                    }
                }
            }
            Change::CreateDatabase { name, or_replace, if_not_exists, charset } => {
                if *or_replace {
                    self.drop_database(name);
                }
                if !(*if_not_exists && self.catalog.database(name).is_some()) {
                    let charset = self.database_charset_of(charset);
                    self.catalog.put_database(name, charset);
                }
            }
            Change::AlterDatabase { charset, .. } if !charset.is_given() => return true,
            Change::AlterDatabase { name, charset } => {
                let charset = self.database_charset_of(charset);
                self.catalog.put_database(name, charset);
            }
            Change::DropDatabase(name) => self.drop_database(name),
            Change::Unknown(unknown) => self.unknown(unknown),
        }
        false
    }

    fn unknown(&mut self, unknown: &Unknown) {
        for table in &unknown.tables {
            self.doubt(table, &unknown.reason);
        }
        if unknown.others {
            let all: Vec<TableKey> = self.catalog.tables.keys().cloned().collect();
            for key in &all {
                self.doubt(key, &unknown.reason);
            }
        }
        self.reason = Some(unknown.reason.clone());
    }

    fn doubt(&mut self, table: &TableName, reason: &str) {
        let key = self.catalog.key(&table.0, &table.1);
        self.catalog.tables.insert(key.clone(), Entry::Doubtful(reason.to_owned()));
        self.changed.push(key);
        self.reason.get_or_insert_with(|| format!("{}.{}: {reason}", table.0, table.1));
    }

    fn doubt_if_known(&mut self, table: &TableName, reason: &str) {
        if self.state(table).is_some() {
            self.doubt(table, reason);
        }
    }

    fn is_taken(&self, (database, table): &TableName) -> bool {
        let key = self.catalog.key(database, table);
        self.catalog.tables.contains_key(&key) || self.catalog.views.contains(&key)
    }

    fn take(&mut self, (database, table): &TableName) -> Option<Entry> {
        let key = self.catalog.key(database, table);
        let entry = self.catalog.tables.remove(&key)?;
        self.changed.push(key);
        Some(entry)
    }

    fn set(&mut self, (database, table): &TableName, entry: Entry) {
        let key = self.catalog.key(database, table);
        self.catalog.views.remove(&key);
        self.changed.push(key.clone());
        self.catalog.tables.insert(key, entry);
    }

    fn define(&mut self, definition: TableDefinition) {
        let name = (definition.database.clone(), definition.table.clone());
        self.set(&name, Entry::Known(Arc::new(definition)));
    }

    /// The names as the server keeps them.
    fn kept(&self, (database, table): &TableName) -> TableName {
        if self.catalog.server.lower_case_table_names == 1 {
            (database.to_lowercase(), table.to_lowercase())
        } else {
            (database.clone(), table.clone())
        }
    }

    fn renamed(&self, definition: &TableDefinition, name: &TableName) -> TableDefinition {
        let (database, table) = self.kept(name);
        TableDefinition { database, table, ..definition.clone() }
    }

    fn rename(&mut self, from: &TableName, to: &TableName, if_exists: bool) {
        let from_key = self.catalog.key(&from.0, &from.1);
        if self.catalog.views.remove(&from_key) {
            let key = self.catalog.key(&to.0, &to.1);
            self.catalog.views.insert(key);
            return;
        }
        match self.take(from) {
            Some(Entry::Known(definition)) => {
                let definition = self.renamed(&definition, to);
                self.define(definition);
            }
            Some(doubtful) => self.set(to, doubtful),
            None if if_exists => {}
            None => self.doubt(to, "it was renamed from a table that is not known"),
        }
    }

    fn state(&self, (database, table): &TableName) -> Option<Entry> {
        self.catalog.tables.get(&self.catalog.key(database, table)).cloned()
    }

    fn drop_database(&mut self, name: &str) {
        let name = self.catalog.folded(name);
        self.catalog.databases.remove(&name);
        self.catalog.views.retain(|(database, _)| *database != name);
        let tables: Vec<TableKey> =
            self.catalog.tables.keys().filter(|(database, _)| *database == name).cloned().collect();
        for key in tables {
            self.catalog.tables.remove(&key);
            self.changed.push(key);
        }
    }

    fn server_charset(&self) -> CharsetName {
        self.session.server_charset.map_or_else(|| self.catalog.server.charset.clone(), CharsetName::from)
    }

    /// Of CREATE or ALTER DATABASE. A name that is not known is kept: what is defined with it is in doubt later.
    fn database_charset_of(&self, clause: &CharsetClause) -> CharsetName {
        resolve::charset_of(clause, &self.server_charset()).unwrap_or_else(|_| match &clause.charset {
            Some(CharsetWord::Named(name)) => name.as_str().into(),
            _ => clause.collation.as_deref().unwrap_or_default().into(),
        })
    }

    /// What a new table of this database has by default.
    fn charset_of_database(&self, database: &str) -> CharsetName {
        match self.catalog.database(database) {
            Some(charset) => charset.clone(),
            None => match self.session.database_charset.filter(|_| self.session.database == database) {
                Some(charset) => charset.into(),
                None => self.server_charset(),
            },
        }
    }

    fn define_sequence(&mut self, name: &TableName, value: Option<DefinedType>) {
        let integer = |bytes, unsigned| DefinedType::Integer { bytes, unsigned };
        let value = value.unwrap_or(integer(8, false));
        let columns = [
            ("next_not_cached_value", value.clone()),
            ("minimum_value", value.clone()),
            ("maximum_value", value.clone()),
            ("start_value", value),
            ("increment", integer(8, false)),
            ("cache_size", integer(8, true)),
            ("cycle_option", integer(1, true)),
            ("cycle_count", integer(8, false)),
        ];
        let columns = columns
            .into_iter()
            .map(|(name, defined_type)| ColumnDefinition {
                name: name.to_owned(),
                defined_type,
                primary_key: 0,
                hidden: false,
            })
            .collect();
        let (database, table) = self.kept(name);
        let charset = self.charset_of_database(&database);
        self.define(TableDefinition {
            database,
            table,
            charset,
            kind: TableKind::Sequence,
            columns,
            without_unique_keys: false,
        });
    }

    fn create_table(&mut self, create: &CreateTable) {
        if create.if_not_exists && self.is_taken(&create.name) {
            return;
        }
        if self.session.error_code != 0 {
            // Only the old table is gone.
            self.take(&create.name);
            return;
        }
        match &create.body {
            CreateBody::Like(source) => match self.state(source) {
                Some(Entry::Known(definition)) => {
                    let definition = self.renamed(&definition, &create.name);
                    self.define(definition);
                }
                _ => self.doubt(&create.name, "it was made like a table that is not known"),
            },
            CreateBody::Elements { selects: true, .. } => {
                self.doubt(&create.name, "it was made with the columns of a query");
            }
            CreateBody::Elements { elements, .. } if elements.columns.is_empty() => {
                self.doubt(&create.name, "it was made without columns, which the engine finds by itself");
            }
            CreateBody::Elements { elements, options, .. } => match self.defined(&create.name, elements, options) {
                Ok(definition) => self.define(definition),
                Err(reason) => self.doubt(&create.name, &reason),
            },
        }
    }

    fn defined(
        &self,
        name: &TableName,
        elements: &Elements,
        options: &TableOptions,
    ) -> Result<TableDefinition, String> {
        let charset = resolve::charset_of(&options.charset, &self.charset_of_database(&name.0))?;
        let columns =
            elements.columns.iter().map(|spec| resolve::column(spec, &charset, None)).collect::<Result<Vec<_>, _>>()?;
        let (database, table) = self.kept(name);
        let mut definition =
            TableDefinition { database, table, charset, kind: TableKind::Table, columns, without_unique_keys: false };
        alter::no_name_twice(&definition.columns)?;
        let of_column = elements
            .columns
            .iter()
            .find(|spec| spec.primary_key)
            .map(|spec| KeyPart { name: spec.name.clone(), without_overlaps: false });
        if let Some(parts) = elements.primary_key.clone().or(of_column.map(|part| vec![part])) {
            set_primary_key(&mut definition, &parts, &elements.periods)?;
        }
        if options.system_versioning || elements.columns.iter().any(|spec| spec.system_versioning) {
            let end = elements.columns.iter().find(|spec| spec.row_bound == Some(RowBound::End));
            match end {
                Some(end) => versioning::add(&mut definition, Versioned::ByColumn(&end.name))?,
                None => versioning::add(&mut definition, Versioned::Implicitly)?,
            }
        }
        if self.session.dialect.is_mariadb {
            let of_columns = elements.columns.iter().filter(|spec| spec.unique).map(hashing::key_of_column);
            let keys: Vec<UniqueKey> = elements.unique_keys.iter().cloned().chain(of_columns).collect();
            hashing::add(&mut definition, &keys, options.engine.as_deref().or(Some("InnoDB")))?;
            definition.without_unique_keys = keys.is_empty();
        }
        Ok(definition)
    }

    /// True where nothing that matters could change.
    fn alter_table(&mut self, alter: &AlterTable) -> bool {
        use AlterClause as C;
        let new_name = alter.clauses.iter().rev().find_map(|clause| match clause {
            C::RenameTo(name) => Some(name),
            _ => None,
        });
        let state = self.state(&alter.table);
        // Keys matter where they may bring a hidden column.
        let keys_matter = matches!(&state, Some(Entry::Known(before)) if hashing::keys_matter(before, &alter.clauses));
        let is_harmless = |clause: &C| match clause {
            C::Harmless | C::ExchangePartition(_) => true,
            C::AddUnique(_) | C::DropKey | C::Engine(_) => !keys_matter,
            _ => false,
        };
        if alter.clauses.iter().all(is_harmless) {
            return true;
        }
        for clause in &alter.clauses {
            if let C::ConvertTable(gone) = clause {
                self.take(gone);
            }
        }
        let from_key = self.catalog.key(&alter.table.0, &alter.table.1);
        if let (true, Some(to)) = (self.catalog.views.contains(&from_key), new_name) {
            self.rename(&alter.table, to, false);
            return false;
        }
        let unknown = alter.clauses.iter().find_map(|clause| match clause {
            C::Unknown(reason) => Some(reason.clone()),
            _ => None,
        });
        let names: Vec<&TableName> = alter
            .clauses
            .iter()
            .filter_map(|clause| match clause {
                C::RenameTo(name) => Some(name),
                _ => None,
            })
            .collect();
        if names.len() > 1 {
            for name in names.into_iter().chain([&alter.table]) {
                self.doubt(name, "it was renamed twice by one ALTER TABLE");
            }
            return false;
        }
        if state.is_none() && alter.if_exists && unknown.is_none() {
            return false;
        }
        let result = match (unknown, state) {
            (Some(reason), _) => Err(Some(reason)),
            (None, None) => Err(Some("it was altered, and is not known".to_owned())),
            // It stays so.
            (None, Some(Entry::Doubtful(_))) => Err(None),
            (None, Some(Entry::Known(before))) => {
                let database = self.charset_of_database(&before.database);
                alter::altered(&before, &alter.clauses, &database, self.session.dialect)
                    .map(|after| (before, after))
                    .map_err(Some)
            }
        };
        let target = new_name.unwrap_or(&alter.table);
        let others: Vec<TableName> = alter
            .clauses
            .iter()
            .filter_map(|clause| match clause {
                C::ConvertPartition(other) => Some(other.clone()),
                _ => None,
            })
            .collect();
        match result {
            Ok((before, after)) => {
                for other in &others {
                    let definition = self.renamed(&after, other);
                    self.define(definition);
                }
                if new_name.is_some() {
                    self.take(&alter.table);
                    let after = self.renamed(&after, target);
                    self.define(after);
                } else if *before != after {
                    self.define(after);
                }
            }
            Err(reason) => {
                let known = self.take(&alter.table);
                match (reason, known) {
                    (None, Some(doubtful)) => {
                        for name in others.iter().chain([target]) {
                            self.set(name, doubtful.clone());
                        }
                    }
                    (reason, _) => {
                        let reason = reason.unwrap_or_default();
                        for name in others.iter().chain([target]) {
                            self.doubt(name, &reason);
                        }
                    }
                }
            }
        }
        false
    }
}

/// Makes these columns the primary key, and no others.
pub(super) fn set_primary_key(
    definition: &mut TableDefinition,
    parts: &[KeyPart],
    periods: &[Period],
) -> Result<(), String> {
    let mut names = Vec::with_capacity(parts.len() + 1);
    for part in parts {
        if part.without_overlaps {
            let period = periods.iter().find(|period| alter::same_name(&period.name, &part.name));
            let period = period.ok_or_else(|| format!("the period {} of the primary key is not known", part.name))?;
            names.extend([&period.end, &period.start]);
        } else {
            names.push(&part.name);
        }
    }
    definition.columns.iter_mut().for_each(|column| column.primary_key = 0);
    for (place, name) in (1..).zip(names) {
        let column = definition
            .columns
            .iter_mut()
            .find(|column| alter::same_name(&column.name, name))
            .ok_or_else(|| format!("the primary key's column {name} is not there"))?;
        column.primary_key = place;
    }
    Ok(())
}
