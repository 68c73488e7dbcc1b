use super::*;

/// A naive document.
#[derive(Debug, Clone)]
pub(crate) enum Json {
    Literal(u8),
    Int16(i16),
    Uint16(u16),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    Double(f64),
    Text(Vec<u8>),
    Opaque(u8, Vec<u8>),
    Array(bool, Vec<Json>),
    Object(bool, Vec<(Vec<u8>, Json)>),
}

pub(crate) fn text(text: &str) -> Json {
    Json::Text(text.as_bytes().to_vec())
}

pub(crate) fn object(members: &[(&str, Json)]) -> Json {
    Json::Object(false, members.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.clone())).collect())
}

pub(crate) fn array(values: &[Json]) -> Json {
    Json::Array(false, values.to_vec())
}

pub(crate) fn document(value: &Json) -> Vec<u8> {
    let mut out = vec![kind_of(value)];
    encode(value, &mut out);
    out
}

fn kind_of(value: &Json) -> u8 {
    match value {
        Json::Object(large, _) => u8::from(*large),
        Json::Array(large, _) => 2 + u8::from(*large),
        Json::Literal(_) => 4,
        Json::Int16(_) => 5,
        Json::Uint16(_) => 6,
        Json::Int32(_) => 7,
        Json::Uint32(_) => 8,
        Json::Int64(_) => 9,
        Json::Uint64(_) => 10,
        Json::Double(_) => 11,
        Json::Text(_) => 12,
        Json::Opaque(..) => 15,
    }
}

fn varlen_bytes(mut length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out
}

fn encode(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Literal(byte) => out.push(*byte),
        Json::Int16(number) => out.extend(number.to_le_bytes()),
        Json::Uint16(number) => out.extend(number.to_le_bytes()),
        Json::Int32(number) => out.extend(number.to_le_bytes()),
        Json::Uint32(number) => out.extend(number.to_le_bytes()),
        Json::Int64(number) => out.extend(number.to_le_bytes()),
        Json::Uint64(number) => out.extend(number.to_le_bytes()),
        Json::Double(number) => out.extend(number.to_le_bytes()),
        Json::Text(bytes) => out.extend([varlen_bytes(bytes.len()), bytes.clone()].concat()),
        Json::Opaque(code, bytes) => out.extend([vec![*code], varlen_bytes(bytes.len()), bytes.clone()].concat()),
        Json::Array(large, values) => container(*large, &[], &values.iter().collect::<Vec<_>>(), out),
        Json::Object(large, members) => {
            let keys: Vec<&[u8]> = members.iter().map(|(key, _)| key.as_slice()).collect();
            container(*large, &keys, &members.iter().map(|(_, value)| value).collect::<Vec<_>>(), out);
        }
    }
}

fn container(large: bool, keys: &[&[u8]], values: &[&Json], out: &mut Vec<u8>) {
    let width = if large { 4 } else { 2 };
    let start = out.len();
    let put = |out: &mut Vec<u8>, at: usize, number: usize| {
        out[at..at + width].copy_from_slice(&(number as u32).to_le_bytes()[..width]);
    };
    out.resize(start + 2 * width + keys.len() * (width + 2) + values.len() * (width + 1), 0);
    put(out, start, values.len());
    for (index, key) in keys.iter().enumerate() {
        let entry = start + 2 * width + index * (width + 2);
        let offset = out.len() - start;
        put(out, entry, offset);
        out[entry + width..entry + width + 2].copy_from_slice(&(key.len() as u16).to_le_bytes());
        out.extend_from_slice(key);
    }
    // Values in reverse order, with a hole before each: what updates in place leave behind.
    for (index, value) in values.iter().enumerate().rev() {
        let entry = start + 2 * width + keys.len() * (width + 2) + index * (width + 1);
        out[entry] = kind_of(value);
        let mut bytes = Vec::new();
        encode(value, &mut bytes);
        let inline = matches!(value, Json::Literal(_) | Json::Int16(_) | Json::Uint16(_))
            || large && matches!(value, Json::Int32(_) | Json::Uint32(_));
        if inline {
            out[entry + 1..entry + 1 + bytes.len()].copy_from_slice(&bytes);
        } else {
            out.extend([0xff; 3]);
            let offset = out.len() - start;
            put(out, entry + 1, offset);
            out.extend(bytes);
        }
    }
    let bytes = out.len() - start;
    put(out, start + width, bytes);
}

#[track_caller]
fn check(value: &Json, expected: &str) {
    assert_eq!(to_text(&document(value)).unwrap(), expected);
}

#[test]
fn scalars() {
    for (value, expected) in [
        (Json::Literal(0), "null"),
        (Json::Literal(1), "true"),
        (Json::Literal(2), "false"),
        (Json::Int16(-32768), "-32768"),
        (Json::Uint16(65535), "65535"),
        (Json::Int32(i32::MIN), "-2147483648"),
        (Json::Uint32(u32::MAX), "4294967295"),
        (Json::Int64(i64::MIN), "-9223372036854775808"),
        (Json::Uint64(u64::MAX), "18446744073709551615"),
        (Json::Double(1.0), "1.0"),
        (Json::Double(-0.0), "-0.0"),
        (Json::Double(1e16), "1e16"),
        (text(""), "\"\""),
        (text("é中😀"), "\"é中😀\""),
        (text("a\0\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{7f}/\"\\"), r#""a\u0000\u0001\b\t\n\u000b\f\r\u001f"#),
    ] {
        let found = to_text(&document(&value)).unwrap();
        assert!(found == expected || found.len() > expected.len() && found.starts_with(expected), "{found}");
    }
    check(&text("\u{1f}\u{7f}/\"\\"), "\"\\u001f\u{7f}/\\\"\\\\\"");
    check(&text(&"x".repeat(200)), &format!("\"{}\"", "x".repeat(200)));
    check(&text(&"\"".repeat(20_000)), &format!("\"{}\"", "\\\"".repeat(20_000)));
}

#[test]
fn a_document_of_no_bytes_is_null() {
    assert_eq!(to_text(&[]).unwrap(), "null");
}

#[test]
fn containers_small_and_large() {
    for large in [false, true] {
        check(&Json::Array(large, vec![]), "[]");
        check(&Json::Object(large, vec![]), "{}");
        let values =
            vec![Json::Literal(1), Json::Int32(-5), Json::Uint32(5), text("s"), Json::Double(0.5), Json::Int16(7)];
        check(&Json::Array(large, values.clone()), "[true, -5, 5, \"s\", 0.5, 7]");
        let keys = ["", "b", "aa", "\"q\"", "long key of many bytes", "é"];
        let members = keys.iter().zip(values).map(|(key, value)| (key.as_bytes().to_vec(), value)).collect();
        let expected = r#"{"": true, "b": -5, "aa": 5, "\"q\"": "s", "long key of many bytes": 0.5, "é": 7}"#;
        check(&Json::Object(large, members), expected);
    }
    check(&array(&[array(&[array(&[]), object(&[("a", object(&[]))])])]), r#"[[[], {"a": {}}]]"#);
}

#[test]
fn values_of_other_types() {
    let decimal = |precision, scale, text| {
        let image = crate::mysql::value::decimal::tests::encode(text, precision, scale);
        Json::Opaque(246, [vec![precision, scale], image].concat())
    };
    check(&array(&[decimal(3, 2, "0.10"), decimal(2, 1, "-0.5"), decimal(3, 2, "1.99")]), "[0.10, -0.5, 1.99]");
    check(&decimal(40, 9, "-12345678901234567890.123456789"), "-12345678901234567890.123456789");
    let packed = |year: i64, month: i64, day: i64, clock: i64| ((year * 13 + month) << 22 | day << 17 | clock) << 24;
    let time = |code, packed: i64| Json::Opaque(code, packed.to_le_bytes().to_vec());
    let clock = 23 << 12 | 24 << 6 | 25;
    check(&time(12, packed(2015, 1, 15, clock)), "\"2015-01-15 23:24:25.000000\"");
    check(&time(7, packed(2015, 1, 15, clock) + 123_456), "\"2015-01-15 23:24:25.123456\"");
    check(&time(10, packed(2015, 1, 15, 0)), "\"2015-01-15\"");
    check(&time(12, 0), "\"0000-00-00 00:00:00.000000\"");
    check(&time(11, -((clock << 24) + 500_000)), "\"-23:24:25.500000\"");
    check(&time(11, (838 << 12 | 59 << 6 | 59) << 24), "\"838:59:59.000000\"");
    check(&Json::Opaque(15, vec![]), "\"base64:type15:\"");
    check(&Json::Opaque(16, vec![5]), "\"base64:type16:BQ==\"");
    check(&Json::Opaque(252, b"ab".to_vec()), "\"base64:type252:YWI=\"");
    check(&Json::Opaque(252, b"abc".to_vec()), "\"base64:type252:YWJj\"");
    // A line has 76 characters.
    check(&Json::Opaque(252, vec![0; 57]), &format!("\"base64:type252:{}\"", "A".repeat(76)));
    check(&Json::Opaque(252, vec![0; 60]), &format!("\"base64:type252:{}\\nAAAA\"", "A".repeat(76)));
}

/// The text, the naive way.
fn naive(value: &Json) -> String {
    let quote = |bytes: &[u8]| {
        let mut out = String::from("\"");
        for character in std::str::from_utf8(bytes).unwrap().chars() {
            match character {
                '"' | '\\' => out.extend(['\\', character]),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
                _ => out.push(character),
            }
        }
        out + "\""
    };
    let list = |parts: Vec<String>| parts.join(", ");
    match value {
        Json::Literal(byte) => ["null", "true", "false"][usize::from(*byte)].to_owned(),
        Json::Int16(number) => number.to_string(),
        Json::Uint16(number) => number.to_string(),
        Json::Int32(number) => number.to_string(),
        Json::Uint32(number) => number.to_string(),
        Json::Int64(number) => number.to_string(),
        Json::Uint64(number) => number.to_string(),
        Json::Double(number) => format!("{number:?}"),
        Json::Text(bytes) => quote(bytes),
        Json::Opaque(..) => unreachable!("not made here"),
        Json::Array(_, values) => format!("[{}]", list(values.iter().map(naive).collect())),
        Json::Object(_, members) => {
            format!("{{{}}}", list(members.iter().map(|(key, value)| quote(key) + ": " + &naive(value)).collect()))
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn text(&mut self) -> Vec<u8> {
        let alphabet = ["a", "b", " ", "\"", "\\", "\n", "\u{1}", "é", "中", "😀", "0", "longer"];
        (0..self.below(14)).map(|_| alphabet[self.below(12) as usize]).collect::<String>().into_bytes()
    }

    fn value(&mut self, depth: u32) -> Json {
        match self.below(if depth > 4 { 9 } else { 13 }) {
            0 => Json::Literal(self.below(3) as u8),
            1 => Json::Int16(self.below(1 << 16) as i16),
            2 => Json::Uint16(self.below(1 << 16) as u16),
            3 => Json::Int32(self.below(1 << 31) as i32),
            4 => Json::Uint32(self.below(1 << 31) as u32),
            5 => Json::Int64(-(self.below(1 << 31) as i64)),
            6 => Json::Uint64(self.below(1 << 31) << 20),
            7 => Json::Double(self.below(1_000_000) as f64 / 64.0),
            8 => Json::Text(self.text()),
            9 | 10 => Json::Array(self.below(2) == 1, (0..self.below(5)).map(|_| self.value(depth + 1)).collect()),
            _ => {
                let large = self.below(2) == 1;
                Json::Object(large, (0..self.below(5)).map(|_| (self.text(), self.value(depth + 1))).collect())
            }
        }
    }
}

#[test]
fn any_document_is_what_the_naive_way_prints() {
    let mut random = Random(1);
    for _ in 0..5_000 {
        let value = random.value(0);
        check(&value, &naive(&value));
    }
}

#[test]
fn damaged_documents_end_in_an_error_or_a_text() {
    let mut random = Random(2);
    let (mut errors, mut texts) = (0, 0);
    for _ in 0..300 {
        let bytes = document(&random.value(0));
        for cut in 0..bytes.len() {
            let _ = to_text(&bytes[..cut]);
        }
        for _ in 0..100 {
            let mut mutated = bytes.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len() as u64) as usize;
                mutated[at] = random.below(256) as u8;
            }
            match to_text(&mutated) {
                Ok(text) => {
                    assert!(text.len() <= output_bytes_max(mutated.len()));
                    texts += 1;
                }
                Err(_) => errors += 1,
            }
        }
    }
    assert!(errors > 1_000 && texts > 1_000, "{errors} errors, {texts} texts");
}

#[test]
fn a_container_that_contains_itself_is_an_error() {
    // An array of one array at offset 0: itself.
    assert_eq!(to_text(&[2, 1, 0, 7, 0, 2, 0, 0]), Err(ValueError::Invalid("JSON nested more than 100 deep")));
    // A thousand of itself: 1000^100 values.
    let mut bytes = vec![2, 0xe8, 3, 0xbc, 0x0b];
    bytes.extend([2, 0, 0].repeat(1000));
    bytes[3..5].copy_from_slice(&3004_u16.to_le_bytes());
    assert!(to_text(&bytes).is_err());
}

#[test]
fn shared_values_do_not_multiply() {
    // A thousand entries that all are the same string of a thousand bytes: 9 KB that would be 1 MB.
    let mut bytes = vec![2];
    bytes.extend(1000_u16.to_le_bytes());
    bytes.extend(4006_u16.to_le_bytes());
    for _ in 0..1000 {
        bytes.push(12);
        bytes.extend(3004_u16.to_le_bytes());
    }
    bytes.extend([0xe8, 0x07]);
    bytes.extend([b'x'; 1000]);
    assert_eq!(to_text(&bytes), Err(ValueError::TooLarge { bytes_max: output_bytes_max(bytes.len()) }));
}

#[test]
fn nesting_ends_where_mysql_ends_it() {
    let nested = |depth: u32| (1..depth).fold(array(&[]), |inner, _| array(&[inner]));
    check(&nested(100), &format!("{}{}", "[".repeat(100), "]".repeat(100)));
    assert!(to_text(&document(&nested(101))).is_err());
}
