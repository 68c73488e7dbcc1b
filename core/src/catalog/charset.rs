//! Names of character sets and collations, and how many bytes a character takes at most.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_codec::mysql::schema::CharsetName;
use millstream_codec::mysql::value::charset::Charset;

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

/// The fewest bytes of one character.
pub fn bytes_min(charset: &str) -> usize {
    match charset {
        "ucs2" | "utf16" | "utf16le" => 2,
        "utf32" => 4,
        _ => 1,
    }
}

/// The text with `?` for each character that this character set does not have, as the servers write it.
pub fn representable<'a>(text: &'a str, charset: &str) -> Cow<'a, str> {
    let lacks_planes = matches!(charset, "utf8mb3" | "ucs2");
    let has_all = matches!(charset, "utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030" | "binary");
    if has_all || (text.is_ascii() && charset != "swe7") {
        return Cow::Borrowed(text);
    }
    let wanted: BTreeSet<char> = text.chars().filter(|c| !c.is_ascii() || charset == "swe7").collect();
    let missing: BTreeSet<char> = match Charset::by_name(charset) {
        _ if lacks_planes => wanted.into_iter().filter(|c| u32::from(*c) > 0xffff).collect(),
        Some(known) => absent(wanted, known),
        None => return Cow::Borrowed(text),
    };
    if missing.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if missing.contains(&c) { '?' } else { c }).collect())
}

/// Those of these characters that no bytes of the character set stand for. There is no encoder, so all its characters are
/// gone through: some 130,000 at most, and only for labels that are not ASCII.
fn absent(mut wanted: BTreeSet<char>, charset: Charset) -> BTreeSet<char> {
    let mut text = String::new();
    let mut found = |bytes: &[u8], wanted: &mut BTreeSet<char>| {
        text.clear();
        if charset.decode_into(bytes, &mut text) {
            let mut characters = text.chars();
            if let (Some(character), None) = (characters.next(), characters.next()) {
                wanted.remove(&character);
            }
        }
        wanted.is_empty()
    };
    for first in 0..=u8::MAX {
        if found(&[first], &mut wanted) {
            return wanted;
        }
    }
    // 0x8f leads the three-byte characters of ujis and eucjpms.
    for first in 0x80..=u8::MAX {
        for second in 0x40..=u8::MAX {
            if found(&[first, second], &mut wanted)
                || (second >= 0xa1 && first >= 0xa1 && found(&[0x8f, first, second], &mut wanted))
            {
                return wanted;
            }
        }
    }
    wanted
}
