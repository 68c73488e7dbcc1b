//! Sampled stacks: a flame graph as SVG, and what was on top how often.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

const WIDTH: f64 = 1200.0;
const ROW: f64 = 16.0;
const HEAD: f64 = 34.0;
/// Of a letter, about.
const LETTER: f64 = 6.6;
/// Narrower than this is not drawn.
const WIDTH_MIN: f64 = 0.4;

/// A function on its callers, and what it called.
#[derive(Debug, Default)]
struct Frame {
    samples: u64,
    called: BTreeMap<String, Frame>,
}

#[derive(Debug, Default)]
pub struct Stacks {
    root: Frame,
    top: HashMap<String, u64>,
}

impl Stacks {
    /// Adds the samples of one process from `perf script -F pid,ip,sym`: a line with the process, then one for each function,
    /// the innermost first, then an empty one.
    pub fn read(&mut self, script: &str, pid: u32) {
        for sample in script.split("\n\n") {
            let mut lines = sample.lines().filter(|line| !line.trim().is_empty());
            if lines.next().and_then(|line| line.trim().parse().ok()) != Some(pid) {
                continue;
            }
            let functions: Vec<&str> =
                lines.map(|line| line.trim().split_once(' ').map_or("?", |(_, name)| short(name))).collect();
            self.add(&functions);
        }
    }

    /// The innermost function comes first.
    fn add(&mut self, functions: &[&str]) {
        let Some(top) = functions.first() else { return };
        *self.top.entry((*top).to_owned()).or_default() += 1;
        let mut frame = &mut self.root;
        frame.samples += 1;
        for function in functions.iter().rev() {
            frame = frame.called.entry((*function).to_owned()).or_default();
            frame.samples += 1;
        }
    }

    pub fn samples(&self) -> u64 {
        self.root.samples
    }

    /// Those that were on top most often, with their part of all samples.
    pub fn top(&self, count: usize) -> Vec<(String, f64)> {
        let mut all: Vec<(&String, &u64)> = self.top.iter().collect();
        all.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let part = |samples: u64| samples as f64 / self.root.samples as f64;
        all.into_iter().take(count).map(|(name, samples)| (name.clone(), part(*samples))).collect()
    }

    /// Puts the other's stacks on a frame of this name.
    pub fn take_under(&mut self, name: &str, other: Self) {
        self.root.samples += other.root.samples;
        self.root.called.insert(name.to_owned(), other.root);
        for (function, samples) in other.top {
            *self.top.entry(function).or_default() += samples;
        }
    }

    pub fn svg(&self, title: &str) -> String {
        let height = HEAD + (self.root.depth() as f64 + 1.0) * ROW;
        let mut body = String::new();
        self.root.draw(&mut body, "all", 0.0, WIDTH, height - ROW, self.root.samples);
        format!(
            "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height:.0}' font-family='monospace' font-size='11'>\n\
             <rect width='100%' height='100%' fill='white'/>\n<text x='10' y='20' font-size='15'>{}</text>\n{body}</svg>\n",
            escaped(title)
        )
    }
}

impl Frame {
    fn depth(&self) -> usize {
        self.called.values().map(|frame| 1 + frame.depth()).max().unwrap_or(0)
    }

    fn draw(&self, body: &mut String, name: &str, x: f64, width: f64, y: f64, all: u64) {
        if width < WIDTH_MIN {
            return;
        }
        let letters = ((width - 4.0) / LETTER).max(0.0) as usize;
        let text: String = if letters < 3 { String::new() } else { name.chars().take(letters).collect() };
        let part = self.samples as f64 * 100.0 / all as f64;
        let _ = writeln!(
            body,
            "<g><title>{} ({} samples, {part:.2}%)</title><rect x='{x:.1}' y='{y:.0}' width='{width:.1}' height='{:.0}' \
             fill='{}' stroke='white' stroke-width='0.5'/><text x='{:.1}' y='{:.0}'>{}</text></g>",
            escaped(name),
            self.samples,
            ROW - 1.0,
            colour(name),
            x + 2.0,
            y + 11.0,
            escaped(&text),
        );
        let mut at = x;
        for (name, frame) in &self.called {
            let part = width * frame.samples as f64 / self.samples as f64;
            frame.draw(body, name, at, part, y - ROW, all);
            at += part;
        }
    }
}

/// Without the hash that ends a mangled name.
fn short(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((front, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => front,
        _ => name,
    }
}

/// A warm one, the same for the same name.
fn colour(name: &str) -> String {
    let hash = name.bytes().fold(5381_u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(byte));
    format!("rgb({},{},{})", 205 + hash % 50, 80 + hash / 50 % 140, hash / 7000 % 60)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "  7 \n\t  55 inner<u8>\n\t  44 outer::h0123456789abcdef\n\n  8 \n\t 1 other\n\n  7 \n\t  44 outer::h0123456789abcdef\n\n";

    #[test]
    fn stacks_of_a_process_are_counted_by_their_tops() {
        let mut stacks = Stacks::default();
        stacks.read(SCRIPT, 7);
        assert_eq!(stacks.samples(), 2);
        assert_eq!(stacks.top(9), [("inner<u8>".to_owned(), 0.5), ("outer".to_owned(), 0.5)]);
        assert_eq!(stacks.root.called["outer"].called["inner<u8>"].samples, 1);
        let mut all = Stacks::default();
        all.take_under("oltp", stacks);
        assert_eq!((all.samples(), all.root.depth()), (2, 3));
    }

    #[test]
    fn a_graph_has_a_box_as_wide_as_its_samples() {
        let mut stacks = Stacks::default();
        stacks.read(SCRIPT, 7);
        let svg = stacks.svg("server");
        assert!(svg.contains("<title>outer (2 samples, 100.00%)</title><rect x='0.0' y='50' width='1200.0'"), "{svg}");
        assert!(
            svg.contains("<title>inner&lt;u8&gt; (1 samples, 50.00%)</title><rect x='0.0' y='34' width='600.0'"),
            "{svg}"
        );
    }
}
