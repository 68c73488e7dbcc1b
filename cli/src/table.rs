//! Columns of text, aligned.

use crate::style::{Colour, Style};

#[derive(Debug, Default)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Every line begins with `indent`; columns are two spaces apart, the last one is not padded.
    pub fn write(&self, out: &mut String, style: Style, indent: &str) {
        let chars = |text: &str| text.chars().count();
        let widths: Vec<usize> = (0..self.header.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| chars(cell));
                cells.chain(self.header.get(column).map(|name| chars(name))).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::from(indent);
            for (cell, width) in cells.zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width.saturating_sub(chars(cell)) + 2));
            }
            line.trim_end().to_owned()
        };
        out.push_str(&style.painted(Colour::Dim, &line(&mut self.header.iter().copied())));
        out.push('\n');
        for row in &self.rows {
            out.push_str(&line(&mut row.iter().map(String::as_str)));
            out.push('\n');
        }
    }
}

/// 1,234,567
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// 1.5 GiB
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit_name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{number} B") } else { format!("{value:.1} {unit_name}") }
}

/// 850 us, 12.3 ms, 4.5 s, 3 min
pub fn duration_us(us: u64) -> String {
    match us {
        0..1000 => format!("{us} us"),
        1000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        1_000_000..120_000_000 => format!("{:.1} s", us as f64 / 1e6),
        120_000_000..7_200_000_000 => format!("{} min", us / 60_000_000),
        _ => format!("{:.1} h", us as f64 / 3.6e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let mut table = Table::new(&["name", "n"]);
        table.row(vec!["größe".into(), "1".into()]);
        table.row(vec!["x".into(), "22".into()]);
        let mut out = String::new();
        table.write(&mut out, Style::Plain, "  ");
        assert_eq!(out, "  name   n\n  größe  1\n  x      22\n");
    }

    #[test]
    fn numbers_are_for_people() {
        let check = |shown: String, expected: &str| assert_eq!(shown, expected);
        check(grouped(0), "0");
        check(grouped(999), "999");
        check(grouped(1_234_567), "1,234,567");
        check(bytes(1023), "1023 B");
        check(bytes(1536), "1.5 KiB");
        check(bytes(5 << 30), "5.0 GiB");
        check(duration_us(850), "850 us");
        check(duration_us(12_345), "12.3 ms");
        check(duration_us(4_500_000), "4.5 s");
        check(duration_us(180_000_000), "3 min");
        check(duration_us(9_000_000_000), "2.5 h");
    }
}
