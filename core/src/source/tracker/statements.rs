//! QUERY events: the ends of groups, savepoints, XA, DDL, and row changes that were logged as statements.

use std::sync::Arc;

use millstream_codec::mysql::error::EventError;
use millstream_codec::mysql::event::QueryEvent;

use super::dispatch::{Current, Flow, damaged};
use super::group::Shape;
use super::stream::Stream;
use super::{Notice, StatementPolicy, Tracker};
use crate::engine::batch::Ddl;
use crate::position::FilePosition;
use crate::source::error::SourceError;
use crate::source::statement::{DdlStatement, Session, Statement, classify, excerpt};

impl Tracker {
    pub(super) fn query(&mut self, stream: &mut Stream, current: &Current<'_>) -> Result<Flow, SourceError> {
        if QueryEvent::begins(current.header.type_code, current.body) {
            self.begin_statement(stream, current, Shape::Transaction);
            return Ok(Flow::Next);
        }
        let place = stream.place_of(current);
        let corrupt = |error: EventError| damaged(&place, &error);
        let query = QueryEvent::parse(current.header.type_code, current.body).map_err(corrupt)?;
        let sql = query.statement(self.config.event_bytes_max).map_err(corrupt)?;
        let session = Session::of(&query, stream.dialect);
        match classify(&sql, &session) {
            Statement::Begin => self.begin_statement(stream, current, Shape::Transaction),
            Statement::XaStart(xid) => self.begin_statement(stream, current, Shape::Xa(xid)),
            Statement::Commit => self.commit(stream, current)?,
            Statement::Rollback => self.roll_back(stream, current)?,
            Statement::Savepoint(name) => {
                if let Some(group) = &mut self.group {
                    group.set_savepoint(name);
                }
            }
            Statement::RollbackTo(name) => self.undo_to_savepoint(&name, &place)?,
            Statement::XaPrepare(xid) => self.prepare(stream, current, xid)?,
            Statement::XaCommit { one_phase: true, .. } => self.commit(stream, current)?,
            Statement::XaCommit { xid, one_phase: false } => {
                if !self.xa_commit(stream, current, &xid)? {
                    return Ok(Flow::Again);
                }
            }
            Statement::XaRollback(xid) => self.xa_roll_back(stream, current, &xid)?,
            Statement::Dummy => {}
            Statement::Harmless | Statement::ReleaseSavepoint | Statement::XaEnd => {
                self.settle_single(stream, current, None)?;
            }
            Statement::Dml(_) => {
                self.statement_dml(&place, query.database.to_string(), excerpt(&sql, &session))?;
                self.settle_single(stream, current, None)?;
            }
            Statement::Ddl(ddl) => {
                if ddl.carries_rows {
                    self.statement_dml(&place, query.database.to_string(), excerpt(&sql, &session))?;
                }
                self.ddl(stream, current, &session, *ddl)?;
            }
            Statement::Unknown(_) => {
                self.notice(Notice::StatementUnknown { position: place, statement: excerpt(&sql, &session) });
                let text = excerpt(&sql, &session);
                self.ddl(stream, current, &session, DdlStatement::unknown(text))?;
            }
        }
        Ok(Flow::Next)
    }

    /// BEGIN or XA START: opens a group, or says what the one that a GTID announced is.
    fn begin_statement(&mut self, stream: &Stream, current: &Current<'_>, shape: Shape) {
        match &mut self.group {
            None => self.begin(stream, current, shape, None),
            Some(group) if matches!(shape, Shape::Xa(_)) || !matches!(group.shape, Shape::Xa(_)) => group.shape = shape,
            Some(_) => {}
        }
    }

    pub(super) fn undo_to_savepoint(&mut self, name: &str, place: &FilePosition) -> Result<(), SourceError> {
        let Some(group) = &mut self.group else { return Ok(()) };
        let Some(index) = group.roll_back_to(name) else {
            let reason = format!("ROLLBACK TO the savepoint '{name}', which was not set in this transaction");
            return Err(SourceError::Corrupt { position: place.clone(), reason });
        };
        self.roll_back_to(index);
        Ok(())
    }

    /// Rows were changed, and the log holds none of them.
    pub(super) fn statement_dml(
        &mut self,
        place: &FilePosition,
        database: String,
        statement: String,
    ) -> Result<(), SourceError> {
        let position = place.clone();
        match self.config.statement_dml {
            StatementPolicy::Halt => Err(SourceError::StatementDml { position, database, statement }),
            StatementPolicy::Skip => {
                self.stats.statements_skipped += 1;
                self.notice(Notice::StatementSkipped { position, database, statement });
                Ok(())
            }
        }
    }

    fn ddl(
        &mut self,
        stream: &mut Stream,
        current: &Current<'_>,
        session: &Session<'_>,
        statement: DdlStatement,
    ) -> Result<(), SourceError> {
        self.follow_ddl(stream, current, &statement, session);
        if let Some(renames) = statement.renames.as_ref().filter(|_| self.is_standalone()) {
            let point = self.log_point(stream, current);
            let renamed = self.lock_tables().rename_columns(
                &renames.database,
                &renames.table,
                &renames.columns,
                &point,
                &self.position,
            );
            self.resolved |= renamed;
        }
        let ddl = Ddl {
            database: session.database.to_owned(),
            statement: statement.text,
            kind: statement.kind,
            tables: statement.tables,
        };
        self.settle_single(stream, current, Some(Arc::new(ddl)))
    }
}
