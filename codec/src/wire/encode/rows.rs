//! The rows of an event, in pieces of bounded size.

use super::error::EncodeError;
use super::heap::BLOB_WORDS_MAX;
use super::image::{Fault, ImageKind, ImagePlan, ImageWriter, Partial, Scratch};
use super::program::{RowProgram, Step};
use crate::mysql::rows::{RowOperation, RowsEvent, bit};
use crate::mysql::value::ValueError;
use crate::mysql::value::buffer::TextBuffer;
use crate::wire::encoded::{EncodedRows, Image, ListRef, Op};

/// What all pieces of one event may take together, unless the caller says otherwise. A row of one byte may become a
/// struct of every column that its table ever had: an event of 1 MiB of them in a table of 4096 columns, 32 GiB.
pub const EVENT_OUTPUT_BYTES_MAX: usize = 1 << 30;

/// Turns rows into lists of structs. Reusable: what it allocates once serves every event.
#[derive(Debug)]
pub struct RowsEncoder {
    before: ListPlan,
    after: ListPlan,
    scratch: Scratch,
    output_bytes_max: usize,
}

impl Default for RowsEncoder {
    fn default() -> Self {
        Self {
            before: ListPlan::default(),
            after: ListPlan::default(),
            scratch: Scratch::default(),
            output_bytes_max: EVENT_OUTPUT_BYTES_MAX,
        }
    }
}

/// One of the two lists of an event.
#[derive(Debug, Default)]
struct ListPlan {
    is_there: bool,
    /// Every column is in the image: the program's own steps serve.
    is_full: bool,
    plan: ImagePlan,
    elements: Vec<u8>,
}

impl ListPlan {
    fn set(&mut self, program: &RowProgram, is_there: bool, bitmap: &[u8]) {
        self.is_there = is_there;
        self.elements.clear();
        self.is_full = is_there && has_all(bitmap, program.column_count());
        if is_there && !self.is_full {
            self.plan.set(program, bitmap);
        }
    }
}

/// Are the first `count` bits set?
fn has_all(bitmap: &[u8], count: usize) -> bool {
    let (whole, bits_left) = (count / 8, count % 8);
    let last_mask = !(u8::MAX << bits_left);
    bitmap.len() >= count.div_ceil(8)
        && bitmap.iter().take(whole).all(|&byte| byte == u8::MAX)
        && bitmap.get(whole).is_none_or(|&byte| byte & last_mask == last_mask)
}

impl RowsEncoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Bounds what [`encode`](Self::encode) may append for one event.
    pub fn with_output_bytes_max(mut self, output_bytes_max: usize) -> Self {
        self.output_bytes_max = output_bytes_max;
        self
    }

    /// Appends all rows to `out`, each piece at a multiple of eight bytes, and gives `piece` what describes it. A
    /// piece is at most `bytes_max` long unless one single row is longer. Returns the number of rows.
    ///
    /// # Errors
    /// The pieces before the one with the fault have been handed over then; the rest of `out` is as it was.
    pub fn encode(
        &mut self,
        program: &RowProgram,
        rows: &RowsEvent<'_>,
        out: &mut TextBuffer,
        bytes_max: usize,
        mut piece: impl FnMut(EncodedRows),
    ) -> Result<u32, EncodeError> {
        let output_bytes_max = self.output_bytes_max;
        let start = out.len();
        let mut pieces = self.pieces(program, rows)?;
        while let Some(encoded) = pieces.next(out, bytes_max)? {
            if out.len() - start > output_bytes_max {
                out.truncate(encoded.blob.start);
                return Err(EncodeError::EventTooLarge {
                    table: program.table.clone(),
                    rows_bytes: rows.rows.len(),
                    bytes_max: output_bytes_max,
                });
            }
            piece(encoded);
        }
        Ok(pieces.row)
    }

    /// The same piece by piece, for a caller who makes room between them.
    ///
    /// # Errors
    /// Where program and event do not belong together.
    pub fn pieces<'e, 'a>(
        &'e mut self,
        program: &'e RowProgram,
        rows: &'e RowsEvent<'a>,
    ) -> Result<Pieces<'e, 'a>, EncodeError> {
        if rows.column_count != program.column_count() {
            return Err(EncodeError::ColumnCount {
                table: program.table.clone(),
                event: rows.column_count,
                layout: program.column_count(),
            });
        }
        if rows.is_compressed {
            return Err(EncodeError::Compressed { table: program.table.clone() });
        }
        self.before.set(program, rows.op != RowOperation::Insert, rows.before_bitmap);
        self.after.set(program, rows.op != RowOperation::Delete, rows.after_bitmap);
        self.scratch.documents.clear();
        self.scratch.documents.resize(if rows.is_partial { program.json_columns } else { 0 }, None);
        // An insert of nothing but defaults has no byte, and no second row can follow it.
        let rowless = rows.rows.is_empty()
            && rows.op == RowOperation::Insert
            && rows.column_count > 0
            && (0..rows.column_count).all(|column| !bit(rows.after_bitmap, column));
        Ok(Pieces { encoder: self, program, event: rows, rest: rows.rows, row: 0, rowless })
    }
}

/// The pieces of one event, in order.
pub struct Pieces<'e, 'a> {
    encoder: &'e mut RowsEncoder,
    program: &'e RowProgram,
    event: &'e RowsEvent<'a>,
    rest: &'a [u8],
    /// Rows handed over.
    row: u32,
    rowless: bool,
}

impl<'a> Pieces<'_, 'a> {
    /// Rows handed over so far.
    pub fn row_count(&self) -> u32 {
        self.row
    }

    /// Appends the next piece to `out`; `None` behind the last one.
    ///
    /// # Errors
    /// Where the rows are damaged; `out` is as it was then.
    pub fn next(&mut self, out: &mut TextBuffer, bytes_max: usize) -> Result<Option<EncodedRows>, EncodeError> {
        if self.rest.is_empty() && !self.rowless {
            return Ok(None);
        }
        let length_before = out.len();
        // Text needs a little more room than its binary form.
        out.reserve(self.rest.len().min(bytes_max) + self.rest.len().min(bytes_max) / 4 + 256);
        let result = self.piece(out, bytes_max);
        if result.is_err() {
            out.truncate(length_before);
        }
        result.map(Some)
    }

    fn piece(&mut self, heap: &mut TextBuffer, bytes_max: usize) -> Result<EncodedRows, EncodeError> {
        heap.pad_to_word();
        let blob_start = heap.len();
        let (program, event) = (self.program, self.event);
        let rows_bytes = event.rows.len();
        let RowsEncoder { before, after, scratch, .. } = &mut *self.encoder;
        before.elements.clear();
        after.elements.clear();
        let kind = ImageKind { image: Image::After, partial: Partial::Never };
        let mut writer = ImageWriter {
            program,
            rows: event.rows,
            heap,
            blob_start,
            scratch,
            cells: Vec::new(),
            row: 0,
            kind,
            reason: ValueError::Truncated,
        };
        while !self.rest.is_empty() || self.rowless {
            let row_start = self.rest;
            let marks = (writer.heap.len(), before.elements.len(), after.elements.len(), writer.cells.len());
            write_row(&mut writer, event, before, after, &mut self.rest)?;
            if self.rest.len() == row_start.len() && !self.rowless {
                let offset = rows_bytes - self.rest.len();
                return Err(EncodeError::EmptyRow { table: program.table.clone(), offset, rows_bytes });
            }
            let bytes = writer.heap.len() - blob_start + before.elements.len() + after.elements.len() + 16;
            if bytes > bytes_max && writer.row > 0 {
                // This row begins the next piece.
                self.rest = row_start;
                writer.heap.truncate(marks.0);
                before.elements.truncate(marks.1);
                after.elements.truncate(marks.2);
                writer.cells.truncate(marks.3);
                break;
            }
            if bytes / 8 > BLOB_WORDS_MAX {
                let bytes_max = BLOB_WORDS_MAX * 8;
                return Err(EncodeError::RowTooLarge { table: program.table.clone(), bytes, bytes_max });
            }
            writer.row += 1;
            self.rowless = false;
        }
        let ImageWriter { cells, row: count, heap, .. } = writer;
        let before_list = append_list(program, before, heap, blob_start, count);
        let after_list = append_list(program, after, heap, blob_start, count);
        let present = |list: &ListPlan, bitmap: &[u8]| match list.is_there && !list.is_full {
            true => Some(Box::from(bitmap)),
            false => None,
        };
        let first_row_in_event = self.row;
        self.row += count;
        Ok(EncodedRows {
            op: match self.event.op {
                RowOperation::Insert => Op::Insert,
                RowOperation::Update => Op::Update,
                RowOperation::Delete => Op::Delete,
            },
            count,
            first_row_in_event,
            before: before_list,
            after: after_list,
            blob: blob_start..heap.len(),
            before_present: present(before, self.event.before_bitmap),
            after_present: present(after, self.event.after_bitmap),
            cells,
        })
    }
}

/// Puts the structs behind the heap. Their pointers were made as if the list began where the heap does: what lies
/// between is taken off each.
fn append_list(
    program: &RowProgram,
    list: &ListPlan,
    heap: &mut TextBuffer,
    blob_start: usize,
    count: u32,
) -> Option<ListRef> {
    if !list.is_there {
        return None;
    }
    let tag_word = (heap.len() - blob_start) / 8;
    let (data_words, pointers) = (program.data_words, program.pointers);
    let tag = u64::from(count) << 2 | u64::from(data_words) << 32 | u64::from(pointers) << 48;
    heap.push_word(tag, 8);
    let shift = ((tag_word + 1) as u32) << 2;
    let element_bytes = program.template.len();
    let data_bytes = usize::from(data_words) * 8;
    let elements = &list.elements;
    let target = heap.room_for(elements.len());
    if element_bytes > 0 {
        for (to, from) in target.chunks_exact_mut(element_bytes).zip(elements.chunks_exact(element_bytes)) {
            let (Some((to_data, to_pointers)), Some((data, pointers))) =
                (to.split_at_mut_checked(data_bytes), from.split_at_checked(data_bytes))
            else {
                continue;
            };
            to_data.copy_from_slice(data);
            for (to, from) in to_pointers.as_chunks_mut::<8>().0.iter_mut().zip(pointers.as_chunks::<8>().0) {
                let pointer = u64::from_le_bytes(*from);
                // The upper half of a list pointer is never 0, so that only the null pointer is.
                let shift = if pointer == 0 { 0 } else { shift };
                let lower = (pointer as u32).wrapping_sub(shift);
                *to = (pointer & !0xffff_ffff | u64::from(lower)).to_le_bytes();
            }
        }
    }
    heap.advance(elements.len());
    Some(ListRef { tag_word: tag_word as u32, words: (elements.len() / 8) as u32 })
}

/// The images of one row, from the front of `rest`.
#[inline(always)]
fn write_row<'a>(
    writer: &mut ImageWriter<'_, 'a>,
    event: &RowsEvent<'a>,
    before: &mut ListPlan,
    after: &mut ListPlan,
    rest: &mut &'a [u8],
) -> Result<(), EncodeError> {
    if before.is_there {
        let partial = if event.is_partial { Partial::Before } else { Partial::Never };
        if event.is_partial {
            writer.scratch.documents.fill(None);
        }
        writer.kind = ImageKind { image: Image::Before, partial };
        write_image(writer, before, rest)?;
    }
    if after.is_there {
        let partial = if event.is_partial { partial_bits(writer, rest)? } else { Partial::Never };
        writer.kind = ImageKind { image: Image::After, partial };
        write_image(writer, after, rest)?;
    }
    Ok(())
}

#[inline(never)]
fn write_image<'a>(
    writer: &mut ImageWriter<'_, 'a>,
    list: &mut ListPlan,
    rest: &mut &'a [u8],
) -> Result<(), EncodeError> {
    let ListPlan { is_full, plan, elements, .. } = list;
    let program = writer.program;
    let (steps, template): (&[Step], &[u8]) = match is_full {
        true => (&program.steps, &program.template),
        false => (&plan.steps, &plan.template),
    };
    writer.write(steps, template, elements, rest).map_err(|fault| describe(writer, fault, rest))
}

/// The head of an after image of PARTIAL_UPDATE_ROWS: options (length-encoded), and where its lowest bit is set one
/// bit for each JSON column of the table, in the image or not.
fn partial_bits<'a>(writer: &ImageWriter<'_, 'a>, rest: &mut &'a [u8]) -> Result<Partial<'a>, EncodeError> {
    const PARTIAL_JSON: u8 = 1;
    let cut = |rest: &[u8]| EncodeError::Header {
        table: writer.program.table.clone(),
        offset: writer.rows.len() - rest.len(),
        rows_bytes: writer.rows.len(),
    };
    let (&options, tail) = rest.split_first().ok_or_else(|| cut(rest))?;
    // Options above 250 would take more bytes; there is only this one.
    if options > PARTIAL_JSON {
        return Err(cut(rest));
    }
    *rest = tail;
    if options & PARTIAL_JSON == 0 {
        return Ok(Partial::After(&[]));
    }
    let (bits, tail) = rest.split_at_checked(writer.program.json_columns.div_ceil(8)).ok_or_else(|| cut(rest))?;
    *rest = tail;
    Ok(Partial::After(bits))
}

#[cold]
fn describe(writer: &ImageWriter<'_, '_>, fault: Fault, rest: &[u8]) -> EncodeError {
    let Fault { column, reason } = fault;
    let (offset, rows_bytes) = (writer.rows.len() - rest.len(), writer.rows.len());
    let table = writer.program.table.clone();
    match writer.program.columns.get(usize::from(column)) {
        Some(name) => EncodeError::Value { table, column: name.clone(), offset, rows_bytes, reason },
        None => EncodeError::Header { table, offset, rows_bytes },
    }
}

const _: () = assert!(size_of::<Step>() <= 32 && size_of::<ValueError>() <= 24);
