//! A layout compiled: the `schema.Node`s that the `capnp` compiler would make of its text, for readers that load a
//! schema at run time without compiling text (C++ `SchemaLoader`, and its like).

use capnp::message::{Builder, HeapAllocator};
use capnp::schema_capnp::{ElementSize, node, type_, value};

use super::layout::{ColumnKind, Declared, DeclaredField, FieldKind, Layout};
use super::text::COLUMN_ANNOTATION;

/// Each a framed message whose root is a Node: the struct, the annotation, the file.
pub(super) fn compile(layout: &Layout, declared: &Declared<'_>) -> Vec<Vec<u8>> {
    // As if the text were in a file of that name; the compiler holds what follows the last dot for a short name.
    let file_name = format!("{}.{}.capnp", layout.database, layout.table).replace('/', "_");
    let count = |text: &str| u32::try_from(text.len()).unwrap_or(0);
    let prefix_length = count(&file_name) + 1;
    let frame = |message: &Builder<HeapAllocator>| capnp::serialize::write_message_to_words(message);

    let mut message = Builder::new_default();
    let mut root = message.init_root::<node::Builder<'_>>();
    root.set_id(layout.struct_id);
    root.set_display_name(format!("{file_name}:{}", declared.struct_name).as_str());
    root.set_display_name_prefix_length(prefix_length);
    root.set_scope_id(layout.file_id);
    fill_struct(root.init_struct(), layout, declared);
    let struct_node = frame(&message);

    let mut message = Builder::new_default();
    let mut root = message.init_root::<node::Builder<'_>>();
    root.set_id(declared.annotation_id);
    root.set_display_name(format!("{file_name}:{COLUMN_ANNOTATION}").as_str());
    root.set_display_name_prefix_length(prefix_length);
    root.set_scope_id(layout.file_id);
    let mut annotation = root.init_annotation();
    annotation.reborrow().init_type().set_text(());
    annotation.set_targets_field(true);
    let annotation_node = frame(&message);

    let mut message = Builder::new_default();
    let mut root = message.init_root::<node::Builder<'_>>();
    root.set_id(layout.file_id);
    root.set_display_name(&file_name);
    root.set_display_name_prefix_length(prefix_length.saturating_sub(count("capnp:")));
    let mut nested = root.reborrow().init_nested_nodes(2);
    let mut first = nested.reborrow().get(0);
    first.set_name(COLUMN_ANNOTATION);
    first.set_id(declared.annotation_id);
    let mut second = nested.get(1);
    second.set_name(declared.struct_name.as_str());
    second.set_id(layout.struct_id);
    root.set_file(());
    let file_node = frame(&message);

    vec![struct_node, annotation_node, file_node]
}

fn fill_struct(mut builder: node::struct_::Builder<'_>, layout: &Layout, declared: &Declared<'_>) {
    builder.set_data_word_count(layout.data_words);
    builder.set_pointer_count(layout.pointers);
    // What the compiler writes for every struct: lists of structs have a tag.
    builder.set_preferred_list_encoding(ElementSize::InlineComposite);
    let count = u32::try_from(declared.fields.len()).unwrap_or(u32::MAX);
    let mut fields = builder.init_fields(count);
    for (index, declared_field) in (0u16..).zip(&declared.fields) {
        let mut field = fields.reborrow().get(u32::from(index));
        field.set_name(declared_field.name.as_str());
        field.set_code_order(index);
        field.reborrow().init_ordinal().set_explicit(index);
        if let Some(column) = declared_field.column {
            let mut annotation = field.reborrow().init_annotations(1).get(0);
            annotation.set_id(declared.annotation_id);
            annotation.reborrow().init_value().set_text(column.name.as_str());
            annotation.init_brand();
        }
        fill_slot(field.init_slot(), declared_field);
    }
}

fn fill_slot(mut slot: capnp::schema_capnp::field::slot::Builder<'_>, field: &DeclaredField<'_>) {
    slot.set_offset(field.slot);
    let is_null = matches!(field.kind, FieldKind::IsNull(_));
    slot.set_had_explicit_default(is_null);
    fill_type(slot.reborrow().init_type(), field.kind);
    fill_default(slot.init_default_value(), field.kind);
}

fn fill_type(mut builder: type_::Builder<'_>, kind: FieldKind) {
    let FieldKind::Value(kind) = kind else {
        return builder.set_bool(());
    };
    match kind {
        ColumnKind::Int8 => builder.set_int8(()),
        ColumnKind::Int16 => builder.set_int16(()),
        ColumnKind::Int32 => builder.set_int32(()),
        ColumnKind::Int64 | ColumnKind::Date | ColumnKind::Datetime | ColumnKind::Timestamp | ColumnKind::Time => {
            builder.set_int64(())
        }
        ColumnKind::Uint8 => builder.set_uint8(()),
        ColumnKind::Uint16 | ColumnKind::Enum | ColumnKind::Year => builder.set_uint16(()),
        ColumnKind::Uint32 => builder.set_uint32(()),
        ColumnKind::Uint64 | ColumnKind::Bit | ColumnKind::Set => builder.set_uint64(()),
        ColumnKind::Float32 => builder.set_float32(()),
        ColumnKind::Float64 => builder.set_float64(()),
        ColumnKind::Decimal
        | ColumnKind::Text
        | ColumnKind::Json
        | ColumnKind::Inet6
        | ColumnKind::Inet4
        | ColumnKind::Uuid => builder.set_text(()),
        ColumnKind::Data | ColumnKind::Geometry => builder.set_data(()),
        ColumnKind::Vector => builder.init_list().init_element_type().set_float32(()),
        ColumnKind::Unknown => builder.init_any_pointer().init_unconstrained().set_any_kind(()),
    }
}

/// The zero of the type, and true for IsNull.
fn fill_default(mut builder: value::Builder<'_>, kind: FieldKind) {
    let FieldKind::Value(kind) = kind else {
        return builder.set_bool(true);
    };
    match kind {
        ColumnKind::Int8 => builder.set_int8(0),
        ColumnKind::Int16 => builder.set_int16(0),
        ColumnKind::Int32 => builder.set_int32(0),
        ColumnKind::Int64 | ColumnKind::Date | ColumnKind::Datetime | ColumnKind::Timestamp | ColumnKind::Time => {
            builder.set_int64(0)
        }
        ColumnKind::Uint8 => builder.set_uint8(0),
        ColumnKind::Uint16 | ColumnKind::Enum | ColumnKind::Year => builder.set_uint16(0),
        ColumnKind::Uint32 => builder.set_uint32(0),
        ColumnKind::Uint64 | ColumnKind::Bit | ColumnKind::Set => builder.set_uint64(0),
        ColumnKind::Float32 => builder.set_float32(0.0),
        ColumnKind::Float64 => builder.set_float64(0.0),
        ColumnKind::Decimal
        | ColumnKind::Text
        | ColumnKind::Json
        | ColumnKind::Inet6
        | ColumnKind::Inet4
        | ColumnKind::Uuid => builder.set_text(""),
        ColumnKind::Data | ColumnKind::Geometry => builder.set_data(&[]),
        ColumnKind::Vector => {
            builder.init_list();
        }
        ColumnKind::Unknown => {
            builder.init_any_pointer();
        }
    }
}
