//! Text of MariaDB's INET4, INET6 and UUID, which a row image has as binary strings in the order of their text.

use super::buffer::TextBuffer;

/// `1.2.3.4`.
pub fn write_inet4(bytes: [u8; 4], out: &mut TextBuffer) {
    for (index, byte) in bytes.into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        out.push_u64(byte.into());
    }
}

/// As MariaDB prints it: the first of the longest runs of zero words is `::`, also when it is one word, and an address
/// that embeds an IPv4 one ends in its dotted form.
pub fn write_inet6(bytes: [u8; 16], out: &mut TextBuffer) {
    let words: [u16; 8] = std::array::from_fn(|index| {
        let pair = bytes.get(index * 2..).and_then(|rest| rest.first_chunk());
        pair.map_or(0, |&pair| u16::from_be_bytes(pair))
    });
    let (mut gap_start, mut gap_words) = (0, 0);
    let mut start = 0;
    while start < 8 {
        let zeros = words.iter().skip(start).take_while(|&&word| word == 0).count();
        if zeros > gap_words {
            (gap_start, gap_words) = (start, zeros);
        }
        start += zeros + 1;
    }
    let mut index = 0;
    while let Some(&word) = words.get(index) {
        if gap_words > 0 && index == gap_start {
            out.extend(b"::");
            index += gap_words;
            continue;
        }
        if index > 0 && index != gap_start + gap_words {
            out.push(b':');
        }
        let embeds_inet4 = gap_start == 0 && (gap_words == 6 || gap_words == 5 && words.get(5) == Some(&0xffff));
        if index == 6 && embeds_inet4 {
            if let Some(&tail) = bytes.last_chunk() {
                write_inet4(tail, out);
            }
            return;
        }
        write_hex_word(word, out);
        index += 1;
    }
}

fn write_hex_word(word: u16, out: &mut TextBuffer) {
    let digits = (4 - word.leading_zeros() / 4).max(1);
    for place in (0..digits).rev() {
        out.push(hex_digit((word >> (4 * place)) as u8));
    }
}

/// `01234567-89ab-cdef-0123-456789abcdef`.
pub fn write_uuid(bytes: [u8; 16], out: &mut TextBuffer) {
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(hex_digit(byte >> 4));
        out.push(hex_digit(byte));
    }
}

/// Of the lower four bits.
pub(super) fn hex_digit(nibble: u8) -> u8 {
    match nibble & 0xf {
        digit @ 0..=9 => b'0' + digit,
        letter => b'a' - 10 + letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut TextBuffer)) -> String {
        let mut out = TextBuffer::new();
        write(&mut out);
        String::from_utf8(out.into_vec()).unwrap()
    }

    #[test]
    fn addresses_as_mariadb_prints_them() {
        for (words, expected) in [
            ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], "2001:db8::1"),
            ([0; 8], "::"),
            ([0, 0, 0, 0, 0, 0, 0, 1], "::1"),
            ([0, 0, 0, 0, 0, 0, 0x102, 0x304], "::1.2.3.4"),
            ([0, 0, 0, 0, 0, 0xffff, 0x102, 0x304], "::ffff:1.2.3.4"),
            ([1, 0, 0, 2, 0, 0, 0, 3], "1:0:0:2::3"),
            ([0xfe80, 0, 0, 0, 1, 0, 0, 1], "fe80::1:0:0:1"),
            ([0, 0, 1, 0, 0, 0, 0, 0], "0:0:1::"),
            ([1, 0, 2, 3, 4, 5, 6, 7], "1::2:3:4:5:6:7"),
            ([1, 2, 3, 4, 5, 6, 7, 0], "1:2:3:4:5:6:7::"),
            ([0, 2, 3, 4, 5, 6, 7, 8], "::2:3:4:5:6:7:8"),
            ([1, 0, 0, 0, 2, 0, 0, 0], "1::2:0:0:0"),
            ([0, 0, 0, 0, 5, 6, 7, 8], "::5:6:7:8"),
            ([1, 2, 3, 4, 5, 6, 7, 8], "1:2:3:4:5:6:7:8"),
        ] {
            let mut bytes = [0; 16];
            for (pair, word) in bytes.chunks_exact_mut(2).zip(words) {
                pair.copy_from_slice(&u16::to_be_bytes(word));
            }
            assert_eq!(text(|out| write_inet6(bytes, out)), expected);
        }
        assert_eq!(text(|out| write_inet4([255, 0, 10, 1], out)), "255.0.10.1");
    }

    #[test]
    fn a_uuid_has_the_order_of_its_bytes() {
        let bytes = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x1d, 0xef, 0x81, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
        assert_eq!(text(|out| write_uuid(bytes, out)), "01234567-89ab-1def-8123-456789abcdef");
    }
}
