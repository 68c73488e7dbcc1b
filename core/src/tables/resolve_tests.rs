use super::*;
use millstream_codec::mysql::schema::ColumnType;

const LONG: u8 = 3;
const INT: ColumnType = ColumnType::Integer { bytes: 4, unsigned: false };

fn schema(table: &str, columns: &[&str]) -> TableSchema {
    let column = |name: &&str| ColumnSchema { name: (*name).into(), column_type: INT, primary_key: 0 };
    TableSchema { database: "d".into(), table: table.into(), columns: columns.iter().map(column).collect() }
}

fn formats(count: usize) -> Vec<ColumnFormat> {
    vec![ColumnFormat { type_code: LONG, meta: 0 }; count]
}

fn at(offset: u64) -> Position {
    Position { incarnation: "one".into(), file: "b.000001".into(), offset, ..Position::default() }
}

fn tables() -> Tables {
    Tables::in_memory("main")
}

#[test]
fn the_same_question_has_the_same_answer() {
    let mut tables = tables();
    let first = tables.resolve(schema("t", &["id"]), formats(1), &at(1)).unwrap();
    let again = tables.resolve(schema("t", &["id"]), formats(1), &at(2)).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(first.hash, table_hash("d", "t"));
    let other = tables.resolve(schema("t", &["id", "n"]), formats(2), &at(3)).unwrap();
    assert_ne!(first.id, other.id);
    assert_eq!((first.layout.version, other.layout.version), (1, 2));
    assert_eq!(first.layout.struct_id, other.layout.struct_id);
}

#[test]
fn the_newest_is_the_one_farthest_in_the_log() {
    let mut tables = tables();
    tables.resolve(schema("t", &["id", "n"]), formats(2), &at(50)).unwrap();
    // A catch-up reader in the past.
    tables.resolve(schema("t", &["id"]), formats(1), &at(10)).unwrap();
    assert_eq!(tables.layout_of("d", "t").unwrap().schema.columns.len(), 2);
    tables.resolve(schema("t", &["id"]), formats(1), &at(60)).unwrap();
    assert_eq!(tables.layout_of("d", "t").unwrap().schema.columns.len(), 1);
    tables.resolve(schema("a", &["id"]), formats(1), &at(70)).unwrap();
    let names: Vec<String> = tables.tables().iter().map(|version| version.schema.table.clone()).collect();
    assert_eq!(names, ["a", "t"]);
    assert!(tables.layout_of("d", "nothing").is_none());
}

#[test]
fn what_is_left_out_of_a_layout_follows_from_its_columns() {
    let mut tables = tables();
    let mut check = |columns: &[&str], is_plain: bool| {
        let schema = schema("order_items", columns);
        let version = tables.resolve(schema.clone(), formats(columns.len()), &at(1)).unwrap();
        assert_eq!(version.layout.capnp_text.is_empty(), is_plain, "{columns:?}");
        let preview = tables.preview(&schema, &at(1)).unwrap();
        assert!(!preview.capnp_text.is_empty() && preview.nodes.len() == 3);
        assert_eq!(*version.layout.described(), Layout { id: version.id, ..preview });
    };
    check(&["id", "unit_price", "unitPrice"], true);
    check(&["new", "unitPrice", "id", "unit_price"], true);
    check(&["id", "new"], false);
}

#[test]
fn a_table_map_with_one_name_twice_is_refused() {
    let mut tables = tables();
    let error = tables.resolve(schema("t", &["id", "n", "id"]), formats(3), &at(1)).unwrap_err();
    assert_eq!(error.to_string(), "two of its columns are named 'id'");
    assert!(tables.preview(&schema("t", &["n", "n"]), &at(1)).is_err());
    assert!(!tables.commit().unwrap(), "nothing was given to it");
}

#[test]
fn projections_are_made_once() {
    let mut tables = tables();
    let version = tables.resolve(schema("t", &["id", "n"]), formats(2), &at(1)).unwrap();
    assert!(Arc::ptr_eq(&tables.projected(&version, &None), &version));
    let only_id: Projection = Some(Arc::from([true, false]));
    let projected = tables.projected(&version, &only_id);
    assert!(Arc::ptr_eq(&tables.projected(&version, &only_id), &projected));
    assert_ne!(projected.id, version.id);
    assert_eq!(projected.layout.id, projected.id);
    assert_eq!(projected.layout.columns.iter().map(|column| column.masked).collect::<Vec<_>>(), [false, true]);
    assert_eq!(projected.layout.struct_id, version.layout.struct_id);
}

#[test]
fn memory_for_versions_is_bounded_and_those_in_use_stay() {
    let mut tables = tables();
    let resolve = |tables: &mut Tables, table: usize| {
        tables.resolve(schema(&format!("t{table}"), &["id"]), formats(1), &at(1)).unwrap()
    };
    let used = resolve(&mut tables, 0);
    let unused = resolve(&mut tables, 1).id;
    tables.cached_bytes_max = 50 * used.bytes();
    for table in 2..50 {
        resolve(&mut tables, table);
    }
    assert_eq!(tables.known.len(), 50);
    resolve(&mut tables, 50);
    resolve(&mut tables, 51);
    assert!(tables.known.len() < 4, "{} are kept", tables.known.len());
    assert!(tables.cached_bytes < 4 * used.bytes());
    assert!(Arc::ptr_eq(&used, &resolve(&mut tables, 0)));
    assert_ne!(resolve(&mut tables, 1).id, unused);
    assert!(tables.commit().unwrap());
    assert!(!tables.commit().unwrap());
}

#[test]
fn a_schema_that_was_met_before_is_found_by_itself_until_a_column_is_renamed() {
    let mut tables = tables();
    let first = tables.resolve(schema("t", &["a", "b"]), formats(2), &at(10)).unwrap();
    let point = LogPoint { gtid: String::new(), incarnation: "one".into(), file: "b.000001".into(), offset: 20 };
    assert!(tables.rename_columns("d", "t", &[("b".into(), "c".into())], &point, &at(15)));
    let renamed = tables.resolve(schema("t", &["a", "c"]), formats(2), &at(30)).unwrap();
    assert_eq!(renamed.ordinals, first.ordinals);
    // A new column of the old name is another one.
    let again = tables.resolve(schema("t", &["a", "b"]), formats(2), &at(40)).unwrap();
    assert_ne!(again.ordinals, first.ordinals);
    // A reader before the rename has the columns of its place.
    let past = tables.resolve(schema("t", &["a", "b"]), formats(2), &at(12)).unwrap();
    assert_eq!(past.ordinals, first.ordinals);
}
