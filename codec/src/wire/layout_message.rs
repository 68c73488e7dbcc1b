//! The `Layout` message: a [`Layout`] written for clients, and read back by them.
//!
//! What is read back may come from a hostile server. Nothing in it can make a reader of rows fail or panic: slots
//! are only ever looked up in structs that know their own size. What contradicts itself is refused all the same, so
//! that a damaged layout is noticed here and not as NULLs.

use std::sync::Arc;

use super::layout::{ColumnKind, Layout, LayoutColumn, NO_NULL_SLOT, Slot, slot_of};
use super::position::text;
use crate::millstream_capnp::{column, layout};

/// Tables of MySQL have at most 4096 columns (InnoDB: 1017).
pub const COLUMNS_MAX: u32 = 4096;

/// Why a `Layout` message cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutMessageError {
    #[error("the layout cannot be read: {0}")]
    Unreadable(#[from] capnp::Error),
    #[error("the layout of {table} has {columns} columns, more than {COLUMNS_MAX}")]
    TooManyColumns { table: String, columns: u32 },
    #[error("the layout of {table} puts column {column:?} at slot {slot}, outside of its struct")]
    SlotOutside { table: String, column: String, slot: u32 },
    #[error("the layout of {table} gives column {column:?} no IsNull bit")]
    NullSlotMissing { table: String, column: String },
}

impl Layout {
    pub fn write(&self, mut builder: layout::Builder<'_>) {
        builder.set_id(self.id);
        builder.set_database(self.database.as_str());
        builder.set_table(self.table.as_str());
        builder.set_struct_id(self.struct_id);
        builder.set_version(self.version);
        builder.set_file_id(self.file_id);
        builder.set_data_words(self.data_words);
        builder.set_pointers(self.pointers);
        let mut columns = builder.reborrow().init_columns(list_len(self.columns.len()));
        for (index, column) in (0u32..).zip(&self.columns) {
            write_column(column, columns.reborrow().get(index));
        }
        builder.set_capnp_text(self.capnp_text.as_str());
        let mut nodes = builder.init_nodes(list_len(self.nodes.len()));
        for (index, node) in (0u32..).zip(&self.nodes) {
            nodes.set(index, node);
        }
    }

    /// # Errors
    /// Where the message is damaged or contradicts itself.
    pub fn read(reader: layout::Reader<'_>) -> Result<Self, LayoutMessageError> {
        let mut layout = Self {
            id: reader.get_id(),
            database: text(reader.get_database()?)?,
            table: text(reader.get_table()?)?,
            struct_id: reader.get_struct_id(),
            version: reader.get_version(),
            file_id: reader.get_file_id(),
            data_words: reader.get_data_words(),
            pointers: reader.get_pointers(),
            columns: Vec::new(),
            capnp_text: text(reader.get_capnp_text()?)?,
            nodes: Vec::new(),
        };
        let columns = reader.get_columns()?;
        if columns.len() > COLUMNS_MAX {
            return Err(LayoutMessageError::TooManyColumns { table: layout.name(), columns: columns.len() });
        }
        for column in columns {
            let column = read_column(column)?;
            layout.check(&column)?;
            layout.columns.push(column);
        }
        for node in reader.get_nodes()? {
            layout.nodes.push(node?.to_vec());
        }
        Ok(layout)
    }

    fn check(&self, column: &LayoutColumn) -> Result<(), LayoutMessageError> {
        let data_bits = u64::from(self.data_words) * 64;
        let outside = |slot| LayoutMessageError::SlotOutside { table: self.name(), column: column.name.clone(), slot };
        let Slot::Data { size_log2 } = slot_of(column.kind) else {
            return match column.slot < u32::from(self.pointers) {
                true => Ok(()),
                false => Err(outside(column.slot)),
            };
        };
        if (u64::from(column.slot) + 1) << size_log2 > data_bits {
            return Err(outside(column.slot));
        }
        match column.null_slot {
            Some(slot) if u64::from(slot) < data_bits => Ok(()),
            Some(slot) => Err(outside(slot)),
            None => Err(LayoutMessageError::NullSlotMissing { table: self.name(), column: column.name.clone() }),
        }
    }

    fn name(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }
}

fn write_column(column: &LayoutColumn, mut builder: column::Builder<'_>) {
    builder.set_name(column.name.as_str());
    builder.set_field(column.field.as_str());
    builder.set_ordinal(column.ordinal);
    builder.set_kind(column.kind);
    builder.set_slot(column.slot);
    builder.set_null_slot(column.null_slot.unwrap_or(NO_NULL_SLOT));
    builder.set_mysql_type(column.mysql_type.as_str());
    builder.set_digits(column.digits);
    builder.set_primary_key(column.primary_key);
    builder.set_masked(column.masked);
    builder.set_bits(column.bits);
    if !column.labels.is_empty() {
        let mut labels = builder.init_labels(list_len(column.labels.len()));
        for (index, label) in (0u32..).zip(column.labels.iter()) {
            labels.set(index, label.as_str());
        }
    }
}

fn read_column(reader: column::Reader<'_>) -> Result<LayoutColumn, capnp::Error> {
    let labels: Vec<String> =
        reader.get_labels()?.iter().map(|label| text(label?)).collect::<Result<_, capnp::Error>>()?;
    let null_slot = reader.get_null_slot();
    Ok(LayoutColumn {
        name: text(reader.get_name()?)?,
        field: text(reader.get_field()?)?,
        ordinal: reader.get_ordinal(),
        // A kind that a newer server has: its values cannot be read, the rest of the row can.
        kind: reader.get_kind().unwrap_or(ColumnKind::Unknown),
        slot: reader.get_slot(),
        null_slot: (null_slot != NO_NULL_SLOT).then_some(null_slot),
        mysql_type: text(reader.get_mysql_type()?)?,
        digits: reader.get_digits(),
        bits: reader.get_bits(),
        labels: Arc::from(labels),
        primary_key: reader.get_primary_key(),
        masked: reader.get_masked(),
    })
}

fn list_len(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
