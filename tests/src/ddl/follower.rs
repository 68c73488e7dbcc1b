//! A catalog that follows a server's binlog.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail, ensure};
use millstream_codec::mysql::checksum::Checksum;
use millstream_codec::mysql::event::{Event, EventType, FormatDescription, QueryEvent};
use millstream_codec::mysql::file::BinlogFileReader;
use millstream_codec::mysql::server::ServerKind;
use millstream_codec::mysql::table_map::TableMap;
use millstream_core::catalog::{Catalog, Outcome, ServerFacts, TableDefinition, TableKey, TableState};
use millstream_core::source::information_schema::{
    Scope, Snapshot, columns_query, databases, databases_query, primary_key_query, snapshot, snapshot_queries,
    table_schema,
};
use millstream_core::source::statement::ddl::{AlterClause, Change};
use millstream_core::source::statement::{Dialect, Session as StatementSession, Statement, classify};

use crate::harness::{Kind, MysqlServer, Session};

const EVENT_BYTES_MAX: usize = 64 << 20;

/// One statement of the log that was applied.
#[derive(Debug, Clone)]
pub struct Step {
    pub sql: String,
    pub changed: Vec<TableKey>,
    pub outcome: Outcome,
}

/// What follows a server, and asks it for `information_schema`.
pub struct Follower<'a> {
    server: &'a MysqlServer,
    /// Where the statements are run.
    pub session: Session,
    /// Where `information_schema` is asked.
    reader: Session,
    pub catalog: Catalog,
    log: File,
    events: BinlogFileReader,
    checksum: Checksum,
    dialect: Dialect,
    /// Statements that were Dangerous, and had their tables read again.
    pub dangerous: Vec<(String, String)>,
    /// The last TABLE_MAP of each table.
    seen: BTreeMap<TableKey, Vec<u8>>,
}

impl<'a> Follower<'a> {
    /// Takes a snapshot, and begins at the end of the log.
    ///
    /// # Errors
    /// Those of the server.
    pub fn start(server: &'a MysqlServer) -> anyhow::Result<Self> {
        let (file, offset) = server.binlog_end()?;
        let path: PathBuf = server.datadir().join(file);
        let mut log = File::open(&path).with_context(|| path.display().to_string())?;
        let mut head = vec![0; usize::try_from(offset.min(1024))?];
        log.read_exact(&mut head)?;
        let mut reader = BinlogFileReader::new(EVENT_BYTES_MAX);
        reader.feed(&head);
        let first = reader.next_event()?.context("no FORMAT_DESCRIPTION")?;
        let checksum = FormatDescription::parse(first.bytes)?.checksum;
        log.seek(SeekFrom::Start(offset))?;

        let version = server.version.0 * 10_000 + server.version.1 * 100 + server.version.2;
        let kind = match server.kind() {
            Kind::Mysql => ServerKind::Mysql,
            Kind::Mariadb => ServerKind::Mariadb,
        };
        let is_mariadb = kind == ServerKind::Mariadb;
        let facts = ServerFacts {
            kind,
            version,
            lower_case_table_names: server.value("SELECT @@lower_case_table_names")?.context("NULL")?.parse()?,
            charset: server.value("SELECT @@GLOBAL.character_set_server")?.context("NULL")?.as_str().into(),
        };
        let reader = server.session()?;
        reader.run("SET NAMES utf8mb4; SET SESSION sql_mode = ''")?;
        let mut follower = Self {
            server,
            session: server.session()?,
            reader,
            catalog: Catalog::new(facts),
            log,
            events: BinlogFileReader::starting_at(offset, EVENT_BYTES_MAX),
            checksum,
            dialect: Dialect { is_mariadb, server_version: version, ..Dialect::default() },
            dangerous: Vec::new(),
            seen: BTreeMap::new(),
        };
        for (name, charset) in databases(&follower.rows(databases_query())?)? {
            follower.catalog.put_database(&name, charset);
        }
        let all = follower.read(Scope::Everything)?;
        ensure!(all.doubtful.is_empty(), "{:?}", all.doubtful);
        for (database, view) in &all.views {
            follower.catalog.put_view(database, view);
        }
        all.tables.into_iter().for_each(|table| follower.catalog.put(table));
        Ok(follower)
    }

    fn rows(&self, query: &str) -> anyhow::Result<Vec<Vec<Option<Vec<u8>>>>> {
        Ok(self.reader.query(query)?.rows)
    }

    fn read(&self, scope: Scope<'_>) -> anyhow::Result<Snapshot> {
        let [tables, columns, keys] = snapshot_queries(scope);
        Ok(snapshot(&self.rows(&tables)?, &self.rows(&columns)?, &self.rows(&keys)?)?)
    }

    /// Runs a statement, applies what the log has of it, and compares the tables that it is about.
    ///
    /// # Errors
    /// The server's refusal (then nothing was compared) as `Ok(None)`; what differs.
    pub fn run(&mut self, sql: &str) -> anyhow::Result<Option<Vec<Step>>> {
        if self.session.query(sql).is_err() {
            // It may have done a part of its work.
            self.follow()?;
            return Ok(None);
        }
        let steps = self.follow()?;
        Ok(Some(steps))
    }

    /// Applies what is new in the log.
    ///
    /// # Errors
    /// What differs from the server.
    pub fn follow(&mut self) -> anyhow::Result<Vec<Step>> {
        let mut bytes = Vec::new();
        self.log.read_to_end(&mut bytes)?;
        self.events.feed(&bytes);
        let mut steps = Vec::new();
        let mut touched = Vec::new();
        while let Some(event) = self.events.next_event()? {
            let event = Event::parse(event.bytes, self.checksum)?;
            match event.header.type_code {
                EventType::QUERY | EventType::QUERY_COMPRESSED => {
                    let query = QueryEvent::parse(event.header.type_code, event.body)?;
                    let sql = query.statement(EVENT_BYTES_MAX)?;
                    let session = StatementSession::of(&query, self.dialect);
                    match classify(&sql, &session) {
                        Statement::Ddl(ddl) => {
                            let effect = self.catalog.apply(&ddl, &session);
                            touched.extend(ddl.tables);
                            touched.extend(effect.changed.iter().cloned());
                            steps.push(Step { sql: ddl.text, changed: effect.changed, outcome: effect.outcome });
                        }
                        Statement::Unknown(what) => bail!("{what} in {}", String::from_utf8_lossy(&sql)),
                        _ => {}
                    }
                }
                EventType::TABLE_MAP => {
                    let map = TableMap::parse(event.body, self.catalog.server().kind)?;
                    let key = self.catalog.key(&map.database, &map.table);
                    self.seen.insert(key, event.body.to_vec());
                }
                _ => {}
            }
        }
        touched.sort();
        touched.dedup();
        for (database, table) in &touched {
            self.compare(database, table)?;
        }
        for step in &steps {
            if let Outcome::Dangerous { reason } = &step.outcome {
                self.dangerous.push((step.sql.clone(), reason.clone()));
                for (database, table) in &step.changed {
                    self.read_again(database, table)?;
                }
            }
        }
        Ok(steps)
    }

    /// Reads everything anew, after something differed.
    ///
    /// # Errors
    /// Those of the server.
    pub fn resync(&mut self) -> anyhow::Result<()> {
        let keys: Vec<TableKey> = self.catalog.tables().map(|(key, _)| key.clone()).collect();
        for (database, table) in &keys {
            self.catalog.forget(database, table);
        }
        let all = self.read(Scope::Everything)?;
        all.tables.into_iter().for_each(|table| self.catalog.put(table));
        for (name, charset) in databases(&self.rows(databases_query())?)? {
            self.catalog.put_database(&name, charset);
        }
        Ok(())
    }

    /// Reads a table that is in doubt.
    fn read_again(&mut self, database: &str, table: &str) -> anyhow::Result<()> {
        if !matches!(self.catalog.table(database, table), TableState::Doubtful(_)) {
            return Ok(());
        }
        self.catalog.forget(database, table);
        let read = self.read(Scope::Table { database, table })?;
        ensure!(read.doubtful.is_empty(), "{:?}", read.doubtful);
        read.tables.into_iter().for_each(|table| self.catalog.put(table));
        Ok(())
    }

    /// One table: the whole definition, and the schema as it was read before there was a catalog.
    fn compare(&self, database: &str, table: &str) -> anyhow::Result<()> {
        let state = self.catalog.table(database, table);
        if matches!(state, TableState::Doubtful(_)) {
            return Ok(());
        }
        let there = self.read(Scope::Table { database, table })?;
        ensure!(there.doubtful.is_empty(), "{:?}", there.doubtful);
        let ours = match state {
            TableState::Known(definition) => Some(&**definition),
            _ => None,
        };
        same(ours, there.tables.first())?;
        if let Some(definition) = ours {
            let columns = self.rows(&columns_query(database, table))?;
            let key = self.rows(&primary_key_query(database, table))?;
            let read = table_schema(database, table, &columns, &key)?.context("it is not there")?;
            let mut schema = definition.schema();
            let hidden = definition.columns.iter().filter(|column| column.hidden).map(|column| &column.name);
            let hidden: Vec<&String> = hidden.collect();
            schema.columns.retain(|column| !hidden.contains(&&column.name));
            ensure!(read.columns == schema.columns, "{database}.{table}:\n{:?}\n{:?}", schema.columns, read.columns);
        }
        Ok(())
    }

    /// Is this statement parsed without anything unknown?
    pub fn understands(&self, sql: &str) -> bool {
        let session = StatementSession { dialect: self.dialect, database: "d", ..StatementSession::default() };
        match classify(sql.as_bytes(), &session) {
            Statement::Ddl(ddl) => match ddl.change {
                Change::Unknown(_) => false,
                Change::AlterTable(alter) => {
                    !alter.clauses.iter().any(|clause| matches!(clause, AlterClause::Unknown(_)))
                }
                _ => true,
            },
            other => !matches!(other, Statement::Unknown(_)),
        }
    }

    /// All tables of the server, and all of the catalog.
    ///
    /// # Errors
    /// What differs.
    pub fn compare_all(&self) -> anyhow::Result<usize> {
        let there = self.read(Scope::Everything)?;
        ensure!(there.doubtful.is_empty(), "{:?}", there.doubtful);
        let theirs: BTreeMap<TableKey, &TableDefinition> =
            there.tables.iter().map(|table| (self.catalog.key(&table.database, &table.table), table)).collect();
        for (key, state) in self.catalog.tables() {
            match state {
                TableState::Known(definition) => same(Some(definition), theirs.get(key).copied())?,
                TableState::Doubtful(reason) => bail!("{key:?} is in doubt: {reason}"),
                TableState::Absent => {}
            }
        }
        for (key, table) in &theirs {
            ensure!(matches!(self.catalog.table(&key.0, &key.1), TableState::Known(_)), "not known: {table:?}");
        }
        let server = databases(&self.rows(databases_query())?)?;
        let server: BTreeMap<String, _> = server.into_iter().collect();
        let ours: BTreeMap<String, _> =
            self.catalog.databases().map(|(name, charset)| (name.to_owned(), charset.clone())).collect();
        ensure!(ours == server, "databases:\n{ours:?}\n{server:?}");
        Ok(theirs.len())
    }

    /// Writes a row into each table that takes one, and compares the columns of its TABLE_MAP with the catalog's, the
    /// hidden ones too. How many were compared.
    ///
    /// # Errors
    /// What differs.
    pub fn compare_table_maps(&mut self) -> anyhow::Result<usize> {
        self.seen.clear();
        self.session.query("SET SESSION sql_mode = ''")?;
        let keys: Vec<TableKey> = self.catalog.tables().map(|(key, _)| key.clone()).collect();
        for (database, table) in &keys {
            let name = format!("`{}`.`{}`", database.replace('`', "``"), table.replace('`', "``"));
            let _ = self.session.query(&format!("INSERT IGNORE INTO {name} () VALUES ()"));
        }
        self.follow()?;
        let mut compared = 0;
        for (key, body) in &self.seen {
            let TableState::Known(definition) = self.catalog.table(&key.0, &key.1) else { continue };
            let map = TableMap::parse(body, self.catalog.server().kind)?;
            let ours: Vec<&str> = definition.columns.iter().map(|column| column.name.as_str()).collect();
            if let Some(names) = &map.metadata.column_names {
                let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name)).collect();
                ensure!(ours == names, "{key:?}: {ours:?}, its TABLE_MAP has {names:?}");
            }
            let schema = definition.schema();
            let merged = map.schema_with(&schema);
            let merged = merged.map_err(|error| anyhow!("{key:?}: {error}\n{schema:?}"))?;
            ensure!(merged.columns.len() == ours.len(), "{key:?}");
            if map.metadata.column_names.is_some() && !map.metadata.primary_key.is_empty() {
                let mut ours: Vec<(u16, usize)> =
                    (0..).zip(&schema.columns).map(|(index, column)| (column.primary_key, index)).collect();
                ours.retain(|(place, _)| *place > 0);
                ours.sort_unstable();
                let ours: Vec<usize> = ours.into_iter().map(|(_, index)| index).collect();
                let theirs: Vec<usize> = map.metadata.primary_key.iter().map(|part| part.column).collect();
                // Without a primary key, the first UNIQUE over NOT NULL columns is told in its place.
                ensure!(
                    ours.is_empty() || ours == theirs,
                    "{key:?}: its primary key is {ours:?}, its TABLE_MAP has {theirs:?}"
                );
            }
            compared += 1;
        }
        Ok(compared)
    }

    pub fn name(&self) -> &'static str {
        self.server.name()
    }
}

fn same(ours: Option<&TableDefinition>, theirs: Option<&TableDefinition>) -> anyhow::Result<()> {
    // Keys that are gone are not followed: what is certain must be true, and it need not be known.
    let mut ours = ours.cloned();
    if let (Some(ours), Some(theirs)) = (&mut ours, theirs) {
        ours.without_unique_keys |= theirs.without_unique_keys;
    }
    let ours = ours.as_ref();
    ensure!(ours == theirs, "the catalog has\n  {ours:?}\nthe server has\n  {theirs:?}");
    Ok(())
}
