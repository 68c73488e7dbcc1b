//! One row image into one struct: the hot path. Nothing here allocates but the rare cells.

use std::ops::Range;

use super::heap::{self, Placed};
use super::program::{Read, RowProgram, Step};
use crate::mysql::value::buffer::TextBuffer;
use crate::mysql::value::cell::CellLength;
use crate::mysql::value::charset::Charset;
use crate::mysql::value::decimal::{DecimalFormat, TEXT_ROOM};
use crate::mysql::value::{ValueError, bits, compressed, json, json_diff, net, temporal};
use crate::wire::encoded::{CellState, EncodedCell, Image};

/// Longest content of one compressed value; a longer list cannot be pointed to anyway.
const DECOMPRESSED_BYTES_MAX: usize = heap::LIST_ELEMENTS_MAX;

/// A value that could not be read: the step's column, and why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub column: u16,
    pub reason: ValueError,
}

/// Which columns an image has, as steps, and the struct that its rows start from.
#[derive(Debug, Default)]
pub(super) struct ImagePlan {
    pub steps: Vec<Step>,
    pub template: Vec<u8>,
}

impl ImagePlan {
    /// The columns whose bit is set. Bits behind the last column mean nothing: MySQL leaves any value in them.
    pub fn set(&mut self, program: &RowProgram, bitmap: &[u8]) {
        self.steps.clear();
        self.template.clear();
        self.template.extend_from_slice(&program.template);
        for step in &program.steps {
            let column = usize::from(step.column);
            if bitmap.get(column / 8).is_some_and(|byte| byte >> (column % 8) & 1 == 1) {
                self.steps.push(*step);
            } else if let Some(byte) = self.template.get_mut(step.null_byte as usize) {
                *byte &= !step.null_mask;
            }
        }
    }
}

/// What both images of a row share.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    text: String,
    bytes: Vec<u8>,
    /// Of a partial update: where the before image's document of each JSON column lies in the rows; `None` where it
    /// is NULL or absent. A document of no bytes is a JSON null.
    pub documents: Vec<Option<Range<usize>>>,
}

/// Bits that say which JSON columns of an after image are differences.
#[derive(Debug, Clone, Copy)]
pub(super) enum Partial<'a> {
    /// Not a partial update event.
    Never,
    /// The before image: remembers its documents.
    Before,
    /// The after image, with its bits, if it has any.
    After(&'a [u8]),
}

/// Which image is being written, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImageKind<'a> {
    pub image: Image,
    pub partial: Partial<'a>,
}

/// Writes the images of a piece.
pub(super) struct ImageWriter<'w, 'a> {
    pub program: &'w RowProgram,
    /// All rows of the event.
    pub rows: &'a [u8],
    pub heap: &'w mut TextBuffer,
    /// The heap's start in its buffer.
    pub blob_start: usize,
    pub scratch: &'w mut Scratch,
    pub cells: Vec<EncodedCell>,
    /// Row of the piece.
    pub row: u32,
    pub kind: ImageKind<'a>,
}

/// The struct that is being written.
struct Element<'e> {
    bytes: &'e mut [u8],
    /// Words between the start of its list and itself.
    word: usize,
}

impl Element<'_> {
    #[inline(always)]
    fn store<const N: usize>(&mut self, place: u32, bytes: [u8; N]) {
        // The program has checked every place against the struct.
        if let Some(field) = self.bytes.get_mut(place as usize..).and_then(|rest| rest.first_chunk_mut()) {
            *field = bytes;
        }
    }
}

/// Takes N bytes off the front.
#[inline(always)]
fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], ValueError> {
    let (taken, tail) = rest.split_first_chunk::<N>().ok_or(ValueError::Truncated)?;
    *rest = tail;
    Ok(taken)
}

#[inline(always)]
fn take_slice<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], ValueError> {
    let (taken, tail) = rest.split_at_checked(count).ok_or(ValueError::Truncated)?;
    *rest = tail;
    Ok(taken)
}

#[inline(always)]
fn take_length(rest: &mut &[u8], prefix: u8) -> Result<usize, ValueError> {
    Ok(match prefix {
        1 => usize::from(take::<1>(rest)?[0]),
        2 => usize::from(u16::from_le_bytes(*take(rest)?)),
        3 => {
            let &[a, b, c] = take(rest)?;
            u32::from_le_bytes([a, b, c, 0]) as usize
        }
        _ => u32::from_le_bytes(*take(rest)?) as usize,
    })
}

#[inline(always)]
fn take_prefixed<'a>(rest: &mut &'a [u8], prefix: u8) -> Result<&'a [u8], ValueError> {
    let length = take_length(rest, prefix)?;
    take_slice(rest, length)
}

impl<'a> ImageWriter<'_, 'a> {
    /// Appends one struct to `elements`, read from the front of `rest`, which is the tail of the rows. The pointers in
    /// it are relative to a list that begins where the heap does.
    #[inline(always)]
    pub fn write(
        &mut self,
        steps: &[Step],
        template: &[u8],
        elements: &mut Vec<u8>,
        rest: &mut &'a [u8],
    ) -> Result<(), Fault> {
        let header_fault = |reason| Fault { column: steps.first().map_or(0, |step| step.column), reason };
        let mut tail = *rest;
        let nulls = take_slice(&mut tail, steps.len().div_ceil(8)).map_err(header_fault)?;
        let element_start = elements.len();
        elements.extend_from_slice(template);
        let bytes = elements.get_mut(element_start..).unwrap_or_default();
        let mut element = Element { bytes, word: element_start / 8 };
        for (steps, &nulls) in steps.chunks(8).zip(nulls) {
            let mut nulls = nulls;
            for step in steps {
                let is_null = nulls & 1 == 1;
                nulls >>= 1;
                if is_null {
                    if let Some(byte) = element.bytes.get_mut(step.null_byte as usize) {
                        *byte &= !step.null_mask;
                    }
                } else if let Err(reason) = self.value(step, &mut element, &mut tail) {
                    *rest = tail;
                    return Err(Fault { column: step.column, reason });
                }
            }
        }
        *rest = tail;
        Ok(())
    }

    #[inline(always)]
    fn value(&mut self, step: &Step, element: &mut Element<'_>, rest: &mut &'a [u8]) -> Result<(), ValueError> {
        let place = step.place;
        match step.read {
            Read::Copy1 => element.store(place, *take::<1>(rest)?),
            Read::Copy2 => element.store(place, *take::<2>(rest)?),
            Read::Copy4 => element.store(place, *take::<4>(rest)?),
            Read::Copy8 => element.store(place, *take::<8>(rest)?),
            Read::Signed3 => {
                let &[low, middle, high] = take(rest)?;
                element.store(place, (i32::from_le_bytes([0, low, middle, high]) >> 8).to_le_bytes());
            }
            Read::Unsigned3 => {
                let &[low, middle, high] = take(rest)?;
                element.store(place, [low, middle, high, 0]);
            }
            Read::Year => element.store(place, temporal::year(take::<1>(rest)?[0]).to_le_bytes()),
            Read::Bit { bytes } => {
                element.store(place, bits::big_endian(take_slice(rest, bytes.into())?).to_le_bytes());
            }
            Read::Enum { bytes } => {
                let index = bits::little_endian(take_slice(rest, bytes.into())?) as u16;
                element.store(place, index.to_le_bytes());
            }
            Read::Set { bytes } => {
                element.store(place, bits::little_endian(take_slice(rest, bytes.into())?).to_le_bytes());
            }
            Read::Date => element.store(place, temporal::date(*take(rest)?)?.to_le_bytes()),
            Read::DateTime2 { fraction } => {
                let whole = *take(rest)?;
                let value = temporal::datetime2(whole, take_slice(rest, fraction.into())?)?;
                element.store(place, value.to_le_bytes());
            }
            Read::Timestamp2 { fraction } => {
                let whole = *take(rest)?;
                let value = temporal::timestamp2(whole, take_slice(rest, fraction.into())?)?;
                element.store(place, value.to_le_bytes());
            }
            Read::Time2 { fraction } => {
                let whole = *take(rest)?;
                let value = temporal::time2(whole, take_slice(rest, fraction.into())?)?;
                element.store(place, value.to_le_bytes());
            }
            Read::DateTimeOld => element.store(place, temporal::datetime_old(*take(rest)?)?.to_le_bytes()),
            Read::TimestampOld => element.store(place, temporal::timestamp_old(*take(rest)?).to_le_bytes()),
            Read::TimeOld => element.store(place, temporal::time_old(*take(rest)?)?.to_le_bytes()),
            Read::Utf8 { prefix } => {
                let length = take_length(rest, prefix)?;
                let source = *rest;
                let bytes = take_slice(rest, length)?;
                let (mut placed, is_ascii) = heap::push_text(self.heap, source, length)?;
                if !is_ascii && std::str::from_utf8(bytes).is_err() {
                    placed = self.replace_invalid(placed, bytes, step.column)?;
                }
                self.point(step, element, placed);
            }
            Read::Decimal(format) => {
                let image = take_slice(rest, format.bytes())?;
                let placed = self.decimal(format, image)?;
                self.point(step, element, placed);
            }
            Read::Json { prefix, json } => {
                if let Partial::Never = self.kind.partial {
                    let document = take_prefixed(rest, prefix)?;
                    let placed = self.json(document, step.column)?;
                    self.point(step, element, placed);
                } else {
                    self.json_of_partial(step, prefix, json, element, rest)?;
                }
            }
            Read::Data { prefix, bytes_min } => {
                let bytes = take_prefixed(rest, prefix)?;
                let start = heap::start(self.heap);
                self.heap.extend(bytes);
                let missing = usize::from(bytes_min).saturating_sub(bytes.len());
                if missing > 0 {
                    self.heap.room_for(missing).fill(0);
                    self.heap.advance(missing);
                }
                let placed = heap::end_data(self.heap, start)?;
                self.point(step, element, placed);
            }
            Read::Skip(CellLength::Fixed(bytes)) => {
                take_slice(rest, bytes)?;
            }
            Read::Skip(CellLength::Prefixed(prefix)) | Read::SkipJson { prefix } => {
                take_prefixed(rest, prefix)?;
            }
            _ => self.uncommon(step, element, rest)?,
        }
        Ok(())
    }

    /// Kinds of columns that are seldom seen, kept out of the loop.
    #[inline(never)]
    fn uncommon(&mut self, step: &Step, element: &mut Element<'_>, rest: &mut &'a [u8]) -> Result<(), ValueError> {
        let start = heap::start(self.heap);
        let placed = match step.read {
            Read::Text { prefix, charset } => {
                let bytes = take_prefixed(rest, prefix)?;
                self.text(bytes, charset, step.column)?
            }
            Read::CompressedText { prefix, charset } => {
                let mut scratch = std::mem::take(&mut self.scratch.bytes);
                let text = compressed::decompress(take_prefixed(rest, prefix)?, &mut scratch, DECOMPRESSED_BYTES_MAX)?;
                let placed = self.text(text, charset, step.column)?;
                self.scratch.bytes = scratch;
                placed
            }
            Read::CompressedData { prefix } => {
                let bytes = take_prefixed(rest, prefix)?;
                let data = compressed::decompress(bytes, &mut self.scratch.bytes, DECOMPRESSED_BYTES_MAX)?;
                self.heap.extend(data);
                heap::end_data(self.heap, start)?
            }
            Read::Vector { prefix } => {
                self.heap.extend(take_prefixed(rest, prefix)?);
                heap::end_floats(self.heap, start)?
            }
            Read::Inet6 { prefix } => {
                net::write_inet6(padded(take_prefixed(rest, prefix)?)?, self.heap);
                heap::end_text(self.heap, start)?
            }
            Read::Inet4 { prefix } => {
                net::write_inet4(padded(take_prefixed(rest, prefix)?)?, self.heap);
                heap::end_text(self.heap, start)?
            }
            Read::Uuid { prefix } => {
                net::write_uuid(padded(take_prefixed(rest, prefix)?)?, self.heap);
                heap::end_text(self.heap, start)?
            }
            _ => return Ok(()),
        };
        self.point(step, element, placed);
        Ok(())
    }

    /// The pointer of a step: its offset counts from the word behind it, in a list that begins where the heap does.
    #[inline(always)]
    fn point(&self, step: &Step, element: &mut Element<'_>, placed: Placed) {
        let target = (placed.start_byte - self.blob_start) / 8;
        let behind = element.word + step.place as usize / 8 + 1;
        let lower = ((target as u32).wrapping_sub(behind as u32)) << 2 | 1;
        let pointer = u64::from(placed.upper) << 32 | u64::from(lower);
        element.store(step.place, pointer.to_le_bytes());
    }

    #[inline(always)]
    fn decimal(&mut self, format: DecimalFormat, image: &[u8]) -> Result<Placed, ValueError> {
        heap::push_text_with::<TEXT_ROOM>(self.heap, |room| format.write(image, room))
    }

    #[inline(always)]
    fn json(&mut self, document: &[u8], column: u16) -> Result<Placed, ValueError> {
        let start = heap::start(self.heap);
        let encoding = json::write_text(document, self.heap)?;
        self.end_json(start, encoding, document, column)
    }

    #[inline(always)]
    fn end_json(
        &mut self,
        start: usize,
        encoding: json::Encoding,
        document: &[u8],
        column: u16,
    ) -> Result<Placed, ValueError> {
        if encoding == json::Encoding::Unchecked && std::str::from_utf8(self.heap.written_from(start)).is_err() {
            let text = String::from_utf8_lossy(self.heap.written_from(start)).into_owned();
            self.heap.truncate(start);
            self.heap.extend(text.as_bytes());
            self.cell(column, CellState::InvalidText, document);
        }
        heap::end_text(self.heap, start)
    }

    /// JSON of a PARTIAL_UPDATE_ROWS event.
    #[inline(never)]
    fn json_of_partial(
        &mut self,
        step: &Step,
        prefix: u8,
        json: u16,
        element: &mut Element<'_>,
        rest: &mut &'a [u8],
    ) -> Result<(), ValueError> {
        let bytes = take_prefixed(rest, prefix)?;
        let json = usize::from(json);
        let placed = match self.kind.partial {
            Partial::After(partial_bits)
                if partial_bits.get(json / 8).is_some_and(|bits| bits >> (json % 8) & 1 == 1) =>
            {
                let range = self.scratch.documents.get(json).cloned().flatten();
                let start = heap::start(self.heap);
                let written = range
                    .and_then(|range| self.rows.get(range))
                    .and_then(|before| json_diff::write_updated_text(before, bytes, self.heap).ok());
                let Some(encoding) = written else {
                    // The document is not at hand, or not the one that the difference was made for.
                    self.heap.truncate(start);
                    self.cell(step.column, CellState::JsonDiff, bytes);
                    return Ok(());
                };
                self.end_json(start, encoding, bytes, step.column)?
            }
            Partial::Before => {
                let end = self.rows.len() - rest.len();
                if let Some(document) = self.scratch.documents.get_mut(json) {
                    *document = Some(end - bytes.len()..end);
                }
                self.json(bytes, step.column)?
            }
            _ => self.json(bytes, step.column)?,
        };
        self.point(step, element, placed);
        Ok(())
    }

    /// Text of any character set but UTF-8.
    fn text(&mut self, bytes: &[u8], charset: u16, column: u16) -> Result<Placed, ValueError> {
        let charset = self.program.charsets.get(usize::from(charset)).copied().unwrap_or(Charset::Utf8);
        let start = heap::start(self.heap);
        if charset.is_ascii_superset()
            && let (placed, true) = heap::push_text(self.heap, bytes, bytes.len())?
        {
            return Ok(placed);
        }
        self.heap.truncate(start);
        let mut text = std::mem::take(&mut self.scratch.text);
        text.clear();
        if !charset.decode_into(bytes, &mut text) {
            self.cell(column, CellState::InvalidText, bytes);
        }
        self.heap.extend(text.as_bytes());
        self.scratch.text = text;
        heap::end_text(self.heap, start)
    }

    #[cold]
    #[inline(never)]
    fn replace_invalid(&mut self, placed: Placed, bytes: &[u8], column: u16) -> Result<Placed, ValueError> {
        self.heap.truncate(placed.start_byte);
        self.heap.extend(String::from_utf8_lossy(bytes).as_bytes());
        self.cell(column, CellState::InvalidText, bytes);
        heap::end_text(self.heap, placed.start_byte)
    }

    #[cold]
    fn cell(&mut self, column: u16, state: CellState, payload: &[u8]) {
        self.cells.push(EncodedCell {
            row: self.row,
            column,
            image: self.kind.image,
            state,
            payload: payload.to_vec(),
        });
    }
}

/// MariaDB takes zero bytes off the end of what it stores as BINARY(n).
fn padded<const N: usize>(bytes: &[u8]) -> Result<[u8; N], ValueError> {
    let mut padded = [0; N];
    match padded.get_mut(..bytes.len()) {
        Some(start) => start.copy_from_slice(bytes),
        None => return Err(ValueError::Invalid("an address or UUID of too many bytes")),
    }
    Ok(padded)
}
