use std::collections::BTreeSet;

use super::*;

const A: &str = "00000000-0000-0000-0000-00000000000a";
const B: &str = "00000000-0000-0000-0000-00000000000b";

fn set(text: &str) -> GtidSet {
    text.replace('A', A).replace('B', B).parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn short(set: &GtidSet) -> String {
    set.to_string().replace(A, "A").replace(B, "B")
}

#[test]
fn text_becomes_canonical() {
    let check = |input: &str, expected: &str| assert_eq!(short(&set(input)), expected, "{input}");
    check("", "");
    check(" ,\n", "");
    check("A:1", "A:1");
    check("A:1-5:7", "A:1-5:7");
    check("A:7:1-5", "A:1-5:7");
    check("A:1-5:6", "A:1-6");
    check("A:1-5:3-9:2", "A:1-9");
    check("A : 1 - 5 : 7 ,\n B : 2", "A:1-5:7,B:2");
    check("B:2,A:1", "A:1,B:2");
    check("A:1,A:3,A:2", "A:1-3");
    check("A:5-3,B:1", "B:1");
    check("A:1:tag_b:1-3:5:Tag_a:2", "A:1:tag_a:2:tag_b:1-3:5");
    check("A:x:1,A:7", "A:7:x:1");
    check("A:1-9223372036854775806", "A:1-9223372036854775806");
}

#[test]
fn wrong_text_is_refused() {
    for wrong in ["A", "A:", "A:0", "A:1-", "A:-1", "A:1-2-3", "A:1;2", "A:9223372036854775807", "x:1", "A:tag", "A:+1"]
    {
        assert!(wrong.replace('A', A).parse::<GtidSet>().is_err(), "{wrong}");
    }
}

#[test]
fn algebra() {
    let check = |a: &str, b: &str, union: &str, difference: &str, subset: bool| {
        let mut sum = set(a);
        sum.union(&set(b));
        assert_eq!(short(&sum), union, "{a} + {b}");
        let mut rest = set(a);
        rest.subtract(&set(b));
        assert_eq!(short(&rest), difference, "{a} - {b}");
        assert_eq!(set(a).is_subset(&set(b)), subset, "{a} in {b}");
    };
    check("", "A:1", "A:1", "", true);
    check("A:1-9", "A:3:5-6", "A:1-9", "A:1-2:4:7-9", false);
    check("A:3:5-6", "A:1-9", "A:1-9", "", true);
    check("A:1-9", "A:1-9", "A:1-9", "", true);
    check("A:1-3:7-9", "A:3-7", "A:1-9", "A:1-2:8-9", false);
    check("A:1", "A:t:1", "A:1:t:1", "A:1", false);
    check("A:1-9,B:1", "B:1", "A:1-9,B:1", "A:1-9", false);
}

#[test]
fn adding_at_the_end_extends_the_interval() {
    let mut gtids = set("A:1-5,B:1");
    let gtid = |text: &str| text.replace('A', A).replace('B', B).parse::<MysqlGtid>().unwrap();
    for (add, new, expected) in [
        ("A:6", true, "A:1-6,B:1"),
        ("A:7", true, "A:1-7,B:1"),
        ("A:7", false, "A:1-7,B:1"),
        ("B:2", true, "A:1-7,B:1-2"),
        ("A:9", true, "A:1-7:9,B:1-2"),
        ("A:8", true, "A:1-9,B:1-2"),
        ("A:t:1", true, "A:1-9:t:1,B:1-2"),
        ("A:10", true, "A:1-10:t:1,B:1-2"),
    ] {
        assert_eq!(gtids.add(&gtid(add)), new, "{add}");
        assert_eq!(short(&gtids), expected);
    }
}

/// Random operations on small numbers, beside a `BTreeSet` of single numbers.
#[test]
fn agrees_with_a_set_of_numbers() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let tsid = set("A:1").iter().next().map(|(tsid, _)| *tsid).unwrap();
    let numbers = |set: &GtidSet| -> BTreeSet<u64> {
        set.iter().flat_map(|(_, intervals)| intervals).flat_map(|i| i.start..i.end).collect()
    };
    for _ in 0..2_000 {
        let mut sets = [GtidSet::new(), GtidSet::new()];
        let mut naive = [BTreeSet::new(), BTreeSet::new()];
        for _ in 0..random(12) {
            let which = random(2) as usize;
            let start = 1 + random(30);
            let end = start + random(6);
            sets[which].add_interval(&tsid, start, end);
            naive[which].extend(start..end);
        }
        let [a, b] = &sets;
        assert_eq!(numbers(a), naive[0]);
        assert_eq!(a.count(), naive[0].len() as u64);
        assert_eq!(a.is_subset(b), naive[0].is_subset(&naive[1]));
        for number in 1..40 {
            assert_eq!(a.contains(&MysqlGtid { tsid, number }), naive[0].contains(&number));
        }
        let mut sum = a.clone();
        sum.union(b);
        assert_eq!(numbers(&sum), &naive[0] | &naive[1]);
        let mut rest = a.clone();
        rest.subtract(b);
        assert_eq!(numbers(&rest), &naive[0] - &naive[1]);
        assert_eq!(rest.to_string().parse::<GtidSet>().unwrap(), rest);
    }
}
