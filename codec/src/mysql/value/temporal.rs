//! Dates and times of a row image as the wire has them ([`crate::wire::temporal`]).
//!
//! The types with a 2 in their name (MySQL 5.6 on, MariaDB 10.1 on) are big-endian, with their sign bit inverted and
//! one byte for two digits of the fraction; the older ones are little-endian.

use super::ValueError;
use crate::wire::temporal::{DateTimeParts, pack_partial};

const SECOND_US: i64 = 1_000_000;

/// DATE, NEWDATE: `year << 9 | month << 5 | day`.
#[inline]
pub fn date(bytes: [u8; 3]) -> Result<i64, ValueError> {
    let [low, middle, high] = bytes;
    let number = u32::from_le_bytes([low, middle, high, 0]);
    let year = (number >> 9) as u16;
    if year > 9999 {
        return Err(ValueError::Invalid("DATE after the year 9999"));
    }
    Ok(DateTimeParts { year, month: (number >> 5 & 0xf) as u8, day: (number & 0x1f) as u8, ..DateTimeParts::default() }
        .to_wire())
}

/// DATETIME2: five bytes, sign (always 1), `(year * 13 + month) << 22 | day << 17 | hour << 12 | minute << 6 | second`.
#[inline]
pub fn datetime2(bytes: [u8; 5], fraction: &[u8]) -> Result<i64, ValueError> {
    let [a, b, c, d, e] = bytes;
    let number = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
    if number >> 39 == 0 {
        return Err(ValueError::Invalid("DATETIME before the year 0"));
    }
    let mut parts = packed_parts(number & 0x7f_ffff_ffff)?;
    parts.microsecond = fraction_us(fraction)?;
    Ok(parts.to_wire())
}

/// Sign and fraction taken away: `(year * 13 + month) << 22 | day << 17 | hour << 12 | minute << 6 | second`.
#[inline]
pub(super) fn packed_parts(number: u64) -> Result<DateTimeParts, ValueError> {
    let year_month = (number >> 22) as u32;
    if year_month >= 10_000 * 13 {
        return Err(ValueError::Invalid("DATETIME after the year 9999"));
    }
    Ok(DateTimeParts {
        year: (year_month / 13) as u16,
        month: (year_month % 13) as u8,
        day: (number >> 17 & 0x1f) as u8,
        hour: (number >> 12 & 0x1f) as u8,
        minute: (number >> 6 & 0x3f) as u8,
        second: (number & 0x3f) as u8,
        microsecond: 0,
    })
}

/// TIMESTAMP2: seconds of UTC in four bytes. MariaDB 11.5 on counts them without a sign, to 2106; no earlier server
/// has any beyond 2038.
#[inline]
pub fn timestamp2(seconds: [u8; 4], fraction: &[u8]) -> Result<i64, ValueError> {
    Ok(timestamp_us(u32::from_be_bytes(seconds), fraction_us(fraction)?))
}

/// TIMESTAMP of servers before 5.6, and of MariaDB with `mysql56_temporal_format=OFF`.
#[inline]
pub fn timestamp_old(bytes: [u8; 4]) -> i64 {
    timestamp_us(u32::from_le_bytes(bytes), 0)
}

/// Zero is no time: MySQL keeps '0000-00-00 00:00:00' as this.
#[inline]
fn timestamp_us(seconds: u32, microsecond: u32) -> i64 {
    match (seconds, microsecond) {
        (0, 0) => pack_partial(&DateTimeParts::default()),
        _ => i64::from(seconds) * SECOND_US + i64::from(microsecond),
    }
}

/// TIME2: three bytes, sign bit, `hour << 12 | minute << 6 | second`, and a fraction. The number as a whole, with the
/// fraction as its lower bytes, is negated for a negative time.
#[inline]
pub fn time2(bytes: [u8; 3], fraction: &[u8]) -> Result<i64, ValueError> {
    let [a, b, c] = bytes;
    let mut whole = i64::from(u32::from_be_bytes([0, a, b, c])) - 0x80_0000;
    for &byte in fraction {
        whole = whole << 8 | i64::from(byte);
    }
    let magnitude = whole.unsigned_abs();
    let fraction_bits = 8 * fraction.len() as u32;
    let scale = match fraction.len() {
        0 => 1,
        1 => 10_000,
        2 => 100,
        _ => 1,
    };
    let microsecond = (magnitude & ((1 << fraction_bits) - 1)) * scale;
    time_us(whole < 0, magnitude >> fraction_bits, microsecond)
}

/// `clock` is `hour << 12 | minute << 6 | second`.
#[inline]
pub(super) fn time_us(negative: bool, clock: u64, microsecond: u64) -> Result<i64, ValueError> {
    let (hour, minute, second) = (clock >> 12, clock >> 6 & 0x3f, clock & 0x3f);
    if hour > 0x3ff || minute > 59 || second > 59 || microsecond > 999_999 {
        return Err(ValueError::Invalid("TIME that is none"));
    }
    let us = ((hour * 3600 + minute * 60 + second) * 1_000_000 + microsecond) as i64;
    Ok(if negative { -us } else { us })
}

/// TIME of servers before 5.6: the decimal number `hhhmmss` in three bytes, signed.
#[inline]
pub fn time_old(bytes: [u8; 3]) -> Result<i64, ValueError> {
    let [low, middle, high] = bytes;
    let number = i32::from_le_bytes([0, low, middle, high]) >> 8;
    let magnitude = u64::from(number.unsigned_abs());
    let (hour, minute, second) = (magnitude / 10_000, magnitude / 100 % 100, magnitude % 100);
    if minute > 59 || second > 59 {
        return Err(ValueError::Invalid("TIME that is none"));
    }
    time_us(number < 0, hour << 12 | minute << 6 | second, 0)
}

/// DATETIME of servers before 5.6: the decimal number `YYYYMMDDhhmmss`.
#[inline]
pub fn datetime_old(bytes: [u8; 8]) -> Result<i64, ValueError> {
    let number = u64::from_le_bytes(bytes);
    let two_digits = |divisor: u64| (number / divisor % 100) as u8;
    let parts = DateTimeParts {
        year: u16::try_from(number / 10_000_000_000).unwrap_or(u16::MAX),
        month: two_digits(100_000_000),
        day: two_digits(1_000_000),
        hour: two_digits(10_000),
        minute: two_digits(100),
        second: two_digits(1),
        microsecond: 0,
    };
    if parts.year > 9999
        || parts.month > 12
        || parts.day > 31
        || parts.hour > 23
        || parts.minute > 59
        || parts.second > 59
    {
        return Err(ValueError::Invalid("DATETIME that is none"));
    }
    Ok(parts.to_wire())
}

/// YEAR: 0, or years since 1900.
#[inline]
pub fn year(byte: u8) -> u16 {
    match byte {
        0 => 0,
        since_1900 => 1900 + u16::from(since_1900),
    }
}

/// Hundredths in one byte, ten-thousandths in two, microseconds in three.
#[inline]
fn fraction_us(bytes: &[u8]) -> Result<u32, ValueError> {
    let us = match *bytes {
        [] => 0,
        [a] => u32::from(a) * 10_000,
        [a, b] => u32::from(u16::from_be_bytes([a, b])) * 100,
        [a, b, c] => u32::from_be_bytes([0, a, b, c]),
        _ => return Err(ValueError::Invalid("a fraction of more than three bytes")),
    };
    if us > 999_999 { Err(ValueError::Invalid("a fraction of a second or more")) } else { Ok(us) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::temporal::{format_date, format_datetime, format_time};

    #[test]
    fn dates() {
        for (year, month, day, text) in [
            (1000, 1, 1, "1000-01-01"),
            (9999, 12, 31, "9999-12-31"),
            (2024, 2, 29, "2024-02-29"),
            (2024, 2, 31, "2024-02-31"),
            (0, 0, 0, "0000-00-00"),
            (2024, 0, 0, "2024-00-00"),
        ] {
            let [low, middle, high, _] = (year << 9 | month << 5 | day_of(day)).to_le_bytes();
            assert_eq!(&*format_date(date([low, middle, high]).unwrap()), text);
        }
        assert!(date([0xff; 3]).is_err());
    }

    fn day_of(day: u32) -> u32 {
        day
    }

    #[test]
    fn datetimes_with_each_fraction() {
        // 2024-12-31 12:34:56: (2024 * 13 + 12) << 22 | 31 << 17 | 12 << 12 | 34 << 6 | 56
        let number: u64 = 1 << 39 | (2024 * 13 + 12) << 22 | 31 << 17 | 12 << 12 | 34 << 6 | 56;
        let [_, _, _, a, b, c, d, e] = number.to_be_bytes();
        for (fraction, digits, text) in [
            (&[][..], 0, "2024-12-31 12:34:56"),
            (&[12], 2, "2024-12-31 12:34:56.12"),
            (&[0x04, 0xd2], 4, "2024-12-31 12:34:56.1234"),
            (&[0x01, 0xe2, 0x40], 6, "2024-12-31 12:34:56.123456"),
        ] {
            assert_eq!(&*format_datetime(datetime2([a, b, c, d, e], fraction).unwrap(), digits), text);
        }
        assert_eq!(datetime2([0x80, 0, 0, 0, 0], &[]), Ok(i64::MIN));
        assert!(datetime2([0; 5], &[]).is_err());
        assert!(datetime2([0xff; 5], &[]).is_err());
        assert!(datetime2([0x80, 0, 0, 0, 0], &[0xff; 3]).is_err());
        assert_eq!(
            &*format_datetime(datetime_old(20_240_229_123_456_u64.to_le_bytes()).unwrap(), 0),
            "2024-02-29 12:34:56"
        );
        assert_eq!(datetime_old([0; 8]), Ok(i64::MIN));
        assert!(datetime_old([0xff; 8]).is_err());
    }

    #[test]
    fn timestamps() {
        assert_eq!(timestamp2([0, 0, 0, 1], &[]), Ok(1_000_000));
        assert_eq!(timestamp2([0; 4], &[]), Ok(i64::MIN));
        assert_eq!(timestamp2([0; 4], &[0, 0, 1]), Ok(1));
        assert_eq!(timestamp2([0xff; 4], &[99]), Ok(i64::from(u32::MAX) * 1_000_000 + 990_000));
        assert_eq!(timestamp_old([1, 0, 0, 0]), 1_000_000);
        assert_eq!(timestamp_old([0; 4]), i64::MIN);
    }

    #[test]
    fn negative_times_with_each_fraction() {
        for (image, digits, text) in [
            (&[0x80, 0, 0][..], 0, "00:00:00"),
            (&[0x7f, 0xff, 0xff], 0, "-00:00:01"),
            (&[0xb4, 0x6e, 0xfb], 0, "838:59:59"),
            (&[0x4b, 0x91, 0x05], 0, "-838:59:59"),
            (&[0x7f, 0xff, 0xff, 0xff], 2, "-00:00:00.01"),
            (&[0x7f, 0xff, 0xff, 0x00], 2, "-00:00:01.00"),
            (&[0x7f, 0xff, 0xfe, 0x9d], 2, "-00:00:01.99"),
            (&[0x7f, 0xff, 0xff, 0xff, 0xff], 4, "-00:00:00.0001"),
            (&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff], 6, "-00:00:00.000001"),
            (&[0x7f, 0xff, 0xfe, 0xf0, 0xbd, 0xc1], 6, "-00:00:01.999999"),
            (&[0x80, 0xc8, 0xb8, 0x01, 0xe2, 0x40], 6, "12:34:56.123456"),
            (&[0x7f, 0x37, 0x47, 0xfe, 0x1d, 0xc0], 6, "-12:34:56.123456"),
            (&[0x4b, 0x91, 0x05, 0x00, 0x00, 0x00], 6, "-838:59:59.000000"),
        ] {
            let value = time2([image[0], image[1], image[2]], &image[3..]).unwrap();
            assert_eq!(&*format_time(value, digits), text, "{image:02x?}");
        }
        assert!(time2([0x80, 0, 0x3f], &[]).is_err());
        for (number, text) in [(8_385_959, "838:59:59"), (-8_385_959, "-838:59:59"), (-1, "-00:00:01"), (0, "00:00:00")]
        {
            let [low, middle, high, _] = i32::to_le_bytes(number);
            assert_eq!(&*format_time(time_old([low, middle, high]).unwrap(), 0), text);
        }
        assert!(time_old([99, 0, 0]).is_err());
    }

    #[test]
    fn year_zero_is_not_1900() {
        assert_eq!((year(0), year(1), year(255)), (0, 1901, 2155));
    }
}
