//! A layout as the text of a `.capnp` file, complete in itself: it imports nothing, and declares the annotation that
//! carries a column's own name.
//!
//! Everything that MySQL lets into a name or a label (quotes, line breaks, control characters) is escaped, so that
//! no name can end a string or a comment.

use std::fmt::Write as _;

use super::layout::{ColumnKind, Declared, DeclaredField, FieldKind, Layout, capnp_type};

/// The name of the annotation declared in every file.
pub(super) const COLUMN_ANNOTATION: &str = "column";

pub(super) fn capnp_text(layout: &Layout, declared: &Declared<'_>) -> String {
    let mut out = String::with_capacity(256 + declared.fields.len() * 64);
    push(&mut out, format_args!("@{:#018x};\n", layout.file_id));
    push(
        &mut out,
        format_args!(
            "# Table {}.{}, layout version {}.\n",
            comment(&layout.database),
            comment(&layout.table),
            layout.version
        ),
    );
    out.push_str("# Ordinals are never used again. `<field>IsNull` is true wherever there is no value to read.\n\n");
    push(
        &mut out,
        format_args!(
            "annotation {COLUMN_ANNOTATION} @{:#018x} (field) :Text;  # the column's own name\n\n",
            declared.annotation_id
        ),
    );
    push(&mut out, format_args!("struct {} @{:#018x} {{\n", declared.struct_name, layout.struct_id));
    for (ordinal, field) in declared.fields.iter().enumerate() {
        push_field(&mut out, ordinal, field);
    }
    out.push_str("}\n");
    out
}

fn push_field(out: &mut String, ordinal: usize, field: &DeclaredField<'_>) {
    push(out, format_args!("  {} @{ordinal} :{}", field.name, type_name(field.kind)));
    if let FieldKind::IsNull(_) = field.kind {
        out.push_str(" = true");
    }
    let Some(column) = field.column else {
        out.push_str(";\n");
        return;
    };
    push(out, format_args!(" ${COLUMN_ANNOTATION}({});  # {}", literal(&column.name), comment(&column.mysql_type)));
    if column.primary_key != 0 {
        push(out, format_args!(", primary key {}", column.primary_key));
    }
    if let ColumnKind::Date | ColumnKind::Datetime | ColumnKind::Timestamp | ColumnKind::Time = column.kind {
        out.push_str(", microseconds");
    }
    out.push('\n');
}

fn type_name(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::IsNull(_) => "Bool",
        FieldKind::Value(kind) => capnp_type(kind),
    }
}

/// Text that may stand in a comment: no line break ends it.
fn comment(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let control = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
            let escaped = control.then(|| c.escape_unicode());
            let plain = (!control).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// A string literal of the language.
fn literal(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\0'..='\x1f' | '\x7f' => push(&mut out, format_args!("\\x{:02x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}
