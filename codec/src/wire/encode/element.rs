//! One struct that is being written, and what is taken from the rows for it.

use crate::mysql::value::{ValueError, temporal};

/// The struct that is being written.
pub(super) struct Element<'e> {
    pub bytes: &'e mut [u8],
    /// Words between the start of its list and itself.
    pub word: usize,
}

impl Element<'_> {
    #[inline(always)]
    pub fn store<const N: usize>(&mut self, place: u32, bytes: [u8; N]) {
        // The program has checked every place against the struct.
        let start = place as usize;
        if let Some(field) = self.bytes.get_mut(start..start + N) {
            field.copy_from_slice(&bytes);
        }
    }

    /// Stores N bytes of the image as they are, and goes on behind them; false where there are fewer.
    #[inline(always)]
    pub fn copy<const N: usize>(&mut self, place: u32, rows: &[u8], at: &mut usize) -> bool {
        let Ok(value) = take::<N>(rows, *at) else { return false };
        self.store(place, value);
        *at += N;
        true
    }
}

/// Where the next value begins, counted from the start of the rows. A number, not a slice that shrinks: so the loop over
/// the columns waits for one addition a column.
pub(super) type Behind = Result<usize, ValueError>;

/// The N bytes at `at`.
#[inline(always)]
pub(super) fn take<const N: usize>(rows: &[u8], at: usize) -> Result<[u8; N], ValueError> {
    let bytes = rows.get(at..at + N).and_then(|bytes| bytes.first_chunk());
    bytes.copied().ok_or(ValueError::Truncated)
}

#[inline(always)]
pub(super) fn take_slice(rows: &[u8], at: usize, count: usize) -> Result<&[u8], ValueError> {
    rows.get(at..at + count).ok_or(ValueError::Truncated)
}

#[inline(always)]
pub(super) fn take_length(rows: &[u8], at: usize, prefix: u8) -> Result<usize, ValueError> {
    Ok(match prefix {
        1 => usize::from(take::<1>(rows, at)?[0]),
        2 => usize::from(u16::from_le_bytes(take(rows, at)?)),
        3 => {
            let [a, b, c] = take(rows, at)?;
            u32::from_le_bytes([a, b, c, 0]) as usize
        }
        _ => u32::from_le_bytes(take(rows, at)?) as usize,
    })
}

/// What a length of `prefix` bytes counts, and where it ends.
#[inline(always)]
pub(super) fn take_prefixed(rows: &[u8], at: usize, prefix: u8) -> Result<(&[u8], usize), ValueError> {
    let length = take_length(rows, at, prefix)?;
    let start = at + usize::from(prefix);
    Ok((take_slice(rows, start, length)?, start + length))
}

#[inline(always)]
pub(super) fn datetime2(rows: &[u8], place: u32, fraction: u8, element: &mut Element<'_>, at: usize) -> Behind {
    let whole = take::<5>(rows, at)?;
    let fraction = take_slice(rows, at + whole.len(), fraction.into())?;
    element.store(place, temporal::datetime2(whole, fraction)?.to_le_bytes());
    Ok(at + whole.len() + fraction.len())
}

#[inline(always)]
pub(super) fn timestamp2(rows: &[u8], place: u32, fraction: u8, element: &mut Element<'_>, at: usize) -> Behind {
    let whole = take::<4>(rows, at)?;
    let fraction = take_slice(rows, at + whole.len(), fraction.into())?;
    element.store(place, temporal::timestamp2(whole, fraction)?.to_le_bytes());
    Ok(at + whole.len() + fraction.len())
}

/// MariaDB takes zero bytes off the end of what it stores as BINARY(n).
pub(super) fn padded<const N: usize>(bytes: &[u8]) -> Result<[u8; N], ValueError> {
    let mut padded = [0; N];
    match padded.get_mut(..bytes.len()) {
        Some(start) => start.copy_from_slice(bytes),
        None => return Err(ValueError::Invalid("an address or UUID of too many bytes")),
    }
    Ok(padded)
}
