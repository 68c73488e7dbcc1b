//! The receive side: bytes of a stream in, whole Cap'n Proto messages out.
//!
//! Each message gets memory of its own, aligned to words and shared by reference count, so that rows are read from
//! where the socket wrote them. A message's memory grows with the bytes that have come, not with the length that its
//! header claims; it comes from a [`Pool`] and goes back there. No I/O here: the caller reads into [`Receiver::space`]
//! and says how much with [`Receiver::filled`].

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use capnp::Word;
use capnp::message::{Reader, ReaderOptions};
use capnp::serialize::BufferSegments;
use millstream_codec::wire::words::Segment;

const WORD_BYTES: usize = 8;

/// Small messages and the heads of large ones pass through here: one read takes many heartbeats and acks.
const STAGING_BYTES: usize = 64 << 10;

/// What passes through there behind a large message, which another one follows as a rule: the rest of that is read
/// straight into its own memory, and need not be copied.
const HEAD_BYTES: usize = 4 << 10;

/// A message from here on is a large one: its memory is used again.
const LARGE_BYTES: usize = 32 << 10;

/// Readers of other languages stop here too (Cap'n Proto's C++ library: 512 segments).
const SEGMENTS_MAX: usize = 512;

/// The first allocation for a large message; it then doubles as bytes arrive.
const GROWTH_BYTES: usize = 1 << 20;

/// Memory that a connection keeps for its next messages. What is larger goes back to the allocator at once: one large
/// message does not hold its memory for ever.
const POOL_BYTES_MAX: usize = 2 << 20;

const ZERO: Word = capnp::word(0, 0, 0, 0, 0, 0, 0, 0);

/// The memory of messages whose last transaction has been dropped, wherever that was.
///
/// It is used again as it is: what a message does not overwrite it cannot show, since it is given to nobody before all
/// its bytes have come.
#[derive(Debug, Default)]
struct Pool {
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    /// The one that was used last is the last: it may still be in a cache.
    buffers: Vec<Vec<Word>>,
    bytes: usize,
}

impl Pool {
    fn free(&self) -> MutexGuard<'_, Free> {
        // Nothing panics while it is held.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory for `bytes` at least, with anything in it.
    fn take(&self, bytes: usize) -> Vec<Word> {
        if bytes < LARGE_BYTES {
            return Word::allocate_zeroed_vec(bytes.div_ceil(WORD_BYTES));
        }
        let mut free = self.free();
        if let Some(index) = free.buffers.iter().rposition(|buffer| bytes_of(buffer) >= bytes) {
            let buffer = free.buffers.remove(index);
            free.bytes -= bytes_of(&buffer);
            return buffer;
        }
        drop(free);
        // A power of two: the next message, a little larger, finds room in it.
        Word::allocate_zeroed_vec(bytes.next_power_of_two() / WORD_BYTES)
    }

    fn give_back(&self, buffer: Vec<Word>) {
        let bytes = bytes_of(&buffer);
        if !(LARGE_BYTES..=GROWTH_BYTES).contains(&bytes) {
            return;
        }
        let mut free = self.free();
        if free.bytes + bytes <= POOL_BYTES_MAX {
            free.bytes += bytes;
            free.buffers.push(buffer);
        }
    }
}

fn bytes_of(buffer: &[Word]) -> usize {
    buffer.len() * WORD_BYTES
}

/// A message's bytes with its segment table, aligned to words.
#[derive(Debug, Default)]
pub(crate) struct WordBuffer {
    words: Vec<Word>,
    /// What of it is the message.
    bytes: usize,
    /// Gone with its connection.
    pool: Weak<Pool>,
}

impl Deref for WordBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        Word::words_to_bytes(&self.words).get(..self.bytes).unwrap_or_default()
    }
}

impl Drop for WordBuffer {
    fn drop(&mut self) {
        if self.bytes >= LARGE_BYTES
            && let Some(pool) = self.pool.upgrade()
        {
            pool.give_back(std::mem::take(&mut self.words));
        }
    }
}

/// One received message, ready to be read.
pub(crate) struct Message {
    reader: Reader<BufferSegments<SharedBuffer>>,
    buffer: SharedBuffer,
    has_one_segment: bool,
    /// With the segment table: what it cost on the wire.
    pub bytes: usize,
}

/// Held by the crate's reader and beside it.
#[derive(Clone)]
pub(crate) struct SharedBuffer(Arc<WordBuffer>);

impl Deref for SharedBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Message {
    fn new(buffer: WordBuffer) -> capnp::Result<Self> {
        let bytes = buffer.len();
        let buffer = SharedBuffer(Arc::new(buffer));
        // Unlimited: rows may be read as often as their owner likes. `checked` below bounds what one pass can cost.
        let mut options = ReaderOptions::new();
        options.traversal_limit_in_words(None);
        let reader = Reader::new(BufferSegments::new(buffer.clone(), options)?, options);
        let has_one_segment = Segment::of_message(&buffer).is_some();
        Ok(Self { reader, buffer, has_one_segment, bytes })
    }

    /// The message's root as `T`.
    pub fn root<'a, T: capnp::traits::FromPointerReader<'a>>(&'a self) -> capnp::Result<T> {
        self.reader.get_root()
    }

    /// Its words, where it has one segment.
    #[inline]
    pub fn segment(&self) -> Option<Segment<'_>> {
        self.has_one_segment.then(|| Segment::of_known(&self.buffer))
    }

    /// A second reader of the same bytes that fails once it has followed pointers to eight times the message's
    /// size: a message whose pointers overlap to look larger than it is does not pass.
    pub fn checked(&self) -> Reader<&BufferSegments<SharedBuffer>> {
        let mut options = ReaderOptions::new();
        options.traversal_limit_in_words(Some(8 * (self.bytes / WORD_BYTES) + 64));
        Reader::new(self.reader.get_segments(), options)
    }

    /// The same with one segment: what was said in several is copied. It counts as many bytes as before.
    ///
    /// # Errors
    /// Damaged, or larger than its segments: its pointers overlap.
    pub fn into_one_segment<T>(self) -> capnp::Result<Self>
    where
        T: capnp::traits::Owned,
        for<'a> T::Reader<'a>: capnp::traits::FromPointerReader<'a>,
    {
        if self.segment().is_some() {
            return Ok(self);
        }
        let words = self.bytes / WORD_BYTES;
        // Every word is copied once: more than there are is not read.
        let mut options = ReaderOptions::new();
        options.traversal_limit_in_words(Some(words + 64));
        let reader = Reader::new(self.reader.get_segments(), options);
        let words = u32::try_from(words).unwrap_or(u32::MAX);
        let allocator = capnp::message::HeapAllocator::new().first_segment_words(words);
        let mut copy = capnp::message::Builder::new(allocator);
        copy.set_root(reader.get_root::<T::Reader<'_>>()?)?;
        let framed = capnp::serialize::write_message_to_words(&copy);
        let mut words = vec![ZERO; framed.len() / WORD_BYTES];
        Word::words_to_bytes_mut(&mut words).copy_from_slice(&framed);
        let copied = Self::new(WordBuffer { words, bytes: framed.len(), pool: Weak::new() })?;
        match copied.segment() {
            Some(_) => Ok(Self { bytes: self.bytes, ..copied }),
            None => Err(capnp::Error::failed("its pointers overlap".to_owned())),
        }
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
    /// How much the next head may bring along.
    head_bytes: usize,
    /// The message that is being received straight into its own memory.
    body: Option<Body>,
    message_bytes_max: usize,
    pool: Arc<Pool>,
}

struct Body {
    words: Vec<Word>,
    filled: usize,
    total: usize,
}

impl Body {
    fn room(&self) -> usize {
        bytes_of(&self.words).min(self.total)
    }

    fn grow(&mut self) {
        let bytes = (self.filled * 2).max(GROWTH_BYTES).min(self.total);
        self.words.resize(bytes.div_ceil(WORD_BYTES), ZERO);
    }

    fn rest(&mut self) -> &mut [u8] {
        if self.filled == self.room() {
            self.grow();
        }
        let room = self.room();
        Word::words_to_bytes_mut(&mut self.words).get_mut(self.filled..room).unwrap_or_default()
    }
}

impl Receiver {
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            staging: vec![0; STAGING_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            head_bytes: STAGING_BYTES,
            body: None,
            message_bytes_max,
            pool: Arc::default(),
        }
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
                // A segment table is shorter than a head, so that there is always room for its rest.
                let end = self.head_bytes.max(self.end + 1).min(self.staging.len());
                self.staging.get_mut(self.end..end).unwrap_or_default()
            }
        }
    }

    /// `bytes` more have been written into what `space` gave.
    pub fn filled(&mut self, bytes: usize) {
        match &mut self.body {
            Some(body) => body.filled = (body.filled + bytes).min(body.room()),
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
            let mut body = Body { words: self.pool.take(total.min(GROWTH_BYTES.max(taken))), filled: 0, total };
            let memory = Word::words_to_bytes_mut(&mut body.words);
            if let (Some(to), Some(from)) = (memory.get_mut(..taken), staged.get(..taken)) {
                to.copy_from_slice(from);
            }
            body.filled = taken;
            self.start += taken;
            self.body = Some(body);
        }
        match self.body.take() {
            Some(body) if body.filled == body.total => {
                self.head_bytes = if body.total >= LARGE_BYTES { HEAD_BYTES } else { STAGING_BYTES };
                let pool = Arc::downgrade(&self.pool);
                Message::new(WordBuffer { words: body.words, bytes: body.total, pool })
                    .map(Some)
                    .map_err(|error| ReceiveError::Unreadable(error.to_string()))
            }
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

    /// One message into a receiver, as a socket with all of it would bring it.
    fn received(receiver: &mut Receiver, text: &str) -> Message {
        let framed = framed(text);
        let mut rest = &framed[..];
        loop {
            let space = receiver.space();
            let count = space.len().min(rest.len());
            space[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            receiver.filled(count);
            if let Some(message) = receiver.take().expect("sound") {
                assert!(rest.is_empty());
                return message;
            }
        }
    }

    fn text_of(message: &Message) -> &str {
        message.root::<capnp::text::Reader<'_>>().expect("root").to_str().expect("utf-8")
    }

    fn numbers(mut state: u64) -> impl FnMut(usize) -> usize {
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        }
    }

    #[test]
    fn memory_is_used_again_once_its_message_is_dropped_and_not_before() {
        let mut receiver = Receiver::new(1 << 24);
        let place = |message: &Message| message.buffer.as_ptr();
        let first = received(&mut receiver, &"a".repeat(100_000));
        let second = received(&mut receiver, &"b".repeat(100_000));
        assert_ne!(place(&first), place(&second));
        assert_eq!(receiver.pool.free().buffers.len(), 0, "both are in use");
        let freed = place(&first);
        // On another thread, as an application may.
        std::thread::spawn(move || drop(first)).join().expect("dropped");
        assert_eq!(receiver.pool.free().bytes, 128 << 10);
        let third = received(&mut receiver, &"c".repeat(90_000));
        assert_eq!(place(&third), freed);
        assert_eq!((text_of(&second), text_of(&third)), (&*"b".repeat(100_000), &*"c".repeat(90_000)));
    }

    #[test]
    fn what_is_kept_is_bounded_and_a_huge_message_is_not_kept() {
        let mut receiver = Receiver::new(1 << 24);
        drop(received(&mut receiver, &"x".repeat(5 << 20)));
        assert_eq!(receiver.pool.free().bytes, 0);
        let held: Vec<Message> = (0..40).map(|_| received(&mut receiver, &"y".repeat(250_000))).collect();
        drop(held);
        let kept = receiver.pool.free().bytes;
        assert!(kept > 0 && kept <= POOL_BYTES_MAX, "{kept}");
        assert_eq!(kept, receiver.pool.free().buffers.iter().map(|buffer| bytes_of(buffer)).sum::<usize>());
        // Small ones are not kept at all.
        drop(received(&mut receiver, "z"));
        assert_eq!(receiver.pool.free().bytes, kept);
        // Of a connection that is gone, nothing is.
        let pool = Arc::downgrade(&receiver.pool);
        let last = received(&mut receiver, &"w".repeat(100_000));
        drop(receiver);
        assert!(pool.upgrade().is_none());
        assert_eq!(text_of(&last).len(), 100_000);
    }

    #[test]
    fn messages_of_any_sizes_come_out_equal_while_buffers_are_used_again() {
        let mut random = numbers(7);
        for round in 0..20 {
            let mut texts = Vec::new();
            for _ in 0..60 {
                let sizes = [10, 5_000, 70_000, 300_000, 1_500_000];
                // The largest in the first round only.
                let size = random(sizes.len() - usize::from(round > 0));
                let bytes = random(sizes[size]);
                texts.push(char::from(b'a' + random(26) as u8).to_string().repeat(bytes));
            }
            let stream: Vec<u8> = texts.iter().flat_map(|text| framed(text)).collect();
            let mut receiver = Receiver::new(1 << 22);
            // Some are held for a while, as transactions are.
            let mut held: Vec<(usize, Message)> = Vec::new();
            let (mut rest, mut taken) = (&stream[..], 0);
            while !rest.is_empty() {
                let space = receiver.space();
                let count = space.len().min(rest.len()).min(1 + random(200_000));
                assert!(count > 0, "space is empty");
                space[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                receiver.filled(count);
                while let Some(message) = receiver.take().expect("sound") {
                    held.push((taken, message));
                    taken += 1;
                    if held.len() > 4 {
                        let place = random(held.len());
                        let (index, message) = held.swap_remove(place);
                        assert!(text_of(&message) == texts[index], "round {round}, message {index}");
                    }
                }
            }
            assert_eq!(taken, texts.len());
            for (index, message) in held {
                assert!(text_of(&message) == texts[index], "round {round}, message {index}");
            }
        }
    }

    #[test]
    fn a_message_in_several_segments_is_copied_into_one_unless_its_pointers_overlap() {
        use millstream_codec::millstream_capnp::server_message;
        let allocator = capnp::message::HeapAllocator::new()
            .first_segment_words(4)
            .allocation_strategy(capnp::message::AllocationStrategy::FixedSize);
        let mut builder = capnp::message::Builder::new(allocator);
        let mut servers = builder.init_root::<server_message::Builder<'_>>().init_redirect(9);
        for index in 0..9 {
            servers.set(index, format!("server number {index}"));
        }
        let bytes = capnp::serialize::write_message_to_words(&builder);
        let message = |bytes: &[u8]| {
            let mut words = vec![ZERO; bytes.len() / WORD_BYTES];
            Word::words_to_bytes_mut(&mut words).copy_from_slice(bytes);
            Message::new(WordBuffer { words, bytes: bytes.len(), pool: Weak::new() }).expect("sound")
        };
        assert!(message(&bytes).segment().is_none());
        let copied = message(&bytes).into_one_segment::<server_message::Owned>().expect("copied");
        assert_eq!(copied.bytes, bytes.len(), "it costs the credit that it has taken");
        let texts = copied.segment().and_then(|segment| segment.root()).and_then(|root| root.texts(0)).expect("texts");
        let texts: Vec<_> =
            texts.iter().map(|text| String::from_utf8_lossy(text.expect("text")).into_owned()).collect();
        assert_eq!(texts, (0..9).map(|index| format!("server number {index}")).collect::<Vec<_>>());

        // A message (one data word, one pointer), a list of 200 texts that are all the same one, and another segment.
        let mut segment: Vec<u64> = vec![1 << 48 | 1 << 32, 9, 1 | 6 << 32 | 200 << 35];
        segment.extend((0..200_u64).map(|index| (199 - index) << 2 | 1 | 2 << 32 | 800 << 35));
        segment.extend([0x6161_6161_6161_6161; 99]);
        segment.push(0x0061_6161_6161_6161);
        let mut bytes = [1_u32.to_le_bytes(), (segment.len() as u32).to_le_bytes(), [0; 4], [0; 4]].concat();
        bytes.extend(segment.iter().flat_map(|word| word.to_le_bytes()));
        let overlapping = message(&bytes);
        let root: server_message::Reader<'_> = overlapping.root().expect("root");
        let Ok(server_message::Which::Redirect(Ok(list))) = root.which() else { panic!("no redirect") };
        assert_eq!(list.get(7).expect("text").len(), 799);
        assert!(overlapping.into_one_segment::<server_message::Owned>().is_err());
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
