//! The receive side: bytes of a stream in, whole Cap'n Proto messages out.
//!
//! Each message gets memory of its own, aligned to words and shared by reference count, so that rows are read from
//! where the socket wrote them. A message's memory grows with the bytes that have come, not with the length that its
//! header claims. No I/O here: the caller reads into [`Receiver::space`] and says how much with [`Receiver::filled`].

use std::ops::Deref;

use capnp::Word;
use capnp::message::{Reader, ReaderOptions};
use capnp::serialize::BufferSegments;

const WORD_BYTES: usize = 8;

/// Small messages and the heads of large ones pass through here: one read takes many heartbeats and acks.
const STAGING_BYTES: usize = 64 << 10;

/// Readers of other languages stop here too (Cap'n Proto's C++ library: 512 segments).
const SEGMENTS_MAX: usize = 512;

/// The first allocation for a large message; it then doubles as bytes arrive.
const GROWTH_BYTES: usize = 1 << 20;

/// A message's bytes with its segment table, aligned to words.
#[derive(Debug, Default)]
pub(crate) struct WordBuffer(Vec<Word>);

impl Deref for WordBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        Word::words_to_bytes(&self.0)
    }
}

/// One received message, ready to be read.
pub(crate) struct Message {
    reader: Reader<BufferSegments<WordBuffer>>,
    /// With the segment table: what it cost on the wire.
    pub bytes: usize,
}

impl Message {
    fn new(buffer: WordBuffer) -> capnp::Result<Self> {
        let bytes = buffer.len();
        // Unlimited: rows may be read as often as their owner likes. `checked` below bounds what one pass can cost.
        let mut options = ReaderOptions::new();
        options.traversal_limit_in_words(None);
        Ok(Self { reader: Reader::new(BufferSegments::new(buffer, options)?, options), bytes })
    }

    /// The message's root as `T`.
    pub fn root<'a, T: capnp::traits::FromPointerReader<'a>>(&'a self) -> capnp::Result<T> {
        self.reader.get_root()
    }

    /// A second reader of the same bytes that fails once it has followed pointers to eight times the message's
    /// size: a message whose pointers overlap to look larger than it is does not pass.
    pub fn checked(&self) -> Reader<&BufferSegments<WordBuffer>> {
        let mut options = ReaderOptions::new();
        options.traversal_limit_in_words(Some(8 * (self.bytes / WORD_BYTES) + 64));
        Reader::new(self.reader.get_segments(), options)
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ReceiveError {
    #[error("a message of {0} segments, where the most is {SEGMENTS_MAX}; is this the client port of a millstreamd?")]
    Segments(u64),
    #[error("a message of {bytes} bytes (the most is {bytes_max})")]
    TooLarge { bytes: u64, bytes_max: u64 },
    #[error("a message that cannot be read: {0}")]
    Unreadable(String),
}

pub(crate) struct Receiver {
    staging: Box<[u8]>,
    /// `staging[start..end]` has come and is not yet taken.
    start: usize,
    end: usize,
    /// The message that is being received straight into its own memory.
    body: Option<Body>,
    message_bytes_max: usize,
}

struct Body {
    words: Vec<Word>,
    filled: usize,
    total: usize,
}

impl Body {
    fn grow(&mut self) {
        let bytes = (self.filled * 2).max(GROWTH_BYTES).min(self.total);
        self.words.resize(bytes.div_ceil(WORD_BYTES), capnp::word(0, 0, 0, 0, 0, 0, 0, 0));
    }

    fn rest(&mut self) -> &mut [u8] {
        if self.filled == self.words.len() * WORD_BYTES {
            self.grow();
        }
        Word::words_to_bytes_mut(&mut self.words).get_mut(self.filled..).unwrap_or_default()
    }
}

impl Receiver {
    pub fn new(message_bytes_max: usize) -> Self {
        Self { staging: vec![0; STAGING_BYTES].into_boxed_slice(), start: 0, end: 0, body: None, message_bytes_max }
    }

    /// Where the next bytes of the stream go; never empty once `take` has answered `None`.
    pub fn space(&mut self) -> &mut [u8] {
        match &mut self.body {
            Some(body) => body.rest(),
            None => {
                if self.start > 0 {
                    self.staging.copy_within(self.start..self.end, 0);
                    self.end -= self.start;
                    self.start = 0;
                }
                self.staging.get_mut(self.end..).unwrap_or_default()
            }
        }
    }

    /// `bytes` more have been written into what `space` gave.
    pub fn filled(&mut self, bytes: usize) {
        match &mut self.body {
            Some(body) => body.filled = (body.filled + bytes).min(body.words.len() * WORD_BYTES),
            None => self.end = (self.end + bytes).min(self.staging.len()),
        }
    }

    /// The next whole message; `None`: more bytes are needed.
    pub fn take(&mut self) -> Result<Option<Message>, ReceiveError> {
        if self.body.is_none() {
            let staged = self.staging.get(self.start..self.end).unwrap_or_default();
            let Some(total) = message_bytes(staged, self.message_bytes_max)? else {
                return Ok(None);
            };
            let taken = staged.len().min(total);
            let mut body = Body { words: Vec::new(), filled: 0, total };
            let allocated = total.min(GROWTH_BYTES.max(taken)).div_ceil(WORD_BYTES);
            body.words = Word::allocate_zeroed_vec(allocated);
            let memory = Word::words_to_bytes_mut(&mut body.words);
            if let (Some(to), Some(from)) = (memory.get_mut(..taken), staged.get(..taken)) {
                to.copy_from_slice(from);
            }
            body.filled = taken;
            self.start += taken;
            self.body = Some(body);
        }
        match self.body.take() {
            Some(body) if body.filled == body.total => Message::new(WordBuffer(body.words))
                .map(Some)
                .map_err(|error| ReceiveError::Unreadable(error.to_string())),
            unfinished => {
                self.body = unfinished;
                Ok(None)
            }
        }
    }
}

/// Size of the message that `bytes` begin with, from its segment table; `None`: the table is not complete yet.
fn message_bytes(bytes: &[u8], bytes_max: usize) -> Result<Option<usize>, ReceiveError> {
    let field = |index: usize| -> Option<u64> {
        let at = index * 4;
        let raw: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u64::from(u32::from_le_bytes(raw)))
    };
    let Some(segments) = field(0).map(|count| count + 1) else {
        return Ok(None);
    };
    if segments > SEGMENTS_MAX as u64 {
        return Err(ReceiveError::Segments(segments));
    }
    let segments = segments as usize;
    // The count and one size a segment, four bytes each, padded to a word.
    let table_bytes = (4 * (segments + 1)).next_multiple_of(WORD_BYTES);
    let mut total = table_bytes as u64;
    for index in 1..=segments {
        let Some(words) = field(index) else {
            return Ok(None);
        };
        total += words * WORD_BYTES as u64;
    }
    if total > bytes_max as u64 {
        return Err(ReceiveError::TooLarge { bytes: total, bytes_max: bytes_max as u64 });
    }
    Ok(Some(total as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(text: &str) -> Vec<u8> {
        let mut message = capnp::message::Builder::new_default();
        message.set_root::<capnp::text::Owned>(text).expect("set");
        capnp::serialize::write_message_to_words(&message)
    }

    /// Feeds `stream` in pieces of `piece` bytes; gives the texts of the messages.
    fn receive(stream: &[u8], piece: usize, bytes_max: usize) -> Result<Vec<String>, ReceiveError> {
        let mut receiver = Receiver::new(bytes_max);
        let mut texts = Vec::new();
        for mut rest in stream.chunks(piece) {
            while !rest.is_empty() {
                let space = receiver.space();
                let count = space.len().min(rest.len());
                assert!(count > 0, "space is empty");
                space[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                receiver.filled(count);
                while let Some(message) = receiver.take()? {
                    let text: capnp::text::Reader = message.root().expect("root");
                    texts.push(text.to_string().expect("utf-8"));
                }
            }
        }
        Ok(texts)
    }

    #[test]
    fn messages_come_out_whole_however_the_stream_is_cut() {
        let texts = ["", "a", &"x".repeat(1000), &"y".repeat(200_000), "end"];
        let stream: Vec<u8> = texts.iter().flat_map(|text| framed(text)).collect();
        for piece in [1, 3, 7, 8, 64, 4096, 65_536, 1 << 20] {
            assert_eq!(receive(&stream, piece, 1 << 20), Ok(texts.map(str::to_owned).to_vec()), "{piece}");
        }
    }

    #[test]
    fn a_message_larger_than_its_first_allocation_grows_with_its_bytes() {
        let text = "z".repeat(5 << 20);
        assert_eq!(receive(&framed(&text), 100_000, 8 << 20), Ok(vec![text]));
    }

    #[test]
    fn memory_follows_what_has_come_not_what_the_header_claims() {
        let mut receiver = Receiver::new(1 << 30);
        let header = [0, 0, 0, 0, 0, 0, 0, 4]; // one segment of 2^26 words: 512 MiB
        receiver.space()[..8].copy_from_slice(&header);
        receiver.filled(8);
        assert!(receiver.take().expect("header").is_none());
        assert!(receiver.space().len() <= GROWTH_BYTES);
    }

    #[test]
    fn hostile_headers_are_refused() {
        let check = |bytes: &[u8], expected: ReceiveError| {
            assert_eq!(receive(bytes, 4096, 1 << 20), Err(expected));
        };
        check(&[0xff; 64], ReceiveError::Segments(1 << 32));
        check(&[0, 2, 0, 0, 0, 0, 0, 0], ReceiveError::Segments(513));
        check(
            &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            ReceiveError::TooLarge { bytes: 8 + 8 * u64::from(u32::MAX), bytes_max: 1 << 20 },
        );
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..2000 {
            let bytes: Vec<u8> = (0..256)
                .map(|index| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    // Heads of few segments and small sizes, so that many pass the first check.
                    if index % 4 == 0 {
                        (state >> 60) as u8
                    } else if index < 64 {
                        0
                    } else {
                        (state >> 56) as u8
                    }
                })
                .collect();
            let mut receiver = Receiver::new(1 << 20);
            receiver.space()[..256].copy_from_slice(&bytes);
            receiver.filled(256);
            while let Ok(Some(message)) = receiver.take() {
                let _ = message.root::<capnp::text::Reader>();
                let _ = message.checked().get_root::<millstream_codec::millstream_capnp::server_message::Reader>();
            }
        }
    }
}
