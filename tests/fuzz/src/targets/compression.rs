//! What servers compress: TRANSACTION_PAYLOAD (zstd), MariaDB's compressed events and columns (zlib).
//!
//! ```text
//! u8 mode: 0 a payload's body, 1 zstd of the rest with the promised length, 2 an event, 3 a column, 4 there and back
//! u16 the promised length (mode 1)   rest
//! ```
//! Holds: no more comes out, and no more memory is taken, than what is promised and allowed; what is compressed by
//! the real libraries comes back.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};
use millstream_codec::mysql::compression;
use millstream_codec::mysql::event::{PayloadCompression, PayloadReader, TransactionPayload, transaction_payload};
use millstream_codec::mysql::value::compressed;

use crate::binlog::push_event;
use crate::input::Input;

const BYTES_MAX: usize = 64 << 10;
const CHUNK_BYTES: usize = 4096;
/// A chunk ends behind a whole event; one is decompressed in steps of as much as a chunk.
const CHUNK_BYTES_MAX: usize = BYTES_MAX + 2 * CHUNK_BYTES;

pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    match input.u8() % 5 {
        0 => {
            if let Ok(payload) = TransactionPayload::parse(input.rest()) {
                read(&payload);
            }
        }
        1 => {
            let uncompressed_bytes = input.u16().into();
            let payload = input.rest();
            read(&TransactionPayload { compression: PayloadCompression::Zstd, uncompressed_bytes, payload });
        }
        2 => {
            let mut out = Vec::new();
            if compression::decompress("event", input.rest(), &mut out, BYTES_MAX).is_ok() {
                assert!(out.len() <= BYTES_MAX);
            }
        }
        3 => {
            let mut scratch = Vec::new();
            if let Ok(content) = compressed::decompress(input.rest(), &mut scratch, BYTES_MAX) {
                assert!(content.len() <= BYTES_MAX);
            }
        }
        _ => there_and_back(input.rest()),
    }
}

fn read(payload: &TransactionPayload<'_>) -> Option<Vec<u8>> {
    let mut reader = PayloadReader::new(BYTES_MAX).expect("memory");
    reader.begin(payload).expect("a fresh decoder");
    let mut all = Vec::new();
    loop {
        match reader.next_chunk(payload.payload, CHUNK_BYTES) {
            Ok(Some(chunk)) => {
                assert!(chunk.len() <= CHUNK_BYTES_MAX);
                let covered: usize = transaction_payload::events(&chunk).map(|range| range.len()).sum();
                assert_eq!(covered, chunk.len(), "whole events");
                all.extend_from_slice(&chunk);
                assert!(all.len() as u64 <= payload.uncompressed_bytes);
            }
            Ok(None) => {
                assert_eq!(all.len() as u64, payload.uncompressed_bytes);
                return Some(all);
            }
            Err(_) => return None,
        }
    }
}

fn there_and_back(content: &[u8]) {
    let mut events = Vec::new();
    for body in content.chunks(100) {
        push_event(&mut events, 30, 0, body, false);
    }
    let zstd = zstd::bulk::compress(&events, 1).expect("zstd");
    let payload = TransactionPayload {
        compression: PayloadCompression::Zstd,
        uncompressed_bytes: events.len() as u64,
        payload: &zstd,
    };
    assert_eq!(read(&payload), Some(events));

    let length = (content.len() as u32).to_be_bytes();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(content).expect("memory");
    let zlib = zlib.finish().expect("memory");
    let mut out = Vec::new();
    compression::decompress("event", &[&[0x84], &length[..], &zlib].concat(), &mut out, BYTES_MAX).expect("sound");
    assert_eq!(out, content);

    let mut bare = DeflateEncoder::new(Vec::new(), Compression::fast());
    bare.write_all(content).expect("memory");
    let bare = bare.finish().expect("memory");
    for (head, stream) in [(0x84, &zlib), (0x8c, &bare)] {
        let column = [&[head], &length[..], stream].concat();
        assert_eq!(compressed::decompress(&column, &mut Vec::new(), BYTES_MAX), Ok(content));
    }
}
