//! Table layouts from `information_schema`, over a connection of its own that is kept while it lives.

use millstream_codec::mysql::schema::TableSchema;
use millstream_core::source::config::HostPort;
use millstream_core::source::error::SourceError;
use millstream_core::source::information_schema::{columns_query, primary_key_query, table_schema};
use millstream_core::source::session::Goal;

use super::connection::{Connection, Connector};

/// Why there is no schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Asking again may help.
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Answer(#[from] millstream_core::source::information_schema::InformationSchemaError),
}

/// Asks for tables, one at a time.
pub struct SchemaReader {
    connector: Connector,
    connection: Option<Connection>,
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
    ) -> Result<Option<TableSchema>, SchemaError> {
        if let Some(connection) = self.connection.take_if(|connection| connection.server == *server)
            && let Ok(schema) = self.ask(connection, database, table).await
        {
            return Ok(schema);
        }
        let (connection, _) = self.connector.open(server, Goal::Query).await?;
        self.ask(connection, database, table).await
    }

    async fn ask(
        &mut self,
        mut connection: Connection,
        database: &str,
        table: &str,
    ) -> Result<Option<TableSchema>, SchemaError> {
        let columns = connection.query(&self.connector, &columns_query(database, table)).await?;
        let key = connection.query(&self.connector, &primary_key_query(database, table)).await?;
        self.connection = Some(connection);
        Ok(table_schema(database, table, &columns, &key)?)
    }
}
