//! Standard output, written in large pieces.

use std::io::{self, Write};

/// What is written at once.
const PIECE_BYTES: usize = 64 << 10;

/// Lines that wait to be written. They reach the reader at the latest with `flush`.
pub struct Lines<W: Write> {
    pub buffer: Vec<u8>,
    to: W,
}

impl<W: Write> Lines<W> {
    pub fn new(to: W) -> Self {
        Self { buffer: Vec::with_capacity(2 * PIECE_BYTES), to }
    }

    /// Writes if there is enough to write.
    pub fn settle(&mut self) -> io::Result<()> {
        match self.buffer.len() >= PIECE_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.to.write_all(&self.buffer)?;
        self.buffer.clear();
        self.to.flush()
    }
}
