use super::*;
use crate::mysql::checksum::Checksum;

fn lenenc(value: usize) -> Vec<u8> {
    let mut out = vec![254];
    out.extend((value as u64).to_le_bytes());
    out
}

fn body(compression: u8, uncompressed: usize, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, value) in [(1, lenenc(payload.len())), (2, lenenc(usize::from(compression))), (3, lenenc(uncompressed))]
    {
        body.push(field);
        body.push(u8::try_from(value.len()).unwrap());
        body.extend(value);
    }
    body.push(0);
    body.extend(payload);
    body
}

fn sample(sizes: &[usize]) -> Vec<Vec<u8>> {
    let filled = |(index, size): (usize, &usize)| {
        let body: Vec<u8> = (0..*size).map(|at| (at * 7 + index) as u8).collect();
        super::super::tests::event(30, &body, Checksum::None)
    };
    sizes.iter().enumerate().map(filled).collect()
}

fn read_all(body: &[u8], event_bytes_max: usize, chunk_bytes: usize) -> Result<Vec<Vec<u8>>, EventError> {
    let payload = TransactionPayload::parse(body)?;
    let mut reader = PayloadReader::new(event_bytes_max)?;
    let mut found = Vec::new();
    // Twice with one reader: the second time must not see anything of the first.
    for _ in 0..2 {
        found.clear();
        reader.begin(&payload)?;
        while let Some(chunk) = reader.next_chunk(payload.payload, chunk_bytes)? {
            let mut end = 0;
            for range in events(&chunk) {
                end = range.end;
                found.push(chunk[range].to_vec());
            }
            assert_eq!(end, chunk.len());
        }
    }
    Ok(found)
}

#[test]
fn events_come_out_whole_whatever_the_chunk() {
    let expected = sample(&[0, 1, 100, 70_000, 5, 200_000, 3]);
    let plain = expected.concat();
    let packed = zstd::bulk::compress(&plain, 3).unwrap();
    for chunk_bytes in [1, 100, 4096, 65_536, 1 << 20] {
        assert_eq!(read_all(&body(0, plain.len(), &packed), 1 << 20, chunk_bytes).unwrap(), expected);
        assert_eq!(read_all(&body(255, plain.len(), &plain), 1 << 20, chunk_bytes).unwrap(), expected);
    }
    assert_eq!(read_all(&body(255, 0, &[]), 100, 100).unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn an_event_over_the_limit_is_refused_before_it_is_held() {
    let plain = sample(&[10, 2_000_000]).concat();
    let packed = zstd::bulk::compress(&plain, 3).unwrap();
    let error = read_all(&body(0, plain.len(), &packed), 1_000_000, 4096).unwrap_err();
    assert!(matches!(error, EventError::TooLarge { size: 2_000_019, .. }), "{error}");
}

#[test]
fn cut_and_damaged_payloads_are_errors() {
    let plain = sample(&[50, 60]).concat();
    let packed = zstd::bulk::compress(&plain, 3).unwrap();
    let whole = body(0, plain.len(), &packed);
    for length in 0..whole.len() {
        assert!(read_all(&whole[..length], 1 << 20, 100).is_err(), "{length}");
    }
    for length in 0..packed.len() {
        assert!(read_all(&body(0, plain.len(), &packed[..length]), 1 << 20, 100).is_err(), "zstd cut at {length}");
    }
    for length in 1..plain.len() {
        let cut = read_all(&body(255, length, &plain[..length]), 1 << 20, 100);
        assert_eq!(cut.is_ok(), length == 69, "plain cut at {length}");
    }
    assert!(read_all(&body(0, plain.len() + 1, &packed), 1 << 20, 100).is_err());
    assert!(read_all(&body(0, plain.len() - 1, &packed), 1 << 20, 100).is_err());
    assert!(read_all(&body(7, plain.len(), &packed), 1 << 20, 100).is_err());
}

/// 1 GiB of zeroes in 33 KiB: the size that it says it has ends it.
#[test]
fn a_bomb_is_stopped_by_its_own_statement() {
    let packed = zstd::bulk::compress(&vec![0u8; 4 << 20], 3).unwrap();
    assert!(read_all(&body(0, 1000, &packed), 1 << 20, 4096).is_err());
    // An event header of zeroes says size 0.
    assert!(read_all(&body(0, 4 << 20, &packed), 1 << 20, 4096).is_err());
}

#[test]
fn a_field_is_as_long_as_its_value() {
    let sound = [1, 1, 2, 2, 1, 0, 0, 7, 7];
    assert_eq!(TransactionPayload::parse(&sound).unwrap().payload, [7, 7]);
    let longer = [1, 2, 2, 0, 2, 1, 0, 0, 7, 7];
    assert!(TransactionPayload::parse(&longer).unwrap_err().to_string().contains("1 bytes behind"));
}
