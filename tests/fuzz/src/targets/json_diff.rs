//! A partial update of a JSON document.
//!
//! ```text
//! u16 and so many bytes: the document   rest: the differences
//! ```
//! Holds: bounded text, which is JSON; no differences leave the document as it is.

use millstream_codec::mysql::value::buffer::TextBuffer;
use millstream_codec::mysql::value::json::{output_bytes_max, to_text};
use millstream_codec::mysql::value::json_diff::write_updated_text;

use super::jsonb::check_json;
use crate::input::Input;

pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let (document, differences) = (input.counted(), input.rest());
    let text = updated(document, differences);
    if let Some(text) = text.and_then(|text| String::from_utf8(text).ok()) {
        check_json(&text);
    }
    let same = updated(document, &[]).and_then(|text| String::from_utf8(text).ok());
    assert_eq!(same, to_text(document).ok());
}

fn updated(document: &[u8], differences: &[u8]) -> Option<Vec<u8>> {
    let mut out = TextBuffer::new();
    let written = write_updated_text(document, differences, &mut out);
    let text = out.into_vec();
    match written {
        Err(_) => assert!(text.is_empty(), "an error leaves nothing behind"),
        Ok(_) => assert!(text.len() <= output_bytes_max(document.len() + differences.len())),
    }
    written.ok().map(|_| text)
}
