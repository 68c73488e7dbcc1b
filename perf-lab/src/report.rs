//! What an experiment found: a table for people, JSON for programs, a picture.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::plot;
use crate::stats::Spread;

/// One figure of one subject over all runs.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub subject: String,
    pub metric: String,
    pub unit: String,
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// In the order of the runs.
    #[serde(skip)]
    values: Vec<f64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Ratio {
    pub name: String,
    pub value: f64,
    /// Of single runs; both the value where there is only one.
    pub min: f64,
    pub max: f64,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub experiment: String,
    pub machine: String,
    pub commit: String,
    pub rows: Vec<Row>,
    pub ratios: Vec<Ratio>,
    /// Settings, and what could not be had.
    pub notes: Vec<String>,
}

impl Report {
    pub fn new(experiment: &str) -> Self {
        Self {
            experiment: experiment.to_owned(),
            machine: crate::machine::machine(),
            commit: crate::machine::commit(),
            rows: Vec::new(),
            ratios: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub fn ratio(&mut self, name: impl Into<String>, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.ratios.push(Ratio { name: name.into(), value, min: value, max: value });
        }
    }

    /// The median of one figure.
    pub fn median(&self, subject: &str, metric: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.subject == subject && row.metric == metric).map(|row| row.median)
    }

    /// `over`'s figure as a multiple of `under`'s: the median over the runs, each with its neighbour in time, since the
    /// speed of a machine that is shared changes between them (by a factor of two, for seconds, where this was written).
    pub fn divide(&mut self, name: &str, metric: &str, over: &str, under: &str) {
        let find = |subject: &str| self.rows.iter().find(|row| row.subject == subject && row.metric == metric);
        let (Some(over), Some(under)) = (find(over), find(under)) else { return };
        // Where one has fewer runs (peers on the JVM), those were the first ones.
        let ratios: Vec<f64> = over.values.iter().zip(&under.values).map(|(over, under)| over / under).collect();
        if let Some(Spread { median, min, max }) = Spread::of(&ratios) {
            self.ratios.push(Ratio { name: name.to_owned(), value: median, min, max });
        }
    }

    pub fn print(&self) {
        println!("\n== {} == {}; commit {}", self.experiment, self.machine, self.commit);
        let width = self.rows.iter().map(|row| row.subject.len()).max().unwrap_or(0).max(7);
        let metric_width = self.rows.iter().map(|row| row.metric.len()).max().unwrap_or(0).max(6);
        println!(
            "{:width$}  {:metric_width$}  {:>12}  {:>12}  {:>12}  unit",
            "subject", "metric", "median", "min", "max"
        );
        let mut before = "";
        for row in &self.rows {
            let subject = if row.subject == before { "" } else { &row.subject };
            before = &row.subject;
            let [median, min, max] = [row.median, row.min, row.max].map(shown);
            println!(
                "{subject:width$}  {:metric_width$}  {median:>12}  {min:>12}  {max:>12}  {}",
                row.metric, row.unit
            );
        }
        for ratio in &self.ratios {
            let [value, min, max] = [ratio.value, ratio.min, ratio.max].map(shown);
            match min == max {
                true => println!("  {} = {value}", ratio.name),
                false => println!("  {} = {value} ({min} to {max})", ratio.name),
            }
        }
        for note in &self.notes {
            println!("  note: {note}");
        }
    }

    /// Writes `path`, and the picture beside it.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        std::fs::write(path.with_extension("svg"), plot::bars(self))?;
        Ok(())
    }
}

/// Three or more significant digits, no exponent.
pub fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => {
            let digits = format!("{value:.0}");
            let (sign, digits) = digits.split_at(digits.len() - digits.trim_start_matches('-').len());
            let groups: Vec<&str> =
                digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or("")).collect();
            format!("{sign}{}", groups.join(","))
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Collects what single runs give, in the order in which subjects and metrics were first seen.
#[derive(Default)]
pub struct Collector {
    values: BTreeMap<(usize, usize), Vec<f64>>,
    subjects: Vec<String>,
    metrics: Vec<(String, String)>,
}

impl Collector {
    pub fn add(&mut self, subject: &str, metric: &str, unit: &str, value: f64) {
        let subject = index_of(&mut self.subjects, subject.to_owned());
        let metric = index_of(&mut self.metrics, (metric.to_owned(), unit.to_owned()));
        self.values.entry((subject, metric)).or_default().push(value);
    }

    pub fn rows(&self) -> Vec<Row> {
        let rows = self.values.iter().filter_map(|((subject, metric), values)| {
            let spread = Spread::of(values)?;
            let (metric, unit) = self.metrics.get(*metric)?.clone();
            let subject = self.subjects.get(*subject)?.clone();
            let Spread { median, min, max } = spread;
            Some(Row { subject, metric, unit, median, min, max, values: values.clone() })
        });
        rows.collect()
    }
}

fn index_of<T: PartialEq>(known: &mut Vec<T>, item: T) -> usize {
    known.iter().position(|other| *other == item).unwrap_or_else(|| {
        known.push(item);
        known.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_in_groups() {
        let cases = [(1234567.4, "1,234,567"), (-1234.0, "-1,234"), (999.4, "999"), (12.34, "12.3"), (0.1234, "0.123")];
        for (value, text) in cases {
            assert_eq!(shown(value), text);
        }
    }

    #[test]
    fn figures_of_runs_become_medians() {
        let mut collector = Collector::default();
        for value in [3.0, 1.0, 2.0] {
            collector.add("a", "rows", "1/s", value);
        }
        collector.add("b", "rows", "1/s", 4.0);
        // A machine that is slower for the second run, is so for both.
        for (fast, slow) in [(10.0, 5.0), (4.0, 2.0), (12.0, 6.0)] {
            collector.add("fast", "speed", "1/s", fast);
            collector.add("slow", "speed", "1/s", slow);
        }
        let mut report = Report::new("test");
        report.rows = collector.rows();
        assert_eq!((report.median("a", "rows"), report.median("b", "rows")), (Some(2.0), Some(4.0)));
        // It took part in the first run only.
        report.divide("b over a", "rows", "b", "a");
        report.divide("fast over slow", "speed", "fast", "slow");
        assert_eq!(report.ratios.iter().map(|ratio| ratio.value).collect::<Vec<_>>(), [4.0 / 3.0, 2.0]);
    }
}
