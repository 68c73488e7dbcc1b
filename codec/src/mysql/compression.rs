//! MariaDB's compressed bodies (`log_bin_compress`): QUERY_COMPRESSED and the compressed rows events.
//!
//! ```text
//! u8   0x80 | algorithm << 4 | n         (algorithm 0: zlib; n: 1 to 4)
//! n    uncompressed length, big-endian
//! rest zlib stream
//! ```

use flate2::{Decompress, FlushDecompress, Status};

use super::error::EventError;
use super::reader::Reader;

const IS_COMPRESSED: u8 = 0x80;
const ALGORITHM: u8 = 0x70;
const LENGTH: u8 = 0x07;
const LENGTH_BYTES_MAX: usize = 4;
/// More cannot be gained by deflate (1032:1), so a larger length is a lie that must size nothing.
const DEFLATE_RATIO_MAX: u64 = 1_040;

/// The length that a compressed body says it will have, and where its zlib stream begins.
fn head<'a>(what: &'static str, bytes: &'a [u8]) -> Result<(u64, &'a [u8]), EventError> {
    let mut reader = Reader::new(what, bytes);
    let head = reader.u8("compression head")?;
    let length_bytes = usize::from(head & LENGTH);
    if head & IS_COMPRESSED == 0 || head & ALGORITHM != 0 || !(1..=LENGTH_BYTES_MAX).contains(&length_bytes) {
        return Err(reader.invalid("compression head", format!("{head:#04x}")));
    }
    let length = reader.bytes("uncompressed length", length_bytes)?;
    let length = length.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    Ok((length, reader.rest()))
}

/// Replaces the content of `out` with the decompressed bytes.
///
/// # Errors
/// [`EventError::TooLarge`] over `bytes_max` (the key is `event_bytes_max`); [`EventError::Decompression`] when the
/// stream is damaged or its length is not the stated one.
pub fn decompress(what: &'static str, bytes: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<(), EventError> {
    let failed = |reason: String| EventError::Decompression { what, reason };
    let (length, stream) = head(what, bytes)?;
    if length > bytes_max as u64 {
        return Err(EventError::TooLarge { what, size: length, limit: bytes_max as u64, key: "event_bytes_max" });
    }
    if length > (stream.len() as u64 + 1).saturating_mul(DEFLATE_RATIO_MAX) {
        return Err(failed(format!("{} bytes cannot hold {length}", stream.len())));
    }
    let length = usize::try_from(length).map_err(|error| failed(error.to_string()))?;
    out.clear();
    // One byte more, so that a stream that goes on behind its stated length is noticed.
    out.reserve_exact(length + 1);
    let mut zlib = Decompress::new(true);
    let status =
        zlib.decompress_vec(stream, out, FlushDecompress::Finish).map_err(|error| failed(error.to_string()))?;
    if status != Status::StreamEnd || out.len() != length {
        return Err(failed(format!("{} bytes instead of {length}", out.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn compress(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[0x84], &length[..], &encoder.finish().unwrap()].concat()
    }

    #[test]
    fn decompresses_to_the_stated_length() {
        let text = b"INSERT INTO t VALUES (1)".repeat(100);
        let bytes = compress(&text);
        let mut out = b"old".to_vec();
        decompress("test", &bytes, &mut out, text.len()).unwrap();
        assert_eq!(out, text);
        assert!(matches!(
            decompress("test", &bytes, &mut out, text.len() - 1),
            Err(EventError::TooLarge { size: 2400, .. })
        ));
    }

    #[test]
    fn damaged_bodies_are_errors() {
        let bytes = compress(&b"some text that is repeated ".repeat(50));
        let mut out = Vec::new();
        for length in 0..bytes.len() {
            assert!(decompress("test", &bytes[..length], &mut out, 1 << 20).is_err(), "{length}");
        }
        for (at, value) in [(0, 0x04), (0, 0x94), (0, 0x80), (0, 0x85), (4, 0), (4, 255), (1, 255)] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            assert!(decompress("test", &damaged, &mut out, usize::MAX).is_err(), "{at} {value}");
        }
    }
}
