//! A set of MySQL GTIDs, such as `gtid_executed`.
//!
//! Invariants: entries ascend by [`Tsid`], none is empty; the intervals of an entry ascend and neither touch nor
//! overlap. So equal sets are equal values, and the text is canonical.
//!
//! The hot call is [`add`](GtidSet::add), once a transaction, nearly always right behind the number before:
//! a compare and an increment.

use std::fmt;
use std::str::FromStr;

use super::mysql::{MysqlGtid, ServerUuid, Tag, Tsid, parse_number};
use super::{InvalidGtid, excerpt};

/// Transaction numbers `start..end`, `end` not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval {
    pub start: u64,
    pub end: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Entry {
    tsid: Tsid,
    intervals: Vec<Interval>,
}

/// See the module's page.
#[derive(Debug, Clone, Default)]
pub struct GtidSet {
    entries: Vec<Entry>,
    /// Index of the entry that was added to last. A hint, never part of the value.
    recent: usize,
}

impl PartialEq for GtidSet {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}
impl Eq for GtidSet {}
impl std::hash::Hash for GtidSet {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.entries.hash(state);
    }
}

impl GtidSet {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of transactions in the set.
    pub fn count(&self) -> u64 {
        self.iter().flat_map(|(_, intervals)| intervals).fold(0, |sum, i| sum.saturating_add(i.end - i.start))
    }

    /// Every tsid with its intervals, in canonical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Tsid, &[Interval])> {
        self.entries.iter().map(|entry| (&entry.tsid, entry.intervals.as_slice()))
    }

    /// True when a tag occurs: servers before 8.3 cannot read such a set.
    pub fn has_tags(&self) -> bool {
        self.entries.iter().any(|entry| entry.tsid.tag.is_some())
    }

    pub fn contains(&self, gtid: &MysqlGtid) -> bool {
        let Some(intervals) = self.intervals(&gtid.tsid) else {
            return false;
        };
        let after = intervals.partition_point(|interval| interval.start <= gtid.number);
        after.checked_sub(1).and_then(|index| intervals.get(index)).is_some_and(|i| gtid.number < i.end)
    }

    /// Adds one transaction. False when it was there already.
    #[inline]
    pub fn add(&mut self, gtid: &MysqlGtid) -> bool {
        if let Some(entry) = self.entries.get_mut(self.recent)
            && entry.tsid == gtid.tsid
            && let Some(last) = entry.intervals.last_mut()
            && last.end == gtid.number
        {
            last.end = gtid.number.saturating_add(1);
            return true;
        }
        self.add_slowly(gtid)
    }

    fn add_slowly(&mut self, gtid: &MysqlGtid) -> bool {
        if self.contains(gtid) {
            return false;
        }
        self.add_interval(&gtid.tsid, gtid.number, gtid.number.saturating_add(1));
        true
    }

    /// Adds the numbers `start..end` of a tsid. An empty interval changes nothing.
    pub fn add_interval(&mut self, tsid: &Tsid, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let index = match self.place(tsid) {
            Ok(index) => index,
            Err(index) => {
                self.entries.insert(index, Entry { tsid: *tsid, intervals: Vec::new() });
                index
            }
        };
        self.recent = index;
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        // All that touch the new interval melt into it.
        let first = entry.intervals.partition_point(|i| i.end < start);
        let behind = entry.intervals.partition_point(|i| i.start <= end);
        let touched = entry.intervals.get(first..behind).unwrap_or_default();
        let start = touched.first().map_or(start, |i| i.start.min(start));
        let end = touched.last().map_or(end, |i| i.end.max(end));
        entry.intervals.splice(first..behind, [Interval { start, end }]);
    }

    /// Adds all that `other` has.
    pub fn union(&mut self, other: &Self) {
        for (tsid, intervals) in other.iter() {
            for interval in intervals {
                self.add_interval(tsid, interval.start, interval.end);
            }
        }
    }

    /// Takes out all that `other` has.
    pub fn subtract(&mut self, other: &Self) {
        for entry in &mut self.entries {
            if let Some(out) = other.intervals(&entry.tsid) {
                entry.intervals = difference(&entry.intervals, out);
            }
        }
        self.entries.retain(|entry| !entry.intervals.is_empty());
        self.recent = 0;
    }

    /// Is all of this in `other` too?
    pub fn is_subset(&self, other: &Self) -> bool {
        self.iter().all(|(tsid, intervals)| {
            let outer = other.intervals(tsid).unwrap_or_default();
            intervals.iter().all(|inner| {
                let after = outer.partition_point(|i| i.start <= inner.start);
                after.checked_sub(1).and_then(|index| outer.get(index)).is_some_and(|i| inner.end <= i.end)
            })
        })
    }

    fn intervals(&self, tsid: &Tsid) -> Option<&[Interval]> {
        self.place(tsid).ok().and_then(|index| self.entries.get(index)).map(|entry| entry.intervals.as_slice())
    }

    fn place(&self, tsid: &Tsid) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.tsid.cmp(tsid))
    }
}

/// `from` without `out`; both ascending and disjoint.
fn difference(from: &[Interval], out: &[Interval]) -> Vec<Interval> {
    let mut result = Vec::with_capacity(from.len());
    let mut out = out.iter().copied().peekable();
    for interval in from {
        let mut start = interval.start;
        while let Some(hole) = out.peek().copied() {
            if hole.start >= interval.end {
                break;
            }
            if hole.start > start {
                result.push(Interval { start, end: hole.start });
            }
            start = start.max(hole.end);
            if hole.end > interval.end {
                break;
            }
            out.next();
        }
        if start < interval.end {
            result.push(Interval { start, end: interval.end });
        }
    }
    result
}

/// As MySQL prints it, without the line breaks: `uuid:1-5:7:tag:1-3,uuid2:9`.
impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut uuid_before: Option<ServerUuid> = None;
        for (tsid, intervals) in self.iter() {
            if uuid_before != Some(tsid.uuid) {
                if uuid_before.is_some() {
                    f.write_str(",")?;
                }
                tsid.uuid.fmt(f)?;
                uuid_before = Some(tsid.uuid);
            }
            if let Some(tag) = tsid.tag {
                write!(f, ":{tag}")?;
            }
            for interval in intervals {
                match interval.end - 1 {
                    last if last == interval.start => write!(f, ":{last}")?,
                    last => write!(f, ":{}-{last}", interval.start)?,
                }
            }
        }
        Ok(())
    }
}

impl FromStr for GtidSet {
    type Err = InvalidGtid;

    /// Reads what MySQL reads: any case, blanks and line breaks anywhere between the parts, intervals in any
    /// order, also overlapping, the same uuid more than once.
    fn from_str(text: &str) -> Result<Self, InvalidGtid> {
        let mut set = Self::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut pieces = part.split(':').map(str::trim);
            let uuid: ServerUuid = pieces.next().unwrap_or_default().parse()?;
            let mut tsid = Tsid { uuid, tag: None };
            let mut intervals = 0usize;
            for piece in pieces {
                let is_tag = piece.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic());
                if is_tag {
                    tsid.tag = Some(Tag::new(piece)?);
                    continue;
                }
                let (start, last) = parse_interval(piece)?;
                set.add_interval(&tsid, start, last.saturating_add(1));
                intervals += 1;
            }
            if intervals == 0 {
                return Err(InvalidGtid::Mysql(excerpt(part)));
            }
        }
        Ok(set)
    }
}

/// `N` or `N-M`, both included. `N-M` with M below N is empty, as for MySQL.
fn parse_interval(text: &str) -> Result<(u64, u64), InvalidGtid> {
    let parse = || match text.split_once('-') {
        None => parse_number(text).map(|number| (number, number)),
        Some((start, last)) => Some((parse_number(start)?, parse_number(last)?)),
    };
    parse().ok_or_else(|| InvalidGtid::Interval(excerpt(text)))
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
