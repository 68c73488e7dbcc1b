//! Messages out of a stream of bytes, in Cap'n Proto's standard framing, for either direction.
//!
//! One buffer receives everything and is used again: the caller reads into [`MessageFramer::space`], says how much with
//! [`MessageFramer::filled`], and takes messages that lie where they were received. In the steady state nothing is
//! allocated and nothing copied but the head of a message that the buffer's end cut.
//!
//! Invariants: a message begins at a multiple of 8 bytes of a buffer of words, so it is aligned as Cap'n Proto needs;
//! memory follows the bytes that have come, never what a header claims; a header beyond the bounds is an error at once.

use capnp::Word;
use capnp::message::{Reader, ReaderOptions, ReaderSegments};

use super::words::Segment;

const WORD: usize = 8;

/// A count, and a size for each segment; to a whole word.
const HEADER_BYTES_MAX: usize = ((1 + SEGMENTS_MAX) * 4).next_multiple_of(WORD);

/// Readers of other languages stop here too.
pub const SEGMENTS_MAX: usize = 512;

/// How often all of a message may be read: a reader stops once it has followed pointers to so many times the words
/// that came, so that pointers that overlap cannot make a small message expensive.
pub const TRAVERSALS_MAX: usize = 16;

/// A buffer that a large message made larger than this is given back once it is empty.
const KEEP_BYTES_MAX: usize = 16 << 20;

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error(
        "a message of {segments} segments: the most is {SEGMENTS_MAX}, so this is no stream of Cap'n Proto messages"
    )]
    TooManySegments { segments: u64 },
    #[error("a message of {bytes} bytes: the most is {bytes_max}")]
    TooLarge { bytes: u64, bytes_max: usize },
}

#[derive(Debug)]
pub struct MessageFramer {
    words: Vec<Word>,
    /// Bytes `start..end` of the buffer have come and are not yet taken; `start` is a multiple of 8.
    start: usize,
    end: usize,
    /// Size of the message at `start`, as soon as its header is complete.
    wanted: Option<usize>,
    initial_bytes: usize,
    message_bytes_max: usize,
    /// Byte ranges of the last taken message's segments in the buffer.
    segments: Vec<(usize, usize)>,
}

/// A received message, in the framer's buffer.
pub struct Message<'a> {
    reader: Reader<FramedSegments<'a>>,
    len_bytes: usize,
}

/// The segments of a message where they were received.
pub struct FramedSegments<'a> {
    bytes: &'a [u8],
    segments: &'a [(usize, usize)],
}

impl ReaderSegments for FramedSegments<'_> {
    fn get_segment(&self, index: u32) -> Option<&[u8]> {
        let &(start, end) = self.segments.get(usize::try_from(index).ok()?)?;
        self.bytes.get(start..end)
    }

    fn len(&self) -> usize {
        self.segments.len()
    }
}

impl Message<'_> {
    /// The root as a generated reader, `server_message::Reader` say.
    ///
    /// # Errors
    /// Where the root is damaged.
    pub fn root<'b, T: capnp::traits::FromPointerReader<'b>>(&'b self) -> capnp::Result<T> {
        self.reader.get_root()
    }

    /// Its words, where it has one segment.
    pub fn segment(&self) -> Option<Segment<'_>> {
        let segments = self.reader.get_segments();
        if segments.len() == 1 { segments.get_segment(0).map(Segment::of_words) } else { None }
    }

    /// With its header: what it took of the stream, and of the credit.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

impl MessageFramer {
    /// `buffer_bytes`: what is allocated at first, and read at a time; `message_bytes_max`: with the header.
    pub fn new(buffer_bytes: usize, message_bytes_max: usize) -> Self {
        let initial_bytes = buffer_bytes.max(64).next_multiple_of(WORD);
        Self {
            words: Word::allocate_zeroed_vec(initial_bytes / WORD),
            start: 0,
            end: 0,
            wanted: None,
            initial_bytes,
            message_bytes_max,
            segments: Vec::new(),
        }
    }

    /// Where the next bytes of the stream go. Not empty once [`Self::message`] has answered `None`.
    pub fn space(&mut self) -> &mut [u8] {
        let capacity = self.words.len() * WORD;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            if capacity > KEEP_BYTES_MAX && capacity > self.initial_bytes {
                self.words = Word::allocate_zeroed_vec(self.initial_bytes / WORD);
            }
        } else if self.start > 0 && self.should_move(capacity) {
            let (start, end) = (self.start, self.end);
            self.bytes_mut().copy_within(start..end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.words.len() * WORD {
            self.grow();
        }
        let end = self.end;
        self.bytes_mut().get_mut(end..).unwrap_or_default()
    }

    /// `bytes` more have come into what `space` gave.
    pub fn filled(&mut self, bytes: usize) {
        self.end = self.end.saturating_add(bytes).min(self.words.len() * WORD);
    }

    /// Copies as much of `bytes` in as there is room for; says how much. It is 0 only while a whole message waits.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let count = space.len().min(bytes.len());
        if let (Some(to), Some(from)) = (space.get_mut(..count), bytes.get(..count)) {
            to.copy_from_slice(from);
        }
        self.filled(count);
        count
    }

    /// Bytes that have come and are not yet taken.
    pub fn waiting_bytes(&self) -> usize {
        self.end - self.start
    }

    /// Memory held.
    pub fn buffer_bytes(&self) -> usize {
        self.words.len() * WORD
    }

    /// The next whole message; `None`: more bytes are needed.
    ///
    /// # Errors
    /// Where the header is beyond the bounds. The stream cannot be read on then.
    pub fn message(&mut self) -> Result<Option<Message<'_>>, FrameError> {
        let Some(total) = self.header()? else {
            return Ok(None);
        };
        self.wanted = Some(total);
        if self.end - self.start < total {
            return Ok(None);
        }
        self.wanted = None;
        self.start += total;
        let body_words = total / WORD;
        let mut options = ReaderOptions::new();
        // The constant lets an empty message be looked at.
        options.traversal_limit_in_words(Some(body_words.saturating_mul(TRAVERSALS_MAX).saturating_add(64)));
        let segments = FramedSegments { bytes: Word::words_to_bytes(&self.words), segments: &self.segments };
        Ok(Some(Message { reader: Reader::new(segments, options), len_bytes: total }))
    }

    /// Reads the header at `start`: the size of its message, and the places of the segments.
    fn header(&mut self) -> Result<Option<usize>, FrameError> {
        let bytes = Word::words_to_bytes(&self.words).get(self.start..self.end).unwrap_or_default();
        let number = |index: usize| {
            let at = index * 4;
            let raw: Option<[u8; 4]> = bytes.get(at..at + 4).and_then(|raw| raw.try_into().ok());
            raw.map(u32::from_le_bytes)
        };
        let Some(last_segment) = number(0) else {
            return Ok(None);
        };
        let count = u64::from(last_segment) + 1;
        let segments = match usize::try_from(count) {
            Ok(segments) if segments <= SEGMENTS_MAX => segments,
            _ => return Err(FrameError::TooManySegments { segments: count }),
        };
        // The count and a size for each segment, four bytes each, to a whole word.
        let header_bytes = ((1 + segments) * 4).next_multiple_of(WORD);
        let mut total = header_bytes as u64;
        self.segments.clear();
        for index in 1..=segments {
            let Some(segment_words) = number(index) else {
                return Ok(None);
            };
            let from = total;
            total += u64::from(segment_words) * WORD as u64;
            if total > self.message_bytes_max as u64 {
                return Err(FrameError::TooLarge { bytes: total, bytes_max: self.message_bytes_max });
            }
            // Below message_bytes_max, which is a usize.
            self.segments.push((self.start + from as usize, self.start + total as usize));
        }
        Ok(Some(total as usize))
    }

    /// Whether what has come should go to the front: the message would not fit behind it, or little room is left.
    fn should_move(&self, capacity: usize) -> bool {
        let wanted = self.wanted.unwrap_or(HEADER_BYTES_MAX);
        self.start + wanted > capacity || capacity - self.end < capacity / 4
    }

    /// Doubles a full buffer, but not beyond the message that needs it, or the header where that is not there yet.
    fn grow(&mut self) {
        let capacity = self.words.len() * WORD;
        let wanted = self.wanted.unwrap_or(HEADER_BYTES_MAX).next_multiple_of(WORD);
        let bytes = capacity.saturating_mul(2).min(wanted).max(capacity);
        self.words.resize(bytes / WORD, capnp::word(0, 0, 0, 0, 0, 0, 0, 0));
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        Word::words_to_bytes_mut(&mut self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(text: &str) -> Vec<u8> {
        let mut message = capnp::message::Builder::new_default();
        message.set_root::<capnp::text::Owned>(text).unwrap();
        capnp::serialize::write_message_to_words(&message)
    }

    /// Two segments: the text lies behind a far pointer.
    fn framed_in_two(text: &str) -> Vec<u8> {
        let allocator = capnp::message::HeapAllocator::new()
            .first_segment_words(2)
            .allocation_strategy(capnp::message::AllocationStrategy::FixedSize);
        let mut message = capnp::message::Builder::new(allocator);
        message.set_root::<capnp::text::Owned>(text).unwrap();
        assert!(message.get_segments_for_output().len() > 1);
        capnp::serialize::write_message_to_words(&message)
    }

    fn receive(stream: &[u8], piece: usize, framer: &mut MessageFramer) -> Result<Vec<String>, FrameError> {
        let mut texts = Vec::new();
        for mut rest in stream.chunks(piece) {
            while !rest.is_empty() {
                let count = framer.push(rest);
                rest = &rest[count..];
                while let Some(message) = framer.message()? {
                    let text: capnp::text::Reader<'_> = message.root().unwrap();
                    texts.push(text.to_string().unwrap());
                }
            }
        }
        Ok(texts)
    }

    #[test]
    fn messages_come_out_whole_however_the_stream_is_cut() {
        let texts = ["", "a", &"x".repeat(1000), &"y".repeat(200_000), "end"].map(str::to_owned);
        let stream: Vec<u8> =
            texts.iter().flat_map(|text| [framed(text), framed_in_two(&format!("{text:9}"))].concat()).collect();
        let expected: Vec<String> = texts.iter().flat_map(|text| [text.clone(), format!("{text:9}")]).collect();
        for piece in [1, 3, 7, 8, 64, 4096, 65_536, 1 << 20] {
            for buffer in [0, 64, 4096, 1 << 20] {
                let mut framer = MessageFramer::new(buffer, 1 << 20);
                assert_eq!(receive(&stream, piece, &mut framer).as_ref(), Ok(&expected), "{piece} {buffer}");
                assert_eq!(framer.waiting_bytes(), 0);
                assert!(framer.buffer_bytes() <= 1 << 20);
            }
        }
    }

    #[test]
    fn memory_follows_what_has_come() {
        let mut framer = MessageFramer::new(4096, 1 << 30);
        // One segment of 2^26 words: 512 MiB.
        assert_eq!(framer.push(&[0, 0, 0, 0, 0, 0, 0, 4]), 8);
        for _ in 0..100 {
            assert!(framer.message().unwrap().is_none());
            let space = framer.space();
            let count = space.len().min(1000);
            framer.filled(count);
        }
        assert!(framer.buffer_bytes() <= 256 * 1024, "{}", framer.buffer_bytes());
    }

    #[test]
    fn a_header_longer_than_the_buffer_is_read() {
        // 512 segments, all empty but the first: a null pointer as root.
        let mut stream = 511_u32.to_le_bytes().to_vec();
        stream.extend(1_u32.to_le_bytes());
        stream.resize(HEADER_BYTES_MAX + WORD, 0);
        for buffer in [64, 100, 4096] {
            let mut framer = MessageFramer::new(buffer, 1 << 20);
            assert_eq!(receive(&stream, 50, &mut framer), Ok(vec![String::new()]), "{buffer}");
        }
    }

    #[test]
    fn headers_beyond_the_bounds_are_refused() {
        fn check(header: &[u8], expected: FrameError) {
            let mut framer = MessageFramer::new(4096, 1024);
            framer.push(header);
            assert_eq!(framer.message().map(|_| ()), Err(expected));
        }
        check(&[0, 2, 0, 0], FrameError::TooManySegments { segments: 513 });
        check(&[255; 8], FrameError::TooManySegments { segments: 1 << 32 });
        check(&[0, 0, 0, 0, 128, 0, 0, 0], FrameError::TooLarge { bytes: 1032, bytes_max: 1024 });
        check(b"GET / HTTP/1.1\r\n", FrameError::TooManySegments { segments: 0x2054_4548 });
        // Two segments whose sum is too large, before the second size's padding has come.
        check(
            &[1, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255],
            FrameError::TooLarge { bytes: 16 + 8 + 8 * 0xffff_ffff, bytes_max: 1024 },
        );
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        let mut framer = MessageFramer::new(4096, 1 << 30);
        let text = "z".repeat(KEEP_BYTES_MAX);
        assert_eq!(receive(&framed(&text), 1 << 20, &mut framer), Ok(vec![text]));
        framer.space();
        assert_eq!(framer.buffer_bytes(), 4096);
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut state = 7u64;
        for _ in 0..2000 {
            let mut bytes = framed(&"t".repeat(40));
            for _ in 0..4 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (state >> 33) as usize % bytes.len();
                bytes[at] = (state >> 20) as u8;
            }
            let mut framer = MessageFramer::new(64, 4096);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let count = framer.push(rest);
                rest = &rest[count..];
                match framer.message() {
                    Ok(Some(message)) => {
                        let _ = message.root::<capnp::text::Reader<'_>>().map(|text| text.to_string());
                    }
                    Ok(None) if count == 0 => panic!("no progress"),
                    Ok(None) => {}
                    Err(_) => break,
                }
            }
        }
    }
}
