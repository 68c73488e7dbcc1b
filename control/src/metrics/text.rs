//! Writes the text exposition format, version 0.0.4: each family's HELP and TYPE once, its samples behind them.

use std::fmt::{Display, Write};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Summary,
}

/// A document that grows family by family.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// The samples of one family. `None` values are left out: an unknown number is no zero.
pub struct Family<'e> {
    text: &'e mut String,
    name: &'static str,
}

impl Exposition {
    /// Counters are named `.._total`; every name ends in its unit.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a String cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family { text: &mut self.text, name }
    }

    pub fn into_text(self) -> String {
        self.text
    }
}

impl Family<'_> {
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.sample_of("", labels, value);
    }

    /// With a suffix of the family's name: `_sum`, `_count`.
    pub fn sample_of(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"{}\"", if index == 0 { '{' } else { ',' }, escaped(text));
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_the_format_wants_it() {
        let mut exposition = Exposition::default();
        let mut family = exposition.family("millstream_rows_total", Kind::Counter, "Rows\nof all \\ kinds.");
        family.sample(&[], 3);
        family.sample(&[("core", "0"), ("name", "a\"b\\c\nd")], u64::MAX);
        exposition.family("millstream_lag_seconds", Kind::Summary, "Lag.").sample_of("_sum", &[], 0.25);
        assert_eq!(
            exposition.into_text(),
            "# HELP millstream_rows_total Rows\\nof all \\\\ kinds.\n\
             # TYPE millstream_rows_total counter\n\
             millstream_rows_total 3\n\
             millstream_rows_total{core=\"0\",name=\"a\\\"b\\\\c\\nd\"} 18446744073709551615\n\
             # HELP millstream_lag_seconds Lag.\n\
             # TYPE millstream_lag_seconds summary\n\
             millstream_lag_seconds_sum 0.25\n"
        );
    }
}
