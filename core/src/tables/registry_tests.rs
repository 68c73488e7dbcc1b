use super::*;
use crate::records::MemoryStore;
use millstream_codec::mysql::schema::{ColumnSchema, ColumnType};

const INT: ColumnType = ColumnType::Integer { bytes: 4, unsigned: false };

fn text() -> ColumnType {
    ColumnType::Text { charset: "utf8mb4".into(), length: 0 }
}

fn schema(columns: &[(&str, ColumnType)]) -> TableSchema {
    let column = |(name, column_type): &(&str, ColumnType)| ColumnSchema {
        name: (*name).into(),
        column_type: column_type.clone(),
        primary_key: 0,
    };
    TableSchema { database: "d".into(), table: "t".into(), columns: columns.iter().map(column).collect() }
}

fn at(offset: u64) -> Position {
    Position { incarnation: "one".into(), file: "b.000001".into(), offset, ..Position::default() }
}

fn point(offset: u64) -> LogPoint {
    LogPoint { gtid: String::new(), incarnation: "one".into(), file: "b.000001".into(), offset }
}

struct Case {
    store: MemoryStore,
    registry: Registry,
}

impl Case {
    fn new() -> Self {
        let mut store = MemoryStore::default();
        let registry = Registry::load("main", &mut store).unwrap();
        Self { store, registry }
    }

    fn restart(&mut self) {
        self.registry.commit(&mut self.store).unwrap();
        self.registry = Registry::load("main", &mut self.store).unwrap();
        assert!(!self.registry.has_pending());
    }

    fn ordinals(&mut self, offset: u64, columns: &[(&str, ColumnType)]) -> Vec<u16> {
        self.registry.assign(&schema(columns), &at(offset)).unwrap().ordinals
    }

    fn rename(&mut self, offset: u64, renames: &[(&str, &str)]) -> bool {
        let renames: Vec<_> = renames.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        // A statement that ends at `offset`, met by a reader right before it.
        self.registry.rename_columns(("d", "t"), &renames, &point(offset), &at(offset - 1))
    }
}

#[test]
fn a_column_keeps_its_ordinal_for_ever() {
    let mut case = Case::new();
    assert_eq!(case.ordinals(1, &[("id", INT), ("name", text())]), [0, 2]);
    // Added in the middle: the next ordinal. Text has no IsNull.
    assert_eq!(case.ordinals(2, &[("id", INT), ("age", INT), ("name", text())]), [0, 3, 2]);
    case.restart();
    assert_eq!(case.ordinals(3, &[("age", INT), ("id", INT)]), [3, 0]);
    // Another type: another ordinal. The old type again: the old one.
    assert_eq!(case.ordinals(4, &[("age", text())]), [5]);
    assert_eq!(case.ordinals(5, &[("age", INT), ("x", INT)]), [3, 6]);
    case.restart();
    assert_eq!(case.ordinals(6, &[("x", INT), ("age", text()), ("name", text())]), [6, 5, 2]);
}

#[test]
fn versions_come_back_with_the_fields_that_they_had() {
    let mut case = Case::new();
    let names = |assignment: &Assignment| -> Vec<String> {
        let name = |field: &Field| format!("{}{}", field.name, if field.retired { "!" } else { "" });
        assignment.fields.iter().map(name).collect()
    };
    let old = [("id", INT), ("created_at", text())];
    let first = case.registry.assign(&schema(&old), &at(1)).unwrap();
    assert_eq!((first.version, names(&first)), (1, vec!["id".into(), "idIsNull".into(), "createdAt".into()]));
    let second = case.registry.assign(&schema(&[("id", INT), ("createdAt", text())]), &at(2)).unwrap();
    assert_eq!(second.version, 2);
    assert_eq!(names(&second), ["id", "idIsNull", "createdAt!", "createdAt2"]);
    case.restart();
    // A reader in the past gets what the first one got, to the bit.
    assert_eq!(case.registry.assign(&schema(&old), &at(1)).unwrap(), first);
    let mut retyped = schema(&old);
    retyped.columns[1].column_type = ColumnType::Json;
    assert_eq!(case.registry.assign(&retyped, &at(3)).unwrap().version, 3);
}

#[test]
fn a_renamed_column_keeps_its_ordinal_from_there_on() {
    let mut case = Case::new();
    assert_eq!(case.ordinals(10, &[("id", INT), ("a", INT)]), [0, 2]);
    assert!(case.rename(20, &[("A", "b")]));
    // The next reader that comes by changes nothing.
    assert!(!case.rename(20, &[("a", "b")]));
    case.restart();
    assert!(!case.rename(20, &[("a", "b")]));
    assert_eq!(case.ordinals(20, &[("id", INT), ("b", INT)]), [0, 2]);
    assert_eq!(case.ordinals(19, &[("id", INT), ("a", INT)]), [0, 2]);
    // A new column of the old name is another column, but not for a reader in the past.
    assert_eq!(case.ordinals(30, &[("id", INT), ("b", INT), ("a", INT)]), [0, 2, 4]);
    assert_eq!(case.ordinals(40, &[("id", INT), ("a", INT)]), [0, 4]);
    assert_eq!(case.ordinals(11, &[("id", INT), ("a", INT)]), [0, 2]);
    let fields = case.registry.assign(&schema(&[("b", INT)]), &at(50)).unwrap().fields;
    assert_eq!(fields[2].name, "b");
}

#[test]
fn columns_can_change_names_with_each_other() {
    let mut case = Case::new();
    assert_eq!(case.ordinals(10, &[("x", INT), ("y", INT)]), [0, 2]);
    assert!(case.rename(20, &[("x", "y"), ("y", "x")]));
    assert_eq!(case.ordinals(20, &[("x", INT), ("y", INT)]), [2, 0]);
    case.restart();
    assert!(!case.rename(20, &[("x", "y"), ("y", "x")]));
    assert_eq!(case.ordinals(25, &[("x", INT), ("y", INT)]), [2, 0]);
    assert_eq!(case.ordinals(15, &[("x", INT), ("y", INT)]), [0, 2]);
}

#[test]
fn a_rename_never_takes_an_ordinal_that_is_in_use() {
    let mut case = Case::new();
    // A live reader knows the new name; one in the past comes by the rename later.
    assert_eq!(case.ordinals(30, &[("b", INT)]), [0]);
    assert_eq!(case.ordinals(10, &[("a", INT)]), [2]);
    assert!(!case.rename(20, &[("a", "b")]));
    assert_eq!(case.ordinals(40, &[("b", INT)]), [0]);
    assert_eq!(case.ordinals(20, &[("b", INT)]), [0]);
    // Changed type with the name: not the same column for a client.
    assert!(case.rename(50, &[("b", "c")]));
    assert_eq!(case.ordinals(50, &[("c", text())]), [4]);
    // A table without ordinals has nothing to be renamed.
    assert!(!case.registry.rename_columns(("d", "other"), &[("a".into(), "b".into())], &point(1), &at(0)));
}

#[test]
fn places_are_compared_by_gtid_where_there_is_one() {
    let check = |point: (&str, &str, &str, u64), position: (&str, &str, &str, u64), expected: bool| {
        let (gtid, incarnation, file, offset) = point;
        let point = LogPoint { gtid: gtid.into(), incarnation: incarnation.into(), file: file.into(), offset };
        let (gtids, incarnation, file, offset) = position;
        let (gtids, incarnation) = (gtids.parse().unwrap(), incarnation.into());
        let position = Position { incarnation, file: file.into(), offset, gtids, ..Position::default() };
        assert_eq!(point.is_passed(&position), expected, "{point:?} {position:?}");
    };
    check(("0-1-7", "a", "b.2", 9), ("0-1-6", "a", "b.9", 1), false);
    check(("0-1-7", "a", "b.2", 9), ("0-2-8", "other", "b.1", 1), true);
    check(("0-1-7", "a", "b.2", 9), ("", "a", "b.2", 9), true);
    check(("", "a", "b.2", 9), ("", "a", "b.2", 8), false);
    check(("", "a", "b.2", 9), ("", "a", "b.10", 4), true);
    check(("", "a", "b.10", 9), ("", "a", "b.9", 4), false);
    check(("", "a", "b.10", 9), ("", "other", "b.9", 4), true);
}

#[test]
fn the_file_must_belong_to_the_destination() {
    let mut case = Case::new();
    case.ordinals(1, &[("id", INT)]);
    case.restart();
    let error = Registry::load("other", &mut case.store).unwrap_err();
    assert!(error.to_string().contains("'main'"), "{error}");
    // A torn tail is cut off, so that what is appended next can be read.
    let whole = case.store.bytes.len();
    case.ordinals(2, &[("name", text())]);
    case.registry.commit(&mut case.store).unwrap();
    case.store.bytes.pop();
    let mut registry = Registry::load("main", &mut case.store).unwrap();
    assert_eq!(case.store.bytes.len(), whole);
    assert_eq!(registry.assign(&schema(&[("other", text())]), &at(3)).unwrap().ordinals, [2]);
}

#[test]
fn ordinals_end_at_65535() {
    let mut case = Case::new();
    case.ordinals(1, &[("id", INT)]);
    case.registry.apply(Entry::Field {
        database: "d",
        table: "t",
        ordinal: 65_532,
        has_null: true,
        kind: ColumnKind::Int32,
        column: "late",
        name: "late",
    });
    assert_eq!(case.registry.assign(&schema(&[("more", text())]), &at(1)), Err(Unassignable::OrdinalsUsedUp));
}

#[test]
fn names_that_no_server_has_leave_nothing_behind() {
    let mut case = Case::new();
    case.ordinals(1, &[("id", INT)]);
    case.restart();
    let long = "x".repeat(65_536);
    assert_eq!(case.registry.assign(&schema(&[("id", INT), (&long, INT)]), &at(2)), Err(Unassignable::NameTooLong));
    assert!(!case.rename(3, &[("id", &long)]));
    assert!(!case.registry.has_pending());
    assert_eq!(case.ordinals(4, &[("id", INT), ("name", text())]), [0, 2]);
}

#[test]
fn names_of_fields_are_those_of_a_plain_search() {
    // Columns whose fields would be called the same, retyped and renamed ones among them.
    let names = ["a_b", "a__b", "A_B", "aB", "a_b_is_null", "aBIsNull", "aB2", "a b", "ab"];
    let mut case = Case::new();
    let mut random = 7_u64;
    let mut taken: Vec<(String, String)> = Vec::new();
    for step in 1..60 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let name = names[(random >> 40) as usize % names.len()];
        let column_type = if random >> 63 == 0 { INT } else { text() };
        let has_null = column_type == INT;
        let before = case.registry.table("d", "t").map_or(0, TableRecord::next_ordinal);
        let ordinal = case.ordinals(step, &[(name, column_type)])[0];
        if ordinal == before {
            let beside: Vec<&str> =
                taken.iter().filter(|(column, _)| column != name).map(|(_, field)| &**field).collect();
            let expected = millstream_codec::wire::layout::assign_field_name(&beside, name);
            let record = case.registry.table("d", "t").unwrap();
            assert_eq!(record.first_names(record.fields.last().unwrap()), (name, &*expected));
            taken.extend(has_null.then(|| (name.to_owned(), is_null_name(&expected))));
            taken.push((name.to_owned(), expected));
        }
        if step % 10 == 0 {
            case.restart();
        }
    }
    assert!(taken.len() > 20);
}

#[test]
fn records_that_contradict_each_other_are_refused() {
    let field = |ordinal: u16| Entry::Field {
        database: "d",
        table: "t",
        ordinal,
        has_null: true,
        kind: ColumnKind::Int32,
        column: ["c0", "c1", "c2", "c3", "c4"][usize::from(ordinal)],
        name: "c",
    };
    let load = |entries: &[Entry<'_>]| {
        let mut payload = Vec::new();
        Entry::Begin { format: FORMAT, destination: "main" }.write(&mut payload).unwrap();
        entries.iter().for_each(|entry| entry.write(&mut payload).unwrap());
        Registry::load("main", &mut MemoryStore { bytes: frame(&payload).unwrap() }).map(|_| ())
    };
    let fields = |ordinals: &[u16]| ordinals.iter().copied().map(field).collect::<Vec<_>>();
    let is_contradiction = |entries: &[Entry<'_>]| matches!(load(entries), Err(RegistryError::Contradiction { .. }));
    assert!(load(&fields(&[0, 2, 4])).is_ok());
    for ordinals in [&[1][..], &[0, 0], &[0, 1], &[0, 4], &[0, 2, 0]] {
        assert!(is_contradiction(&fields(ordinals)), "{ordinals:?}");
    }
    let renamed = |ordinal: u16| Entry::Renamed {
        database: "d",
        table: "t",
        point: point(1),
        renamed: vec![RenamedField { ordinal, column: "b".into(), name: "b".into() }],
    };
    let version = |fields: u16| Entry::Version { database: "d", table: "t", version: 1, digest: [0; 2], fields };
    assert!(load(&[field(0), field(2), renamed(2), version(4)]).is_ok());
    assert!(is_contradiction(&[renamed(0)]));
    assert!(is_contradiction(&[field(0), renamed(1)]));
    assert!(is_contradiction(&[field(0), version(3)]));
}
