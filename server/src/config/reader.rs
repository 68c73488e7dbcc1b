//! Reads a TOML tree key by key, and goes on after each complaint.
//!
//! A [`Section`] is one table of the file. Each key is asked for by its name and type; a key that was never asked for
//! is unknown. What is absent or bad leaves the target as it was, which is the default.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::complaint::{Complaint, Lines, nearest};

/// Collects what is wrong over the whole file.
#[derive(Debug)]
pub struct Reader {
    lines: Lines,
    /// The text was no TOML: what is missing then may only have been lost, and is not complained about.
    damaged: bool,
    complaints: RefCell<Vec<Complaint>>,
    warnings: RefCell<Vec<Complaint>>,
    /// Keys that the code knows and the file does not set: for the test of the documented file.
    absent: RefCell<Vec<String>>,
}

impl Reader {
    /// Parses the text as far as it goes.
    pub fn parse(text: &str) -> (Reader, Spanned<DeTable<'_>>) {
        let (tree, errors) = DeTable::parse_recoverable(text);
        let lines = Lines::of(text);
        let complaints: Vec<Complaint> = errors
            .iter()
            .map(|error| Complaint {
                line: error.span().map_or(0, |span| lines.line(&span)),
                key: String::new(),
                what: format!("not valid TOML: {}", error.message().trim_end_matches('\n').replace('\n', ", ")),
                fix: "write KEY = VALUE lines under [section] headings; text needs quotes".to_owned(),
            })
            .collect();
        let reader = Reader {
            lines,
            damaged: !complaints.is_empty(),
            complaints: RefCell::new(complaints),
            warnings: RefCell::default(),
            absent: RefCell::default(),
        };
        (reader, tree)
    }

    /// Complaints, warnings (both by line), absent keys.
    pub fn into_parts(self) -> (Vec<Complaint>, Vec<Complaint>, Vec<String>) {
        let sorted = |cell: RefCell<Vec<Complaint>>| {
            let mut complaints = cell.into_inner();
            // Those about the file as a whole come last.
            complaints.sort_by_key(|complaint| (complaint.line == 0, complaint.line));
            complaints
        };
        (sorted(self.complaints), sorted(self.warnings), self.absent.into_inner())
    }

    fn complain(&self, complaint: Complaint) {
        self.complaints.borrow_mut().push(complaint);
    }
}

/// A value that was read, and where: for checks between keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At<T> {
    pub value: T,
    pub line: usize,
}

/// One table of the file.
pub struct Section<'r, 's> {
    reader: &'r Reader,
    /// Dotted; empty for the file's root.
    path: String,
    pub line: usize,
    table: DeTable<'s>,
    known: Vec<&'static str>,
}

impl<'r, 's> Section<'r, 's> {
    pub fn root(reader: &'r Reader, tree: Spanned<DeTable<'s>>) -> Self {
        Section { reader, path: String::new(), line: 0, table: tree.into_inner(), known: Vec::new() }
    }

    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub fn complain(&self, line: usize, key: &str, what: impl Into<String>, fix: impl Into<String>) {
        let key = if key.is_empty() { self.path.clone() } else { self.path_of(key) };
        self.reader.complain(Complaint { line, key, what: what.into(), fix: fix.into() });
    }

    pub fn warn(&self, line: usize, key: &str, what: impl Into<String>, fix: impl Into<String>) {
        let complaint = Complaint { line, key: self.path_of(key), what: what.into(), fix: fix.into() };
        self.reader.warnings.borrow_mut().push(complaint);
    }

    /// A key without which the section makes no sense.
    pub fn missing(&self, key: &str, fix: impl Into<String>) {
        if !self.reader.damaged {
            self.complain(self.line, key, "is missing", fix);
        }
    }

    fn take(&mut self, key: &'static str) -> Option<(usize, DeValue<'s>)> {
        self.known.push(key);
        let Some((_, value)) = self.table.remove_entry(key) else {
            self.reader.absent.borrow_mut().push(self.path_of(key));
            return None;
        };
        let line = self.reader.lines.line(&value.span());
        Some((line, value.into_inner()))
    }

    fn wrong_type(&self, line: usize, key: &str, value: &DeValue<'_>, expected: &str) {
        self.complain(line, key, format!("is {}", a(value.type_str())), format!("write {expected}"));
    }

    pub fn boolean(&mut self, key: &'static str, target: &mut bool) -> Option<At<bool>> {
        let (line, value) = self.take(key)?;
        let Some(read) = value.as_bool() else {
            self.wrong_type(line, key, &value, "true or false");
            return None;
        };
        *target = read;
        Some(At { value: read, line })
    }

    pub fn text(&mut self, key: &'static str, target: &mut String) -> Option<At<String>> {
        let (line, value) = self.take(key)?;
        let DeValue::String(read) = &value else {
            self.wrong_type(line, key, &value, "text in quotes");
            return None;
        };
        *target = read.clone().into_owned();
        Some(At { value: target.clone(), line })
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)], target: &mut T) -> Option<At<T>> {
        let mut word = String::new();
        let at = self.text(key, &mut word)?;
        let Some((_, choice)) = words.iter().find(|(known, _)| *known == word) else {
            let known: Vec<_> = words.iter().map(|(known, _)| format!("\"{known}\"")).collect();
            self.complain(at.line, key, format!("\"{word}\" is not known"), format!("use {}", known.join(" or ")));
            return None;
        };
        *target = *choice;
        Some(At { value: *choice, line: at.line })
    }

    pub fn integer(
        &mut self,
        key: &'static str,
        unit: &str,
        range: RangeInclusive<u64>,
        target: &mut u64,
    ) -> Option<At<u64>> {
        let (line, value) = self.take(key)?;
        let read = self.integer_value(line, key, &value, unit, &range)?;
        *target = read;
        Some(At { value: read, line })
    }

    fn integer_value(
        &self,
        line: usize,
        key: &str,
        value: &DeValue<'_>,
        unit: &str,
        range: &RangeInclusive<u64>,
    ) -> Option<u64> {
        let of_unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let fix = format!("write a whole number of{of_unit} from {} to {}", range.start(), range.end());
        let fix = fix.replace("number of from", "number from");
        let DeValue::Integer(digits) = value else {
            self.complain(line, key, format!("is {}", a(value.type_str())), fix);
            return None;
        };
        match u64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(read) if range.contains(&read) => Some(read),
            _ => {
                self.complain(line, key, format!("{digits} is out of range"), fix);
                None
            }
        }
    }

    /// A size: a whole number of bytes, or text such as "64 MiB".
    pub fn bytes(&mut self, key: &'static str, range: RangeInclusive<u64>, target: &mut u64) -> Option<At<u64>> {
        let (line, value) = self.take(key)?;
        let (from, to) = (show_bytes(*range.start()), show_bytes(*range.end()));
        let fix = format!("write a size from \"{from}\" to \"{to}\" (units KiB, MiB, GiB; a plain number means bytes)");
        let read = match &value {
            DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            DeValue::String(text) => parse_bytes(text),
            other => {
                self.complain(line, key, format!("is {}", a(other.type_str())), fix);
                return None;
            }
        };
        match read {
            Some(read) if range.contains(&read) => {
                *target = read;
                Some(At { value: read, line })
            }
            Some(read) => {
                self.complain(line, key, format!("{} is out of range", show_bytes(read)), fix);
                None
            }
            None => {
                self.complain(line, key, "is not a size", fix);
                None
            }
        }
    }

    /// The elements of a list, each with its line.
    fn list(&mut self, key: &'static str, expected: &str) -> Option<(usize, Vec<(usize, DeValue<'s>)>)> {
        let (line, value) = self.take(key)?;
        let DeValue::Array(elements) = value else {
            self.wrong_type(line, key, &value, expected);
            return None;
        };
        let elements = elements.into_iter().map(|element| {
            let line = self.reader.lines.line(&element.span());
            (line, element.into_inner())
        });
        Some((line, elements.collect()))
    }

    pub fn integers(&mut self, key: &'static str, unit: &str, range: RangeInclusive<u64>) -> Option<At<Vec<At<u64>>>> {
        let (line, elements) = self.list(key, "a list of whole numbers, such as [1, 2]")?;
        let read = elements.iter().filter_map(|(line, element)| {
            self.integer_value(*line, key, element, unit, &range).map(|value| At { value, line: *line })
        });
        Some(At { value: read.collect(), line })
    }

    pub fn texts(&mut self, key: &'static str) -> Option<At<Vec<At<String>>>> {
        let (line, elements) = self.list(key, "a list of texts, such as [\"a\", \"b\"]")?;
        let mut read = Vec::new();
        for (line, element) in elements {
            match element {
                DeValue::String(text) => read.push(At { value: text.into_owned(), line }),
                other => self.wrong_type(line, key, &other, "text in quotes"),
            }
        }
        Some(At { value: read, line })
    }

    /// A sub-table. An absent one reads as empty, so that its defaults and its missing keys are treated alike.
    pub fn section(&mut self, key: &'static str) -> Section<'r, 's> {
        let path = self.path_of(key);
        let reader = self.reader;
        let (line, table) = match self.table.remove_entry(key) {
            None => (self.line, DeTable::new()),
            Some((name, value)) => {
                let line = reader.lines.line(&name.span());
                match value.into_inner() {
                    DeValue::Table(table) => (line, table),
                    other => {
                        self.wrong_type(line, key, &other, &format!("a section: [{path}]"));
                        (line, DeTable::new())
                    }
                }
            }
        };
        self.known.push(key);
        Section { reader, path, line, table, known: Vec::new() }
    }

    /// The tables of `[[key]]`.
    pub fn sections(&mut self, key: &'static str) -> Vec<Section<'r, 's>> {
        self.known.push(key);
        let path = self.path_of(key);
        let Some((name, value)) = self.table.remove_entry(key) else { return Vec::new() };
        let elements = match value.into_inner() {
            DeValue::Array(elements) => elements,
            other => {
                let line = self.reader.lines.line(&name.span());
                self.wrong_type(line, key, &other, &format!("it with two brackets, once for each: [[{path}]]"));
                return Vec::new();
            }
        };
        let mut sections = Vec::new();
        for element in elements {
            let line = self.reader.lines.line(&element.span());
            match element.into_inner() {
                DeValue::Table(table) => {
                    let path = path.clone();
                    sections.push(Section { reader: self.reader, path, line, table, known: Vec::new() });
                }
                other => self.wrong_type(line, key, &other, &format!("a table: [[{path}]]")),
            }
        }
        sections
    }

    /// Complains about every key that was never asked for.
    pub fn finish(self) {
        for (key, _) in &self.table {
            let line = self.reader.lines.line(&key.span());
            let key: &str = key.get_ref();
            let fix = match nearest(key, self.known.iter().copied()) {
                Some(known) => format!("did you mean '{known}'?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            self.complain(line, key, "is not a known key", fix);
        }
    }
}

impl Section<'_, '_> {
    pub fn has_complaints_about(&self, key: &str) -> bool {
        let key = self.path_of(key);
        self.reader.complaints.borrow().iter().any(|complaint| complaint.key == key)
    }
}

fn a(type_name: &str) -> String {
    let article = if type_name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {type_name}")
}

const UNITS: [(&str, u64); 5] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("bytes", 1), ("B", 1)];

/// `64 MiB`, `64MiB`, `1048576 bytes`.
fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit).map(|digits| (digits, *factor)))
        .unwrap_or((text, 1));
    let digits = digits.trim_end().replace('_', "");
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// In the largest unit that divides it.
pub fn show_bytes(bytes: u64) -> String {
    let divides = |(_, factor): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*factor);
    let (unit, factor) = UNITS.iter().find(divides).unwrap_or(&("bytes", 1));
    format!("{} {unit}", bytes / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, expected) in [
            ("64 MiB", Some(64 << 20)),
            ("64MiB", Some(64 << 20)),
            ("1 GiB", Some(1 << 30)),
            ("4_096", Some(4096)),
            ("0 B", Some(0)),
            ("12 bytes", Some(12)),
            ("64 MB", None),
            ("-1", None),
            ("", None),
            ("MiB", None),
            ("99999999999 GiB", None),
        ] {
            assert_eq!(parse_bytes(text), expected, "{text}");
        }
        for text in ["64 MiB", "3 KiB", "1 GiB", "1025 bytes"] {
            assert_eq!(show_bytes(parse_bytes(text).unwrap()), text);
        }
    }
}
