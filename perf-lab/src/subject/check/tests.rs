use std::io::Cursor;

use millstream_bench::log::transactions;
use mysql_common::binlog::value::BinlogValue;
use mysql_common::value::Value;

use super::*;

const TRANSACTIONS: usize = 20;
/// Behind the format description.
const START: u64 = 126;

/// Three rows of `shop.orders` and one of another table in each transaction.
fn recording() -> Vec<u8> {
    let mut file = b"\xfebin".to_vec();
    // The first event tells a replica the name of the file, and is not in it.
    transactions(TRANSACTIONS).events.iter().skip(1).for_each(|event| file.extend_from_slice(event));
    file
}

struct Row {
    table: (String, String),
    columns: Vec<(String, mysql_common::constants::ColumnType, BinlogValue<'static>)>,
}

/// What a client would be given: by transaction, with the GTID.
fn delivered() -> Vec<(String, Vec<Row>)> {
    let mut reader = Checker::new(Cursor::new(recording()), START).unwrap();
    let mut all = Vec::new();
    loop {
        match reader.next().unwrap() {
            Next::Begin(gtid) => all.push((gtid, Vec::new())),
            Next::Row(before, after) => {
                assert!(before.is_none());
                let after = after.unwrap();
                let columns: Vec<_> = after
                    .columns_ref()
                    .iter()
                    .enumerate()
                    .map(|(index, column)| {
                        let value = after.as_ref(index).unwrap().clone().into_owned();
                        (column.name_str().into_owned(), column.column_type(), value)
                    })
                    .collect();
                all.last_mut().unwrap().1.push(Row { table: (*reader.table).clone(), columns });
            }
            Next::Commit => {}
            Next::End => return all,
        }
    }
}

fn check(all: &[(String, Vec<Row>)]) -> anyhow::Result<Checked> {
    let mut checker = Checker::new(Cursor::new(recording()), START)?;
    for (gtid, rows) in all {
        checker.begin(gtid)?;
        for row in rows {
            let values = row.columns.iter().map(|(name, kind, value)| Ok((&**name, Plain::of_theirs(*kind, value)?)));
            let after = Some(values.collect::<anyhow::Result<_>>()?);
            checker.row(&Delivered { database: &row.table.0, table: &row.table.1, before: None, after })?;
        }
        checker.commit()?;
    }
    checker.finish()
}

/// The error of what was spoiled names this.
fn check_spoiled(spoil: impl FnOnce(&mut Vec<(String, Vec<Row>)>), expected: &[&str]) {
    let mut all = delivered();
    spoil(&mut all);
    let error = format!("{:#}", check(&all).unwrap_err());
    for part in expected {
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }
}

#[test]
fn what_was_recorded_is_found_equal() {
    let checked = check(&delivered()).unwrap();
    assert_eq!((checked.transactions, checked.rows), (TRANSACTIONS as u64, 4 * TRANSACTIONS as u64));
    // Eight columns of three rows and those of the fourth.
    assert!(checked.values > 24 * TRANSACTIONS as u64, "{checked:?}");
}

#[test]
fn a_changed_value_of_any_column_is_found() {
    let columns = delivered()[7].1[1].columns.len();
    assert_eq!(columns, 8);
    for column in 0..columns {
        let name = delivered()[7].1[1].columns[column].0.clone();
        let spoil = |all: &mut Vec<(String, Vec<Row>)>| {
            let (_, _, value) = &mut all[7].1[1].columns[column];
            *value = match &*value {
                BinlogValue::Value(Value::NULL) => BinlogValue::Value(Value::Int(0)),
                BinlogValue::Value(Value::Int(number)) => BinlogValue::Value(Value::Int(number ^ 1)),
                BinlogValue::Value(Value::UInt(number)) => BinlogValue::Value(Value::UInt(number ^ 1)),
                BinlogValue::Value(Value::Bytes(bytes)) => {
                    let mut bytes = bytes.clone();
                    *bytes.last_mut().unwrap() ^= 1;
                    BinlogValue::Value(Value::Bytes(bytes))
                }
                BinlogValue::Value(Value::Date(year, month, day, hour, minute, second, us)) => {
                    BinlogValue::Value(Value::Date(*year, *month, *day, *hour, *minute, *second, us ^ 1))
                }
                BinlogValue::Jsonb(_) => BinlogValue::Value(Value::NULL),
                other => panic!("{other:?}"),
            };
        };
        check_spoiled(spoil, &["transaction 7 (", "row 29 of all", &format!("column {name} after"), "was recorded"]);
    }
}

#[test]
fn lost_doubled_and_exchanged_rows_are_found() {
    check_spoiled(|all| drop(all[5].1.remove(3)), &["transaction 5 (", "fewer rows"]);
    // The next row has another id.
    check_spoiled(|all| drop(all[5].1.remove(0)), &["transaction 5 (", "column id after"]);
    let double = |all: &mut Vec<(String, Vec<Row>)>, from: usize, to: usize| {
        let row = &all[5].1[from];
        let row = Row { table: row.table.clone(), columns: row.columns.clone() };
        all[5].1.insert(to, row);
    };
    check_spoiled(|all| double(all, 0, 1), &["transaction 5 (", "column id after"]);
    check_spoiled(|all| double(all, 3, 4), &["transaction 5 (", "more than was recorded"]);
    check_spoiled(|all| all[5].1.swap(2, 3), &["transaction 5 (", "a row of"]);
    check_spoiled(|all| drop(all[5].1[0].columns.pop()), &["7 columns after, 8 were recorded"]);
}

#[test]
fn lost_doubled_and_exchanged_transactions_are_found() {
    check_spoiled(|all| drop(all.remove(9)), &["one was lost"]);
    check_spoiled(|all| drop(all.pop()), &["more was recorded than came"]);
    let double = |all: &mut Vec<(String, Vec<Row>)>, index: usize| {
        let gtid = all[index].0.clone();
        all.insert(index + 1, (gtid, Vec::new()));
    };
    check_spoiled(|all| double(all, 9), &["came twice"]);
    check_spoiled(|all| double(all, TRANSACTIONS - 1), &["nothing more was recorded"]);
    check_spoiled(|all| all.swap(3, 4), &["transaction 3 (", "out of order"]);
}
