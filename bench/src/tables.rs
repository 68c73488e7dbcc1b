//! Tables with the columns of one family of types each, and two of a special shape. One value in sixteen is NULL.

use crate::Numbers;
use crate::binlog::{Column, ENUM, SET};
use crate::jsonb::{Json, document};
use crate::orders::{WORDS, text, words};
use crate::rows::Rows;

const DATABASE: &str = "bench";
const TABLE_ID: u64 = 200;

/// Appends one value as a row image has it.
type Write = fn(&mut Numbers, &mut Vec<u8>);

/// A column and its values.
type Filled = (Column, Write);

/// Of a row of `columns`, the first of which is never NULL: the bitmap, then the values.
fn image(columns: &[Filled], numbers: &mut Numbers) -> Vec<u8> {
    let mut row = vec![0; columns.len().div_ceil(8)];
    for (index, (_, write)) in columns.iter().enumerate() {
        if index > 0 && numbers.between(0, 16) == 0 {
            row[index / 8] |= 1 << (index % 8);
        } else {
            write(numbers, &mut row);
        }
    }
    row
}

fn table(name: &str, columns: &[Filled], row_count: usize) -> Rows {
    let mut numbers = Numbers::new(11);
    let images = (0..row_count).map(|_| image(columns, &mut numbers));
    Rows::new(TABLE_ID, DATABASE, name, columns.iter().map(|(column, _)| column.clone()).collect(), images)
}

fn random<const BYTES: usize>(numbers: &mut Numbers, row: &mut Vec<u8>) {
    row.extend_from_slice(&numbers.draw().to_le_bytes()[..BYTES]);
}

/// (id BIGINT, k INT, c CHAR(120), pad CHAR(60)), each row in an event of its own.
pub fn sysbench(row_count: usize) -> Rows {
    fn digits(numbers: &mut Numbers, count: usize, row: &mut Vec<u8>) {
        row.extend((0..count).map(|index| if index % 12 == 11 { b'-' } else { b'0' + numbers.between(0, 10) as u8 }));
    }
    let columns = vec![
        Column::number("id", 8, &[], false),
        Column::number("k", 3, &[], false),
        // 480 bytes, which take two more bits than the low byte has, and a prefix of two bytes.
        Column::text("c", 254, &[254 ^ 0x10, 224]),
        Column::text("pad", 254, &[254, 240]),
    ];
    let mut numbers = Numbers::new(13);
    let images = (1..=row_count as u64).map(|id| {
        let mut row = vec![0];
        row.extend_from_slice(&id.to_le_bytes());
        random::<4>(&mut numbers, &mut row);
        row.extend_from_slice(&119_u16.to_le_bytes());
        digits(&mut numbers, 119, &mut row);
        row.push(59);
        digits(&mut numbers, 59, &mut row);
        row
    });
    Rows::one_by_one(TABLE_ID, DATABASE, "sysbench", columns, images)
}

/// TINYINT to BIGINT, signed and unsigned.
pub fn integers(row_count: usize) -> Rows {
    let both = |name: &str, type_code, write: Write| {
        [
            (Column::number(name, type_code, &[], false), write),
            (Column::number(format!("{name}u"), type_code, &[], true), write),
        ]
    };
    let columns = [
        both("tiny", 1, random::<1>),
        both("small", 2, random::<2>),
        both("medium", 9, random::<3>),
        both("int", 3, random::<4>),
        both("big", 8, random::<8>),
    ];
    table("integers", columns.as_flattened(), row_count)
}

pub fn floats(row_count: usize) -> Rows {
    fn float(numbers: &mut Numbers, row: &mut Vec<u8>) {
        row.extend_from_slice(&(numbers.between(0, 1 << 24) as f32 / 64.0).to_le_bytes());
    }
    fn double(numbers: &mut Numbers, row: &mut Vec<u8>) {
        row.extend_from_slice(&(numbers.between(0, 1 << 50) as f64 / 1024.0).to_le_bytes());
    }
    let columns: [Filled; 4] = [
        (Column::number("f1", 4, &[4], false), float),
        (Column::number("d1", 5, &[8], false), double),
        (Column::number("f2", 4, &[4], false), float),
        (Column::number("d2", 5, &[8], false), double),
    ];
    table("floats", &columns, row_count)
}

/// Bytes of so many digits beside the groups of nine.
const DIGIT_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// DECIMAL(precision, scale) with every digit drawn; one in four is negative.
fn decimal<const PRECISION: usize, const SCALE: usize>(numbers: &mut Numbers, row: &mut Vec<u8>) {
    let start = row.len();
    let mut group = |row: &mut Vec<u8>, digits: usize| {
        let value = numbers.between(0, 10_u64.pow(digits as u32)) as u32;
        row.extend_from_slice(&value.to_be_bytes()[4 - DIGIT_BYTES[digits]..]);
    };
    let whole = PRECISION - SCALE;
    group(row, whole % 9);
    (0..whole / 9).for_each(|_| group(row, 9));
    (0..SCALE / 9).for_each(|_| group(row, 9));
    group(row, SCALE % 9);
    row[start] ^= 0x80;
    if numbers.between(0, 4) == 0 {
        row[start..].iter_mut().for_each(|byte| *byte ^= 0xff);
    }
}

pub fn decimals(row_count: usize) -> Rows {
    let columns: [Filled; 5] = [
        (Column::number("units", 246, &[5, 0], false), decimal::<5, 0>),
        (Column::number("price", 246, &[10, 2], false), decimal::<10, 2>),
        (Column::number("total", 246, &[20, 4], false), decimal::<20, 4>),
        (Column::number("rate", 246, &[38, 10], false), decimal::<38, 10>),
        (Column::number("exact", 246, &[65, 30], false), decimal::<65, 30>),
    ];
    table("decimals", &columns, row_count)
}

/// Of one byte's length.
fn short(row: &mut Vec<u8>, bytes: &[u8]) {
    row.push(bytes.len() as u8);
    row.extend_from_slice(bytes);
}

/// Most text is ASCII; one in four has more.
fn phrase(numbers: &mut Numbers, count: u64) -> String {
    const FOREIGN: [&str; 4] = [" caf\u{e9}", " stra\u{df}e", " \u{6771}\u{4eac}", " \u{1f680}"];
    let mut text = words(numbers, count);
    if numbers.between(0, 4) == 0 {
        text.push_str(FOREIGN[numbers.between(0, 4) as usize]);
    }
    text
}

/// CHAR, VARCHAR, TEXT in utf8mb4.
pub fn utf8(row_count: usize) -> Rows {
    fn name(numbers: &mut Numbers, row: &mut Vec<u8>) {
        short(row, phrase(numbers, 1).as_bytes());
    }
    fn line(numbers: &mut Numbers, row: &mut Vec<u8>) {
        let count = numbers.between(2, 7);
        text(row, &phrase(numbers, count));
    }
    fn page(numbers: &mut Numbers, row: &mut Vec<u8>) {
        let count = numbers.between(20, 60);
        text(row, &phrase(numbers, count));
    }
    let columns: [Filled; 4] = [
        (Column::text("name", 15, &[160, 0]), name),
        (Column::text("code", 254, &[254, 40]), name),
        (Column::text("line", 15, &[0xfc, 0x03]), line),
        (Column::text("page", 252, &[2]), page),
    ];
    table("utf8", &columns, row_count)
}

/// VARCHAR and TEXT in latin1.
pub fn latin1(row_count: usize) -> Rows {
    const LATIN1_SWEDISH_CI: u64 = 8;
    fn bytes(numbers: &mut Numbers, count: u64) -> Vec<u8> {
        let mut text = words(numbers, count).into_bytes();
        if numbers.between(0, 4) == 0 {
            text.extend_from_slice(b" caf\xe9");
        }
        text
    }
    fn name(numbers: &mut Numbers, row: &mut Vec<u8>) {
        short(row, &bytes(numbers, 2));
    }
    fn page(numbers: &mut Numbers, row: &mut Vec<u8>) {
        let count = numbers.between(5, 30);
        let text = bytes(numbers, count);
        row.extend_from_slice(&(text.len() as u16).to_le_bytes());
        row.extend_from_slice(&text);
    }
    let columns: [Filled; 3] = [
        (Column::collated("name", 15, &[64, 0], LATIN1_SWEDISH_CI), name),
        (Column::collated("city", 15, &[64, 0], LATIN1_SWEDISH_CI), name),
        (Column::collated("page", 252, &[2], LATIN1_SWEDISH_CI), page),
    ];
    table("latin1", &columns, row_count)
}

/// BINARY, VARBINARY, BLOB.
pub fn blobs(row_count: usize) -> Rows {
    const BINARY: u64 = 63;
    fn drawn(numbers: &mut Numbers, count: usize) -> Vec<u8> {
        (0..count).map(|_| numbers.draw() as u8).collect()
    }
    fn fixed(numbers: &mut Numbers, row: &mut Vec<u8>) {
        // MySQL takes zero bytes off the end.
        let length = numbers.between(14, 17) as usize;
        short(row, &drawn(numbers, length));
    }
    fn blob(numbers: &mut Numbers, row: &mut Vec<u8>) {
        let length = numbers.between(16, 400) as usize;
        row.extend_from_slice(&(length as u16).to_le_bytes());
        row.extend_from_slice(&drawn(numbers, length));
    }
    let columns: [Filled; 3] = [
        (Column::collated("id", 254, &[254, 16], BINARY), fixed),
        (Column::collated("hash", 15, &[32, 0], BINARY), fixed),
        (Column::collated("content", 252, &[2], BINARY), blob),
    ];
    table("blobs", &columns, row_count)
}

fn date(numbers: &mut Numbers, row: &mut Vec<u8>) {
    let number = numbers.between(1970, 2039) << 9 | numbers.between(1, 13) << 5 | numbers.between(1, 29);
    row.extend_from_slice(&number.to_le_bytes()[..3]);
}

/// As MySQL 5.6 and later write them: DATE, YEAR, TIME, DATETIME, TIMESTAMP with and without a fraction.
pub fn temporal(row_count: usize) -> Rows {
    fn fraction<const DIGITS: u32>(numbers: &mut Numbers, row: &mut Vec<u8>) {
        let value = numbers.between(0, 10_u64.pow(DIGITS)) as u32;
        row.extend_from_slice(&value.to_be_bytes()[4 - DIGITS as usize / 2..]);
    }
    fn year(numbers: &mut Numbers, row: &mut Vec<u8>) {
        row.push(numbers.between(70, 140) as u8);
    }
    fn time(numbers: &mut Numbers, row: &mut Vec<u8>) {
        let clock = 0x80_0000 | numbers.between(0, 100) << 12 | numbers.between(0, 60) << 6 | numbers.between(0, 60);
        row.extend_from_slice(&(clock as u32).to_be_bytes()[1..]);
        fraction::<4>(numbers, row);
    }
    fn datetime(numbers: &mut Numbers, row: &mut Vec<u8>) {
        let month = numbers.between(1970, 2039) * 13 + numbers.between(1, 13);
        let clock = numbers.between(0, 24) << 12 | numbers.between(0, 60) << 6 | numbers.between(0, 60);
        let number = 1 << 39 | month << 22 | numbers.between(1, 29) << 17 | clock;
        row.extend_from_slice(&number.to_be_bytes()[3..]);
    }
    fn datetime6(numbers: &mut Numbers, row: &mut Vec<u8>) {
        datetime(numbers, row);
        fraction::<6>(numbers, row);
    }
    fn timestamp(numbers: &mut Numbers, row: &mut Vec<u8>) {
        row.extend_from_slice(&(numbers.between(1, 1 << 31) as u32).to_be_bytes());
    }
    fn timestamp6(numbers: &mut Numbers, row: &mut Vec<u8>) {
        timestamp(numbers, row);
        fraction::<6>(numbers, row);
    }
    let columns: [Filled; 7] = [
        (Column::new("d", 10, &[]), date),
        (Column::number("y", 13, &[], true), year),
        (Column::new("t4", 19, &[4]), time),
        (Column::new("dt", 18, &[0]), datetime),
        (Column::new("dt6", 18, &[6]), datetime6),
        (Column::new("ts", 17, &[0]), timestamp),
        (Column::new("ts6", 17, &[6]), timestamp6),
    ];
    table("temporal", &columns, row_count)
}

/// As servers before 5.6 wrote them: TIME, DATETIME, TIMESTAMP.
pub fn temporal_old(row_count: usize) -> Rows {
    fn clock(numbers: &mut Numbers) -> u64 {
        numbers.between(0, 24) * 10_000 + numbers.between(0, 60) * 100 + numbers.between(0, 60)
    }
    fn time(numbers: &mut Numbers, row: &mut Vec<u8>) {
        row.extend_from_slice(&clock(numbers).to_le_bytes()[..3]);
    }
    fn datetime(numbers: &mut Numbers, row: &mut Vec<u8>) {
        let day = numbers.between(1970, 2039) * 10_000 + numbers.between(1, 13) * 100 + numbers.between(1, 29);
        row.extend_from_slice(&(day * 1_000_000 + clock(numbers)).to_le_bytes());
    }
    fn timestamp(numbers: &mut Numbers, row: &mut Vec<u8>) {
        row.extend_from_slice(&(numbers.between(1, 1 << 31) as u32).to_le_bytes());
    }
    let columns: [Filled; 4] = [
        (Column::new("d", 10, &[]), date),
        (Column::new("t", 11, &[]), time),
        (Column::new("dt", 12, &[]), datetime),
        (Column::new("ts", 7, &[]), timestamp),
    ];
    table("temporal_old", &columns, row_count)
}

fn json(row: &mut Vec<u8>, value: &Json<'_>) {
    let document = document(value);
    row.extend_from_slice(&(document.len() as u32).to_le_bytes());
    row.extend_from_slice(&document);
}

/// A flat object, and one with lists in it.
pub fn documents(row_count: usize) -> Rows {
    fn flat(numbers: &mut Numbers, row: &mut Vec<u8>) {
        let value = Json::Object(vec![
            ("id", Json::Int(numbers.between(0, 1 << 31) as i32)),
            ("ok", Json::Bool(numbers.between(0, 2) == 1)),
            ("name", Json::Text(WORDS[numbers.between(0, 16) as usize])),
            ("none", Json::Null),
            ("ratio", Json::Double(numbers.between(0, 1 << 50) as f64 / 4096.0)),
        ]);
        json(row, &value);
    }
    fn nested(numbers: &mut Numbers, row: &mut Vec<u8>) {
        let line = words(numbers, 3);
        let items = (0..numbers.between(1, 6)).map(|_| {
            Json::Object(vec![
                ("qty", Json::Int(numbers.between(1, 100) as i32)),
                ("sku", Json::Text(WORDS[numbers.between(0, 16) as usize])),
                ("price", Json::Double(numbers.between(1, 100_000) as f64 / 100.0)),
            ])
        });
        let value = Json::Object(vec![("note", Json::Text(&line)), ("items", Json::Array(items.collect()))]);
        json(row, &value);
    }
    let columns: [Filled; 3] = [
        (Column::number("id", 8, &[], true), random::<8>),
        (Column::new("flat", 245, &[4]), flat),
        (Column::new("nested", 245, &[4]), nested),
    ];
    table("documents", &columns, row_count)
}

/// BIT, ENUM, SET.
pub fn labels(row_count: usize) -> Rows {
    const SIZES: &[&str] = &["small", "medium", "large", "huge"];
    const COLOURS: &[&str] = &["red", "green", "blue", "white", "black", "grey"];
    fn bit(numbers: &mut Numbers, row: &mut Vec<u8>) {
        row.push(numbers.between(0, 2) as u8);
    }
    fn bits(numbers: &mut Numbers, row: &mut Vec<u8>) {
        row.extend_from_slice(&(numbers.between(0, 1 << 20) as u32).to_be_bytes()[1..]);
    }
    fn size(numbers: &mut Numbers, row: &mut Vec<u8>) {
        row.push(numbers.between(1, 5) as u8);
    }
    fn colours(numbers: &mut Numbers, row: &mut Vec<u8>) {
        row.push(numbers.between(0, 64) as u8);
    }
    let columns: [Filled; 4] = [
        (Column::new("flag", 16, &[1, 0]), bit),
        (Column::new("flags", 16, &[4, 2]), bits),
        (Column::labelled("size", &[ENUM, 1], SIZES), size),
        (Column::labelled("colours", &[SET, 1], COLOURS), colours),
    ];
    table("labels", &columns, row_count)
}

/// (INT, BIGINT), each row in an event of its own.
pub fn narrow(row_count: usize) -> Rows {
    let columns: [Filled; 2] =
        [(Column::number("id", 3, &[], false), random::<4>), (Column::number("n", 8, &[], false), random::<8>)];
    let mut numbers = Numbers::new(13);
    let images = (0..row_count).map(|_| image(&columns, &mut numbers));
    Rows::one_by_one(TABLE_ID, DATABASE, "narrow", columns.iter().map(|(column, _)| column.clone()).collect(), images)
}

pub const WIDE_COLUMNS: usize = 200;

/// INT, VARCHAR, DECIMAL and DOUBLE in turn, 200 columns.
pub fn wide(row_count: usize) -> Rows {
    fn name(numbers: &mut Numbers, row: &mut Vec<u8>) {
        short(row, words(numbers, 1).as_bytes());
    }
    fn double(numbers: &mut Numbers, row: &mut Vec<u8>) {
        row.extend_from_slice(&(numbers.between(0, 1 << 50) as f64 / 1024.0).to_le_bytes());
    }
    let columns: Vec<Filled> = (0..WIDE_COLUMNS)
        .map(|index| -> Filled {
            match index % 4 {
                0 => (Column::number(format!("i{index}"), 3, &[], false), random::<4>),
                1 => (Column::text(format!("s{index}"), 15, &[160, 0]), name),
                2 => (Column::number(format!("m{index}"), 246, &[10, 2], false), decimal::<10, 2>),
                _ => (Column::number(format!("d{index}"), 5, &[8], false), double),
            }
        })
        .collect();
    table("wide", &columns, row_count)
}
