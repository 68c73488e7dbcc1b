//! One row image into one struct: the hot path. Nothing here allocates but the rare cells.

use std::ops::Range;

use super::element::{Behind, Element, datetime2, padded, take, take_prefixed, take_slice, timestamp2};
use super::heap::{self, Placed};
use super::program::{Read, RowProgram, Step};
use crate::mysql::value::buffer::TextBuffer;
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
    /// Why the last value could not be read.
    pub reason: ValueError,
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
        let rows = self.rows;
        let mut at = rows.len() - rest.len();
        let nulls_bytes = steps.len().div_ceil(8);
        let nulls = take_slice(rows, at, nulls_bytes)
            .map_err(|reason| Fault { column: steps.first().map_or(0, |step| step.column), reason })?;
        at += nulls_bytes;
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
                    continue;
                }
                // Integers are copied here. One that is cut goes on to what tells so.
                let is_copied = match step.read {
                    Read::Copy1 => element.copy::<1>(step.place, rows, &mut at),
                    Read::Copy2 => element.copy::<2>(step.place, rows, &mut at),
                    Read::Copy4 => element.copy::<4>(step.place, rows, &mut at),
                    Read::Copy8 => element.copy::<8>(step.place, rows, &mut at),
                    _ => false,
                };
                if is_copied {
                    continue;
                }
                let element = &mut element;
                let behind = match step.read {
                    Read::Utf8 { prefix } => self.utf8(step, prefix, element, at),
                    Read::Decimal(ref format) => self.decimal(step, format, element, at),
                    Read::DateTime2 { fraction } => self.datetime2(step, fraction, element, at),
                    Read::Timestamp2 { fraction } => self.timestamp2(step, fraction, element, at),
                    _ => self.value(step, element, at),
                };
                let Some(behind) = behind else {
                    *rest = rows.get(at..).unwrap_or_default();
                    return Err(Fault { column: step.column, reason: self.reason });
                };
                at = behind;
            }
        }
        *rest = rows.get(at..).unwrap_or_default();
        Ok(())
    }

    /// Any other value. `None`, here and in what is beside it: `reason` says why.
    #[inline(never)]
    fn value(&mut self, step: &Step, element: &mut Element<'_>, at: usize) -> Option<usize> {
        let behind = self.try_value(step, element, at);
        self.keep(behind)
    }

    /// An end that comes back in registers; the reason, which would not, is put aside.
    #[inline(always)]
    fn keep(&mut self, behind: Behind) -> Option<usize> {
        behind.map_err(|reason| self.reason = reason).ok()
    }

    #[inline(always)]
    fn try_value(&mut self, step: &Step, element: &mut Element<'_>, at: usize) -> Behind {
        let place = step.place;
        Ok(match step.read {
            Read::Copy1 | Read::Copy2 | Read::Copy4 | Read::Copy8 => return Err(ValueError::Truncated),
            Read::Date => {
                element.store(place, temporal::date(take(self.rows, at)?)?.to_le_bytes());
                at + 3
            }
            Read::Json { prefix, json } => match self.kind.partial {
                Partial::Never => self.json(step, prefix, element, at)?,
                _ => self.json_of_partial(step, prefix, json, element, at)?,
            },
            Read::Data { prefix, bytes_min } => self.data(step, prefix, bytes_min, element, at)?,
            Read::Skip { bytes } => at + take_slice(self.rows, at, bytes.into())?.len(),
            Read::SkipPrefixed { prefix } => take_prefixed(self.rows, at, prefix)?.1,
            _ => self.uncommon(step, element, at)?,
        })
    }

    #[inline(never)]
    fn utf8(&mut self, step: &Step, prefix: u8, element: &mut Element<'_>, at: usize) -> Option<usize> {
        let behind = self.try_utf8(step, prefix, element, at);
        self.keep(behind)
    }

    #[inline(never)]
    fn decimal(&mut self, step: &Step, format: &DecimalFormat, element: &mut Element<'_>, at: usize) -> Option<usize> {
        let behind = self.try_decimal(step, format, element, at);
        self.keep(behind)
    }

    #[inline(never)]
    fn datetime2(&mut self, step: &Step, fraction: u8, element: &mut Element<'_>, at: usize) -> Option<usize> {
        let behind = datetime2(self.rows, step.place, fraction, element, at);
        self.keep(behind)
    }

    #[inline(never)]
    fn timestamp2(&mut self, step: &Step, fraction: u8, element: &mut Element<'_>, at: usize) -> Option<usize> {
        let behind = timestamp2(self.rows, step.place, fraction, element, at);
        self.keep(behind)
    }

    #[inline(always)]
    fn try_utf8(&mut self, step: &Step, prefix: u8, element: &mut Element<'_>, at: usize) -> Behind {
        let (bytes, behind) = take_prefixed(self.rows, at, prefix)?;
        let (mut placed, is_ascii) = heap::push_text(self.heap, bytes)?;
        if !is_ascii && std::str::from_utf8(bytes).is_err() {
            placed = self.replace_invalid(placed, bytes, step.column)?;
        }
        self.point(step, element, placed);
        Ok(behind)
    }

    #[inline(always)]
    fn try_decimal(&mut self, step: &Step, format: &DecimalFormat, element: &mut Element<'_>, at: usize) -> Behind {
        let image = take_slice(self.rows, at, format.bytes())?;
        let placed = heap::push_text_with::<TEXT_ROOM>(self.heap, |room| format.write(image, room))?;
        self.point(step, element, placed);
        Ok(at + image.len())
    }

    #[inline(never)]
    fn json(&mut self, step: &Step, prefix: u8, element: &mut Element<'_>, at: usize) -> Behind {
        let (document, behind) = take_prefixed(self.rows, at, prefix)?;
        let placed = self.json_text(document, step.column)?;
        self.point(step, element, placed);
        Ok(behind)
    }

    #[inline(never)]
    fn data(&mut self, step: &Step, prefix: u8, bytes_min: u16, element: &mut Element<'_>, at: usize) -> Behind {
        let (bytes, behind) = take_prefixed(self.rows, at, prefix)?;
        let start = heap::start(self.heap);
        self.heap.extend(bytes);
        let missing = usize::from(bytes_min).saturating_sub(bytes.len());
        if missing > 0 {
            self.heap.room_for(missing).fill(0);
            self.heap.advance(missing);
        }
        let placed = heap::end_data(self.heap, start)?;
        self.point(step, element, placed);
        Ok(behind)
    }

    /// Fields that are seldom seen.
    #[inline(always)]
    fn uncommon(&mut self, step: &Step, element: &mut Element<'_>, at: usize) -> Behind {
        let place = step.place;
        Ok(match step.read {
            Read::Signed3 => {
                let [low, middle, high] = take(self.rows, at)?;
                element.store(place, (i32::from_le_bytes([0, low, middle, high]) >> 8).to_le_bytes());
                at + 3
            }
            Read::Unsigned3 => {
                let [low, middle, high] = take(self.rows, at)?;
                element.store(place, [low, middle, high, 0]);
                at + 3
            }
            Read::Year => {
                let [year] = take(self.rows, at)?;
                element.store(place, temporal::year(year).to_le_bytes());
                at + 1
            }
            Read::Bit { bytes } => {
                let value = take_slice(self.rows, at, bytes.into())?;
                element.store(place, bits::big_endian(value).to_le_bytes());
                at + usize::from(bytes)
            }
            Read::Set { bytes } => {
                let value = take_slice(self.rows, at, bytes.into())?;
                element.store(place, bits::little_endian(value).to_le_bytes());
                at + usize::from(bytes)
            }
            Read::Time2 { fraction } => {
                let whole = take::<3>(self.rows, at)?;
                let fraction = take_slice(self.rows, at + whole.len(), fraction.into())?;
                element.store(place, temporal::time2(whole, fraction)?.to_le_bytes());
                at + whole.len() + fraction.len()
            }
            Read::DateTimeOld => {
                let value = take(self.rows, at)?;
                element.store(place, temporal::datetime_old(value)?.to_le_bytes());
                at + 8
            }
            Read::TimestampOld => {
                let value = take(self.rows, at)?;
                element.store(place, temporal::timestamp_old(value).to_le_bytes());
                at + 4
            }
            Read::TimeOld => {
                let value = take(self.rows, at)?;
                element.store(place, temporal::time_old(value)?.to_le_bytes());
                at + 3
            }
            _ => self.uncommon_list(step, element, at)?,
        })
    }

    /// The same for what lies in the heap.
    #[inline(never)]
    fn uncommon_list(&mut self, step: &Step, element: &mut Element<'_>, at: usize) -> Behind {
        let start = heap::start(self.heap);
        let prefix = match step.read {
            Read::Text { prefix, .. }
            | Read::CompressedText { prefix, .. }
            | Read::CompressedData { prefix }
            | Read::Vector { prefix }
            | Read::Inet6 { prefix }
            | Read::Inet4 { prefix }
            | Read::Uuid { prefix } => prefix,
            _ => return Ok(at),
        };
        let (bytes, behind) = take_prefixed(self.rows, at, prefix)?;
        let placed = match step.read {
            Read::Text { charset, .. } => self.text(bytes, charset, step.column)?,
            Read::CompressedText { charset, .. } => {
                let mut scratch = std::mem::take(&mut self.scratch.bytes);
                let text = compressed::decompress(bytes, &mut scratch, DECOMPRESSED_BYTES_MAX)?;
                let placed = self.text(text, charset, step.column)?;
                self.scratch.bytes = scratch;
                placed
            }
            Read::CompressedData { .. } => {
                let data = compressed::decompress(bytes, &mut self.scratch.bytes, DECOMPRESSED_BYTES_MAX)?;
                self.heap.extend(data);
                heap::end_data(self.heap, start)?
            }
            Read::Vector { .. } => {
                self.heap.extend(bytes);
                heap::end_floats(self.heap, start)?
            }
            Read::Inet6 { .. } => {
                net::write_inet6(padded(bytes)?, self.heap);
                heap::end_text(self.heap, start)?
            }
            Read::Inet4 { .. } => {
                net::write_inet4(padded(bytes)?, self.heap);
                heap::end_text(self.heap, start)?
            }
            Read::Uuid { .. } => {
                net::write_uuid(padded(bytes)?, self.heap);
                heap::end_text(self.heap, start)?
            }
            _ => return Ok(behind),
        };
        self.point(step, element, placed);
        Ok(behind)
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
    fn json_text(&mut self, document: &[u8], column: u16) -> Result<Placed, ValueError> {
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
    fn json_of_partial(&mut self, step: &Step, prefix: u8, json: u16, element: &mut Element<'_>, at: usize) -> Behind {
        let (bytes, behind) = take_prefixed(self.rows, at, prefix)?;
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
                    return Ok(behind);
                };
                self.end_json(start, encoding, bytes, step.column)?
            }
            Partial::Before => {
                let end = behind;
                if let Some(document) = self.scratch.documents.get_mut(json) {
                    *document = Some(end - bytes.len()..end);
                }
                self.json_text(bytes, step.column)?
            }
            _ => self.json_text(bytes, step.column)?,
        };
        self.point(step, element, placed);
        Ok(behind)
    }

    /// Text of any character set but UTF-8.
    fn text(&mut self, bytes: &[u8], charset: u16, column: u16) -> Result<Placed, ValueError> {
        let charset = self.program.charsets.get(usize::from(charset)).copied().unwrap_or(Charset::Utf8);
        let start = heap::start(self.heap);
        if charset.is_ascii_superset()
            && let (placed, true) = heap::push_text(self.heap, bytes)?
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
