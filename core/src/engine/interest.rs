//! Which views want which tables: the union of all filters, as one immutable, versioned value.
//!
//! The source core routes by it, each batch carries it, and so all shards and views agree on what a batch holds.

use std::sync::Arc;

use crate::engine::table::TableVersion;
use crate::filter::Filter;

/// Number of a view within its destination's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewId(pub u32);

#[derive(Debug, Clone)]
pub struct ViewInterest {
    pub view: ViewId,
    pub filter: Arc<Filter>,
}

#[derive(Debug, Default)]
pub struct InterestSet {
    pub version: u64,
    pub views: Vec<ViewInterest>,
}

/// The columns that a projection sends, by index in the table; `None`: all.
pub type Projection = Option<Arc<[bool]>>;

/// What the views want of one table version.
#[derive(Debug, Default)]
pub struct TableInterest {
    /// Each different projection once.
    pub projections: Vec<Projection>,
    /// The view, the index of its projection, and the row kinds that it wants.
    pub views: Vec<(ViewId, usize, crate::filter::Kinds)>,
}

impl InterestSet {
    /// Whether any view wants rows of this table: asked once per table and interest, before any row is touched.
    pub fn wants(&self, database: &str, table: &str) -> bool {
        self.views.iter().any(|view| view.filter.matches_table(database, table))
    }

    pub fn table(&self, version: &TableVersion) -> TableInterest {
        let mut interest = TableInterest::default();
        let schema = &version.schema;
        for view in &self.views {
            if !view.filter.matches_table(&schema.database, &schema.table) {
                continue;
            }
            let projection = view.filter.projection(schema);
            let index = match interest.projections.iter().position(|known| *known == projection) {
                Some(index) => index,
                None => {
                    interest.projections.push(projection);
                    interest.projections.len() - 1
                }
            };
            interest.views.push((view.view, index, view.filter.kinds()));
        }
        interest
    }
}
