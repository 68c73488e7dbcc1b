//! What becomes of the rows of a table that cannot be read.

use super::maps::Route;
use super::{Notice, Tracker};
use crate::filter::Filter;
use crate::history::TableName;
use crate::position::FilePosition;
use crate::source::error::SourceError;

/// For one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QuarantinePolicy {
    /// Its rows are counted and passed over; everything else flows on.
    #[default]
    Skip,
    /// Subscriptions that want it stop before the transaction; others flow on.
    Hold,
    /// The destination stops.
    Fail,
}

/// By pattern; the first that matches counts, and [`QuarantinePolicy::Skip`] where none does.
#[derive(Debug, Default)]
pub struct QuarantinePolicies {
    pub rules: Vec<(Filter, QuarantinePolicy)>,
}

impl QuarantinePolicies {
    pub fn of(&self, database: &str, table: &str) -> QuarantinePolicy {
        let rule = self.rules.iter().find(|(filter, _)| filter.matches_table(database, table));
        rule.map(|(_, policy)| *policy).unwrap_or_default()
    }
}

impl Tracker {
    /// The table's rows cannot be read. By the policy of its pattern they are passed over, or hold up those who want
    /// them, or stop the destination.
    pub(super) fn quarantine(
        &mut self,
        name: &TableName,
        position: &FilePosition,
        reason: &str,
    ) -> Result<Route, SourceError> {
        let (database, table) = name.clone();
        let policy = self.config.quarantine.of(&database, &table);
        let key = self.catalog.key(&name.0, &name.1);
        if policy == QuarantinePolicy::Fail {
            self.lock_tables().history_mut().note_quarantine(key, &self.position);
            let (position, reason) = (position.clone(), reason.to_owned());
            return Err(SourceError::Table { database, table, position, reason });
        }
        if self.quarantined.insert(name.clone()) {
            self.lock_tables().history_mut().note_quarantine(key, &self.position);
            let (position, reason) = (position.clone(), reason.to_owned());
            self.notice(Notice::TableQuarantined { database, table, position, reason });
        }
        Ok(Route::Quarantined { holds: policy == QuarantinePolicy::Hold })
    }
}
