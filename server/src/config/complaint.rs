//! What is wrong with a configuration file: where, what, and what to do.

use std::fmt;
use std::ops::Range;
use std::path::Path;

/// One thing that is wrong (or, as a warning, unwise).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// From 1; 0 where the complaint is about the file as a whole.
    pub line: usize,
    /// Dotted, as in the file: `engine.ring_bytes_max`; empty where it is not about a key.
    pub key: String,
    pub what: String,
    pub fix: String,
}

impl Complaint {
    pub fn of_file(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Complaint { line: 0, key: String::new(), what: what.into(), fix: fix.into() }
    }

    /// As compilers write it, so that editors can jump to it.
    pub fn show(&self, path: &Path) -> String {
        let mut text = path.display().to_string();
        if self.line > 0 {
            text += &format!(":{}", self.line);
        }
        format!("{text}: {self}")
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.what, self.fix)
    }
}

/// Turns byte offsets into line numbers.
#[derive(Debug)]
pub struct Lines {
    /// Where each line but the first begins.
    starts: Vec<usize>,
}

impl Lines {
    pub fn of(text: &str) -> Self {
        Lines { starts: text.match_indices('\n').map(|(newline, _)| newline + 1).collect() }
    }

    /// The line, from 1, that a span begins in.
    pub fn line(&self, span: &Range<usize>) -> usize {
        self.starts.partition_point(|start| *start <= span.start) + 1
    }
}

/// The known word that a mistyped one probably means.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Below this similarity (0 nothing, 1 equal) a suggestion confuses more than it helps.
    const SIMILARITY_MIN: f64 = 0.75;
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_from_one() {
        let lines = Lines::of("a = 1\nb = 2\n\nc = 3");
        for (offset, line) in [(0, 1), (5, 1), (6, 2), (12, 3), (13, 4), (99, 4)] {
            assert_eq!(lines.line(&(offset..offset)), line, "offset {offset}");
        }
    }

    #[test]
    fn suggestion_is_near_or_none() {
        let known = ["ring_bytes_max", "worker_cores", "listen"];
        for (word, expected) in [
            ("ring_byte_max", Some("ring_bytes_max")),
            ("worker_core", Some("worker_cores")),
            ("Listen", Some("listen")),
            ("zzz", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
