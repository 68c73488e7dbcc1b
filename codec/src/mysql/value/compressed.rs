//! Columns that MariaDB stores compressed (`VARCHAR(n) COMPRESSED`, `TEXT COMPRESSED`); a row image has them so too.
//!
//! ```text
//! u8     bits 7..4 method (0: none, 8: zlib)   bit 3: the deflate stream is bare   bits 2..0 length bytes
//! n      length of the content, big-endian (method 8)
//! rest   the content, or its deflate stream (with zlib's header and trailer unless bare)
//! ```
//! An empty value has no header.

use flate2::{Decompress, FlushDecompress, Status};

use super::ValueError;
use super::bits::big_endian;

const METHOD_NONE: u8 = 0;
const METHOD_ZLIB: u8 = 8;

/// Deflate makes at most 1032 bytes of one: a longer claim is a lie, and nothing is allocated for it.
const EXPANSION_MAX: usize = 1032;

/// The content of a compressed value: a part of `bytes`, or in `scratch`, whose content is replaced.
///
/// # Errors
/// Where it is damaged, or longer than `bytes_max`.
pub fn decompress<'a>(bytes: &'a [u8], scratch: &'a mut Vec<u8>, bytes_max: usize) -> Result<&'a [u8], ValueError> {
    let Some((&header, rest)) = bytes.split_first() else {
        return Ok(&[]);
    };
    match header >> 4 {
        METHOD_NONE => Ok(rest),
        METHOD_ZLIB => {
            let (length, stream) = rest.split_at_checked((header & 7).into()).ok_or(ValueError::Truncated)?;
            let length = usize::try_from(big_endian(length)).unwrap_or(usize::MAX);
            if length > bytes_max {
                return Err(ValueError::TooLarge { bytes_max });
            }
            if length / EXPANSION_MAX > stream.len() {
                return Err(ValueError::Invalid("a compressed column that claims more than deflate can make"));
            }
            scratch.clear();
            scratch.reserve_exact(length);
            let has_zlib_header = header & 8 == 0;
            let status = Decompress::new(has_zlib_header)
                .decompress_vec(stream, scratch, FlushDecompress::Finish)
                .map_err(|_| ValueError::Invalid("a compressed column that is no deflate stream"))?;
            if status != Status::StreamEnd || scratch.len() != length {
                return Err(ValueError::Invalid("a compressed column of another length than it says"));
            }
            Ok(scratch)
        }
        _ => Err(ValueError::Invalid("a compressed column of an unknown method")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<&[u8], ValueError>) {
        assert_eq!(decompress(bytes, &mut vec![1, 2, 3], 1 << 20), expected);
    }

    /// Three hundred times 'b', as MariaDB 11.8 wrote it: bare, then with `column_compression_zlib_wrap`.
    const BARE: [u8; 10] = [0x8a, 0x01, 0x2c, 0x4b, 0x4a, 0x1a, 0x05, 0xc4, 0x02, 0x00];
    const WRAPPED: [u8; 16] =
        [0x82, 0x01, 0x2c, 0x78, 0x9c, 0x4b, 0x4a, 0x1a, 0x05, 0xc4, 0x02, 0x00, 0x89, 0x15, 0x72, 0xd9];

    #[test]
    fn each_form_that_mariadb_writes() {
        check(&[], Ok(b""));
        check(b"\0short", Ok(b"short"));
        check(&BARE, Ok(&[b'b'; 300]));
        check(&WRAPPED, Ok(&[b'b'; 300]));
    }

    #[test]
    fn damage_is_an_error() {
        let mut wrong_length = BARE;
        wrong_length[2] = 0x2d;
        check(&wrong_length, Err(ValueError::Invalid("a compressed column of another length than it says")));
        check(&[0x84, 1], Err(ValueError::Truncated));
        check(&[0x84, 0xff, 0xff, 0xff, 0xff, 1], Err(ValueError::TooLarge { bytes_max: 1 << 20 }));
        check(&[0x90], Err(ValueError::Invalid("a compressed column of an unknown method")));
        let claims = ValueError::Invalid("a compressed column that claims more than deflate can make");
        check(&[0x83, 0x0f, 0xff, 0xff, 1], Err(claims));
        for cut in 1..BARE.len() {
            assert!(decompress(&BARE[..cut], &mut Vec::new(), 1 << 20).is_err(), "{cut}");
        }
    }
}
