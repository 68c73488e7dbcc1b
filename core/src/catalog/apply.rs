//! What a statement makes of the catalog.

use super::{Catalog, Effect, Outcome};
use crate::source::statement::{DdlStatement, Session, Touches};

pub(super) fn apply(catalog: &mut Catalog, ddl: &DdlStatement, _session: &Session<'_>) -> Effect {
    let reason = format!("{} is not followed yet", ddl.kind);
    let names = match ddl.touches {
        Touches::Nothing => return Effect { changed: Vec::new(), outcome: Outcome::Harmless },
        Touches::Listed => ddl.tables.clone(),
        Touches::Unknown => catalog.tables().map(|(key, _)| key.clone()).collect(),
    };
    for (database, table) in &names {
        catalog.doubt(database, table, &reason);
    }
    Effect { changed: names, outcome: Outcome::Dangerous { reason } }
}
