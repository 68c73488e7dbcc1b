//! What a client's generated code was compiled for, held against the layouts that it is sent: it is told when a field
//! retires or changes, and never reads silent zeros.

use std::fmt;

use millstream_codec::wire::layout::{Layout, capnp_type};
pub use millstream_codec::wire::messages::CompiledField;
use millstream_codec::wire::messages::ServerMessage;

/// A field that the client's code was compiled for is not in the table any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaBreak {
    pub table: String,
    pub field: String,
    pub ordinal: u16,
    pub reason: String,
}

impl SchemaBreak {
    pub fn into_message(self) -> ServerMessage {
        ServerMessage::SchemaBreak { table: self.table, field: self.field, ordinal: self.ordinal, reason: self.reason }
    }
}

impl fmt::Display for SchemaBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: field {} @{}: {}", self.table, self.field, self.ordinal, self.reason)
    }
}

/// The first compiled field of this table that the layout does not serve any more.
pub fn first_break(compiled: &[CompiledField], layout: &Layout) -> Option<SchemaBreak> {
    let table = format!("{}.{}", layout.database, layout.table);
    let broken = |field: &CompiledField, reason: String| SchemaBreak {
        table: table.clone(),
        field: field.field.clone(),
        ordinal: field.ordinal,
        reason,
    };
    compiled.iter().filter(|field| field.table == table).find_map(|field| {
        let Some(column) = layout.columns.iter().find(|column| column.ordinal == field.ordinal) else {
            let reason = "the column was dropped or its type changed; generate the client's code again from \
                          `millstream schema export`";
            return Some(broken(field, reason.to_owned()));
        };
        let capnp_type = capnp_type(column.kind);
        (capnp_type != field.type_name)
            .then(|| broken(field, format!("compiled as {}, now {capnp_type}", field.type_name)))
    })
}
