use super::*;
use crate::records::MemoryStore;
use std::sync::Mutex;

/// A store that outlives the history.
#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<(MemoryStore, u32)>>);

impl Shared {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().0.bytes.clone()
    }

    fn set(&self, bytes: Vec<u8>) {
        self.0.lock().unwrap().0.bytes = bytes;
    }
}

impl RecordStore for Shared {
    fn load(&mut self) -> std::io::Result<Vec<u8>> {
        self.0.lock().unwrap().0.load()
    }
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.lock().unwrap().0.append(bytes)
    }
    fn truncate(&mut self, length_bytes: u64) -> std::io::Result<()> {
        self.0.lock().unwrap().0.truncate(length_bytes)
    }
    fn replace(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.lock().unwrap().1 += 1;
        self.0.lock().unwrap().0.replace(bytes)
    }
    fn set_aside(&mut self) -> std::io::Result<String> {
        self.0.lock().unwrap().0.set_aside()
    }
}

fn open(store: &Shared) -> SchemaHistory {
    SchemaHistory::open("main", Box::new(store.clone()))
}

fn at(offset: u64) -> Position {
    Position { incarnation: "one".into(), file: "b.000001".into(), offset, ..Position::default() }
}

fn point(offset: u64) -> LogPoint {
    point_of(&at(offset))
}

fn name(table: &str) -> TableName {
    ("d".into(), table.into())
}

fn table(table: &str, columns: &[&str]) -> TableDefinition {
    TableDefinition::of_integers(table, false, columns)
}

fn known(table_name: &str, columns: &[&str]) -> TableAt {
    TableAt::Known(Arc::new(table(table_name, columns)))
}

fn change(table_name: &str, state: TableAt, statement: &str) -> Vec<Change> {
    vec![Change { name: name(table_name), state, statement: statement.to_owned() }]
}

fn snapshot(tables: &[TableDefinition]) -> Snapshot {
    Snapshot { tables: tables.to_vec(), ..Snapshot::default() }
}

fn columns(history: &SchemaHistory, table: &str, offset: u64) -> (Vec<String>, bool) {
    match history.table_at(&name(table), &at(offset)) {
        Some(Found { state: TableAt::Known(definition), assumed, .. }) => {
            (definition.columns.iter().map(|column| column.name.clone()).collect(), assumed)
        }
        Some(Found { state, assumed, .. }) => (vec![format!("{state:?}")], assumed),
        None => (vec!["unknown".to_owned()], false),
    }
}

fn check(history: &SchemaHistory, table: &str, offset: u64, expected: &str) {
    let (found, assumed) = columns(history, table, offset);
    let shown = format!("{}{}", found.join(","), if assumed { " assumed" } else { "" });
    assert_eq!(shown, expected, "{table} at {offset}");
}

#[test]
fn each_place_has_the_columns_of_its_moment_also_after_a_restart() {
    let store = Shared::default();
    let mut history = open(&store);
    history.snapshot(&at(100), snapshot(&[table("t", &["a"]), table("gone", &["x"])]));
    history.record(&point(200), Origin::Ddl, change("t", known("t", &["a", "b"]), "ALTER TABLE t ADD b INT"));
    history.record(&point(250), Origin::Ddl, change("gone", TableAt::Absent, "DROP TABLE gone"));
    history.record(&point(300), Origin::Ddl, change("new", known("new", &["n"]), "create table new (n int)"));
    history.record(&point(400), Origin::Ddl, change("t", TableAt::Doubtful("why".into()), "ALTER TABLE t FROBNICATE"));
    assert!(history.commit().unwrap());
    assert!(!history.commit().unwrap());
    for history in [history, open(&store)] {
        check(&history, "t", 50, "a assumed");
        check(&history, "t", 100, "a");
        check(&history, "t", 199, "a");
        check(&history, "t", 200, "a,b");
        check(&history, "t", 500, "Doubtful(\"why\")");
        check(&history, "gone", 249, "x");
        check(&history, "gone", 250, "Absent");
        check(&history, "new", 299, "Absent");
        check(&history, "new", 300, "n");
        check(&history, "never", 300, "unknown");
        assert_eq!(history.at(&at(200)).tables.len(), 3);
    }
}

#[test]
fn readers_that_come_by_again_change_nothing() {
    let store = Shared::default();
    let mut history = open(&store);
    let by_gtid = LogPoint { gtid: "0-1-7".into(), ..point(200) };
    history.record(&by_gtid, Origin::Ddl, change("t", known("t", &["a"]), "CREATE TABLE t (a INT)"));
    history.commit().unwrap();
    let bytes = store.bytes();
    // The same change on another server lies elsewhere.
    let elsewhere = LogPoint { incarnation: "two".into(), offset: 999, ..by_gtid };
    history.record(&elsewhere, Origin::Ddl, change("t", known("t", &["other"]), "CREATE TABLE t (a INT)"));
    history.snapshot(&at(300), snapshot(&[table("t", &["a"])]));
    assert!(!history.commit().unwrap());
    assert_eq!(store.bytes(), bytes);
}

#[test]
fn what_is_found_late_takes_its_place_in_the_log() {
    let mut history = open(&Shared::default());
    history.snapshot(&at(100), snapshot(&[table("t", &["a"])]));
    // A live reader that began later, then a catch-up in the gap before it.
    history.snapshot(&at(500), snapshot(&[table("t", &["a", "b", "c"])]));
    history.record(&point(300), Origin::Ddl, change("t", known("t", &["a", "b"]), "ALTER TABLE t ADD b INT"));
    check(&history, "t", 299, "a");
    check(&history, "t", 300, "a,b");
    check(&history, "t", 499, "a,b");
    check(&history, "t", 500, "a,b,c");
}

#[test]
fn a_snapshot_tells_what_is_gone_and_what_was_unstable() {
    let mut history = open(&Shared::default());
    history.snapshot(&at(100), snapshot(&[table("t", &["a"]), table("u", &["a"]), table("v", &["a"])]));
    let before = snapshot(&[table("t", &["a"]), table("v", &["a"])]);
    let after = snapshot(&[table("t", &["a"]), table("v", &["a", "b"]), table("w", &["a"])]);
    history.snapshot(&at(200), Snapshot::agreed(&before, after));
    check(&history, "t", 200, "a");
    check(&history, "u", 200, "Absent");
    check(&history, "v", 200, "Doubtful(\"it changed while the schema was read\")");
    check(&history, "w", 200, "Doubtful(\"it changed while the schema was read\")");
    check(&history, "v", 199, "a");
}

#[test]
fn a_repair_counts_from_where_rows_could_not_be_read() {
    let mut history = open(&Shared::default());
    history.snapshot(&at(100), snapshot(&[table("t", &["a"])]));
    history.note_quarantine(name("t"), &at(300));
    history.note_quarantine(name("t"), &at(250));
    history.note_quarantine(name("t"), &at(400));
    history.repair(&at(900), name("t"), Some(table("t", &["a", "b"])));
    check(&history, "t", 249, "a");
    check(&history, "t", 250, "a,b");
    assert_eq!(history.repaired_since(0), [name("t")]);
    assert_eq!(history.repair_counter().load(Ordering::Relaxed), 1);
    history.repair(&at(900), name("t"), None);
    check(&history, "t", 899, "a,b");
    check(&history, "t", 900, "Absent");
}

#[test]
fn a_torn_end_is_cut_off_and_damage_is_told_but_not_overwritten() {
    let store = Shared::default();
    let mut history = open(&store);
    history.snapshot(&at(100), snapshot(&[table("t", &["a"])]));
    history.commit().unwrap();
    let whole = store.bytes();
    history.record(&point(200), Origin::Ddl, change("t", known("t", &["a", "b"]), "ALTER"));
    history.commit().unwrap();
    let longer = store.bytes();
    for length in whole.len()..longer.len() {
        store.set(longer[..length].to_vec());
        let history = open(&store);
        check(&history, "t", 200, "a");
        assert_eq!(store.bytes(), whole);
    }
    for byte in 0..whole.len() {
        let mut damaged = longer.clone();
        damaged[byte] ^= 1;
        store.set(damaged.clone());
        let mut history = open(&store);
        assert!(history.damage().is_some(), "byte {byte}");
        history.record(&point(300), Origin::Ddl, change("t", known("t", &["x"]), "ALTER"));
        assert!(!history.commit().unwrap());
        assert_eq!(store.bytes(), damaged);
    }
    let mut history = open(&store);
    history.reset().unwrap();
    assert!(history.damage().is_none() && history.is_empty());
    history.snapshot(&at(500), snapshot(&[table("t", &["z"])]));
    history.commit().unwrap();
    check(&open(&store), "t", 500, "z");
}

#[test]
fn a_file_of_another_destination_or_format_is_refused() {
    let store = Shared::default();
    let mut history = open(&store);
    history.snapshot(&at(100), snapshot(&[table("t", &["a"])]));
    history.commit().unwrap();
    let other = SchemaHistory::open("other", Box::new(store.clone()));
    assert!(other.damage().unwrap().contains("'main'"), "{:?}", other.damage());
    let entry = Entry::Begin { format: FORMAT + 1, destination: "main".into() };
    let mut bytes = Vec::new();
    frames(&[entry], &mut bytes).unwrap();
    store.set(bytes);
    assert!(open(&store).damage().unwrap().contains("format 2"));
}

#[test]
fn a_file_whose_first_frame_says_nothing_is_damaged() {
    let store = Shared::default();
    let bytes = records::frame(b"[]").unwrap();
    store.set(bytes.clone());
    let mut history = open(&store);
    assert!(history.damage().unwrap().contains("does not begin with its format"), "{:?}", history.damage());
    history.snapshot(&at(100), snapshot(&[table("t", &["a"])]));
    history.commit().unwrap();
    assert_eq!(store.0.lock().unwrap().0.bytes, bytes, "damage is left alone");
}

#[test]
fn the_file_is_bounded_and_keeps_the_newest() {
    let store = Shared::default();
    let mut history = open(&store);
    history.bytes_max = 1 << 18;
    let wide: Vec<String> = (0..100).map(|number| format!("column_with_a_long_name_{number}")).collect();
    let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
    for round in 0..90 {
        let state = known("t", &wide[..100 - round]);
        history.record(&point(100 + round as u64), Origin::Ddl, change("t", state, "ALTER TABLE t DROP x"));
        history.commit().unwrap();
        assert!(store.0.lock().unwrap().0.bytes.len() as u64 <= 1 << 18);
    }
    assert!(store.0.lock().unwrap().1 > 0, "it was compacted");
    let reopened = open(&store);
    for offset in [189, 188] {
        assert_eq!(columns(&reopened, "t", offset), columns(&history, "t", offset));
    }
    assert_eq!(columns(&reopened, "t", 189).0.len(), 100 - 89);
}
