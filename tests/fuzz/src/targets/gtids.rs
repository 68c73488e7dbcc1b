//! GTIDs and sets of them, as text and in binary, of MySQL (with tags) and MariaDB; resume tokens and file positions.
//!
//! ```text
//! u8 mode: 0 text, 1 two texts, 2 binary, 3 small sets, 4 resume token
//! rest
//! ```
//! Holds: what is read is printed and read alike; the algebra of sets is that of sets of numbers; `mysql_common` reads
//! the same intervals.

use std::collections::BTreeSet;

use millstream_codec::mysql::gtid::{ExecutedGtids, Gtid, GtidSet, MysqlGtid, ServerUuid, Tag, Tsid};
use millstream_codec::mysql::position::BinlogPosition;
use millstream_codec::wire::hash::stable_hash;
use millstream_codec::wire::position::ResumeToken;
use mysql_common::packets::Sid;

use crate::input::Input;
use crate::peer;

pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    match input.u8() % 5 {
        0 => text(&String::from_utf8_lossy(input.rest())),
        1 => {
            let first = String::from_utf8_lossy(input.counted());
            two(&first, &String::from_utf8_lossy(input.rest()));
        }
        2 => binary(input.rest()),
        3 => small(&mut input),
        _ => token(input.rest()),
    }
}

fn text(text: &str) {
    if let Ok(gtid) = text.parse::<Gtid>() {
        assert_eq!(gtid.to_string().parse::<Gtid>(), Ok(gtid));
        let mut executed = ExecutedGtids::default();
        executed.add(&gtid).expect("nothing is of no kind");
        assert!(executed.contains(&gtid));
        assert_eq!(executed.to_string().parse::<ExecutedGtids>(), Ok(executed));
    }
    if let Ok(executed) = text.parse::<ExecutedGtids>() {
        assert_eq!(executed.to_string().parse::<ExecutedGtids>().as_ref(), Ok(&executed));
        assert!(executed.is_subset(&executed));
    }
    if let Ok(position) = text.parse::<BinlogPosition>() {
        assert_eq!(position.to_string().parse::<BinlogPosition>(), Ok(position));
    }
    if let Ok(set) = text.parse::<GtidSet>() {
        assert_eq!(GtidSet::decode(&set.encode()).as_ref(), Ok(&set));
        compare_with_peer(text, &set);
    }
}

/// Theirs reads one uuid at a time, and wants its intervals in order.
fn compare_with_peer(text: &str, ours: &GtidSet) {
    let Some(theirs) = peer::ask(|| text.parse::<Sid<'static>>().ok()) else { return };
    let tag = theirs.tag().and_then(|tag| Tag::new(tag.as_str()).ok());
    let tsid = Tsid { uuid: ServerUuid(theirs.uuid()), tag };
    let mut set = GtidSet::new();
    for interval in theirs.intervals() {
        set.add_interval(&tsid, interval.start(), interval.end());
    }
    assert_eq!(*ours, set);
}

fn two(first: &str, second: &str) {
    if let (Ok(first), Ok(second)) = (first.parse::<ExecutedGtids>(), second.parse::<ExecutedGtids>()) {
        let mut both = first.clone();
        if both.merge(&second).is_ok() {
            assert!(first.is_subset(&both) && second.is_subset(&both));
        }
    }
}

fn binary(bytes: &[u8]) {
    if let Ok(set) = GtidSet::decode(bytes) {
        assert_eq!(GtidSet::decode(&set.encode()).as_ref(), Ok(&set));
        assert_eq!(set.to_string().parse::<GtidSet>().as_ref(), Ok(&set));
    }
}

/// Sets over four tsids and the numbers 1 to 64, beside sets of pairs.
fn small(input: &mut Input<'_>) {
    type Naive = BTreeSet<(u8, u64)>;
    let tsids = [(1, None), (1, Some("a")), (1, Some("b")), (2, None)]
        .map(|(uuid, tag)| Tsid { uuid: ServerUuid([uuid; 16]), tag: tag.map(|tag| Tag::new(tag).expect("a tag")) });
    let tsid = |index: u8| &tsids[usize::from(index)];
    let mut sets = [GtidSet::new(), GtidSet::new()];
    let mut naive = [Naive::new(), Naive::new()];
    while !input.is_empty() {
        let (what, number) = (input.u8(), u64::from(input.u8() % 64) + 1);
        let (at, index) = (usize::from(what & 1), what >> 1 & 3);
        let gtid = MysqlGtid { tsid: *tsid(index), number };
        match what >> 3 & 7 {
            0..=3 => assert_eq!(sets[at].add(&gtid), naive[at].insert((index, number))),
            4 => {
                let end = number + u64::from(input.u8() % 8);
                sets[at].add_interval(tsid(index), number, end);
                naive[at].extend((number..end).map(|number| (index, number)));
            }
            5 => {
                let other = sets[1 - at].clone();
                sets[at].subtract(&other);
                let other = naive[1 - at].clone();
                naive[at].retain(|pair| !other.contains(pair));
            }
            6 => {
                let other = sets[1 - at].clone();
                sets[at].union(&other);
                let other = naive[1 - at].clone();
                naive[at].extend(other);
            }
            _ => assert_eq!(sets[at].contains(&gtid), naive[at].contains(&(index, number))),
        }
    }
    for (set, naive) in sets.iter().zip(&naive) {
        assert_eq!(set.count(), naive.len() as u64);
        let pairs = (0..4_u8).flat_map(|index| (1..=80).map(move |number| (index, number)));
        for (index, number) in pairs {
            assert_eq!(set.contains(&MysqlGtid { tsid: *tsid(index), number }), naive.contains(&(index, number)));
        }
        assert_eq!(set.to_string().parse::<GtidSet>().as_ref(), Ok(set));
    }
    assert_eq!(sets[0].is_subset(&sets[1]), naive[0].is_subset(&naive[1]));
    assert_eq!(sets[0] == sets[1], naive[0] == naive[1]);
}

/// With the checksum at its end made right.
fn token(body: &[u8]) {
    let _ = ResumeToken::decode(body);
    let hash = stable_hash(&[b"millstream token", body]).to_le_bytes();
    let whole = [body, &hash].concat();
    if let Ok(token) = ResumeToken::decode(&whole) {
        assert_eq!(token.encode(), whole);
    }
}
