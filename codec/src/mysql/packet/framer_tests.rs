use super::super::write_packet;
use super::*;

const LIMITS: FramerLimits = FramerLimits { payload_bytes_max: 64 << 20, key: "event_bytes_max" };

fn payload(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(31) + seed) as u8 | 1).collect()
}

/// Feeds the stream in pieces of these lengths, round and round, and collects the payloads.
fn receive(framer: &mut Framer, stream: &[u8], pieces: &[usize]) -> Result<Vec<Vec<u8>>, PacketError> {
    let mut found = Vec::new();
    let mut rest = stream;
    let mut pieces = pieces.iter().cycle();
    while !rest.is_empty() {
        let space = framer.space()?;
        assert!(!space.is_empty());
        let count = space.len().min(rest.len()).min(*pieces.next().unwrap());
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        framer.filled(count)?;
        while let Some(frames) = framer.take()? {
            found.extend(frames.payloads().map(<[u8]>::to_vec));
        }
    }
    framer.space()?;
    Ok(found)
}

fn stream(payloads: &[Vec<u8>]) -> Vec<u8> {
    let (mut out, mut sequence) = (Vec::new(), 0);
    for payload in payloads {
        write_packet(&mut out, &mut sequence, payload);
    }
    out
}

#[test]
fn packets_come_out_whatever_the_pieces() {
    let lengths = [0, 1, 3, 200, 8192, 65_535, 65_536, 65_537, 100_000, 262_140, 262_144, 300_000, 5, 0, 1_000_000, 7];
    let payloads: Vec<_> = lengths.iter().enumerate().map(|(seed, length)| payload(*length, seed)).collect();
    let bytes = stream(&payloads);
    for pieces in [&[1_000_000][..], &[65_536], &[1, 4096], &[3, 5, 7, 262_144], &[16_384], &[1]] {
        let mut framer = Framer::new(LIMITS);
        assert_eq!(receive(&mut framer, &bytes, pieces).unwrap(), payloads, "pieces of {pieces:?}");
        assert!(!framer.is_inside_packet());
    }
}

#[test]
fn many_small_packets_wrap_the_sequence_and_the_chunk() {
    let payloads: Vec<_> = (0..20_000).map(|seed| payload(seed % 300, seed)).collect();
    let bytes = stream(&payloads);
    for pieces in [&[usize::MAX][..], &[1460], &[262_144, 1]] {
        assert_eq!(receive(&mut Framer::new(LIMITS), &bytes, pieces).unwrap(), payloads);
    }
}

#[test]
fn packets_of_16_mib_are_joined() {
    const MAX: usize = PACKET_PAYLOAD_BYTES_MAX;
    for length in [MAX - 1, MAX, MAX + 1, 2 * MAX, 2 * MAX + 70_000] {
        // The second time it looks like an event that tells its size, right or wrong.
        for head in [None, Some(length - 1), Some(20)] {
            let mut large = payload(length, 1);
            if let Some(size) = head {
                large[0] = 0;
                large[10..14].copy_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
            }
            let payloads = [payload(10, 2), large, payload(20, 3)];
            let found = receive(&mut Framer::new(LIMITS), &stream(&payloads), &[1_000_000, 3]).unwrap();
            assert!(found == payloads, "{length} {head:?}");
        }
    }
}

#[test]
fn what_is_too_large_is_refused_by_its_header() {
    let limits = FramerLimits { payload_bytes_max: 1000, key: "event_bytes_max" };
    let check = |limits: FramerLimits, bytes: &[u8], size: u64| {
        let error = receive(&mut Framer::new(limits), bytes, &[usize::MAX]).unwrap_err();
        assert!(matches!(error, PacketError::TooLarge { size: found, .. } if found == size), "{error}");
        assert!(error.to_string().contains("event_bytes_max"), "{error}");
    };
    assert!(receive(&mut Framer::new(limits), &stream(&[payload(1000, 1)]), &[10]).is_ok());
    check(limits, &stream(&[payload(1001, 1)]), 1001);
    check(limits, &[0xff, 0xff, 0xff, 0, 1], 0xff_ffff);
    // A run of packets, by the event's own size, before anything is allocated for it.
    let limits = FramerLimits { payload_bytes_max: 20 << 20, key: "event_bytes_max" };
    let event = [0, 1, 1, 1, 1, 30, 1, 1, 1, 1, 0, 0, 0, 0x7f, 0, 0];
    check(limits, &[&[0xff, 0xff, 0xff, 0], &event[..]].concat(), 0x7f00_0001);
    // And by its packets where it is not an event.
    check(limits, &stream(&[payload(21 << 20, 1)]), 21 << 20);
}

#[test]
fn a_wrong_sequence_number_ends_the_stream_behind_the_packets_before() {
    let mut bytes = stream(&[payload(10, 1), payload(10, 2), payload(10, 3)]);
    bytes[14 + 14 + 3] = 9;
    let mut framer = Framer::new(LIMITS);
    let space = framer.space().unwrap();
    space[..bytes.len()].copy_from_slice(&bytes);
    framer.filled(bytes.len()).unwrap();
    assert_eq!(framer.take().unwrap().unwrap().payloads().count(), 2);
    assert_eq!(framer.take().unwrap_err(), PacketError::Sequence { expected: 2, found: 9 });

    let mut framer = Framer::new(LIMITS);
    framer.expect_sequence(1);
    assert!(receive(&mut framer, &bytes, &[usize::MAX]).is_err());
    let mut large = stream(&[payload(200_000, 1)]);
    large[3] = 1;
    assert!(receive(&mut Framer::new(LIMITS), &large, &[100]).is_err());
}

#[test]
fn an_error_ends_the_stream_for_good() {
    let mut framer = Framer::new(LIMITS);
    framer.space().unwrap()[..5].copy_from_slice(&[1, 0, 0, 9, 7]);
    framer.filled(5).unwrap();
    let error = PacketError::Sequence { expected: 0, found: 9 };
    assert_eq!(framer.take().unwrap_err(), error);
    assert_eq!(framer.space().unwrap_err(), error);
    assert_eq!(framer.filled(1).unwrap_err(), error);
    assert_eq!(framer.take().unwrap_err(), error);
}

#[test]
fn what_is_not_taken_piles_up_and_is_not_lost() {
    let payloads: Vec<_> = (0..1_000).map(|seed| payload(1_000, seed)).collect();
    let mut framer = Framer::new(LIMITS);
    for piece in stream(&payloads).chunks(STEP_BYTES_MIN) {
        framer.space().unwrap()[..piece.len()].copy_from_slice(piece);
        framer.filled(piece.len()).unwrap();
    }
    let frames = framer.take().unwrap().unwrap();
    assert!(frames.payloads().eq(payloads.iter().map(Vec::as_slice)));
}

#[test]
fn frames_outlive_later_reads() {
    let payloads: Vec<_> = (0..3_000).map(|seed| payload(1_000, seed)).collect();
    let mut framer = Framer::new(LIMITS);
    let mut held = Vec::new();
    for piece in stream(&payloads).chunks(STEP_BYTES_MIN) {
        framer.space().unwrap()[..piece.len()].copy_from_slice(piece);
        framer.filled(piece.len()).unwrap();
        held.extend(framer.take().unwrap());
        if held.len() > 40 {
            held.drain(..20);
        }
    }
    let last: Vec<_> = held.iter().flat_map(Frames::payloads).map(<[u8]>::to_vec).collect();
    assert!(last.len() > 100);
    assert_eq!(last, payloads[payloads.len() - last.len()..]);
}

#[test]
fn chunks_are_used_again_when_nobody_holds_them() {
    let bytes = stream(&(0..5_000).map(|seed| payload(1_000, seed)).collect::<Vec<_>>());
    let mut framer = Framer::new(LIMITS);
    receive(&mut framer, &bytes, &[usize::MAX]).unwrap();
    assert!(framer.spent.count() <= 1, "{}", framer.spent.count());
}
