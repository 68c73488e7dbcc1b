//! A double as MySQL prints it in JSON: the shortest digits that read back, `1.0`, `1e16`, `1.5e-20`.

use std::io::Write as _;

use super::buffer::TextBuffer;

/// Decimal points within these bounds (digits before the point, negative for zeros behind it) are written out;
/// beyond them the number has an exponent. `DBL_DIG` and its like in MySQL's `my_gcvt`.
const POINT_MIN: i32 = -14;
const POINT_MAX: i32 = 15;

/// `number` must be finite; JSON has no others.
pub fn write(number: f64, out: &mut TextBuffer) {
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let number = number.abs();
    if !write_short(number, out) {
        write_any(number, out);
    }
}

/// Numbers of at most 15 digits, six of them behind the point. A double keeps 15 digits, so that there is no shorter
/// decimal that reads back as the same.
#[inline]
fn write_short(number: f64, out: &mut TextBuffer) -> bool {
    const POWERS: [(f64, u64); 7] =
        [(1.0, 1), (1e1, 10), (1e2, 100), (1e3, 1_000), (1e4, 10_000), (1e5, 100_000), (1e6, 1_000_000)];
    for (digits, (power, whole)) in POWERS.into_iter().enumerate() {
        let scaled = (number * power).round();
        // NaN and infinity are not below it.
        if !(scaled < 1e15) {
            return false;
        }
        if scaled / power == number {
            let scaled = scaled as u64;
            out.push_u64(scaled / whole);
            out.push(b'.');
            let fraction = scaled % whole;
            // One digit at least: 1.0
            let digits = digits.max(1);
            out.push_word(super::digits::ascii8(fraction as u32) >> (64 - 8 * digits), digits);
            return true;
        }
    }
    false
}

fn write_any(number: f64, out: &mut TextBuffer) {
    // The standard library has the shortest digits too, as `d.ddde-dd`: 17 digits, a point, `e-324`.
    let mut text = [0_u8; 32];
    let room = text.len();
    let mut rest = &mut text[..];
    let written = match write!(rest, "{number:e}") {
        Ok(()) => room - rest.len(),
        Err(_) => 0,
    };
    let text = text.get(..written).unwrap_or_default();
    let Some(exponent_at) = text.iter().position(|&byte| byte == b'e') else {
        return out.extend(text);
    };
    let (mantissa, exponent) = text.split_at(exponent_at);
    let exponent: i32 = exponent
        .get(1..)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0);
    let digits = || mantissa.iter().copied().filter(u8::is_ascii_digit);
    let count = digits().count();
    let point = exponent + 1;
    if !(POINT_MIN..=POINT_MAX).contains(&point) {
        out.extend(mantissa);
        out.push(b'e');
        out.push_i64(exponent.into());
    } else if point <= 0 {
        out.extend(b"0.");
        (point..0).for_each(|_| out.push(b'0'));
        digits().for_each(|digit| out.push(digit));
    } else {
        let before = point as usize;
        digits().chain(std::iter::repeat(b'0')).take(before).for_each(|digit| out.push(digit));
        out.push(b'.');
        if count <= before {
            out.push(b'0');
        }
        digits().skip(before).for_each(|digit| out.push(digit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(number: f64, expected: &str) {
        let mut out = TextBuffer::new();
        write(number, &mut out);
        assert_eq!(std::str::from_utf8(out.written()).unwrap(), expected);
        let mut slow = TextBuffer::new();
        if number.is_sign_negative() {
            slow.push(b'-');
        }
        write_any(number.abs(), &mut slow);
        assert_eq!(std::str::from_utf8(slow.written()).unwrap(), expected, "by all digits");
    }

    /// Each line is what MySQL 9.7 printed.
    #[test]
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
        ] {
            check(number, text);
        }
    }

    #[test]
    fn both_ways_give_the_same_digits() {
        let mut state = 7_u64;
        for round in 0..50_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = match round % 3 {
                0 => f64::from_bits(state),
                1 => (state >> 40) as f64 / 1000.0,
                _ => (state >> 11) as f64 / 1e6,
            };
            if number.is_finite() {
                let mut slow = TextBuffer::new();
                if number.is_sign_negative() {
                    slow.push(b'-');
                }
                write_any(number.abs(), &mut slow);
                let text = std::str::from_utf8(slow.written()).unwrap();
                assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
                check(number, text);
            }
        }
    }
}
