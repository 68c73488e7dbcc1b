//! `--from`: every way to say where to start, as one argument.

use std::str::FromStr;

use millstream_client::Start;
use millstream_codec::mysql::gtid::ExecutedGtids;
use millstream_codec::mysql::position::BinlogPosition;

/// What `--from` was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartArgument(pub Start);

const HINT: &str = "write latest, earliest, resume, FILE:OFFSET (binlog.000042:1234), a GTID set \
                    (3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5, or 0-1-42), or @TIME (@1769846400, @2026-01-31T08:00:00Z)";

impl FromStr for StartArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(time) = text.strip_prefix('@') {
            let hint = "write seconds since 1970 (@1769846400), or a time with its offset (@2026-01-31T08:00:00Z)";
            let time_us = parse_time_us(time).ok_or_else(|| format!("'{time}' is not a time; {hint}"))?;
            return Ok(Self(Start::TimestampUs(time_us)));
        }
        let start = match text {
            "latest" => Start::Latest,
            "earliest" => Start::Earliest,
            "resume" => Start::Resume,
            "" => return Err(HINT.to_owned()),
            _ if text.parse::<ExecutedGtids>().is_ok() => Start::GtidSet(text.to_owned()),
            _ => {
                let position: BinlogPosition = text.parse().map_err(|_| HINT.to_owned())?;
                Start::File { file: position.file, offset: position.offset }
            }
        };
        Ok(Self(start))
    }
}

const SECOND_US: i64 = 1_000_000;

/// Seconds since 1970 with up to six decimals, or RFC 3339 (also without a time: midnight UTC).
fn parse_time_us(text: &str) -> Option<i64> {
    if text.contains('-') && !text.starts_with('-') {
        return parse_rfc3339_us(text);
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds = number(seconds)?;
    seconds.checked_mul(SECOND_US)?.checked_add(fraction_us(fraction)?)
}

/// Digits only: `parse` alone would take a sign.
fn number(digits: &str) -> Option<i64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// Up to nine decimals; what is below a microsecond is cut off.
fn fraction_us(digits: &str) -> Option<i64> {
    if digits.is_empty() {
        return Some(0);
    }
    if digits.len() > 9 {
        return None;
    }
    let padded = format!("{digits:0<9}");
    number(&padded).map(|nanos| nanos / 1000)
}

fn parse_rfc3339_us(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, time),
        None => (text, "00:00:00Z"),
    };
    let mut parts = date.split('-');
    let (year, month, day) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    if parts.next().is_some() {
        return None;
    }
    let days = days_since_1970(year, month, day)?;

    let (clock, offset_s) = split_offset(time)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':');
    let (hour, minute) = (number(parts.next()?)?, number(parts.next()?)?);
    let second = parts.next().map_or(Some(0), number)?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset_s;
    Some(seconds * SECOND_US + fraction_us(fraction)?)
}

/// `08:00:00+02:00` -> (`08:00:00`, 7200). Without an offset nobody knows which time is meant.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let at = time.rfind(['+', '-'])?;
    let (clock, offset) = time.split_at_checked(at)?;
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 23 && minutes <= 59).then_some((clock, sign * (hours * 3600 + minutes * 60)))
}

/// Of the Gregorian calendar. Years are counted from March, so that the leap day is a year's last.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if !(1970..=9999).contains(&year) || !(1..=month_days).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    // 306 = days from March to December; 719,468 = days from 0000-03-01 to 1970-01-01.
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    Some(365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_say_where_to_start_is_understood() {
        let check = |input: &str, expected: Start| {
            assert_eq!(input.parse::<StartArgument>().map(|start| start.0), Ok(expected), "{input}");
        };
        const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        check("latest", Start::Latest);
        check("earliest", Start::Earliest);
        check(" resume ", Start::Resume);
        check("binlog.000042:1234", Start::File { file: "binlog.000042".into(), offset: 1234 });
        check("mysql-bin.000001:4", Start::File { file: "mysql-bin.000001".into(), offset: 4 });
        check(&format!("{UUID}:1-5"), Start::GtidSet(format!("{UUID}:1-5")));
        check(&format!("{UUID}:1-5:blue:7,{UUID}:9"), Start::GtidSet(format!("{UUID}:1-5:blue:7,{UUID}:9")));
        check("0-1-42,3-1-7", Start::GtidSet("0-1-42,3-1-7".into()));
        check("@1769846400", Start::TimestampUs(1_769_846_400_000_000));
        check("@1769846400.25", Start::TimestampUs(1_769_846_400_250_000));
        check("@2026-01-31T08:00:00Z", Start::TimestampUs(1_769_846_400_000_000));
        check("@2026-01-31T10:00:00.000001+02:00", Start::TimestampUs(1_769_846_400_000_001));
        check("@2026-01-31 03:30:00-04:30", Start::TimestampUs(1_769_846_400_000_000));
        check("@2026-01-31T08:00Z", Start::TimestampUs(1_769_846_400_000_000));
        check("@2026-01-31", Start::TimestampUs(1_769_817_600_000_000));
        check("@1970-01-01", Start::TimestampUs(0));
        check("@2000-02-29", Start::TimestampUs(951_782_400_000_000));
        check("@2024-12-31", Start::TimestampUs(1_735_603_200_000_000));
    }

    #[test]
    fn what_is_no_start_is_refused_with_a_hint() {
        for wrong in [
            "",
            "now",
            "binlog.000042",
            "binlog.000042:",
            ":4",
            "binlog.000042:x",
            "@",
            "@now",
            "@-5",
            "@1e9",
            "@2026-02-29",
            "@2026-13-01",
            "@2026-01-31T08:00:00",
            "@2026-01-31T25:00:00Z",
            "@2026-01-31T08:00:00+25:00",
            "@99999999999999999999",
            "@1.0000000001",
        ] {
            let error = wrong.parse::<StartArgument>().expect_err(wrong);
            assert!(error.contains("write"), "{wrong}: {error}");
        }
    }
}
