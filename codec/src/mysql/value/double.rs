//! A double as MySQL prints it in JSON: the shortest digits that read back, `1.0`, `1e16`, `1.5e-20`.

use std::io::Write as _;

use super::digits::{U64_ROOM, ascii8, write_u64};

/// Decimal points within these bounds (digits before the point, negative for zeros behind it) are written out;
/// beyond them the number has an exponent, but where digits are left for behind the point. `DBL_DIG` and its like in
/// MySQL's `my_gcvt`.
const POINT_MIN: i32 = -14;
const POINT_MAX: i32 = 15;

/// Sign, `0.`, 14 zeros, 17 digits are the longest; stores run ahead.
pub const TEXT_ROOM: usize = 64;

/// Writes `number`, which must be finite; JSON has no others. How long the text is.
#[inline]
pub fn write(number: f64, out: &mut [u8; TEXT_ROOM]) -> usize {
    let [sign, rest @ ..] = out;
    *sign = b'-';
    let is_negative = number.is_sign_negative();
    let magnitude = number.abs();
    let length = match is_negative {
        true => write_magnitude(magnitude, rest),
        false => write_magnitude(magnitude, out),
    };
    length + usize::from(is_negative)
}

#[inline]
fn write_magnitude(number: f64, out: &mut [u8]) -> usize {
    write_short(number, out).unwrap_or_else(|| write_any(number, out))
}

/// Numbers of at most 15 digits, six of them behind the point. A double keeps 15 digits, so that there is no shorter
/// decimal that reads back as the same.
#[inline]
fn write_short(number: f64, out: &mut [u8]) -> Option<usize> {
    if number.is_nan() || number >= 1e15 {
        return None;
    }
    // Signed integers: machines convert only those at once.
    let (mut whole, mut fraction, mut digits) = (number as i64, 0, 1);
    if whole as f64 != number {
        if let Some(hundredths) = as_units(number, 100.0) {
            (whole, fraction, digits) = (hundredths / 100, hundredths % 100, 2);
        } else {
            let millionths = as_units(number, 1e6)?;
            (whole, fraction, digits) = (millionths / 1_000_000, millionths % 1_000_000, 6);
        }
        // Zeros at the end are none of the number's.
        while fraction % 10 == 0 && digits > 1 {
            fraction /= 10;
            digits -= 1;
        }
    }
    let length = write_u64(out.first_chunk_mut::<U64_ROOM>()?, whole.unsigned_abs());
    let [point, fraction_place @ ..] = out.get_mut(length..)?.first_chunk_mut::<9>()?;
    *point = b'.';
    *fraction_place = (ascii8(fraction as u32) >> (64 - 8 * digits)).to_le_bytes();
    Some(length + 1 + digits)
}

/// The number in units of `1 / power`, if it is a whole number of them with at most 15 digits.
#[inline(always)]
fn as_units(number: f64, power: f64) -> Option<i64> {
    let rounded = (number * power + 0.5) as i64;
    (rounded < 1_000_000_000_000_000 && rounded as f64 / power == number).then_some(rounded)
}

#[cold]
#[inline(never)]
fn write_any(number: f64, out: &mut [u8]) -> usize {
    // The standard library has the shortest digits too, as `d.ddde-dd`: 17 digits, a point, `e-324`.
    let (mut shortest, mut rounded) = ([0_u8; 32], [0_u8; 32]);
    let shortest = formatted(&mut shortest, format_args!("{number:e}"));
    let text = if may_be_halfway(number, shortest) {
        // Of two such the standard library takes the upper one and MySQL the even one: that is what rounding to so many
        // digits gives.
        let behind_point = digits_of(shortest).count().saturating_sub(1);
        let rounded = formatted(&mut rounded, format_args!("{number:.behind_point$e}"));
        // The doubles below a power of two lie closer together: there the nearest of so many digits may be another
        // double's.
        let reads_back = std::str::from_utf8(rounded).ok().and_then(|text| text.parse().ok()) == Some(number);
        if reads_back { rounded } else { shortest }
    } else {
        shortest
    };
    let count = digits_of(text).count();
    let exponent_at = text.iter().position(|&byte| byte == b'e').unwrap_or(text.len());
    let mantissa = text.get(..exponent_at).unwrap_or_default();
    let exponent = exponent_of(text);
    let mut length = 0;
    let mut put = |byte: u8| {
        if let Some(place) = out.get_mut(length) {
            *place = byte;
            length += 1;
        }
    };
    let digits = || digits_of(mantissa);
    let point = exponent + 1;
    let has_fraction = usize::try_from(point).is_ok_and(|before| count > before);
    if !(POINT_MIN..=POINT_MAX).contains(&point) && !has_fraction {
        // `d.ddd` has its point where MySQL has it; MySQL has no sign before a positive exponent either.
        text.iter().for_each(|&byte| put(byte));
    } else if point <= 0 {
        b"0.".iter().for_each(|&byte| put(byte));
        (point..0).for_each(|_| put(b'0'));
        digits().for_each(&mut put);
    } else {
        let before = point as usize;
        digits().chain(std::iter::repeat(b'0')).take(before).for_each(&mut put);
        put(b'.');
        if count <= before {
            put(b'0');
        }
        digits().skip(before).for_each(&mut put);
    }
    length
}

/// May the number lie halfway between two decimals of as many digits as `shortest` has? Then it has itself just one
/// digit more. A number with so many binary digits behind the point has as many decimal ones there.
fn may_be_halfway(number: f64, shortest: &[u8]) -> bool {
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    let bits = number.to_bits();
    // Subnormal numbers and whole ones are rare: those are not looked at.
    let exponent = (bits >> MANTISSA_BITS & 0x7ff) as i32;
    let mantissa = bits & ((1 << MANTISSA_BITS) - 1) | 1 << MANTISSA_BITS;
    let binary_digits = 1023 + MANTISSA_BITS as i32 - exponent - mantissa.trailing_zeros() as i32;
    if exponent == 0 || binary_digits <= 0 {
        return true;
    }
    binary_digits == digits_of(shortest).count() as i32 - exponent_of(shortest)
}

/// Of `d.ddde-dd`.
fn exponent_of(text: &[u8]) -> i32 {
    let exponent = text.iter().position(|&byte| byte == b'e').and_then(|at| text.get(at + 1..));
    exponent.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The number as it is formatted into `text`.
fn formatted<'a>(text: &'a mut [u8; 32], number: std::fmt::Arguments<'_>) -> &'a [u8] {
    let room = text.len();
    let mut rest = &mut text[..];
    let written = match rest.write_fmt(number) {
        Ok(()) => room - rest.len(),
        Err(_) => 0,
    };
    text.get(..written).unwrap_or_default()
}

/// Of the mantissa: in front of the exponent.
fn digits_of(text: &[u8]) -> impl Iterator<Item = u8> {
    text.iter().copied().take_while(|&byte| byte != b'e').filter(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(number: f64, expected: &str) {
        let mut out = [0; TEXT_ROOM];
        let length = write(number, &mut out);
        assert_eq!(std::str::from_utf8(&out[..length]).unwrap(), expected);
        assert_eq!(by_all_digits(number), expected);
    }

    fn by_all_digits(number: f64) -> String {
        let mut out = [0; TEXT_ROOM];
        let length = write_any(number.abs(), &mut out);
        let sign = if number.is_sign_negative() { "-" } else { "" };
        format!("{sign}{}", std::str::from_utf8(&out[..length]).unwrap())
    }

    /// Each line is what MySQL 9.7 printed.
    #[test]
    #[allow(clippy::excessive_precision)]
    fn as_mysql_prints_it() {
        for (number, text) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1e14, "100000000000000.0"),
            (1e15, "1e15"),
            (1e17, "1e17"),
            (1.5e15, "1.5e15"),
            (123_456_789_012_345.5, "123456789012345.5"),
            (0.1, "0.1"),
            (1e-5, "0.00001"),
            (1e-13, "0.0000000000001"),
            (1e-14, "0.00000000000001"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (1.25e-14, "0.0000000000000125"),
            (1.25e-15, "0.00000000000000125"),
            (1.25e-16, "1.25e-16"),
            (1e300, "1e300"),
            (f64::MAX, "1.7976931348623157e308"),
            (5e-324, "5e-324"),
            (2.225_073_858_507_201_4e-308, "2.2250738585072014e-308"),
            (-1.5e-100, "-1.5e-100"),
            (1.23e47, "1.23e47"),
            (12.5, "12.5"),
            (99.99, "99.99"),
            (-1234.000001, "-1234.000001"),
            (-1_532_547_409_451_595.8, "-1532547409451595.8"),
            (1_234_567_890_123_456.0, "1.234567890123456e15"),
            (12_345_678_901_234_568.0, "1.2345678901234568e16"),
            (-872_984_566_899_824.25, "-872984566899824.2"),
            (872_984_566_899_824.75, "872984566899824.8"),
            (-2_146_543_083_679_128.25, "-2146543083679128.2"),
            // Powers of two whose nearest 16 digits are those of the double below.
            (7.291_122_019_556_398e-304, "7.291122019556398e-304"),
            (9.007_199_254_740_992e15, "9.007199254740992e15"),
        ] {
            check(number, text);
        }
    }

    #[test]
    fn both_ways_give_the_same_digits() {
        let mut state = 7_u64;
        for round in 0..50_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = match round % 4 {
                0 => f64::from_bits(state),
                // Powers of two.
                3 => f64::from_bits(state & 0x7ff << 52),
                1 => (state >> 40) as f64 / 1000.0,
                _ => (state >> 11) as f64 / 1e6,
            };
            if number.is_finite() {
                let text = by_all_digits(number);
                assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
                check(number, &text);
            }
        }
    }

    #[test]
    fn only_what_may_be_halfway_is_ever_rounded_otherwise() {
        let (mut state, mut differing) = (11_u64, 0);
        for round in 0..60_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = match round % 4 {
                0 => f64::from_bits(state),
                1 => f64::from_bits(state & 0x7ff << 52),
                // 2 to 5 binary digits behind the point of a number with 15 or 16 decimal ones before it.
                2 => (state >> 11) as f64 / 8.0,
                _ => (state >> 14) as f64 / 32.0,
            };
            if !number.is_finite() {
                continue;
            }
            let shortest = format!("{number:e}");
            let behind_point = digits_of(shortest.as_bytes()).count() - 1;
            let rounded = format!("{number:.behind_point$e}");
            if rounded != shortest && rounded.parse() == Ok(number) {
                assert!(may_be_halfway(number, shortest.as_bytes()), "{number:e}");
                differing += 1;
            }
        }
        assert!(differing > 100, "{differing}");
    }
}
