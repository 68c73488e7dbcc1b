//! A binary JSON document.
//!
//! Holds: its text is bounded, and JSON wherever it is UTF-8; `mysql_common` finds the same values.

use millstream_codec::mysql::value::buffer::TextBuffer;
use millstream_codec::mysql::value::json::{Encoding, output_bytes_max, to_text, write_text};
use mysql_common::binlog::jsonb;
use mysql_common::io::ParseBuf;
use mysql_common::proto::MyDeserialize;
use serde_json::Value;

use crate::peer;

pub fn target(data: &[u8]) {
    let mut out = TextBuffer::over(b"before".to_vec(), 0);
    let written = write_text(data, &mut out);
    let bytes = out.into_vec();
    let text = bytes.strip_prefix(b"before").expect("what was there stays");
    match written {
        Err(_) => assert!(text.is_empty(), "an error leaves nothing behind"),
        Ok(encoding) => {
            assert!(text.len() <= output_bytes_max(data.len()));
            assert!(encoding == Encoding::Unchecked || text.is_ascii());
        }
    }
    let Ok(text) = to_text(data) else { return };
    let ours = check_json(&text);
    let theirs = peer::ask(|| {
        let value = jsonb::Value::deserialize((), &mut ParseBuf(data)).ok()?;
        Some(Value::from(value.parse().ok()?))
    });
    if let (Some(ours), Some(theirs)) = (ours, theirs) {
        compare(&ours, &theirs);
    }
}

/// The text as a value; `None` where it holds a number beyond what JSON's readers take.
pub fn check_json(text: &str) -> Option<Value> {
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(error) if error.to_string().contains("number out of range") => None,
        Err(error) => panic!("{error}: {text}"),
    }
}

/// Theirs shows decimals and opaque values as strings, and times in another form. A key that stands twice is a hostile
/// document's own: which of the two counts is nobody's promise.
fn compare(ours: &Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            assert_eq!(ours.len(), theirs.len());
            ours.iter().zip(theirs).for_each(|(ours, theirs)| compare(ours, theirs));
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            assert_eq!(ours.len(), theirs.len());
            assert!(ours.keys().all(|key| theirs.contains_key(key)));
            if ours.len() == 1 {
                ours.values().zip(theirs.values()).for_each(|(ours, theirs)| compare(ours, theirs));
            }
        }
        (Value::Number(ours), Value::Number(theirs)) => {
            assert_eq!(ours.as_f64(), theirs.as_f64());
            if let (Some(ours), Some(theirs)) = (ours.as_i64(), theirs.as_i64()) {
                assert_eq!(ours, theirs);
            }
        }
        (Value::Number(_) | Value::String(_), Value::String(_)) => {}
        (ours, theirs) => assert_eq!(ours, theirs),
    }
}
