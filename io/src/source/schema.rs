//! What `information_schema` tells: single tables, and all of them at once, over a connection of its own that is kept while
//! it lives.

use millstream_core::catalog::TableDefinition;
use millstream_core::filter::Filter;
use millstream_core::history::{Snapshot, TableName};
use millstream_core::source::config::HostPort;
use millstream_core::source::error::SourceError;
use millstream_core::source::information_schema::{
    self, InformationSchemaError, Scope, databases_query, snapshot_queries,
};
use millstream_core::source::session::server::Flavour;
use millstream_core::source::session::{Goal, ServerInfo};

use super::connection::{Connection, Connector};

/// Why there is no schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Asking again may help.
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Answer(#[from] InformationSchemaError),
    /// The table is there, and has something that is not known.
    #[error("{0}")]
    Unreadable(String),
}

/// Asks for tables, one at a time.
pub struct SchemaReader {
    connector: Connector,
    connection: Option<(Connection, ServerInfo)>,
}

impl SchemaReader {
    pub fn new(connector: Connector) -> Self {
        Self { connector, connection: None }
    }

    /// The table as it is now on `server`; `None` where it does not exist there.
    ///
    /// # Errors
    /// After one attempt on the kept connection (which the server may have closed) and one on a new one.
    pub async fn table(
        &mut self,
        server: &HostPort,
        database: &str,
        table: &str,
    ) -> Result<Option<TableDefinition>, SchemaError> {
        let scope = Scope::Table { database, table };
        let is_kept = self.connection.as_ref().is_some_and(|(connection, _)| connection.server == *server);
        let first = match is_kept {
            true => self.ask(server, scope).await.ok(),
            false => None,
        };
        let found = match first {
            Some(found) => found,
            None => {
                self.connection = None;
                self.ask(server, scope).await?
            }
        };
        if let Some((_, _, reason)) = found.doubtful.into_iter().next() {
            return Err(SchemaError::Unreadable(reason));
        }
        Ok(found.tables.into_iter().next())
    }

    /// The names of all tables that the account may see on `server`.
    ///
    /// # Errors
    /// The server's.
    pub async fn table_names(&mut self, server: &HostPort) -> Result<Vec<TableName>, SchemaError> {
        let connector = self.connector.clone();
        let (connection, _) = self.connected(server).await?;
        let rows = connection.query(&connector, information_schema::TABLE_NAMES_QUERY).await?;
        Ok(information_schema::table_names(&rows)?)
    }

    /// Every table that `allowed` matches; `None` where nobody needs it: MySQL tells all in its log if
    /// `binlog_row_metadata` is FULL.
    ///
    /// # Errors
    /// The server's.
    pub async fn snapshot(&mut self, server: &HostPort, allowed: &Filter) -> Result<Option<Snapshot>, SchemaError> {
        let (_, info) = self.connected(server).await?;
        if info.flavour == Flavour::Mysql && info.row_metadata_full {
            return Ok(None);
        }
        let connector = self.connector.clone();
        let (connection, _) = self.connected(server).await?;
        let databases = information_schema::databases(&connection.query(&connector, databases_query()).await?)?;
        let found = self.ask(server, Scope::Everything).await?;
        let is_allowed = |database: &str, table: &str| allowed.matches_table(database, table);
        Ok(Some(Snapshot {
            tables: found.tables.into_iter().filter(|table| is_allowed(&table.database, &table.table)).collect(),
            databases,
            doubtful: found
                .doubtful
                .into_iter()
                .filter(|(database, table, _)| is_allowed(database, table))
                .map(|(database, table, reason)| ((database, table), reason))
                .collect(),
        }))
    }

    /// The kept connection, or a new one.
    async fn connected(&mut self, server: &HostPort) -> Result<&mut (Connection, ServerInfo), SourceError> {
        if self.connection.as_ref().is_none_or(|(connection, _)| connection.server != *server) {
            let (connection, ready) = self.connector.open(server, Goal::Query).await?;
            self.connection = Some((connection, ready.server));
        }
        self.connection.as_mut().ok_or_else(|| SourceError::Config("servers is empty".to_owned()))
    }

    async fn ask(&mut self, server: &HostPort, scope: Scope<'_>) -> Result<information_schema::Snapshot, SchemaError> {
        let connector = self.connector.clone();
        self.connected(server).await?;
        // Taken out: a connection that was left in the middle of an answer is not used again.
        let Some((mut connection, info)) = self.connection.take() else {
            return Err(SourceError::Config("servers is empty".to_owned()).into());
        };
        let [tables, columns, keys] = snapshot_queries(scope);
        let tables = connection.query(&connector, &tables).await?;
        let columns = connection.query(&connector, &columns).await?;
        let keys = connection.query(&connector, &keys).await?;
        self.connection = Some((connection, info));
        Ok(information_schema::snapshot(&tables, &columns, &keys)?)
    }
}
