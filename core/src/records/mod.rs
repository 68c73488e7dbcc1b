//! Records in frames, appended to a store and never changed: what durable state is kept in.
//!
//! ```text
//! u32  length of the payload       u32 CRC-32 of these four bytes       u32 CRC-32 of the payload
//! payload
//! ```
//! One commit is one frame, so a crash can tear only the last one. A frame that the file ends in, and whose own end or
//! checksum is not there, was never acknowledged to anyone: it is dropped. Damage anywhere else is an error: a
//! person has to look. All numbers are little-endian.

/// Where records are kept.
pub trait RecordStore {
    /// Everything that was appended so far.
    fn load(&mut self) -> std::io::Result<Vec<u8>>;

    /// Durable when it returns.
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()>;

    /// Cuts off what a crash left half-written behind the first `length_bytes`.
    fn truncate(&mut self, length_bytes: u64) -> std::io::Result<()>;

    /// Puts these bytes in the place of everything, all at once; durable when it returns.
    fn replace(&mut self, bytes: &[u8]) -> std::io::Result<()>;

    /// Puts what there is out of the way, for a person to look at, and begins empty; says where it is now.
    fn set_aside(&mut self) -> std::io::Result<String>;
}

/// A store without durability: for tests, and for decoding files.
#[derive(Debug, Default, Clone)]
pub struct MemoryStore {
    pub bytes: Vec<u8>,
}

impl RecordStore for MemoryStore {
    fn load(&mut self) -> std::io::Result<Vec<u8>> {
        Ok(self.bytes.clone())
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, length_bytes: u64) -> std::io::Result<()> {
        self.bytes.truncate(usize::try_from(length_bytes).unwrap_or(usize::MAX));
        Ok(())
    }

    fn replace(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes = bytes.to_vec();
        Ok(())
    }

    fn set_aside(&mut self) -> std::io::Result<String> {
        self.bytes.clear();
        Ok("nowhere (it was in memory)".to_owned())
    }
}

const HEAD_BYTES: usize = 12;

/// The payload as one frame; `None` where it is longer than a frame can be.
pub fn frame(payload: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(payload.len()).ok()?.to_le_bytes();
    let mut frame = Vec::with_capacity(HEAD_BYTES + payload.len());
    frame.extend(length);
    frame.extend(crc32fast::hash(&length).to_le_bytes());
    frame.extend(crc32fast::hash(payload).to_le_bytes());
    frame.extend(payload);
    Some(frame)
}

/// Damage that is not a torn end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    pub offset: u64,
    pub reason: &'static str,
}

/// Walks over the frames of a store's bytes.
#[derive(Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
    payload_bytes_max: u32,
}

impl<'a> Frames<'a> {
    pub fn new(bytes: &'a [u8], payload_bytes_max: u32) -> Self {
        Self { bytes, at: 0, payload_bytes_max }
    }

    /// Behind the last whole frame that [`next`](Self::next) gave.
    pub fn offset(&self) -> u64 {
        self.at as u64
    }

    /// The next payload; `None` at the end, also a torn one.
    ///
    /// # Errors
    /// [`Damage`] anywhere but in the last frame.
    #[allow(clippy::should_implement_trait)] // It ends with an error.
    pub fn next(&mut self) -> Result<Option<&'a [u8]>, Damage> {
        let damage = |reason| Err(Damage { offset: self.at as u64, reason });
        let Some((head, rest)) = self.bytes.get(self.at..).and_then(|rest| rest.split_first_chunk::<HEAD_BYTES>())
        else {
            return Ok(None);
        };
        let [l0, l1, l2, l3, c0, c1, c2, c3, p0, p1, p2, p3] = *head;
        let length = [l0, l1, l2, l3];
        if crc32fast::hash(&length) != u32::from_le_bytes([c0, c1, c2, c3]) {
            // A file system may have made the file longer before it wrote the bytes.
            if head.iter().chain(rest).all(|byte| *byte == 0) {
                return Ok(None);
            }
            return damage("the length of a record is damaged");
        }
        let length = u32::from_le_bytes(length);
        if length > self.payload_bytes_max {
            return damage("a record is longer than any that is written");
        }
        let Some((payload, behind)) = rest.split_at_checked(length as usize) else { return Ok(None) };
        if crc32fast::hash(payload) != u32::from_le_bytes([p0, p1, p2, p3]) {
            if behind.is_empty() {
                return Ok(None);
            }
            return damage("a record does not match its checksum");
        }
        self.at += HEAD_BYTES + payload.len();
        Ok(Some(payload))
    }
}
