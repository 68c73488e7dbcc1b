//! MySQL packets out of a stream, however it is cut.
//!
//! ```text
//! u8 bound of a payload, in units of 1 KiB   u8 seed of the cuts   rest: the stream
//! ```
//! Holds: the same payloads and the same end, whole or in pieces; no payload above the bound; what
//! [`write_packet`] writes comes back as it was.

use millstream_codec::mysql::packet::{Framer, FramerLimits, PacketError, write_packet};

use crate::input::Input;

pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let payload_bytes_max = (usize::from(input.u8()) + 1) << 10;
    let seed = input.u8();
    let stream = input.rest();
    let limits = FramerLimits { payload_bytes_max, key: "max" };
    let whole = receive(stream, limits, |_| usize::MAX);
    let mut state = u32::from(seed);
    let cut = receive(stream, limits, |_| {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        1 + (state >> 16) as usize % 64
    });
    assert_eq!(whole, cut);
    round_trip(stream);
}

/// Every payload, and why it ends; `None` at the stream's end.
fn receive(
    stream: &[u8],
    limits: FramerLimits,
    mut piece: impl FnMut(usize) -> usize,
) -> (Vec<Vec<u8>>, Option<PacketError>) {
    let mut framer = Framer::new(limits);
    let mut payloads = Vec::new();
    let mut rest = stream;
    loop {
        loop {
            match framer.take() {
                Ok(Some(frames)) => {
                    for payload in frames.payloads() {
                        assert!(payload.len() <= limits.payload_bytes_max);
                        payloads.push(payload.to_vec());
                    }
                }
                Ok(None) => break,
                Err(error) => return (payloads, Some(error)),
            }
        }
        let space = match framer.space() {
            Ok(space) => space,
            Err(error) => return (payloads, Some(error)),
        };
        assert!(!space.is_empty(), "room to receive into");
        if rest.is_empty() {
            return (payloads, None);
        }
        let count = piece(rest.len()).min(space.len()).min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        if let Err(error) = framer.filled(count) {
            return (payloads, Some(error));
        }
    }
}

/// The stream's own bytes as payloads: each is as long as its first two bytes say.
fn round_trip(stream: &[u8]) {
    let mut input = Input::new(stream);
    let mut sequence = 0;
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    while !input.is_empty() {
        let payload = input.counted();
        write_packet(&mut sent, &mut sequence, payload);
        expected.push(payload.to_vec());
    }
    let limits = FramerLimits { payload_bytes_max: stream.len(), key: "max" };
    assert_eq!(receive(&sent, limits, |_| 100), (expected, None));
}
