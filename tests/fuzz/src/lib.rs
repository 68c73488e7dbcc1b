//! Fuzz targets: every parser of bytes that come from outside, as plain functions over bytes.
//!
//! ```text
//! targets/*   one file for each target: what it feeds, and what must hold
//! runner      src/bin/fuzz.rs: libFuzzer, by scripts/fuzz.sh
//! corpus/*    small inputs from real servers, and whatever once failed
//! tests/*     the corpus and cheap mutations of it, in every `cargo test`
//! ```
//! What must hold for every input: no panic; memory within a multiple of the input ([`Target::memory_bytes_max`]); what is
//! read and written again is read alike; where `mysql_common` reads the same bytes, it finds the same.

mod binlog;
mod input;
mod memory;
pub mod peer;
mod targets;

pub use binlog::{events_of, files_input};

/// One target.
#[derive(Clone, Copy)]
pub struct Target {
    /// As on the command line, and of its folder in `corpus`.
    pub name: &'static str,
    run: fn(&[u8]),
    /// Longest input that is tried.
    pub input_bytes_max: usize,
    /// What may be allocated at one time: so much, and so many times the input.
    memory: (usize, usize),
}

pub const TARGETS: &[Target] = &[
    Target { name: "packets", run: targets::packets::target, input_bytes_max: 4096, memory: (2 << 20, 64) },
    Target { name: "login", run: targets::login::target, input_bytes_max: 4096, memory: (1 << 20, 64) },
    Target { name: "events", run: targets::events::target, input_bytes_max: 4096, memory: (2 << 20, 64) },
    Target { name: "files", run: targets::files::target, input_bytes_max: 16384, memory: (8 << 20, 4096) },
    Target { name: "rows", run: targets::rows::target, input_bytes_max: 4096, memory: (4 << 20, 8192) },
    Target { name: "jsonb", run: targets::jsonb::target, input_bytes_max: 4096, memory: (16 << 10, 64) },
    Target { name: "json_diff", run: targets::json_diff::target, input_bytes_max: 4096, memory: (16 << 10, 128) },
    Target { name: "gtids", run: targets::gtids::target, input_bytes_max: 2048, memory: (64 << 10, 64) },
    Target { name: "statements", run: targets::statements::target, input_bytes_max: 4096, memory: (64 << 10, 256) },
    Target { name: "wire", run: targets::wire::target, input_bytes_max: 4096, memory: (1 << 20, 256) },
    Target { name: "compression", run: targets::compression::target, input_bytes_max: 4096, memory: (1 << 20, 64) },
    Target { name: "registry", run: targets::registry::target, input_bytes_max: 4096, memory: (8 << 20, 256) },
];

impl Target {
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Most bytes that may be allocated at one time for an input of this length.
    pub fn memory_bytes_max(&self, input_bytes: usize) -> usize {
        self.memory.0 + self.memory.1 * input_bytes
    }

    /// # Panics
    /// Where something does not hold that must.
    pub fn run(&self, data: &[u8]) {
        let ((), peak) = memory::measured(|| (self.run)(data));
        let max = self.memory_bytes_max(data.len());
        assert!(peak <= max, "{}: {peak} bytes of memory for an input of {}; at most {max}", self.name, data.len());
    }
}
