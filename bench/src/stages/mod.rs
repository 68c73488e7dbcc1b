//! The stages of the hot path, each over a fixed input that is made here: `benches/stages.rs` takes their time,
//! `bin/instructions.rs` counts their instructions, and both show a digest of what they put out.

mod client;
mod encode;
mod engine;
mod path;
mod receive;

use crate::digest;

/// Sees what a stage puts out, before it is dropped.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]);

/// A stage over its input, as often as one likes: each run does the same.
pub trait Stage {
    /// What a run needs anew. Not measured.
    fn prepare(&mut self) {}

    /// The whole input once; returns the number of units that went through.
    fn run(&mut self, sink: Sink<'_>) -> u64;
}

/// How much input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Runs in the tests, and under an emulator.
    Smoke,
    /// For the clock: past the first caches.
    Full,
}

/// A stage by its name.
pub struct Entry {
    pub name: &'static str,
    /// What is counted, in the plural.
    pub units: &'static str,
    make: fn(Size) -> (u64, Box<dyn Stage>),
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub units: u64,
    pub digest: u64,
}

impl Entry {
    /// The stage, run once so that its buffers have grown, and what that run came to.
    ///
    /// # Panics
    /// Where it did not do all its units.
    pub fn ready(&self, size: Size) -> (Box<dyn Stage>, Outcome) {
        let (expected, mut stage) = (self.make)(size);
        let mut result = 0;
        stage.prepare();
        let units = stage.run(&mut |bytes| result = digest(bytes, result));
        assert_eq!(units, expected, "{}: {} that went through", self.name, self.units);
        assert_ne!(result, 0, "{}: nothing was put out", self.name);
        (stage, Outcome { units, digest: result })
    }
}

/// All of them, in the order of a row's life.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    let engine = encode::ENTRIES.iter().chain(engine::ENTRIES).chain(path::ENTRIES);
    receive::ENTRIES.iter().chain(engine).chain(client::ENTRIES)
}

pub fn by_name(name: &str) -> Option<&'static Entry> {
    all().find(|entry| entry.name == name)
}
