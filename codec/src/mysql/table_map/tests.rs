use super::*;
use crate::mysql::schema::{ColumnSchema, ColumnType, TableSchema};
use crate::mysql::server::ServerKind;

/// A TABLE_MAP of `shop.orders`.
fn body(types: &[u8], type_metadata: &[u8], optional: &[u8]) -> Vec<u8> {
    let mut body = vec![0x6c, 0, 0, 0, 0, 0, 1, 0];
    body.extend(b"\x04shop\0\x06orders\0");
    body.push(u8::try_from(types.len()).unwrap());
    body.extend(types);
    body.push(u8::try_from(type_metadata.len()).unwrap());
    body.extend(type_metadata);
    body.resize(body.len() + types.len().div_ceil(8), 0xfe);
    body.extend(optional);
    body
}

fn field(number: u8, value: &[u8]) -> Vec<u8> {
    [&[number, u8::try_from(value.len()).unwrap()], value].concat()
}

fn formats(types: &[u8], type_metadata: &[u8]) -> Result<Vec<(u8, u16)>, EventError> {
    let body = body(types, type_metadata, &[]);
    TableMap::parse(&body, ServerKind::Mysql).map(|map| map.formats.iter().map(|f| (f.type_code, f.meta)).collect())
}

#[test]
fn names_and_nullability() {
    let body = body(&[3, 15], &[0x00, 0x01], &[]);
    let map = TableMap::parse(&body, ServerKind::Mysql).unwrap();
    assert_eq!((map.table_id, map.flags, &*map.database, &*map.table), (0x6c, 1, "shop", "orders"));
    assert!(!map.is_nullable(0) && map.is_nullable(1) && !map.is_nullable(9));
    let name = table_id_and_name(&body).unwrap();
    assert_eq!(name, TableName { table_id: 0x6c, database: b"shop", table: b"orders" });
    assert_eq!(map.schema(), None);
}

#[test]
fn formats_of_every_type() {
    use ColumnTypeCode as T;
    let check = |type_code: u8, metadata: &[u8], expected: (u8, u16)| {
        // Between two others, so that a wrong length shifts the next one.
        let types = [T::NEWDECIMAL, type_code, T::VARCHAR];
        let metadata = [&[10, 2], metadata, &[0x2c, 0x01]].concat();
        let found = formats(&types, &metadata).unwrap();
        assert_eq!(found, [(T::NEWDECIMAL, 0x020a), expected, (T::VARCHAR, 300)], "{type_code}");
    };
    for plain in [0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14] {
        check(plain, &[], (plain, 0));
    }
    check(T::FLOAT, &[4], (T::FLOAT, 4));
    check(T::DOUBLE, &[8], (T::DOUBLE, 8));
    check(T::VARCHAR_COMPRESSED, &[0xff, 0x0f], (T::VARCHAR_COMPRESSED, 4095));
    check(T::BLOB_COMPRESSED, &[2], (T::BLOB_COMPRESSED, 2));
    check(T::BIT, &[1, 2], (T::BIT, 0x0201));
    check(T::TIMESTAMP2, &[6], (T::TIMESTAMP2, 6));
    check(T::DATETIME2, &[0], (T::DATETIME2, 0));
    check(T::TIME2, &[3], (T::TIME2, 3));
    check(T::JSON, &[4], (T::JSON, 4));
    check(T::VECTOR, &[4], (T::VECTOR, 4));
    check(T::BLOB, &[3], (T::BLOB, 3));
    check(T::GEOMETRY, &[4], (T::GEOMETRY, 4));
    // VARCHAR(20) and, in utf8, VARCHAR(100) of before 5.0: a CHAR's metadata.
    check(T::VAR_STRING, &[254, 20], (T::VAR_STRING, 20));
    check(T::VAR_STRING, &[0xee, 0x2c], (T::VAR_STRING, 300));
    check(T::VAR_STRING, &[253, 20], (T::VAR_STRING, 20));
    check(T::STRING, &[254, 40], (T::STRING, 40));
    // CHAR(255) CHARACTER SET utf8mb4: 1020 bytes; the high bits are hidden in the type.
    check(T::STRING, &[0xce, 0xfc], (T::STRING, 1020));
    check(T::STRING, &[0xee, 0x2c], (T::STRING, 300));
    check(T::STRING, &[247, 2], (T::ENUM, 2));
    check(T::STRING, &[248, 8], (T::SET, 8));
    check(T::ENUM, &[247, 1], (T::ENUM, 1));
    check(T::TYPED_ARRAY, &[T::VARCHAR, 1, 2], (T::TYPED_ARRAY, 15));
    check(T::TYPED_ARRAY, &[T::LONGLONG], (T::TYPED_ARRAY, 8));
}

#[test]
fn an_unknown_type_quarantines_the_table() {
    let error = formats(&[3, 200], &[]).unwrap_err();
    assert!(error.concerns_one_table());
    assert_eq!(error.to_string(), "table shop.orders: column 2 (counted from 1) has the unknown type code 200");
    assert!(formats(&[254], &[0xf3, 1]).unwrap_err().concerns_one_table());
    assert!(formats(&[253], &[20, 0]).unwrap_err().concerns_one_table());
    assert!(formats(&[20], &[20, 20]).unwrap_err().concerns_one_table());
}

#[test]
fn impossible_metadata_is_damage() {
    for (types, metadata) in [
        (&[246][..], &[5, 6][..]),
        (&[246], &[66, 0]),
        (&[246], &[0, 0]),
        (&[16], &[8, 0]),
        (&[16], &[1, 8]),
        (&[16], &[0, 0]),
        (&[18], &[7]),
        (&[252], &[0]),
        (&[252], &[5]),
        (&[254], &[247, 3]),
        (&[254], &[248, 0]),
        (&[15], &[1]),
        (&[3], &[1]),
        (&[15], &[1, 2, 3]),
    ] {
        let error = formats(types, metadata).unwrap_err();
        assert!(!error.concerns_one_table(), "{types:?} {metadata:?}: {error}");
    }
}

fn text(charset: &str, length: u32) -> ColumnType {
    ColumnType::Text { charset: charset.into(), length }
}

fn labels(labels: &[&str]) -> std::sync::Arc<[String]> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

#[test]
fn full_metadata_gives_the_schema() {
    // id INT UNSIGNED, name VARCHAR(300) utf8mb4, y YEAR, size ENUM latin1, price DECIMAL(10,2), data BINARY(16),
    // note TEXT latin1, flags SET utf8mb4, small TINYINT UNSIGNED
    let types = [3, 15, 13, 254, 246, 254, 252, 254, 1];
    let metadata = [0x2c, 1, 247, 1, 10, 2, 254, 16, 2, 248, 1];
    let optional = [
        field(1, &[0b1001_0000]),
        field(2, &[45, 1, 63, 2, 8]),
        field(4, b"\x02id\x04name\x01y\x04size\x05price\x04data\x04note\x05flags\x05small"),
        field(5, b"\x02\x01a\x02\xc3\xa4"),
        field(6, b"\x02\x01s\x01\xe4"),
        field(8, &[1, 0]),
        field(11, &[8, 45]),
        field(12, &[0b1011_1111, 0x80]),
        field(99, b"later"),
    ]
    .concat();
    let body = body(&types, &metadata, &optional);
    let map = TableMap::parse(&body, ServerKind::Mysql).unwrap();
    let schema = map.schema().unwrap();
    let found: Vec<_> = schema.columns.iter().map(|c| (c.name.as_str(), &c.column_type, c.primary_key)).collect();
    let integer = |bytes, unsigned| ColumnType::Integer { bytes, unsigned };
    let expected = [
        ("id", &integer(4, true), 2),
        ("name", &text("utf8mb4", 300), 1),
        ("y", &ColumnType::Year, 0),
        ("size", &ColumnType::Enum { labels: labels(&["s", "ä"]) }, 0),
        ("price", &ColumnType::Decimal { precision: 10, scale: 2 }, 0),
        ("data", &ColumnType::Binary { fixed: Some(16) }, 0),
        ("note", &text("latin1", 65535), 0),
        ("flags", &ColumnType::Set { labels: labels(&["a", "ä"]) }, 0),
        ("small", &integer(1, true), 0),
    ];
    assert_eq!(found, expected);
    assert!(map.metadata.is_visible(0) && !map.metadata.is_visible(1) && map.metadata.is_visible(8));

    // A UUID of MariaDB looks like BINARY(16); the known schema tells, even when its columns lie elsewhere.
    let uuid = ColumnSchema { name: "data".into(), column_type: ColumnType::Uuid, primary_key: 0 };
    let known = TableSchema { columns: vec![uuid], ..schema.clone() };
    assert_eq!(map.schema_with(&known).unwrap().columns[5].column_type, ColumnType::Uuid);

    for length in 0..body.len() {
        if let Ok(map) = TableMap::parse(&body[..length], ServerKind::Mysql) {
            // The cut fell between two metadata fields.
            let _ = map.schema();
        }
    }
}

fn known(types: &[ColumnType]) -> TableSchema {
    let column = |(index, column_type): (usize, &ColumnType)| ColumnSchema {
        name: format!("c{index}"),
        column_type: column_type.clone(),
        primary_key: u16::from(index == 0),
    };
    TableSchema {
        database: "shop".into(),
        table: "orders".into(),
        columns: types.iter().enumerate().map(column).collect(),
    }
}

#[test]
fn without_names_the_known_schema_must_fit() {
    use ColumnTypeCode as T;
    let integer = |bytes, unsigned| ColumnType::Integer { bytes, unsigned };
    let check =
        |type_code: u8, metadata: &[u8], optional: &[u8], known_type: ColumnType, expected: Option<ColumnType>| {
            let body = body(&[type_code], metadata, optional);
            let map = TableMap::parse(&body, ServerKind::Mysql).unwrap();
            let found = map.schema_with(&known(std::slice::from_ref(&known_type)));
            let found = found.map(|schema| schema.columns[0].column_type.clone());
            match expected {
                Some(expected) => assert_eq!(found, Ok(expected), "{type_code} {known_type:?}"),
                None => assert!(
                    matches!(found, Err(SchemaMismatch::ColumnType { .. })),
                    "{type_code} {known_type:?}: {found:?}"
                ),
            }
        };
    let same = |type_code: u8, metadata: &[u8], column_type: ColumnType| {
        check(type_code, metadata, &[], column_type.clone(), Some(column_type));
    };
    same(T::LONG, &[], integer(4, true));
    same(T::LONG, &[], integer(4, false));
    same(T::NEWDECIMAL, &[10, 2], ColumnType::Decimal { precision: 10, scale: 2 });
    same(T::BIT, &[1, 2], ColumnType::Bit { bits: 17 });
    same(T::DATETIME2, &[6], ColumnType::DateTime { digits: 6 });
    same(T::DATETIME, &[], ColumnType::DateTime { digits: 0 });
    same(T::STRING, &[247, 1], ColumnType::Enum { labels: labels(&["a"]) });
    same(T::STRING, &[254, 16], ColumnType::Inet6);
    same(T::STRING, &[254, 4], ColumnType::Inet4);
    same(T::STRING, &[254, 16], ColumnType::Binary { fixed: Some(16) });
    same(T::VARCHAR, &[40, 0], text("latin1", 40));
    same(T::VARCHAR, &[40, 0], ColumnType::Vector);
    same(T::JSON, &[4], ColumnType::Json);
    same(T::BLOB_COMPRESSED, &[2], text("utf8mb4", 65535));
    // MINIMAL metadata corrects signedness and character set.
    check(T::LONG, &[], &field(1, &[0x80]), integer(4, false), Some(integer(4, true)));
    check(T::VARCHAR, &[40, 0], &field(2, &[8]), text("utf8mb4", 40), Some(text("latin1", 40)));
    check(T::VARCHAR, &[40, 0], &field(2, &[63]), text("utf8mb4", 40), Some(ColumnType::Binary { fixed: None }));
    // Another type is another table.
    check(T::LONG, &[], &[], integer(8, false), None);
    check(T::LONG, &[], &[], text("utf8mb4", 40), None);
    check(T::VARCHAR, &[40, 0], &[], integer(8, false), None);
    check(T::NEWDECIMAL, &[10, 2], &[], ColumnType::Decimal { precision: 10, scale: 3 }, None);
    check(T::DATETIME2, &[6], &[], ColumnType::DateTime { digits: 3 }, None);
    check(T::STRING, &[254, 16], &[], ColumnType::Inet4, None);
    check(T::STRING, &[247, 1], &[], ColumnType::Set { labels: labels(&["a"]) }, None);
    check(T::BLOB, &[2], &[], ColumnType::Json, None);
}

#[test]
fn mismatches_name_both_sides() {
    let unnamed = body(&[3, 12], &[], &[]);
    let map = TableMap::parse(&unnamed, ServerKind::Mysql).unwrap();
    let integer = ColumnType::Integer { bytes: 4, unsigned: false };
    let error = map.schema_with(&known(std::slice::from_ref(&integer))).unwrap_err().to_string();
    assert!(error.starts_with("table shop.orders: the binlog has 2 columns, the known schema 1 (c0)"), "{error}");
    let error = map.schema_with(&known(&[integer.clone(), ColumnType::Bit { bits: 3 }])).unwrap_err().to_string();
    assert!(error.contains("column 2 `c1` is DATETIME(0) in the binlog, but BIT(3)"), "{error}");
    let error = map.schema_with(&known(&[integer.clone(), ColumnType::DateTime { digits: 6 }])).unwrap_err();
    assert!(matches!(error, SchemaMismatch::OldTemporalFormat { .. }), "{error}");
    // with names in the log as without
    let named = body(&[3, 12], &[], &[field(1, &[0]), field(4, b"\x02c0\x02c1")].concat());
    let map = TableMap::parse(&named, ServerKind::Mariadb).unwrap();
    let schema = map.schema_with(&known(&[integer.clone(), ColumnType::DateTime { digits: 0 }])).unwrap();
    assert_eq!(schema.columns[1].column_type, ColumnType::DateTime { digits: 0 });
    let error = map.schema_with(&known(&[integer, ColumnType::DateTime { digits: 6 }])).unwrap_err();
    assert!(matches!(error, SchemaMismatch::OldTemporalFormat { .. }), "{error}");
}

#[test]
fn counts_of_columns_are_not_believed() {
    let mut large = vec![0x6c, 0, 0, 0, 0, 0, 1, 0];
    large.extend(b"\x04shop\0\x06orders\0");
    large.extend([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert!(TableMap::parse(&large, ServerKind::Mysql).is_err());
    for (number, value) in [
        (1, &[][..]),
        (4, b"\x01a\x01b"),
        (5, &[0xfd, 0xff, 0xff, 0xff]),
        (6, &[2, 1, b'a']),
        (8, &[1]),
        (9, &[0]),
        (10, &[45, 0]),
        (12, &[]),
    ] {
        let body = body(&[3], &[], &field(number, value));
        assert!(TableMap::parse(&body, ServerKind::Mysql).is_err(), "field {number} {value:?}");
    }
}
