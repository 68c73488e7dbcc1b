//! MySQL packets: cutting them out of received bytes without copying, and writing them.
//!
//! ```text
//! u24 length of the payload, u8 sequence number, payload
//! ```
//! A payload of 2^24 - 1 bytes or more is sent as several packets; one of exactly that length ends a run only when
//! a shorter one (perhaps empty) follows.
//!
//! [`Framer`] receives into chunks of 256 KiB, the size that stays in the L2 cache. All packets that a read has
//! completed leave as one frozen chunk, [`Frames`], with one reference count between them. A packet above 64 KiB is
//! received into its own allocation, so that it does not pin others and others do not pin it.
//!
//! It knows nothing of what is inside a payload, but for one thing: the length of a large event, which stands in its
//! first bytes, so that it is refused or allocated once.

mod framer;

pub use framer::{Framer, FramerLimits, Frames};

/// Bytes of a packet's header.
pub const PACKET_HEADER_BYTES: usize = 4;

/// A packet of this payload length is continued by the next one.
pub const PACKET_PAYLOAD_BYTES_MAX: usize = 0xff_ffff;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Packets were lost or repeated, or this is not the MySQL protocol.
    #[error("packet with sequence number {found}, {expected} is next: the stream is out of step")]
    Sequence { expected: u8, found: u8 },

    #[error("a packet of {size} bytes is larger than {key} = {limit}; raise {key} to let it pass")]
    TooLarge { size: u64, limit: u64, key: &'static str },
}

/// Appends the payload as one packet, or as several where it is long. `sequence` is that of the first one and is
/// left at the next.
pub fn write_packet(out: &mut Vec<u8>, sequence: &mut u8, payload: &[u8]) {
    let mut rest = payload;
    loop {
        let (part, behind) = rest.split_at_checked(PACKET_PAYLOAD_BYTES_MAX).unwrap_or((rest, &[]));
        let [a, b, c, ..] = (part.len() as u32).to_le_bytes();
        out.extend([a, b, c, *sequence]);
        out.extend_from_slice(part);
        *sequence = sequence.wrapping_add(1);
        rest = behind;
        if part.len() < PACKET_PAYLOAD_BYTES_MAX {
            return;
        }
    }
}
