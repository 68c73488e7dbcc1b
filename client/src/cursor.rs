//! Where a reader stands, kept up with every transaction, and the resume token made of it.
//!
//! The base comes with `Subscribed` (and whenever the server says that nothing is outstanding); each commit adds its
//! GTIDs and its end. Every transaction has a snapshot. It shares what is large: the GTID set as it was some commits ago,
//! and what those commits added; it becomes a set of its own only when somebody asks for it. MySQL's numbers nearly always
//! follow each other: such a run is one entry, whose end each snapshot has for itself.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_codec::mysql::gtid::{ExecutedGtids, GNO_MAX, Gtid, MysqlGtid, Tsid};
use millstream_codec::wire::position::{OpenXa, Position, ResumeToken};

use crate::error::ClientError;
use crate::transaction::{FilePosition, text};

/// A position in a destination, as bytes to be stored beside the data. A client that starts with it goes on exactly
/// behind the transaction that it was taken from, whatever server leads the destination then.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Vec<u8>);

impl Token {
    /// # Errors
    /// Where the bytes are no token, or were changed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ClientError> {
        ResumeToken::decode(bytes).map_err(|error| ClientError::Token(error.to_string()))?;
        Ok(Self(bytes.to_vec()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ResumeToken::decode(&self.0) {
            Ok(token) => write!(formatter, "Token({}:{})", token.position.file, token.position.offset),
            Err(_) => formatter.write_str("Token(damaged)"),
        }
    }
}

/// What is added before the GTID set is copied anew. More: fewer copies, and more to add up for a token.
const ADDED_A_COPY: usize = 256;

/// What commits add to the executed set.
#[derive(Debug, Clone)]
enum Added {
    Gtid(Gtid),
    /// MySQL's numbers that follow each other, up to and with `last`.
    Run {
        first: MysqlGtid,
        last: u64,
    },
    Set(ExecutedGtids),
}

impl Added {
    /// `None`: nothing.
    fn parse(gtid: &str, delta: &str) -> Result<Option<Self>, String> {
        match (gtid, delta) {
            ("", "") => Ok(None),
            (gtid, "") => Ok(Some(match gtid.parse().map_err(invalid)? {
                Gtid::Mysql(first) => Added::Run { first, last: first.number },
                other => Added::Gtid(other),
            })),
            (_, delta) => Ok(Some(Added::Set(delta.parse().map_err(invalid)?))),
        }
    }

    fn add_to(&self, executed: &mut ExecutedGtids) -> Result<(), String> {
        match self {
            Added::Gtid(gtid) => executed.add(gtid).map_err(invalid),
            Added::Run { first, last } => {
                // The first one says whether it is the right kind of server.
                executed.add(&Gtid::Mysql(*first)).map_err(invalid)?;
                if let ExecutedGtids::Mysql(set) = executed {
                    set.add_interval(&first.tsid, first.number, last.saturating_add(1));
                }
                Ok(())
            }
            // In the binlog's order the later one counts, even where its number is lower (gtid_strict_mode=OFF).
            Added::Set(ExecutedGtids::Mariadb(state)) => {
                state.iter().try_for_each(|gtid| executed.add(&Gtid::Mariadb(*gtid))).map_err(invalid)
            }
            Added::Set(delta) => executed.merge(delta).map_err(invalid),
        }
    }
}

/// What many snapshots share: a copy of the GTID set, and what was added to it since, oldest first.
#[derive(Debug)]
struct Log {
    incarnation: Arc<str>,
    open_xa: Arc<[OpenXa]>,
    base: ExecutedGtids,
    added: Mutex<Vec<Added>>,
}

impl Log {
    fn new(incarnation: Arc<str>, open_xa: Arc<[OpenXa]>, base: ExecutedGtids) -> Arc<Self> {
        Arc::new(Self { incarnation, open_xa, base, added: Mutex::default() })
    }

    fn added(&self) -> MutexGuard<'_, Vec<Added>> {
        // Nothing panics while it is held.
        self.added.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module's page.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    at: Snapshot,
    place: FilePosition,
    executed: ExecutedGtids,
    run: Option<Run>,
}

/// What a transaction's GTID is expected to be: one number more than the last, of the same server.
#[derive(Debug, Clone)]
struct Run {
    tsid: Tsid,
    /// A GTID's text up to its number.
    prefix: String,
    next: u64,
}

impl Run {
    /// Whether this is the text of the next one. Only as a server writes it: whatever is written otherwise is parsed.
    #[inline]
    fn is_next(&self, gtid: &[u8]) -> bool {
        let Some(digits) = gtid.strip_prefix(self.prefix.as_bytes()) else { return false };
        // Of more digits not one number is expected: there is no overflow.
        if digits.len() > 19 || digits.first().is_none_or(|first| *first == b'0') {
            return false;
        }
        let mut number = 0_u64;
        for digit in digits {
            let digit = digit.wrapping_sub(b'0');
            if digit > 9 {
                return false;
            }
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        }
        number == self.next && number <= GNO_MAX
    }
}

/// A cursor as it was behind one transaction, whose end the transaction itself knows.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    log: Arc<Log>,
    /// So many of what the log has are behind it.
    added: usize,
    /// Where the last of these is a run, its end here: it goes on without anybody telling the log.
    run_last: u64,
}

impl Snapshot {
    pub fn incarnation(&self) -> &str {
        &self.log.incarnation
    }

    pub fn to_position(&self, place: &FilePosition) -> Position {
        let mut executed = self.log.base.clone();
        for (added, number) in self.log.added().iter().take(self.added).zip(1..) {
            // It was added to the cursor's own set without an error.
            let _ = match added {
                Added::Run { first, .. } if number == self.added => {
                    Added::Run { first: *first, last: self.run_last }.add_to(&mut executed)
                }
                other => other.add_to(&mut executed),
            };
        }
        Position {
            incarnation: self.log.incarnation.to_string(),
            file: place.file.to_string(),
            offset: place.offset,
            gtid_set: executed.to_string(),
            open_xa: self.log.open_xa.to_vec(),
        }
    }

    pub fn to_token(&self, destination: &str, place: &FilePosition) -> Token {
        Token(ResumeToken { destination: destination.to_owned(), position: self.to_position(place) }.encode())
    }
}

impl Cursor {
    /// # Errors
    /// Says what is wrong with the server's GTID set.
    pub fn new(position: &Position) -> Result<Self, String> {
        let executed = position.gtid_set.parse::<ExecutedGtids>().map_err(|error| error.to_string())?;
        let log = Log::new(position.incarnation.as_str().into(), position.open_xa.as_slice().into(), executed.clone());
        let place = FilePosition { file: position.file.as_str().into(), offset: position.offset };
        Ok(Self { at: Snapshot { log, added: 0, run_last: 0 }, place, executed, run: None })
    }

    pub fn incarnation(&self) -> &str {
        self.at.incarnation()
    }

    /// As it is now; it does not move when the cursor does.
    pub fn snapshot(&self) -> Snapshot {
        self.at.clone()
    }

    /// One more transaction is behind it. `delta`: what to add to the executed set; empty: `gtid` alone. It ends at
    /// `offset` of `file`. GTIDs are text, as bytes.
    ///
    /// # Errors
    /// Says what is wrong with the server's GTIDs.
    #[inline]
    pub fn advance(&mut self, gtid: &[u8], delta: &[u8], file: &Arc<str>, offset: u64) -> Result<(), String> {
        if !Arc::ptr_eq(&self.place.file, file) {
            self.place.file = file.clone();
        }
        self.place.offset = offset;
        if delta.is_empty()
            && let Some(run) = &mut self.run
            && run.is_next(gtid)
        {
            if let ExecutedGtids::Mysql(set) = &mut self.executed {
                set.add(&MysqlGtid { tsid: run.tsid, number: run.next });
            }
            self.at.run_last = run.next;
            run.next += 1;
            return Ok(());
        }
        self.add(text(Some(gtid)), text(Some(delta)))
    }

    /// What does not go on from the last one.
    fn add(&mut self, gtid: &str, delta: &str) -> Result<(), String> {
        let Some(added) = Added::parse(gtid, delta)? else { return Ok(()) };
        added.add_to(&mut self.executed)?;
        self.run = match (&added, gtid.trim().rsplit_once(':')) {
            (Added::Run { first, .. }, Some((tsid, _))) => {
                Some(Run { tsid: first.tsid, prefix: format!("{tsid}:"), next: first.number.saturating_add(1) })
            }
            _ => None,
        };
        let first = match &added {
            Added::Run { first, .. } => first.number,
            _ => 0,
        };
        let mut known = self.at.log.added();
        // Another cursor that this one was cloned from may have gone on in the same log.
        if known.len() == self.at.added && known.len() < ADDED_A_COPY {
            if let Some(Added::Run { last, .. }) = known.last_mut() {
                *last = self.at.run_last;
            }
            known.push(added);
            drop(known);
            self.at.added += 1;
            self.at.run_last = first;
        } else {
            drop(known);
            let Log { incarnation, open_xa, .. } = &*self.at.log;
            self.at.log = Log::new(incarnation.clone(), open_xa.clone(), self.executed.clone());
            self.at.added = 0;
            self.at.run_last = 0;
            // The new log knows of no run that could go on.
            self.run = None;
        }
        Ok(())
    }

    /// Whether a transaction is behind it already.
    pub fn covers(&self, incarnation: &str, gtid: &str, end: &FilePosition) -> bool {
        match gtid.parse::<Gtid>() {
            Ok(gtid) => self.executed.contains(&gtid),
            Err(_) => self.incarnation() == incarnation && end.is_at_or_before(&self.place),
        }
    }

    /// Whether everything behind the other is behind this one.
    pub fn is_at_or_behind(&self, other: &Self) -> bool {
        match self.executed {
            ExecutedGtids::None => {
                self.incarnation() == other.incarnation() && self.place.is_at_or_before(&other.place)
            }
            _ => self.executed.is_subset(&other.executed),
        }
    }

    pub fn to_position(&self) -> Position {
        self.at.to_position(&self.place)
    }

    pub fn to_token(&self, destination: &str) -> Token {
        self.at.to_token(destination, &self.place)
    }
}

fn invalid(error: impl fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn at(file: &str, offset: u64, gtid_set: &str) -> Cursor {
        let position = Position {
            incarnation: "one".into(),
            file: file.into(),
            offset,
            gtid_set: gtid_set.into(),
            open_xa: vec![OpenXa { xid: vec![1], ..OpenXa::default() }],
        };
        Cursor::new(&position).expect("position")
    }

    fn advance(cursor: &mut Cursor, gtid: &str, delta: &str, file: &str, offset: u64) -> Result<(), String> {
        cursor.advance(gtid.as_bytes(), delta.as_bytes(), &file.into(), offset)
    }

    fn end(file: &str, offset: u64) -> FilePosition {
        FilePosition { file: file.into(), offset }
    }

    #[test]
    fn commits_add_their_gtids_to_the_base() {
        let check = |base: &str, gtid: &str, delta: &str, expected: &str| {
            let mut cursor = at("binlog.000001", 4, base);
            advance(&mut cursor, gtid, delta, "binlog.000002", 700).expect("advance");
            let position = cursor.to_position();
            assert_eq!(position.gtid_set, expected);
            assert_eq!((position.file.as_str(), position.offset), ("binlog.000002", 700));
            assert_eq!(position.open_xa.len(), 1);
        };
        check(&format!("{UUID}:1-5"), &format!("{UUID}:6"), "", &format!("{UUID}:1-6"));
        check(&format!("{UUID}:1-5"), &format!("{UUID}:9"), "", &format!("{UUID}:1-5:9"));
        check(&format!("{UUID}:1-5"), &format!("{UUID}:9"), &format!("{UUID}:6-9"), &format!("{UUID}:1-9"));
        check("0-1-41,3-1-7", "0-2-42", "", "0-2-42,3-1-7");
        check("0-1-41,3-1-7", "3-1-9", "0-2-42,3-1-9", "0-2-42,3-1-9");
        check("0-1-41", "0-2-12", "0-2-12", "0-2-12");
        check("", "", "", "");
    }

    #[test]
    fn a_gtid_of_the_other_kind_of_server_is_refused() {
        let mut cursor = at("b.1", 4, &format!("{UUID}:1"));
        assert!(advance(&mut cursor, "0-1-2", "", "b.1", 9).is_err());
        assert!(advance(&mut cursor, "nonsense:x", "", "b.1", 9).is_err());
    }

    #[test]
    fn a_token_comes_back_as_the_position_it_was_made_of() {
        let mut cursor = at("binlog.000001", 4, &format!("{UUID}:1-5"));
        advance(&mut cursor, &format!("{UUID}:6"), "", "binlog.000001", 900).expect("advance");
        let token = cursor.to_token("main");
        let read = ResumeToken::decode(token.as_bytes()).expect("token");
        assert_eq!((read.destination.as_str(), read.position), ("main", cursor.to_position()));
        assert_eq!(Token::from_bytes(token.as_bytes()).expect("token"), token);
        assert!(Token::from_bytes(b"something else").is_err());
    }

    #[test]
    fn a_held_snapshot_does_not_move() {
        let mut cursor = at("binlog.000001", 4, &format!("{UUID}:1-5"));
        let snapshot = cursor.snapshot();
        advance(&mut cursor, &format!("{UUID}:6"), "", "binlog.000001", 900).expect("advance");
        assert_eq!(snapshot.to_position(&end("binlog.000001", 4)).gtid_set, format!("{UUID}:1-5"));
    }

    #[test]
    fn snapshots_of_many_commits_are_each_where_they_were_taken() {
        let mut cursor = at("binlog.000001", 4, &format!("{UUID}:1"));
        let mut other = cursor.clone();
        advance(&mut other, &format!("{UUID}:100"), "", "binlog.000001", 5).expect("advance");
        let snapshots: Vec<Snapshot> = (2..1000)
            .map(|number| {
                advance(&mut cursor, &format!("{UUID}:{number}"), "", "binlog.000001", number).expect("advance");
                cursor.snapshot()
            })
            .collect();
        for (snapshot, number) in snapshots.iter().zip(2..) {
            let position = snapshot.to_position(&end("binlog.000001", number));
            assert_eq!((position.gtid_set, position.offset), (format!("{UUID}:1-{number}"), number));
        }
        assert_eq!(other.to_position().gtid_set, format!("{UUID}:1:100"));
    }

    #[test]
    fn runs_of_numbers_and_what_breaks_them_add_up_as_the_texts_one_by_one() {
        let other = UUID.replace('3', "4");
        let texts: Vec<String> = [
            (UUID, 6, 20),
            (&*other, 1, 3),
            (UUID, 20, 25),
            (UUID, 30, 40),
            (&*format!("{UUID}:tag"), 1, 4),
            (&*other, 4, 9),
            // The same number once more, and one that was left out.
            (&*other, 8, 9),
            (UUID, 25, 26),
        ]
        .iter()
        .flat_map(|(tsid, from, to)| (*from..*to).map(move |number| format!("{tsid}:{number}")))
        .collect();
        let mut cursor = at("binlog.000001", 4, &format!("{UUID}:1-5"));
        let mut expected = format!("{UUID}:1-5").parse::<ExecutedGtids>().expect("set");
        let mut snapshots = Vec::new();
        for text in &texts {
            advance(&mut cursor, text, "", "binlog.000001", 5).expect("advance");
            expected.add(&text.parse().expect("gtid")).expect("added");
            // A clone that goes on elsewhere does not disturb it.
            let mut elsewhere = cursor.clone();
            advance(&mut elsewhere, &format!("{UUID}:1000"), "", "binlog.000001", 6).expect("advance");
            assert_ne!(elsewhere.to_position().gtid_set, expected.to_string());
            snapshots.push((cursor.snapshot(), expected.to_string()));
        }
        for (snapshot, expected) in snapshots {
            assert_eq!(snapshot.to_position(&end("binlog.000001", 5)).gtid_set, expected);
        }
    }

    #[test]
    fn a_gtid_that_only_looks_like_the_next_one_is_parsed() {
        let check = |next: &str, expected: Option<&str>| {
            let mut cursor = at("b.1", 4, "");
            advance(&mut cursor, &format!("{UUID}:9"), "", "b.1", 5).expect("advance");
            let advanced = advance(&mut cursor, next, "", "b.1", 6);
            assert_eq!(advanced.is_ok().then(|| cursor.to_position().gtid_set), expected.map(str::to_owned), "{next}");
        };
        check(&format!("{UUID}:10"), Some(&format!("{UUID}:9-10")));
        check(&format!("{UUID}:010"), Some(&format!("{UUID}:9-10")));
        check(&format!("{UUID}:11"), Some(&format!("{UUID}:9:11")));
        check(&format!("{UUID}:1"), Some(&format!("{UUID}:1:9")));
        check(&format!("{UUID}:"), None);
        check(&format!("{UUID}:1x"), None);
        check(&format!("{UUID}:0"), None);
        check(&format!("{UUID}:18446744073709551626"), None);
        check("0-1-10", None);
    }

    #[test]
    fn what_is_behind_a_cursor_is_known_by_gtid_or_else_by_place() {
        let with_gtids = at("binlog.000010", 500, &format!("{UUID}:1-5"));
        assert!(with_gtids.covers("other", &format!("{UUID}:5"), &end("x.1", 9)));
        assert!(!with_gtids.covers("one", &format!("{UUID}:6"), &end("binlog.000001", 9)));
        let without = at("binlog.000010", 500, "");
        assert!(without.covers("one", "", &end("binlog.000009", 9999)));
        assert!(without.covers("one", "", &end("binlog.000010", 500)));
        assert!(!without.covers("one", "", &end("binlog.000010", 501)));
        assert!(!without.covers("two", "", &end("binlog.000009", 4)));
    }
}
