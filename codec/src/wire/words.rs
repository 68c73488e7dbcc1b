//! Cap'n Proto of one segment, read in place: what the `capnp` crate's readers do, without an arena behind them.
//!
//! Whoever visits every row of every transaction follows more pointers than anything else, and a message of this
//! protocol is one segment as a rule. Here a pointer costs a load and a compare. Nothing is trusted: every access is
//! checked against the segment when it happens, `None` is "damaged", and there is no unsafe code.
//!
//! What the crate's readers accept and these do not: several segments, and lists that were not written as what they are
//! read as (a list of numbers read as one of structs). The other way round there is nothing.
//! See <https://capnproto.org/encoding.html>; words are little-endian.

/// What everything in a message is aligned to, and counted in.
pub type Word = [u8; 8];

const STRUCT: u64 = 0;
const LIST: u64 = 1;
const FAR: u64 = 2;

const BYTES: u64 = 2;
const FOUR_BYTES: u64 = 4;
const POINTERS: u64 = 6;
const COMPOSITE: u64 = 7;

/// A message's only segment.
#[derive(Clone, Copy, Default)]
pub struct Segment<'a>(&'a [Word]);

/// A pointer and the word that it leads to; not yet known to be inside.
struct Target {
    pointer: u64,
    at: usize,
}

impl<'a> Segment<'a> {
    /// Of a framed message; `None` where it has another number of segments, or another length than it says.
    pub fn of_message(framed: &'a [u8]) -> Option<Self> {
        let (words, rest) = framed.as_chunks::<8>();
        let (head, segment) = words.split_first()?;
        let head = u64::from_le_bytes(*head);
        let is_one = head & u64::from(u32::MAX) == 0 && head >> 32 == segment.len() as u64;
        (is_one && rest.is_empty()).then_some(Self(segment))
    }

    /// Of one that `of_message` has known before.
    #[inline]
    pub fn of_known(framed: &'a [u8]) -> Self {
        Self(framed.as_chunks::<8>().0.get(1..).unwrap_or_default())
    }

    /// Of its words, without the head of the message.
    pub fn of_words(words: &'a [u8]) -> Self {
        Self(words.as_chunks::<8>().0)
    }

    pub fn len_words(self) -> usize {
        self.0.len()
    }

    pub fn root(self) -> Option<Struct<'a>> {
        self.struct_at(0)
    }

    #[inline]
    fn word(self, at: usize) -> Option<u64> {
        self.0.get(at).map(|word| u64::from_le_bytes(*word))
    }

    #[inline]
    fn words(self, at: usize, count: usize) -> Option<&'a [Word]> {
        self.0.get(at..at.checked_add(count)?)
    }

    /// `None`: damaged. A null pointer is not looked for.
    #[inline]
    fn follow(self, at: usize, pointer: u64) -> Option<Target> {
        if pointer & 3 == FAR {
            return self.follow_far(pointer);
        }
        Some(Target { pointer, at: target(at, pointer) })
    }

    /// Nobody has a reason to write one into a message of one segment, and it is allowed.
    #[cold]
    fn follow_far(self, pointer: u64) -> Option<Target> {
        let place = |far: u64| (far & 3 == FAR && far >> 32 == 0).then_some((far >> 3 & 0x1fff_ffff) as usize);
        let pad = place(pointer)?;
        let first = self.word(pad)?;
        if pointer & 4 == 0 {
            return (first & 3 != FAR).then_some(Target { pointer: first, at: target(pad, first) });
        }
        Some(Target { pointer: self.word(pad + 1)?, at: place(first)? })
    }

    /// The struct that the pointer in a word leads to: an empty one where it is null.
    #[inline(always)]
    fn struct_at(self, at: usize) -> Option<Struct<'a>> {
        let pointer = self.word(at)?;
        if pointer == 0 {
            return Some(Struct { segment: self, at: 0, size: StructSize::default() });
        }
        let target = self.follow(at, pointer)?;
        let size = StructSize::of(target.pointer);
        self.words(target.at, size.words())?;
        (target.pointer & 3 == STRUCT).then_some(Struct { segment: self, at: u32::try_from(target.at).ok()?, size })
    }

    /// The elements' first word, their number and their size, of a list of this kind; `None` inside: it is null.
    #[inline]
    fn list_at(self, at: usize, kind: u64) -> Option<Option<(usize, usize)>> {
        let pointer = self.word(at)?;
        if pointer == 0 {
            return Some(None);
        }
        let target = self.follow(at, pointer)?;
        let is_right = target.pointer & 3 == LIST && target.pointer >> 32 & 7 == kind;
        is_right.then_some(Some((target.at, (target.pointer >> 35) as usize)))
    }

    /// `None` inside: null.
    #[inline(always)]
    fn bytes_at(self, at: usize) -> Option<Option<&'a [u8]>> {
        let Some((first, count)) = self.list_at(at, BYTES)? else { return Some(None) };
        self.words(first, count.div_ceil(8))?.as_flattened().get(..count).map(Some)
    }

    /// Without the NUL that ends it. Not known to be UTF-8.
    #[inline(always)]
    fn text_at(self, at: usize) -> Option<Option<&'a [u8]>> {
        match self.bytes_at(at)? {
            None => Some(None),
            Some([text @ .., 0]) => Some(Some(text)),
            Some(_) => None,
        }
    }
}

#[inline]
fn target(at: usize, pointer: u64) -> usize {
    // Bits 2 to 31, with sign. What leads out of the segment fails at its first use.
    let offset = (pointer as u32).cast_signed() >> 2;
    at.wrapping_add(1).wrapping_add_signed(offset as isize)
}

/// How many words of data a struct has, and behind them pointers: as its pointer has them, 16 bits each.
#[derive(Debug, Clone, Copy, Default)]
struct StructSize(u32);

impl StructSize {
    #[inline]
    fn of(pointer: u64) -> Self {
        Self((pointer >> 32) as u32)
    }

    #[inline]
    fn data_words(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    #[inline]
    fn pointers(self) -> usize {
        (self.0 >> 16) as usize
    }

    #[inline]
    fn words(self) -> usize {
        self.data_words() + self.pointers()
    }
}

/// A struct inside its segment. Fields behind its end have their default, zero.
#[derive(Clone, Copy)]
pub struct Struct<'a> {
    segment: Segment<'a>,
    at: u32,
    size: StructSize,
}

impl<'a> Struct<'a> {
    #[inline]
    pub fn segment(&self) -> Segment<'a> {
        self.segment
    }

    pub fn size_words(&self) -> usize {
        self.size.words()
    }

    #[inline]
    pub fn u64(&self, index: usize) -> u64 {
        if index >= self.size.data_words() {
            return 0;
        }
        self.segment.word(self.at as usize + index).unwrap_or_default()
    }

    #[inline]
    pub fn u32(&self, index: usize) -> u32 {
        (self.u64(index / 2) >> (index % 2 * 32)) as u32
    }

    #[inline]
    pub fn u16(&self, index: usize) -> u16 {
        (self.u64(index / 4) >> (index % 4 * 16)) as u16
    }

    #[inline]
    pub fn u8(&self, index: usize) -> u8 {
        (self.u64(index / 8) >> (index % 8 * 8)) as u8
    }

    #[inline]
    pub fn bit(&self, index: usize) -> bool {
        self.u64(index / 64) >> (index % 64) & 1 == 1
    }

    /// The word of a pointer; `None`: it is behind the struct's end.
    #[inline]
    fn pointer(&self, index: usize) -> Option<usize> {
        (index < self.size.pointers()).then_some(self.at as usize + self.size.data_words() + index)
    }

    #[inline]
    pub fn is_null(&self, index: usize) -> bool {
        self.pointer(index).and_then(|at| self.segment.word(at)).unwrap_or_default() == 0
    }

    /// An empty one where the pointer is null.
    #[inline]
    pub fn structure(&self, index: usize) -> Option<Struct<'a>> {
        match self.pointer(index) {
            Some(at) => self.segment.struct_at(at),
            None => Some(Struct { segment: self.segment, at: 0, size: StructSize::default() }),
        }
    }

    /// Empty where the pointer is null.
    #[inline]
    pub fn data(&self, index: usize) -> Option<&'a [u8]> {
        match self.pointer(index) {
            Some(at) => Some(self.segment.bytes_at(at)?.unwrap_or_default()),
            None => Some(&[]),
        }
    }

    /// Where these bytes lie in the segment.
    #[inline]
    pub fn data_place(&self, index: usize) -> Option<BytesPlace> {
        let Some(at) = self.pointer(index) else { return Some(BytesPlace::default()) };
        let Some((first, len)) = self.segment.list_at(at, BYTES)? else { return Some(BytesPlace::default()) };
        self.segment.words(first, len.div_ceil(8))?;
        // A list has fewer than 2^29 elements.
        Some(BytesPlace { first: u32::try_from(first).ok()?, len: u32::try_from(len).ok()? })
    }

    /// Empty where the pointer is null; not known to be UTF-8.
    #[inline]
    pub fn text(&self, index: usize) -> Option<&'a [u8]> {
        match self.pointer(index) {
            Some(at) => Some(self.segment.text_at(at)?.unwrap_or_default()),
            None => Some(&[]),
        }
    }

    #[inline]
    pub fn structs(&self, index: usize) -> Option<StructList<'a>> {
        let empty = StructList { segment: self.segment, place: ListPlace::default() };
        let Some(at) = self.pointer(index) else { return Some(empty) };
        let Some((tag_at, words)) = self.segment.list_at(at, COMPOSITE)? else { return Some(empty) };
        let content = self.segment.words(tag_at, words.checked_add(1)?)?;
        let tag = u64::from_le_bytes(*content.first()?);
        let size = StructSize::of(tag);
        let len = tag as u32 >> 2;
        let needed = u64::from(len) * size.words() as u64;
        (tag & 3 == STRUCT && needed <= words as u64).then_some(StructList {
            segment: self.segment,
            place: ListPlace { first: u32::try_from(tag_at + 1).ok()?, len, size },
        })
    }

    /// A list of texts.
    pub fn texts(&self, index: usize) -> Option<TextList<'a>> {
        let empty = TextList { segment: self.segment, first: 0, len: 0 };
        let Some(at) = self.pointer(index) else { return Some(empty) };
        let Some((first, len)) = self.segment.list_at(at, POINTERS)? else { return Some(empty) };
        self.segment.words(first, len)?;
        Some(TextList { segment: self.segment, first, len })
    }

    /// A list of four bytes each: of Float32.
    pub fn four_bytes(&self, index: usize) -> Option<&'a [[u8; 4]]> {
        let Some(at) = self.pointer(index) else { return Some(&[]) };
        let Some((first, len)) = self.segment.list_at(at, FOUR_BYTES)? else { return Some(&[]) };
        let (elements, _) = self.segment.words(first, len.div_ceil(2))?.as_flattened().as_chunks::<4>();
        elements.get(..len)
    }
}

/// Where a list of structs lies in its segment: to be kept without borrowing it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListPlace {
    first: u32,
    len: u32,
    size: StructSize,
}

impl ListPlace {
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// Where bytes lie in their segment: to be kept without borrowing it.
#[derive(Debug, Clone, Copy, Default)]
pub struct BytesPlace {
    first: u32,
    len: u32,
}

impl BytesPlace {
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The byte at an index, of the segment that the place was asked of.
    #[inline]
    pub fn get(self, segment: Segment<'_>, index: usize) -> Option<u8> {
        if index >= self.len as usize {
            return None;
        }
        segment.0.as_flattened().get(self.first as usize * 8 + index).copied()
    }
}

/// A list of structs.
#[derive(Clone, Copy, Default)]
pub struct StructList<'a> {
    segment: Segment<'a>,
    place: ListPlace,
}

impl<'a> StructList<'a> {
    /// The list at a place that was asked of the same message. Of another one: whatever is there, safely.
    #[inline]
    pub fn at(segment: Segment<'a>, place: ListPlace) -> Self {
        Self { segment, place }
    }

    #[inline]
    pub fn place(&self) -> ListPlace {
        self.place
    }

    /// Elements `from..to` of it; none where it has not so many.
    pub fn part(&self, from: u32, to: u32) -> Self {
        let Some(first) = self.get(from).filter(|_| from <= to && to <= self.len()) else {
            return Self { segment: self.segment, place: ListPlace::default() };
        };
        Self { segment: self.segment, place: ListPlace { first: first.at, len: to - from, ..self.place } }
    }

    #[inline]
    pub fn len(&self) -> u32 {
        self.place.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.place.len == 0
    }

    /// What one element takes.
    pub fn element_words(&self) -> usize {
        self.place.size.words()
    }

    #[inline]
    pub fn get(&self, index: u32) -> Option<Struct<'a>> {
        let ListPlace { first, len, size } = self.place;
        if index >= len {
            return None;
        }
        // The list lies in the segment, whose words are counted in a u32.
        let at = first.checked_add(index.checked_mul(size.words() as u32)?)?;
        Some(Struct { segment: self.segment, at, size })
    }

    pub fn iter(&self) -> impl Iterator<Item = Struct<'a>> + use<'a> {
        let list = *self;
        (0..list.len()).filter_map(move |index| list.get(index))
    }
}

/// A list of texts.
#[derive(Clone, Copy)]
pub struct TextList<'a> {
    segment: Segment<'a>,
    first: usize,
    len: usize,
}

impl<'a> TextList<'a> {
    /// `None` inside: damaged. Null ones are empty.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&'a [u8]>> + use<'a> {
        let TextList { segment, first, len } = *self;
        (0..len).map(move |index| segment.text_at(first + index).map(Option::unwrap_or_default))
    }
}
