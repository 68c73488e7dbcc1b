//! What can be wrong with one value.

/// Why a value could not be read. The row encoder adds the column and the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("the bytes end inside the value")]
    Truncated,
    #[error("{0}")]
    Invalid(&'static str),
    #[error("type code {0} has no known form in a row image")]
    UnknownType(u8),
    #[error("it would become larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
}
