use super::super::json::tests::{Json, array, document, object, text};
use super::*;

const REPLACE: u8 = 0;
const INSERT: u8 = 1;
const REMOVE: u8 = 2;

fn diff(operation: u8, path: &str, value: Option<Json>) -> Vec<u8> {
    let mut bytes = vec![operation];
    let mut counted = |content: &[u8]| {
        match content.len() {
            length @ 0..=250 => bytes.push(length as u8),
            length => {
                bytes.push(0xfc);
                bytes.extend((length as u16).to_le_bytes());
            }
        }
        bytes.extend_from_slice(content);
    };
    counted(path.as_bytes());
    if let Some(value) = value {
        counted(&document(&value));
    }
    bytes
}

fn updated(before: &Json, diffs: &[u8]) -> Result<String, ValueError> {
    let mut out = TextBuffer::new();
    write_updated_text(&document(before), diffs, &mut out)?;
    Ok(String::from_utf8_lossy(out.written()).into_owned())
}

fn before() -> Json {
    object(&[
        ("a", array(&[Json::Int16(1), Json::Int16(2), object(&[("x", text("y"))])])),
        ("b", Json::Literal(1)),
        ("odd \"key\"", Json::Literal(0)),
    ])
}

#[track_caller]
fn check(operation: u8, path: &str, value: Option<Json>, expected: &str) {
    assert_eq!(updated(&before(), &diff(operation, path, value)).as_deref(), Ok(expected), "{path}");
}

#[test]
fn each_operation_at_each_kind_of_place() {
    let seven = || Some(Json::Int16(7));
    check(REPLACE, "$.b", seven(), r#"{"a": [1, 2, {"x": "y"}], "b": 7, "odd \"key\"": null}"#);
    check(REPLACE, "$.a[2].x", seven(), r#"{"a": [1, 2, {"x": 7}], "b": true, "odd \"key\"": null}"#);
    check(REPLACE, r#"$."odd \"key\"""#, seven(), r#"{"a": [1, 2, {"x": "y"}], "b": true, "odd \"key\"": 7}"#);
    check(REPLACE, "$.a[last]", seven(), r#"{"a": [1, 2, 7], "b": true, "odd \"key\"": null}"#);
    check(REPLACE, "$.b[0]", seven(), r#"{"a": [1, 2, {"x": "y"}], "b": 7, "odd \"key\"": null}"#);
    check(REPLACE, "$", Some(array(&[])), "[]");
    check(INSERT, "$.a[0]", seven(), r#"{"a": [7, 1, 2, {"x": "y"}], "b": true, "odd \"key\"": null}"#);
    check(INSERT, "$.a[99]", seven(), r#"{"a": [1, 2, {"x": "y"}, 7], "b": true, "odd \"key\"": null}"#);
    check(INSERT, "$.c", seven(), r#"{"a": [1, 2, {"x": "y"}], "b": true, "c": 7, "odd \"key\"": null}"#);
    check(INSERT, "$.aa", seven(), r#"{"a": [1, 2, {"x": "y"}], "b": true, "aa": 7, "odd \"key\"": null}"#);
    check(REMOVE, "$.a[last-1]", None, r#"{"a": [1, {"x": "y"}], "b": true, "odd \"key\"": null}"#);
    check(REMOVE, "$.a", None, r#"{"b": true, "odd \"key\"": null}"#);
}

#[test]
fn differences_are_applied_in_order() {
    let diffs = [
        diff(INSERT, "$.c", Some(object(&[]))),
        diff(INSERT, "$.c.d", Some(text(&"long ".repeat(60)))),
        diff(REMOVE, "$.b", None),
        diff(REPLACE, "$.c.d", Some(text("short"))),
    ];
    let expected = r#"{"a": [1, 2, {"x": "y"}], "c": {"d": "short"}, "odd \"key\"": null}"#;
    assert_eq!(updated(&before(), &diffs.concat()).as_deref(), Ok(expected));
    assert_eq!(updated(&before(), &[]).unwrap(), r#"{"a": [1, 2, {"x": "y"}], "b": true, "odd \"key\"": null}"#);
}

/// The bytes of MySQL 9.7 for `JSON_SET(j, '$.a', JSON_ARRAY(7, 8))` and for `JSON_SET(j, '$.a[0]', 9)`.
#[test]
fn differences_of_a_server() {
    let before =
        object(&[("a", array(&[Json::Int16(1), Json::Int16(2), Json::Int16(3)])), ("b", array(&[text("xyz")]))]);
    let first = b"\x00\x03$.a\x0b\x02\x02\x00\x0a\x00\x05\x07\x00\x05\x08\x00";
    assert_eq!(updated(&before, first).unwrap(), r#"{"a": [7, 8], "b": ["xyz"]}"#);
    let second = b"\x00\x06$.a[0]\x03\x05\x09\x00";
    assert_eq!(updated(&before, second).unwrap(), r#"{"a": [9, 2, 3], "b": ["xyz"]}"#);
}

#[test]
fn what_does_not_fit_the_document_is_refused() {
    for (operation, path, value) in [
        (REPLACE, "$.none", Some(Json::Literal(0))),
        (REPLACE, "$.a[3]", Some(Json::Literal(0))),
        (REPLACE, "$.b.c", Some(Json::Literal(0))),
        (INSERT, "$.b", Some(Json::Literal(0))),
        (INSERT, "$.b.c", Some(Json::Literal(0))),
        (INSERT, "$", Some(Json::Literal(0))),
        (REMOVE, "$", None),
        (REMOVE, "$.a[last-9]", None),
        (REMOVE, "$.a[last-18446744073709551615]", None),
        (REMOVE, "$.none", None),
        (REMOVE, "a", None),
        (REMOVE, "$[", None),
        (REMOVE, "$.\"a", None),
        (REMOVE, "$[x]", None),
        (REMOVE, "$[99999999999999999999]", None),
        (REMOVE, "$*", None),
        (3, "$.a", None),
    ] {
        assert!(updated(&before(), &diff(operation, path, value)).is_err(), "{operation} {path}");
    }
}

#[test]
fn damaged_differences_do_not_panic() {
    let whole = [diff(INSERT, "$.c", Some(object(&[("k", text("v"))]))), diff(REMOVE, "$.a[last-1]", None)].concat();
    for cut in 0..whole.len() {
        let _ = updated(&before(), &whole[..cut]);
    }
    for at in 0..whole.len() {
        for byte in 0..=255 {
            let mut mutated = whole.clone();
            mutated[at] = byte;
            let _ = updated(&before(), &mutated);
        }
    }
    let deep = format!("${}", "[0]".repeat(5_000));
    assert!(updated(&before(), &diff(REMOVE, &deep, None)).is_err());
}

#[test]
fn entries_that_share_a_container_cannot_multiply() {
    const COUNT: u16 = 200;
    // An array of arrays, all of which are the one behind it: 200 times `null`.
    let inner_at = 4 + 3 * COUNT;
    let mut bytes = vec![2];
    let array = |bytes: &mut Vec<u8>, size: u16, entry: [u8; 3]| {
        bytes.extend(COUNT.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        (0..COUNT).for_each(|_| bytes.extend(entry));
    };
    let [low, high] = inner_at.to_le_bytes();
    array(&mut bytes, 2 * inner_at, [2, low, high]);
    array(&mut bytes, inner_at, [4, 0, 0]);
    let diffs = |count: u16| (0..count).flat_map(|at| diff(REMOVE, &format!("$[{at}][0]"), None)).collect::<Vec<_>>();
    let mut out = TextBuffer::new();
    assert!(write_updated_text(&bytes, &diffs(1), &mut out).is_ok() || out.is_empty());
    assert_eq!(write_updated_text(&bytes, &diffs(COUNT), &mut out), Err(SHARED));
}
