//! Partial updates of a JSON column (PARTIAL_UPDATE_ROWS): applied to the document of the before image.
//!
//! ```text
//! diffs      one after the other
//! diff       u8 operation (0 replace, 1 insert, 2 remove), lenenc + path, and unless it removes lenenc + document
//! path       `$`, then `.name`, `."quoted name"` or `[n]`
//! ```
//! Only the containers along a path are taken apart; everything else stays bytes. Each takes at least three bytes for an
//! entry, so that no more entries than bytes are ever taken apart, unless a hostile document lets many entries share a
//! container: that is an error.

use super::ValueError;
use super::buffer::TextBuffer;
use super::json::{Container, DEPTH_MAX, Encoding, Value, Writer, kind, write_bounded};

/// Writes the text of `before` with `diffs` applied.
///
/// # Errors
/// Where either is damaged, or a path leads nowhere in the document.
pub fn write_updated_text(before: &[u8], diffs: &[u8], out: &mut TextBuffer) -> Result<Encoding, ValueError> {
    let mut root = Node::Bytes(Value::of_document(before));
    let mut rest = diffs;
    let mut entries_left = before.len() + diffs.len();
    while !rest.is_empty() {
        let diff = Diff::parse(&mut rest)?;
        apply(&mut root, &diff, &mut entries_left)?;
    }
    write_bounded(out, before.len() + diffs.len(), |writer| root.write(writer, 0))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Replace,
    Insert,
    Remove,
}

struct Diff<'a> {
    operation: Operation,
    path: Vec<Leg>,
    value: Option<Node<'a>>,
}

impl<'a> Diff<'a> {
    fn parse(rest: &mut &'a [u8]) -> Result<Self, ValueError> {
        let (&operation, tail) = rest.split_first().ok_or(ValueError::Truncated)?;
        *rest = tail;
        let operation = match operation {
            0 => Operation::Replace,
            1 => Operation::Insert,
            2 => Operation::Remove,
            _ => return Err(ValueError::Invalid("JSON difference of an unknown operation")),
        };
        let path = parse_path(counted(rest)?)?;
        let value = match operation {
            Operation::Remove => None,
            _ => Some(Node::Bytes(Value::of_document(counted(rest)?))),
        };
        Ok(Self { operation, path, value })
    }
}

/// Bytes behind a length-encoded count.
fn counted<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], ValueError> {
    let (&first, tail) = rest.split_first().ok_or(ValueError::Truncated)?;
    let count_bytes = match first {
        0..=0xfa => 0,
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        _ => return Err(ValueError::Invalid("JSON difference of an impossible length")),
    };
    let (count, tail) = tail.split_at_checked(count_bytes).ok_or(ValueError::Truncated)?;
    let count = if count_bytes == 0 { first.into() } else { super::bits::little_endian(count) };
    let count = usize::try_from(count).map_err(|_| ValueError::Truncated)?;
    let (bytes, tail) = tail.split_at_checked(count).ok_or(ValueError::Truncated)?;
    *rest = tail;
    Ok(bytes)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Leg {
    Member(Vec<u8>),
    Cell(usize),
    /// Counted from the last one.
    CellFromEnd(usize),
}

const BAD_PATH: ValueError = ValueError::Invalid("JSON difference with a path that is none");
const SHARED: ValueError = ValueError::Invalid("JSON document whose entries share their values");
const NO_SUCH_PATH: ValueError = ValueError::Invalid("JSON difference whose path is not in the document");

fn parse_path(path: &[u8]) -> Result<Vec<Leg>, ValueError> {
    let mut rest = path.trim_ascii().strip_prefix(b"$").ok_or(BAD_PATH)?;
    let mut legs = Vec::new();
    while let Some((&first, tail)) = rest.split_first() {
        if legs.len() > DEPTH_MAX as usize {
            return Err(BAD_PATH);
        }
        match first {
            b'[' => {
                let end = tail.iter().position(|&byte| byte == b']').ok_or(BAD_PATH)?;
                let (index, after) = tail.split_at(end);
                legs.push(parse_cell(index.trim_ascii())?);
                rest = after.get(1..).unwrap_or_default();
            }
            b'.' => {
                let (name, after) = match tail.strip_prefix(b"\"") {
                    Some(quoted) => unquote(quoted)?,
                    None => {
                        let end = tail.iter().position(|byte| matches!(byte, b'.' | b'[')).unwrap_or(tail.len());
                        let (name, after) = tail.split_at(end);
                        (name.to_vec(), after)
                    }
                };
                legs.push(Leg::Member(name));
                rest = after;
            }
            b' ' => rest = tail,
            _ => return Err(BAD_PATH),
        }
    }
    Ok(legs)
}

fn parse_cell(index: &[u8]) -> Result<Leg, ValueError> {
    let number = |digits: &[u8]| -> Result<usize, ValueError> {
        std::str::from_utf8(digits.trim_ascii()).ok().and_then(|digits| digits.parse().ok()).ok_or(BAD_PATH)
    };
    match index.strip_prefix(b"last") {
        None => Ok(Leg::Cell(number(index)?)),
        Some(offset) => match offset.trim_ascii() {
            [] => Ok(Leg::CellFromEnd(0)),
            [b'-', back @ ..] => Ok(Leg::CellFromEnd(number(back)?)),
            _ => Err(BAD_PATH),
        },
    }
}

/// The string up to its closing quote, and what follows that.
fn unquote(quoted: &[u8]) -> Result<(Vec<u8>, &[u8]), ValueError> {
    let mut name = Vec::new();
    let mut rest = quoted;
    loop {
        let (&byte, tail) = rest.split_first().ok_or(BAD_PATH)?;
        rest = tail;
        match byte {
            b'"' => return Ok((name, rest)),
            b'\\' => {
                let (&escape, tail) = rest.split_first().ok_or(BAD_PATH)?;
                rest = tail;
                match escape {
                    b'b' => name.push(0x08),
                    b'f' => name.push(0x0c),
                    b'n' => name.push(b'\n'),
                    b'r' => name.push(b'\r'),
                    b't' => name.push(b'\t'),
                    // MySQL writes control characters so; what lies above is written as itself.
                    b'u' => {
                        let (digits, tail) = rest.split_at_checked(4).ok_or(BAD_PATH)?;
                        rest = tail;
                        let code =
                            std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
                        let character = code.and_then(char::from_u32).ok_or(BAD_PATH)?;
                        name.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                    other => name.push(other),
                }
            }
            other => name.push(other),
        }
    }
}

/// A document that is partly taken apart.
#[derive(Debug)]
enum Node<'a> {
    Bytes(Value<'a>),
    Object(Vec<(Vec<u8>, Node<'a>)>),
    Array(Vec<Node<'a>>),
}

impl<'a> Node<'a> {
    /// Takes one level of a container apart, and its entries off those that are left.
    fn open(&mut self, entries_left: &mut usize) -> Result<(), ValueError> {
        let Node::Bytes(value) = *self else { return Ok(()) };
        if value.kind > kind::LARGE_ARRAY {
            return Ok(());
        }
        let container = Container::parse(value)?;
        *entries_left = entries_left.checked_sub(container.count()).ok_or(SHARED)?;
        let values = container.values().map(|value| Ok(Node::Bytes(value?)));
        *self = if container.is_object {
            let members = container.keys().zip(values).map(|(key, value)| Ok((key?.to_vec(), value?)));
            Node::Object(members.collect::<Result<_, ValueError>>()?)
        } else {
            Node::Array(values.collect::<Result<_, ValueError>>()?)
        };
        Ok(())
    }

    fn child(&mut self, leg: &Leg, entries_left: &mut usize) -> Result<&mut Self, ValueError> {
        self.open(entries_left)?;
        match (self, leg) {
            (Node::Object(members), Leg::Member(name)) => {
                members.iter_mut().find(|(key, _)| key == name).map(|(_, value)| value).ok_or(NO_SUCH_PATH)
            }
            (Node::Array(cells), Leg::Member(_)) if cells.is_empty() => Err(NO_SUCH_PATH),
            (Node::Array(cells), leg) => {
                let index = cell_index(leg, cells.len())?;
                cells.get_mut(index).ok_or(NO_SUCH_PATH)
            }
            // What is no array counts as one of one cell.
            (node, Leg::Cell(0) | Leg::CellFromEnd(0)) => Ok(node),
            _ => Err(NO_SUCH_PATH),
        }
    }

    fn write(&self, writer: &mut Writer<'_>, depth: u32) -> Result<(), ValueError> {
        match self {
            Node::Bytes(value) => return writer.value(*value, depth),
            _ if depth >= DEPTH_MAX => return Err(ValueError::Invalid("JSON nested more than 100 deep")),
            Node::Object(members) => {
                writer.byte(b'{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        writer.bytes(b", ");
                    }
                    writer.quoted(key)?;
                    writer.bytes(b": ");
                    value.write(writer, depth + 1)?;
                }
                writer.byte(b'}');
            }
            Node::Array(cells) => {
                writer.byte(b'[');
                for (index, value) in cells.iter().enumerate() {
                    if index > 0 {
                        writer.bytes(b", ");
                    }
                    value.write(writer, depth + 1)?;
                }
                writer.byte(b']');
            }
        }
        writer.check_room()
    }
}

fn cell_index(leg: &Leg, count: usize) -> Result<usize, ValueError> {
    match leg {
        Leg::Cell(index) => Ok(*index),
        Leg::CellFromEnd(back) => back.checked_add(1).and_then(|back| count.checked_sub(back)).ok_or(NO_SUCH_PATH),
        Leg::Member(_) => Err(NO_SUCH_PATH),
    }
}

fn apply<'a>(root: &mut Node<'a>, diff: &Diff<'a>, entries_left: &mut usize) -> Result<(), ValueError> {
    let value = || match &diff.value {
        Some(Node::Bytes(value)) => Ok(Node::Bytes(*value)),
        _ => Err(ValueError::Invalid("JSON difference without a value")),
    };
    let Some((last, legs)) = diff.path.split_last() else {
        if diff.operation != Operation::Replace {
            return Err(NO_SUCH_PATH);
        }
        *root = value()?;
        return Ok(());
    };
    let mut parent = root;
    for leg in legs {
        parent = parent.child(leg, entries_left)?;
    }
    if diff.operation == Operation::Replace {
        *parent.child(last, entries_left)? = value()?;
        return Ok(());
    }
    parent.open(entries_left)?;
    match (parent, last, diff.operation) {
        (Node::Object(members), Leg::Member(name), Operation::Insert) => {
            // MySQL keeps keys by length, then by bytes.
            let order = |key: &[u8]| (key.len(), key.to_vec());
            match members.binary_search_by(|(key, _)| order(key).cmp(&order(name))) {
                Ok(_) => return Err(ValueError::Invalid("JSON difference that inserts a key which is there")),
                Err(place) => members.insert(place, (name.clone(), value()?)),
            }
        }
        (Node::Object(members), Leg::Member(name), Operation::Remove) => {
            let place = members.iter().position(|(key, _)| key == name).ok_or(NO_SUCH_PATH)?;
            members.remove(place);
        }
        (Node::Array(cells), leg, Operation::Insert) => {
            // Behind the end is at the end.
            let place = cell_index(leg, cells.len())?.min(cells.len());
            cells.insert(place, value()?);
        }
        (Node::Array(cells), leg, Operation::Remove) => {
            let place = cell_index(leg, cells.len())?;
            if place >= cells.len() {
                return Err(NO_SUCH_PATH);
            }
            cells.remove(place);
        }
        _ => return Err(NO_SUCH_PATH),
    }
    Ok(())
}

#[cfg(test)]
#[path = "json_diff_tests.rs"]
mod tests;
