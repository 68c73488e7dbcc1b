//! Names of character sets and collations, and how many bytes a character takes at most.

use std::sync::Arc;

use millstream_codec::mysql::schema::CharsetName;

/// The most bytes of one character; `None` for a character set that no known server has.
pub fn bytes_max(charset: &str) -> Option<u8> {
    Some(match charset {
        "armscii8" | "ascii" | "binary" | "cp1250" | "cp1251" | "cp1256" | "cp1257" | "cp850" | "cp852" | "cp866"
        | "dec8" | "geostd8" | "greek" | "hebrew" | "hp8" | "keybcs2" | "koi8r" | "koi8u" | "latin1" | "latin2"
        | "latin5" | "latin7" | "macce" | "macroman" | "swe7" | "tis620" => 1,
        "big5" | "cp932" | "euckr" | "gb2312" | "gbk" | "sjis" | "ucs2" => 2,
        "eucjpms" | "ujis" | "utf8mb3" => 3,
        "gb18030" | "utf16" | "utf16le" | "utf32" | "utf8mb4" => 4,
        _ => return None,
    })
}

/// The one name of a character set: lower case, and `utf8mb3` for `utf8` as servers called it before MySQL 8.0.28 and
/// MariaDB 10.6. `None` where it is not known.
pub fn canonical(name: &str) -> Option<CharsetName> {
    let lower = name.to_ascii_lowercase();
    let name = if lower == "utf8" { "utf8mb3" } else { lower.as_str() };
    bytes_max(name).map(|_| Arc::from(name))
}

/// The character set of a collation by the collation's name: `latin1_bin`, `binary`, `utf8_general_ci`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfCollation {
    Of(CharsetName),
    /// MariaDB's `uca1400_ai_ci`: for whatever character set stands there.
    Any,
    Unknown,
}

pub fn of_collation(collation: &str) -> OfCollation {
    let lower = collation.to_ascii_lowercase();
    let prefix = lower.split('_').next().unwrap_or_default();
    if prefix == "uca1400" {
        return OfCollation::Any;
    }
    canonical(prefix).map_or(OfCollation::Unknown, OfCollation::Of)
}
