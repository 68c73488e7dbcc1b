//! What becomes of the rows of a table that cannot be read.

use crate::filter::Filter;

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
