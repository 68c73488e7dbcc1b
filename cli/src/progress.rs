//! A line on standard error that says how far it is, where a person looks.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use crate::table::{bytes, grouped};

const REDRAW: Duration = Duration::from_millis(100);
const BAR_CHARS: usize = 24;

pub struct Progress {
    /// Of all files; 0 where it is not known.
    total_bytes: u64,
    started: Instant,
    drawn_at: Option<Instant>,
    enabled: bool,
}

impl Progress {
    /// Shown where standard error is a terminal and standard output is not: they would write into each other.
    pub fn new(total_bytes: u64) -> Self {
        let enabled = stderr().is_terminal() && !std::io::stdout().is_terminal();
        Self { total_bytes, started: Instant::now(), drawn_at: None, enabled }
    }

    pub fn update(&mut self, done_bytes: u64, rows: u64) {
        let now = Instant::now();
        if !self.enabled || self.drawn_at.is_some_and(|drawn| now < drawn + REDRAW) {
            return;
        }
        self.drawn_at = Some(now);
        let line = line(done_bytes, self.total_bytes, rows, now - self.started);
        let mut out = stderr().lock();
        // A terminal that does not take it is no reason to stop.
        let _ = write!(out, "\r\x1b[K{line}").and_then(|()| out.flush());
    }

    /// Takes the line away, so that what follows begins a line of its own.
    pub fn clear(&mut self) {
        if self.drawn_at.take().is_some() {
            let mut out = stderr().lock();
            let _ = write!(out, "\r\x1b[K").and_then(|()| out.flush());
        }
    }
}

fn line(done_bytes: u64, total_bytes: u64, rows: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-3);
    let rate = format!("{:.1} MB/s", done_bytes as f64 / 1e6 / seconds);
    let tail = format!("{rate}  {} rows", grouped(rows));
    if total_bytes == 0 {
        return format!("{}  {tail}", bytes(done_bytes));
    }
    let share = (done_bytes as f64 / total_bytes as f64).min(1.0);
    let full = (share * BAR_CHARS as f64) as usize;
    let bar = format!("{}{}", "#".repeat(full), "-".repeat(BAR_CHARS.saturating_sub(full)));
    format!("[{bar}] {:3.0}%  {} of {}  {tail}", share * 100.0, bytes(done_bytes), bytes(total_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_and_how_fast() {
        let check = |done, total, expected: &str| {
            assert_eq!(line(done, total, 1_234_567, Duration::from_secs(2)), expected);
        };
        check(512 << 20, 1 << 30, "[############------------]  50%  512.0 MiB of 1.0 GiB  268.4 MB/s  1,234,567 rows");
        check(4096, 0, "4.0 KiB  0.0 MB/s  1,234,567 rows");
        check(20, 10, "[########################] 100%  20 B of 10 B  0.0 MB/s  1,234,567 rows");
    }
}
