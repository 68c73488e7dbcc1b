//! Decimal digits of integers, eight at a time.

/// The eight digits of `number` (below 10^8) as ASCII, the first digit in the lowest byte.
#[inline(always)]
pub fn ascii8(number: u32) -> u64 {
    ascii_of(digits8(number))
}

const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;

#[inline(always)]
fn ascii_of(digits: u64) -> u64 {
    digits | ASCII_ZEROS
}

/// The eight digits of `number` below 10^8, one a byte, the first one lowest.
///
/// Each step halves: two lanes of four digits, four of two, eight of one. The factors are reciprocals that are exact
/// in their range: 10486 / 2^20 for a hundredth below 10^4, 103 / 2^10 for a tenth below 100.
#[inline(always)]
fn digits8(number: u32) -> u64 {
    let upper = u64::from(number / 10_000);
    let lower = u64::from(number % 10_000);
    let fours = upper | lower << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (twos - tens * 10) << 8
}

/// Room that [`write_u64`] needs: 20 digits, of which the first eight may be stored ahead of their shift.
pub const U64_ROOM: usize = 24;

/// Writes `number` without leading zeros; how many bytes that took. Bytes behind may be overwritten.
#[inline(always)]
pub fn write_u64(out: &mut [u8; U64_ROOM], number: u64) -> usize {
    if number < 100_000_000 {
        return write_leading(out, number as u32);
    }
    write_long(out, number)
}

fn write_long(out: &mut [u8; U64_ROOM], number: u64) -> usize {
    let upper = number / 100_000_000;
    let lower = (number % 100_000_000) as u32;
    let start = if upper < 100_000_000 {
        write_leading(out, upper as u32)
    } else {
        let start = write_leading(out, (upper / 100_000_000) as u32);
        store(out, start, ascii8((upper % 100_000_000) as u32));
        start + 8
    };
    store(out, start, ascii8(lower));
    start + 8
}

/// A number below 10^8 without its leading zeros.
#[inline(always)]
fn write_leading(out: &mut [u8; U64_ROOM], number: u32) -> usize {
    let digits = digits8(number);
    // The last digit stays, also of 0.
    let zeros = ((digits | 1 << 63).trailing_zeros() / 8) as usize;
    store(out, 0, ascii_of(digits) >> (zeros * 8));
    8 - zeros
}

#[inline(always)]
fn store(out: &mut [u8; U64_ROOM], at: usize, ascii: u64) {
    if let Some(place) = out.get_mut(at..at + 8) {
        place.copy_from_slice(&ascii.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_standard_library() {
        let mut numbers: Vec<u64> = (0..20).flat_map(|power| [10_u64.pow(power), 10_u64.pow(power) - 1]).collect();
        numbers.extend([u64::MAX, u64::MAX - 1, 1 << 63, 12_345_678, 1_234_567_890_123_456_789]);
        numbers.extend((0..200_000).map(|step| step * 7_919));
        let mut state = 1_u64;
        numbers.extend((0..100_000).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> (state % 64)
        }));
        for number in numbers {
            let mut out = [0; U64_ROOM];
            let length = write_u64(&mut out, number);
            assert_eq!(std::str::from_utf8(&out[..length]).unwrap(), number.to_string());
        }
    }

    #[test]
    fn eight_digits_keep_their_zeros() {
        for number in [0, 7, 42, 99_999_999, 10_000, 9_999, 1_020_304] {
            assert_eq!(ascii8(number).to_le_bytes(), *format!("{number:08}").as_bytes());
        }
    }
}
