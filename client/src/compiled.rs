//! What generated code was compiled for, told to the server: it then ends the subscription with a schema break where a
//! field has gone, and never sends rows in which that field would read as NULL or zero.

use capnp::introspect::{Introspect, TypeVariant};
use capnp::schema::{Field, StructSchema};
use capnp::schema_capnp::field;

use crate::config::{ClientConfig, CompiledField};
use crate::error::ClientError;

impl ClientConfig {
    /// Declares the fields that the program reads of a table (`db.table`) through the generated struct `T`, by the names
    /// that they have in its `.capnp` file. `<field>IsNull` goes with its field.
    ///
    /// ```ignore
    /// let config = config.compiled::<orders::Owned>("shop.orders", &["id", "total"])?;
    /// ```
    ///
    /// # Errors
    /// A field that the struct has not, or that had been dropped when it was exported.
    pub fn compiled<T: Introspect>(mut self, table: &str, fields: &[&str]) -> Result<Self, ClientError> {
        let complain = |reason: String| ClientError::Config(format!("the struct compiled for {table} {reason}"));
        let TypeVariant::Struct(raw) = T::introspect().which() else {
            return Err(complain("is no struct".to_owned()));
        };
        let schema = StructSchema::new(raw);
        for name in fields {
            let found = schema.find_field_by_name(name).map_err(|error| complain(error.to_string()))?;
            let field = found.ok_or_else(|| complain(format!("has no field {name:?}")))?;
            let (ordinal, type_name) = declared(&field).map_err(|error| complain(format!("has {name:?}: {error}")))?;
            self = self.compiled_field(CompiledField {
                table: table.to_owned(),
                field: (*name).to_owned(),
                ordinal,
                type_name,
            });
        }
        Ok(self)
    }
}

fn declared(field: &Field) -> capnp::Result<(u16, String)> {
    // Only a column's own field has the annotation with its name.
    if field.get_proto().get_annotations()?.is_empty() {
        return Err(capnp::Error::failed("it is no column (any more)".to_owned()));
    }
    let field::ordinal::Explicit(ordinal) = field.get_proto().get_ordinal().which()? else {
        return Err(capnp::Error::failed("it has no ordinal".to_owned()));
    };
    Ok((ordinal, type_name(field.get_type().which())))
}

/// As the `.capnp` text has it.
fn type_name(variant: TypeVariant) -> String {
    let name = match variant {
        TypeVariant::Bool => "Bool",
        TypeVariant::Int8 => "Int8",
        TypeVariant::Int16 => "Int16",
        TypeVariant::Int32 => "Int32",
        TypeVariant::Int64 => "Int64",
        TypeVariant::UInt8 => "UInt8",
        TypeVariant::UInt16 => "UInt16",
        TypeVariant::UInt32 => "UInt32",
        TypeVariant::UInt64 => "UInt64",
        TypeVariant::Float32 => "Float32",
        TypeVariant::Float64 => "Float64",
        TypeVariant::Text => "Text",
        TypeVariant::Data => "Data",
        TypeVariant::List(element) => return format!("List({})", type_name(element.which())),
        TypeVariant::Void
        | TypeVariant::Struct(_)
        | TypeVariant::AnyPointer
        | TypeVariant::Capability
        | TypeVariant::Enum(_) => "AnyPointer",
    };
    name.to_owned()
}
