//! Collation number -> character set, for MySQL 5.6 to 9.7 and MariaDB to 11.8 (whose numbers do not collide).
//!
//! From `information_schema.collations` and `collation_character_set_applicability` of those servers.

/// The number of `binary`: not a text at all.
pub const BINARY: u64 = 63;

/// The name of the character set, as `information_schema` has it today: `utf8mb3` also where older servers say
/// `utf8`. `None` for a number that no known server has.
pub fn charset_name(collation: u64) -> Option<&'static str> {
    match collation {
        // MariaDB: NO PAD twins of the collations below.
        1025..=2047 => classic(collation - 1024),
        // MariaDB's UCA 14.0.0: 256 numbers for each character set.
        2048..=4095 => match collation >> 8 & 7 {
            0 => Some("utf8mb3"),
            1 => Some("utf8mb4"),
            2 => Some("ucs2"),
            3 => Some("utf16"),
            4 => Some("utf32"),
            _ => None,
        },
        _ => classic(collation),
    }
}

fn classic(collation: u64) -> Option<&'static str> {
    Some(match collation {
        1 | 84 => "big5",
        2 | 9 | 21 | 27 | 77 => "latin2",
        3 | 69 => "dec8",
        4 | 80 => "cp850",
        5 | 8 | 15 | 31 | 47..=49 | 94 => "latin1",
        6 | 72 => "hp8",
        7 | 74 => "koi8r",
        10 | 82 => "swe7",
        11 | 65 => "ascii",
        12 | 91 => "ujis",
        13 | 88 => "sjis",
        14 | 23 | 50..=52 => "cp1251",
        16 | 71 => "hebrew",
        18 | 89 => "tis620",
        19 | 85 => "euckr",
        20 | 41 | 42 | 79 => "latin7",
        22 | 75 => "koi8u",
        24 | 86 => "gb2312",
        25 | 70 => "greek",
        26 | 34 | 44 | 66 | 99 => "cp1250",
        28 | 87 => "gbk",
        29 | 58 | 59 => "cp1257",
        30 | 78 => "latin5",
        32 | 64 => "armscii8",
        33 | 76 | 83 | 192..=223 | 576..=579 => "utf8mb3",
        35 | 90 | 128..=159 | 640..=642 => "ucs2",
        36 | 68 => "cp866",
        37 | 73 => "keybcs2",
        38 | 43 => "macce",
        39 | 53 => "macroman",
        40 | 81 => "cp852",
        45 | 46 | 224..=247 | 255..=323 | 608..=611 => "utf8mb4",
        54 | 55 | 101..=124 | 672..=674 => "utf16",
        56 | 62 => "utf16le",
        57 | 67 => "cp1256",
        60 | 61 | 160..=183 | 736..=738 => "utf32",
        63 => "binary",
        92 | 93 => "geostd8",
        95 | 96 => "cp932",
        97 | 98 => "eucjpms",
        248..=250 => "gb18030",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/data/collations.tsv` is what the servers say.
    #[test]
    fn agrees_with_the_servers() {
        let mut checked = 0;
        for line in include_str!("../../tests/data/collations.tsv").lines().filter(|line| !line.starts_with('#')) {
            let (range, charset) = line.split_once('\t').unwrap();
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            for number in first.parse::<u64>().unwrap()..=last.parse().unwrap() {
                assert_eq!(charset_name(number), Some(charset), "{number}");
                checked += 1;
            }
        }
        assert_eq!(checked, 1311);
        assert_eq!(charset_name(0), None);
        assert_eq!(charset_name(u64::MAX), None);
    }
}
