//! Dates and times as the wire has them: one Int64 each, and their text.
//!
//! - DATE, DATETIME: microseconds since 1970-01-01 00:00:00 of the wall clock, in the proleptic Gregorian calendar.
//! - TIMESTAMP: the same in UTC.
//! - TIME: microseconds, signed.
//!
//! MySQL also stores what is no date (0000-00-00, 2024-00-10, 2024-02-31). These are *partial* and lie below
//! [`PARTIAL_END`], which no date of the years 0 to 9999 comes near, so that nothing is lost:
//!
//! ```text
//! value = i64::MIN + bits        bits  59..46 year (14)   45..42 month (4)   41..37 day (5)
//!                                      36..32 hour (5)    31..26 minute (6)  25..20 second (6)   19..0 microsecond (20)
//! ```
//! Partial values of one kind sort as MySQL sorts them.

use std::fmt;

/// Values below this one are partial: `i64::MIN + 2^61`.
pub const PARTIAL_END: i64 = i64::MIN + (1 << 61);

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// A wall-clock time by its parts, possible or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DateTimeParts {
    /// 0 to 16383.
    pub year: u16,
    /// 0 to 15.
    pub month: u8,
    /// 0 to 31.
    pub day: u8,
    /// 0 to 31.
    pub hour: u8,
    /// 0 to 63.
    pub minute: u8,
    /// 0 to 63.
    pub second: u8,
    /// 0 to 999999.
    pub microsecond: u32,
}

impl DateTimeParts {
    /// True for a date of the Gregorian calendar with a time of day.
    #[inline(always)]
    pub fn is_gregorian(&self) -> bool {
        self.month.wrapping_sub(1) < 12
            && self.day != 0
            && (self.day <= 28 || self.day <= days_of_month(self.year, self.month))
            && self.hour < 24
            && self.minute < 60
            && self.second < 60
    }

    /// The value on the wire: microseconds, or partial.
    #[inline(always)]
    pub fn to_wire(&self) -> i64 {
        if !self.is_gregorian() {
            return pack_partial(self);
        }
        let seconds = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        days_from_civil(self.year.into(), self.month.into(), self.day.into()) * DAY_US
            + seconds * SECOND_US
            + i64::from(self.microsecond)
    }
}

/// A date that is no Gregorian one, below [`PARTIAL_END`]. Parts beyond their range lose their upper bits.
pub fn pack_partial(parts: &DateTimeParts) -> i64 {
    let bits = (i64::from(parts.year) & 0x3fff) << 46
        | (i64::from(parts.month) & 0xf) << 42
        | (i64::from(parts.day) & 0x1f) << 37
        | (i64::from(parts.hour) & 0x1f) << 32
        | (i64::from(parts.minute) & 0x3f) << 26
        | (i64::from(parts.second) & 0x3f) << 20
        | (i64::from(parts.microsecond) & 0xf_ffff);
    i64::MIN | bits
}

/// The parts of a partial value; `None` where the value is microseconds.
pub fn unpack_partial(value: i64) -> Option<DateTimeParts> {
    if value >= PARTIAL_END {
        return None;
    }
    let bits = |shift: u32, width: u32| ((value >> shift) & ((1 << width) - 1)) as u32;
    Some(DateTimeParts {
        year: bits(46, 14) as u16,
        month: bits(42, 4) as u8,
        day: bits(37, 5) as u8,
        hour: bits(32, 5) as u8,
        minute: bits(26, 6) as u8,
        second: bits(20, 6) as u8,
        microsecond: bits(0, 20),
    })
}

fn days_of_month(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. Years count from March here, so that the leap day is a year's last:
/// 146097 days are 400 years, and (153 m + 2) / 5 is the day on which month m after March begins.
#[inline(always)]
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    // 4 * 10^2 years ahead, to divide positive numbers only; 719468 days lie between 0000-03-01 and 1970-01-01.
    let year = year + 400;
    let century = year / 100;
    365 * year + year / 4 - century + century / 4 + (153 * month + 2) / 5 + day - 1 - 719_468 - 146_097
}

/// Year, month, day of a day since 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = year_of_era + era * 400 + i64::from(month >= 10);
    (year, if month < 10 { month + 3 } else { month - 9 }, day)
}

/// A short text without an allocation; reads as `str`.
#[derive(Clone, Copy)]
pub struct TemporalText {
    bytes: [u8; TEXT_BYTES],
    length: usize,
}

/// The longest: a year of six digits with its sign (i64 of microseconds ends in 294247), "-MM-DD hh:mm:ss.ffffff".
/// TIME of any i64 is shorter: 10 digits of hours.
const TEXT_BYTES: usize = 32;

impl TemporalText {
    fn new() -> Self {
        Self { bytes: [b'0'; TEXT_BYTES], length: 0 }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    /// At least `width` digits.
    fn push_number(&mut self, number: u64, width: usize) {
        let mut digits = [b'0'; 20];
        let mut rest = number;
        let mut count = 0;
        for digit in digits.iter_mut().rev() {
            if rest == 0 && count >= width {
                break;
            }
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            count += 1;
        }
        for &digit in digits.iter().rev().take(count).rev() {
            self.push(digit);
        }
    }

    fn push_date(&mut self, year: i64, month: u64, day: u64) {
        if year < 0 {
            self.push(b'-');
        }
        self.push_number(year.unsigned_abs(), 4);
        self.push(b'-');
        self.push_number(month, 2);
        self.push(b'-');
        self.push_number(day, 2);
    }

    fn push_clock(&mut self, hour: u64, minute: u64, second: u64, microsecond: u64, digits: u8) {
        self.push_number(hour, 2);
        self.push(b':');
        self.push_number(minute, 2);
        self.push(b':');
        self.push_number(second, 2);
        let digits = usize::from(digits.min(6));
        if digits > 0 {
            self.push(b'.');
            let end = self.length + digits;
            self.push_number(microsecond, 6);
            self.length = end;
        }
    }

    pub fn as_str(&self) -> &str {
        let text = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl std::ops::Deref for TemporalText {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for TemporalText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self)
    }
}

impl fmt::Debug for TemporalText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

/// `YYYY-MM-DD` of a DATE on the wire.
pub fn format_date(value: i64) -> TemporalText {
    let mut text = TemporalText::new();
    match unpack_partial(value) {
        Some(parts) => text.push_date(parts.year.into(), parts.month.into(), parts.day.into()),
        None => {
            let (year, month, day) = civil_from_days(value.div_euclid(DAY_US));
            text.push_date(year, month.unsigned_abs(), day.unsigned_abs());
        }
    }
    text
}

/// `YYYY-MM-DD hh:mm:ss` of a DATETIME on the wire, with `digits` (0 to 6) of its fraction.
pub fn format_datetime(value: i64, digits: u8) -> TemporalText {
    let mut text = format_date(value);
    text.push(b' ');
    let (hour, minute, second, microsecond) = match unpack_partial(value) {
        Some(parts) => (parts.hour.into(), parts.minute.into(), parts.second.into(), parts.microsecond.into()),
        None => clock(value.rem_euclid(DAY_US).unsigned_abs()),
    };
    text.push_clock(hour, minute, second, microsecond, digits);
    text
}

/// `YYYY-MM-DD hh:mm:ss` in UTC of a TIMESTAMP on the wire.
pub fn format_timestamp(value: i64, digits: u8) -> TemporalText {
    format_datetime(value, digits)
}

/// `hh:mm:ss` of a TIME on the wire, with a sign where it is negative and with as many digits of hours as it needs.
pub fn format_time(value: i64, digits: u8) -> TemporalText {
    let mut text = TemporalText::new();
    if value < 0 {
        text.push(b'-');
    }
    let (hour, minute, second, microsecond) = clock(value.unsigned_abs());
    text.push_clock(hour, minute, second, microsecond, digits);
    text
}

fn clock(us: u64) -> (u64, u64, u64, u64) {
    let seconds = us / 1_000_000;
    (seconds / 3600, seconds / 60 % 60, seconds % 60, us % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8, microsecond: u32) -> DateTimeParts {
        DateTimeParts { year, month, day, hour, minute, second, microsecond }
    }

    #[track_caller]
    fn check(parts: DateTimeParts, wire: i64, text: &str) {
        assert_eq!(parts.to_wire(), wire);
        assert_eq!(&*format_datetime(wire, 6), text);
        assert_eq!(format_date(wire).as_str(), &text[..10]);
    }

    #[test]
    fn gregorian_dates_are_microseconds_since_1970() {
        check(parts(1970, 1, 1, 0, 0, 0, 0), 0, "1970-01-01 00:00:00.000000");
        check(parts(1970, 1, 1, 0, 0, 0, 1), 1, "1970-01-01 00:00:00.000001");
        check(parts(1969, 12, 31, 23, 59, 59, 999_999), -1, "1969-12-31 23:59:59.999999");
        check(parts(2024, 2, 29, 12, 34, 56, 123_456), 1_709_210_096_123_456, "2024-02-29 12:34:56.123456");
        check(parts(2038, 1, 19, 3, 14, 7, 0), i64::from(i32::MAX) * 1_000_000, "2038-01-19 03:14:07.000000");
        check(parts(1000, 1, 1, 0, 0, 0, 0), -30_610_224_000_000_000, "1000-01-01 00:00:00.000000");
        check(parts(9999, 12, 31, 23, 59, 59, 999_999), 253_402_300_799_999_999, "9999-12-31 23:59:59.999999");
        check(parts(0, 1, 1, 0, 0, 0, 0), -62_167_219_200_000_000, "0000-01-01 00:00:00.000000");
    }

    #[test]
    fn what_is_no_date_keeps_its_parts() {
        for partial in [
            parts(0, 0, 0, 0, 0, 0, 0),
            parts(2024, 0, 0, 0, 0, 0, 0),
            parts(2024, 2, 31, 1, 2, 3, 4),
            parts(2023, 2, 29, 0, 0, 0, 0),
            parts(1900, 2, 29, 0, 0, 0, 0),
            parts(2024, 13, 1, 23, 59, 59, 999_999),
            parts(9999, 0, 31, 31, 63, 63, 999_999),
            parts(0x3fff, 15, 0, 0, 0, 0, 0),
        ] {
            let wire = partial.to_wire();
            assert!(wire < PARTIAL_END, "{partial:?}");
            assert_eq!(unpack_partial(wire), Some(partial));
        }
        check(parts(0, 0, 0, 0, 0, 0, 0), i64::MIN, "0000-00-00 00:00:00.000000");
        assert_eq!(&*format_datetime(parts(2024, 2, 31, 1, 2, 3, 40).to_wire(), 5), "2024-02-31 01:02:03.00004");
    }

    #[test]
    fn every_day_of_four_centuries_and_its_text_agree() {
        let mut expected = days_from_civil(1799, 12, 31);
        for year in 1800..2210 {
            for month in 1..=12 {
                for day in 1..=days_of_month(year, month) {
                    expected += 1;
                    let wire = parts(year, month, day, 0, 0, 0, 0).to_wire();
                    assert_eq!(wire, expected * DAY_US);
                    assert_eq!(civil_from_days(expected), (year.into(), month.into(), day.into()));
                }
            }
        }
        assert_eq!(expected, days_from_civil(2209, 12, 31));
    }

    #[test]
    fn fractions_are_cut_to_the_digits() {
        for (digits, text) in [(0, "12:34:56"), (1, "12:34:56.9"), (4, "12:34:56.9870"), (6, "12:34:56.987001")] {
            let wire = parts(1970, 1, 2, 12, 34, 56, 987_001).to_wire();
            assert_eq!(&format_timestamp(wire, digits)[11..], text);
            assert_eq!(&*format_time(wire - DAY_US, digits), text);
        }
    }

    #[test]
    fn times_have_a_sign_and_hours_without_end() {
        for (value, digits, text) in [
            (0, 0, "00:00:00"),
            (-1, 6, "-00:00:00.000001"),
            (-1_999_999, 6, "-00:00:01.999999"),
            (3_020_399_000_000, 0, "838:59:59"),
            (-3_020_399_000_000, 2, "-838:59:59.00"),
        ] {
            assert_eq!(&*format_time(value, digits), text);
        }
    }

    #[test]
    fn no_value_panics() {
        for value in [i64::MIN, i64::MIN + 1, PARTIAL_END - 1, PARTIAL_END, -1, i64::MAX] {
            for digits in [0, 6, 255] {
                format_datetime(value, digits);
                format_time(value, digits);
            }
        }
        assert_eq!(&*format_datetime(i64::MAX, 6), "294247-01-10 04:00:54.775807");
        assert_eq!(&*format_time(i64::MAX, 6), "2562047788:00:54.775807");
    }
}
