//! The text of GTIDs that follow each other: all of one server differ in their last number only, so that the rest of the
//! text is kept.

use std::fmt::Write;

use millstream_codec::mysql::gtid::{Gtid, Tsid};
use millstream_codec::mysql::value::digits::{U64_ROOM, write_u64};

#[derive(Debug, Default)]
pub struct GtidText {
    /// Of whom `text[..prefix_bytes]` is, with the colon behind it.
    tsid: Option<Tsid>,
    prefix_bytes: usize,
    text: String,
}

impl GtidText {
    /// As it displays; empty where there is none.
    pub fn of(&mut self, gtid: Option<&Gtid>) -> &str {
        match gtid {
            None => return "",
            Some(Gtid::Mysql(gtid)) => {
                if self.tsid.as_ref() != Some(&gtid.tsid) {
                    self.text.clear();
                    // Writing into a String cannot fail.
                    let _ = write!(self.text, "{}:", gtid.tsid);
                    self.prefix_bytes = self.text.len();
                    self.tsid = Some(gtid.tsid);
                }
                self.text.truncate(self.prefix_bytes);
                let mut digits = [0; U64_ROOM];
                let count = write_u64(&mut digits, gtid.number);
                let digits = digits.get(..count).and_then(|digits| std::str::from_utf8(digits).ok());
                self.text.push_str(digits.unwrap_or_default());
            }
            Some(Gtid::Mariadb(gtid)) => {
                self.tsid = None;
                self.text.clear();
                let _ = write!(self.text, "{gtid}");
            }
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_gtid_displays() {
        let ids = [
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:1",
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:9223372036854775806",
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:7",
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:a_tag:7",
            "3e11fa47-71ca-11e1-9e33-c80aa9429563:7",
            "0-1-42",
            "3e11fa47-71ca-11e1-9e33-c80aa9429563:10",
            "0-1-43",
            "7-4294967295-18446744073709551615",
        ];
        let mut text = GtidText::default();
        for id in ids {
            let gtid: Gtid = id.parse().unwrap();
            assert_eq!(text.of(Some(&gtid)), id);
            assert_eq!(text.of(None), "");
            assert_eq!(text.of(Some(&gtid)), id);
        }
    }
}
