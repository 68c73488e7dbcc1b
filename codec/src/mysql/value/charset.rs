//! Text of MySQL's character sets as UTF-8.
//!
//! Invariants: no bytes make it fail (what is not a character becomes U+FFFD, and the caller is told), and a
//! character set that is not known has no [`Charset`] at all: nothing is guessed.
//!
//! One-byte sets are tables taken from a server. Of the others `encoding_rs` does the work, and
//! [`charset_multi`](super::charset_multi) lists where MySQL means another character, or none.

use std::borrow::Cow;

use encoding_rs as rs;

use super::charset_multi::{self as multi, Run};
use super::charset_single::{self as single, UpperHalf};

/// A character set whose text can be turned into UTF-8.
#[derive(Debug, Clone, Copy)]
pub enum Charset {
    /// utf8mb4, utf8mb3, utf8: checked, never copied.
    Utf8,
    /// ascii: invalid above 0x7f.
    Ascii,
    /// One byte a character, ASCII below 0x80.
    Single(&'static UpperHalf),
    /// ASCII with twelve national characters.
    Swe7,
    /// ucs2: UTF-16 big-endian without surrogate pairs.
    Ucs2,
    Utf16,
    Utf16le,
    Utf32,
    /// One to four bytes a character, ASCII below 0x80.
    Multi(MultiByte),
}

/// A multi-byte set: `encoding` decodes it, but for the codes in `differing`.
#[derive(Debug, Clone, Copy)]
pub struct MultiByte {
    encoding: &'static rs::Encoding,
    differing: &'static [Run],
    /// Bytes of the character that starts with these bytes, the first of which is 0x80 or above.
    character_bytes: fn(&[u8]) -> usize,
}

impl Charset {
    /// `name` as `information_schema` has it (`latin1`, `utf8mb4`). `None` where it is unknown.
    pub fn by_name(name: &str) -> Option<Self> {
        let multi =
            |encoding, differing, character_bytes| Self::Multi(MultiByte { encoding, differing, character_bytes });
        Some(match name {
            // Labels of a column that is CHARACTER SET binary are shown as what they usually are.
            "utf8mb4" | "utf8mb3" | "utf8" | "binary" => Self::Utf8,
            "ascii" => Self::Ascii,
            "latin1" => Self::Single(&single::LATIN1),
            "latin2" => Self::Single(&single::LATIN2),
            "latin5" => Self::Single(&single::LATIN5),
            "latin7" => Self::Single(&single::LATIN7),
            "cp1250" => Self::Single(&single::CP1250),
            "cp1251" => Self::Single(&single::CP1251),
            "cp1256" => Self::Single(&single::CP1256),
            "cp1257" => Self::Single(&single::CP1257),
            "cp850" => Self::Single(&single::CP850),
            "cp852" => Self::Single(&single::CP852),
            "cp866" => Self::Single(&single::CP866),
            "koi8r" => Self::Single(&single::KOI8R),
            "koi8u" => Self::Single(&single::KOI8U),
            "greek" => Self::Single(&single::GREEK),
            "hebrew" => Self::Single(&single::HEBREW),
            "tis620" => Self::Single(&single::TIS620),
            "macce" => Self::Single(&single::MACCE),
            "macroman" => Self::Single(&single::MACROMAN),
            "armscii8" => Self::Single(&single::ARMSCII8),
            "geostd8" => Self::Single(&single::GEOSTD8),
            "dec8" => Self::Single(&single::DEC8),
            "hp8" => Self::Single(&single::HP8),
            "keybcs2" => Self::Single(&single::KEYBCS2),
            "swe7" => Self::Swe7,
            "ucs2" => Self::Ucs2,
            "utf16" => Self::Utf16,
            "utf16le" => Self::Utf16le,
            "utf32" => Self::Utf32,
            "gbk" => multi(rs::GBK, multi::GBK, two_bytes),
            "gb2312" => multi(rs::GBK, multi::GB2312, two_bytes),
            "gb18030" => multi(rs::GB18030, multi::GB18030, gb18030_bytes),
            "big5" => multi(rs::BIG5, multi::BIG5, two_bytes),
            "cp932" => multi(rs::SHIFT_JIS, multi::CP932, sjis_bytes),
            "sjis" => multi(rs::SHIFT_JIS, multi::SJIS, sjis_bytes),
            "ujis" => multi(rs::EUC_JP, multi::UJIS, euc_jp_bytes),
            "eucjpms" => multi(rs::EUC_JP, multi::EUCJPMS, euc_jp_bytes),
            "euckr" => multi(rs::EUC_KR, multi::EUCKR, two_bytes),
            _ => return None,
        })
    }

    /// True where bytes below 0x80 alone are the same text in ASCII.
    pub fn is_ascii_superset(self) -> bool {
        !matches!(self, Self::Swe7 | Self::Ucs2 | Self::Utf16 | Self::Utf16le | Self::Utf32)
    }

    /// The text, and whether every byte of it was valid. Borrowed where the bytes are UTF-8 already.
    pub fn decode(self, bytes: &[u8]) -> (Cow<'_, str>, bool) {
        if let Self::Utf8 = self {
            return lossy(bytes);
        }
        if self.is_ascii_superset() && bytes.is_ascii() {
            return lossy(bytes);
        }
        let mut text = String::new();
        let valid = self.decode_into(bytes, &mut text);
        (Cow::Owned(text), valid)
    }

    /// Appends the text to `text`; false where some of the bytes were not valid and became U+FFFD.
    pub fn decode_into(self, bytes: &[u8], text: &mut String) -> bool {
        match self {
            Self::Utf8 => {
                let (decoded, valid) = lossy(bytes);
                text.push_str(&decoded);
                valid
            }
            Self::Ascii => push_each(bytes.iter().map(|&b| b.is_ascii().then_some(char::from(b))), text),
            Self::Single(upper) => push_each(bytes.iter().map(|&b| single_byte(upper, b)), text),
            Self::Swe7 => push_each(bytes.iter().map(|&b| swe7(b)), text),
            Self::Ucs2 => units(bytes, text, |b| char::from_u32(u16::from_be_bytes(b).into())),
            Self::Utf32 => units(bytes, text, |b| char::from_u32(u32::from_be_bytes(b))),
            Self::Utf16 => utf16(bytes, text, u16::from_be_bytes),
            Self::Utf16le => utf16(bytes, text, u16::from_le_bytes),
            Self::Multi(multi) => multi.decode_into(bytes, text),
        }
    }
}

/// The text in the character set called `name`, and whether every byte of it was valid. Of an unknown set the bytes
/// are taken as UTF-8 and reported as invalid.
pub fn decode<'a>(name: &str, bytes: &'a [u8]) -> (Cow<'a, str>, bool) {
    match Charset::by_name(name) {
        Some(charset) => charset.decode(bytes),
        None => (lossy(bytes).0, false),
    }
}

fn lossy(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), true),
        Err(_) => (String::from_utf8_lossy(bytes), false),
    }
}

fn push_each(characters: impl Iterator<Item = Option<char>>, text: &mut String) -> bool {
    let mut valid = true;
    text.extend(characters.map(|character| {
        character.unwrap_or_else(|| {
            valid = false;
            char::REPLACEMENT_CHARACTER
        })
    }));
    valid
}

fn single_byte(upper: &UpperHalf, byte: u8) -> Option<char> {
    match upper.get(usize::from(byte).wrapping_sub(0x80)) {
        None => Some(char::from(byte)),
        Some(0) => None,
        Some(&code) => char::from_u32(code.into()),
    }
}

fn swe7(byte: u8) -> Option<char> {
    Some(match byte {
        0x40 => 'É',
        0x5b => 'Ä',
        0x5c => 'Ö',
        0x5d => 'Å',
        0x5e => 'Ü',
        0x60 => 'é',
        0x7b => 'ä',
        0x7c => 'ö',
        0x7d => 'å',
        0x7e => 'ü',
        0x7f.. => return None,
        _ => char::from(byte),
    })
}

/// Characters of N bytes each; bytes that are left over at the end are one invalid character.
fn units<const N: usize>(bytes: &[u8], text: &mut String, character: fn([u8; N]) -> Option<char>) -> bool {
    let (whole, rest) = bytes.as_chunks::<N>();
    let tail = (!rest.is_empty()).then_some(None);
    push_each(whole.iter().map(|&unit| character(unit)).chain(tail), text)
}

fn utf16(bytes: &[u8], text: &mut String, unit: fn([u8; 2]) -> u16) -> bool {
    let (whole, rest) = bytes.as_chunks::<2>();
    let tail = (!rest.is_empty()).then_some(None);
    push_each(char::decode_utf16(whole.iter().map(|&b| unit(b))).map(Result::ok).chain(tail), text)
}

impl MultiByte {
    fn decode_into(self, bytes: &[u8], text: &mut String) -> bool {
        let mut valid = true;
        // What lies between two differing characters goes through the decoder at once.
        let mut plain_start = 0;
        let mut at = 0;
        while let Some(rest @ [first, ..]) = bytes.get(at..) {
            if first.is_ascii() {
                at += 1;
                continue;
            }
            let length = (self.character_bytes)(rest).min(rest.len());
            let code = rest.iter().take(length).fold(0, |code, &byte| code << 8 | u32::from(byte));
            if let Some(character) = multi::find(self.differing, code) {
                valid &= self.decode_plain(bytes.get(plain_start..at).unwrap_or_default(), text);
                valid &= character != char::REPLACEMENT_CHARACTER;
                text.push(character);
                plain_start = at + length;
            }
            at += length;
        }
        valid & self.decode_plain(bytes.get(plain_start..).unwrap_or_default(), text)
    }

    fn decode_plain(self, bytes: &[u8], text: &mut String) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let mut decoder = self.encoding.new_decoder_without_bom_handling();
        // Three bytes of UTF-8 for each byte at most; reserved once, so that one call takes everything.
        text.reserve(decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(bytes.len()));
        let (_, _, errors) = decoder.decode_to_string(bytes, text, true);
        !errors
    }
}

fn two_bytes(_: &[u8]) -> usize {
    2
}

fn sjis_bytes(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(0x81..=0x9f | 0xe0..=0xfc) => 2,
        _ => 1,
    }
}

fn euc_jp_bytes(bytes: &[u8]) -> usize {
    if bytes.first() == Some(&0x8f) { 3 } else { 2 }
}

fn gb18030_bytes(bytes: &[u8]) -> usize {
    if bytes.get(1).is_some_and(u8::is_ascii_digit) { 4 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, bytes: &[u8], text: &str, valid: bool) {
        let (decoded, was_valid) = decode(name, bytes);
        assert_eq!((&*decoded, was_valid), (text, valid), "{name} {bytes:02x?}");
    }

    #[test]
    fn text_is_what_the_server_shows() {
        check("utf8mb4", "aé中😀".as_bytes(), "aé中😀", true);
        check("utf8", b"", "", true);
        check("ascii", b"plain", "plain", true);
        check("latin1", &[0x80, 0x99, 0x8a, b'a'], "€™Ša", true);
        check("latin2", &[0xae, b'l', b'u', 0xbb], "Žluť", true);
        check("latin7", &[0xe2, 0xe8, 0xe7], "āčē", true);
        check("cp1251", &[0xcf, 0xf0, 0xe8], "При", true);
        check("koi8u", &[0xb7, 0xd6], "Їж", true);
        check("greek", &[0xc1, 0xe8], "Αθ", true);
        check("hebrew", &[0xf9, 0xec], "של", true);
        check("tis620", &[0xca, 0xc7], "สว", true);
        check("armscii8", &[0xd0, 0xb3], "Հա", true);
        check("geostd8", &[0xd8, 0xc0], "ქა", true);
        check("keybcs2", &[0x92, b'l', b'u', 0x9f], "Žluť", true);
        check("swe7", b"[b]^~", "ÄbÅÜü", true);
        check("ucs2", &[0x4e, 0x2d, 0, 0xe9], "中é", true);
        check("utf16", &[0xd8, 0x3d, 0xde, 0, 0x4e, 0x2d], "😀中", true);
        check("utf16le", &[0x3d, 0xd8, 0, 0xde, 0x2d, 0x4e], "😀中", true);
        check("utf32", &[0, 1, 0xf6, 0, 0, 0, 0, 0x41], "😀A", true);
        check("gbk", &[0xd6, 0xd0, 0xd5, 0x5c], "中誠", true);
        check("gb2312", &[0xb9, 0xfa, 0xb1, 0xea], "国标", true);
        check("gb18030", &[0xd6, 0xd0, 0x94, 0x39, 0xfc, 0x36], "中😀", true);
        check("big5", &[0xa5, 0x5c, 0xb3, 0x5c], "功許", true);
        check("sjis", &[0x93, 0xfa, 0x95, 0x5c, 0xb6, 0xc5], "日表ｶﾅ", true);
        check("cp932", &[0x93, 0xfa, 0x87, 0x40], "日①", true);
        check("ujis", &[0xc6, 0xfc, 0x8e, 0xb6], "日ｶ", true);
        check("eucjpms", &[0xc6, 0xfc, 0xad, 0xa1], "日①", true);
        check("euckr", &[0xc7, 0xd1], "한", true);
        check("big5", b"ascii only", "ascii only", true);
    }

    #[test]
    fn holes_of_latin1_are_control_characters() {
        check("latin1", &[0x81, 0x8d, 0x8f, 0x90, 0x9d], "\u{81}\u{8d}\u{8f}\u{90}\u{9d}", true);
    }

    #[test]
    fn where_mysql_differs_from_the_common_decoders_mysql_is_right() {
        check("sjis", &[0x81, 0x60, b'a', 0x81, 0x5f], "\u{301c}a\\", true);
        check("cp932", &[0x81, 0x60], "\u{ff5e}", true);
        check("ujis", &[0xa1, 0xc1, 0xf5, 0xa1, 0x8f, 0xfe, 0xfe], "\u{301c}\u{e000}\u{e757}", true);
        check("eucjpms", &[0xa1, 0xc1, 0x8f, 0xf3, 0xf3], "\u{ff5e}\u{2170}", true);
        check("gb2312", &[0xa1, 0xa4, 0xa1, 0xaa], "\u{30fb}\u{2015}", true);
        check("big5", &[0xa1, 0x45, 0xc6, 0xa5, 0xc7, 0xfc], "\u{2022}\u{3041}\u{247d}", true);
        check("gb18030", &[0xa6, 0xda, 0xd6, 0xd0], "\u{e78e}中", true);
    }

    #[test]
    fn invalid_bytes_are_replaced_and_told() {
        check("utf8mb4", b"a\xffb", "a\u{fffd}b", false);
        check("ascii", b"a\xe9", "a\u{fffd}", false);
        check("cp1250", &[0x81], "\u{fffd}", false);
        check("ucs2", &[0xd8, 0x3d, 0], "\u{fffd}\u{fffd}", false);
        check("utf16", &[0xd8, 0x3d], "\u{fffd}", false);
        check("utf32", &[0, 0x11, 0, 0, 0], "\u{fffd}\u{fffd}", false);
        check("gbk", &[0xd6], "\u{fffd}", false);
        check("sjis", &[b'a', 0x81], "a\u{fffd}", false);
        check("ujis", &[0x8f, 0xa1], "\u{fffd}", false);
        check("klingon", b"abc", "abc", false);
        // codes that a column can hold and that have no character, whatever others have made of them since
        check("big5", &[b'<', 0xc8, 0x75, 0xa5, 0x5c, b'>'], "<\u{fffd}功>", false);
        check("gbk", &[0xa8, 0xbf, 0xd6, 0xd0], "\u{fffd}中", false);
        check("gb2312", &[0xd7, 0xfa], "\u{fffd}", false);
        check("cp932", &[0x82, 0x40, b'a'], "\u{fffd}a", false);
        check("sjis", &[0x87, 0x40, 0x93, 0xfa], "\u{fffd}日", false);
        check("ujis", &[0xad, 0xa1], "\u{fffd}", false);
        check("euckr", &[0xc9, 0x41, 0xc7, 0xd1], "\u{fffd}한", false);
    }

    #[test]
    fn no_bytes_of_any_set_panic() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let names = [
            "utf8mb4", "ascii", "latin1", "swe7", "ucs2", "utf16", "utf16le", "utf32", "gbk", "gb2312", "gb18030",
            "big5", "sjis", "cp932", "ujis", "eucjpms", "euckr", "tis620",
        ];
        for round in 0..2_000 {
            let mut bytes = Vec::new();
            for _ in 0..round % 13 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                bytes.push(state.to_le_bytes()[3]);
            }
            for name in names {
                decode(name, &bytes);
            }
        }
    }
}
