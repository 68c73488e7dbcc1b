//! Columns that the log does not name: from the history's place, through DDL, to where the two disagree.

use millstream_codec::mysql::event::EventType as T;

use super::log::{Metadata, table_map_body};
use super::*;
use crate::engine::batch::SourceBatch;
use crate::history::Snapshot;

fn table(table: &str, columns: &[&str]) -> TableDefinition {
    TableDefinition::of_integers(table, false, columns)
}

/// One row of so many INT columns.
fn row(log: &mut Log, id: u64, name: &str, columns: usize) {
    log.begin();
    log.event(T::TABLE_MAP, 0, &table_map_body(id, name, &vec!["x"; columns], Metadata::None));
    let mut body = id.to_le_bytes()[..6].to_vec();
    body.extend([1, 0, 2, 0, columns as u8]);
    body.extend(vec![0xff; columns.div_ceil(8)]);
    body.push(0);
    body.extend(vec![0; 4 * columns]);
    log.event(T::WRITE_ROWS, 0, &body);
    log.xid();
}

struct Reader {
    tracker: Tracker,
    batches: Vec<SourceBatch>,
    notices: Vec<String>,
    asked: Vec<String>,
}

impl Reader {
    fn new(tables: &Arc<Mutex<Tables>>, at: Position, config: TrackerConfig) -> Self {
        let mut tracker = Tracker::new(config, at.clone(), tables.clone(), interest(1, &["d.*"]));
        tracker.connected(&connection(&at));
        Self { tracker, batches: Vec::new(), notices: Vec::new(), asked: Vec::new() }
    }

    /// Each question is answered by what `known` says of the table.
    fn read(&mut self, events: &[Vec<u8>], known: &[TableDefinition]) -> Result<(), SourceError> {
        feed(&mut self.tracker, events);
        loop {
            match self.tracker.poll()? {
                Some(TrackerOutput::Batch(batch)) => self.batches.push(batch),
                Some(TrackerOutput::Notice(notice)) => self.notices.push(notice.to_string()),
                Some(TrackerOutput::Need(_)) => {}
                None => match self.tracker.awaiting() {
                    Some(Need::Schema { table, .. }) => {
                        self.tracker.provide_schema(known.iter().find(|known| known.table == table).cloned());
                        self.asked.push(table);
                    }
                    _ => return Ok(()),
                },
            }
        }
    }

    /// `t(a,b)` for each rows event.
    fn seen(&self) -> Vec<String> {
        let shown = |batch: &SourceBatch| {
            let of = |event: &crate::engine::batch::RowEvent| {
                let schema = &batch.tables[event.table as usize].schema;
                let columns: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
                format!("{}({})", schema.table, columns.join(","))
            };
            batch.events.iter().map(of).collect::<Vec<_>>()
        };
        self.batches.iter().flat_map(shown).collect()
    }

    fn held(&self) -> Vec<String> {
        let parts = self.batches.iter().flat_map(|batch| &batch.transactions);
        parts.flat_map(|part| part.held_tables.iter().map(|(database, table)| format!("{database}.{table}"))).collect()
    }
}

fn snapshot_at(tables: &Arc<Mutex<Tables>>, at: &Position, definitions: &[TableDefinition]) {
    let snapshot = Snapshot { tables: definitions.to_vec(), ..Snapshot::default() };
    tables.lock().unwrap().history_mut().snapshot(at, snapshot);
}

#[test]
fn ddl_is_followed_and_a_resume_sees_the_columns_of_its_place() {
    let tables = tables();
    snapshot_at(&tables, &start(), &[table("t", &["a"]), table("u", &["x"])]);
    let mut log = Log::mysql();
    row(&mut log, 1, "t", 1);
    let (before, middle) = (log.events.len(), log.offset);
    log.statement("ALTER TABLE t ADD COLUMN b INT, RENAME COLUMN a TO id");
    row(&mut log, 2, "t", 2);
    // What gh-ost does at its end.
    log.statement("CREATE TABLE _t_gho (id INT, b INT, c INT)");
    log.statement("RENAME TABLE t TO _t_del, _t_gho TO t");
    row(&mut log, 3, "t", 3);
    row(&mut log, 4, "_t_del", 2);
    row(&mut log, 5, "u", 1);
    let expected = ["t(a)", "t(id,b)", "t(id,b,c)", "_t_del(id,b)", "u(x)"];
    let mut first = Reader::new(&tables, start(), config(HOLD_ALL));
    first.read(&log.events, &[]).unwrap();
    assert_eq!((first.seen(), first.asked.len(), first.notices.len()), (expected.map(str::to_owned).to_vec(), 0, 0));
    // Later readers at any place between transactions see the same, without a question.
    let mut again = Reader::new(&tables, Position { offset: middle, ..start() }, config(HOLD_ALL));
    let head = &log.events[..2];
    again.read(&[head, &log.events[before..]].concat(), &[]).unwrap();
    assert_eq!((again.seen(), again.asked.len()), (expected[1..].iter().map(ToString::to_string).collect(), 0));
    let mut end = Reader::new(&tables, Position { offset: log.offset, ..start() }, config(HOLD_ALL));
    let mut more = log.clone();
    more.events.truncate(2);
    row(&mut more, 9, "_t_del", 2);
    row(&mut more, 10, "t", 3);
    end.read(&more.events, &[]).unwrap();
    assert_eq!((end.seen(), end.asked.len()), (vec!["_t_del(id,b)".to_owned(), "t(id,b,c)".to_owned()], 0));
}

#[test]
fn a_statement_that_may_have_changed_anything_leaves_every_table_in_doubt_also_for_later_readers() {
    let tables = tables();
    snapshot_at(&tables, &start(), &[table("t", &["a"]), table("u", &["x"])]);
    let mut log = Log::mysql();
    row(&mut log, 1, "t", 1);
    log.statement("FROBNICATE EVERYTHING");
    let behind = Position { offset: log.offset, ..start() };
    row(&mut log, 2, "t", 1);
    let now = [table("t", &["b"])];
    let mut first = Reader::new(&tables, start(), config(HOLD_ALL));
    first.read(&log.events, &now).unwrap();
    assert_eq!((first.seen(), first.asked.len()), (vec!["t(a)".to_owned(), "t(b)".to_owned()], 1));
    let found = tables.lock().unwrap().history().table_at(&("d".into(), "u".into()), &behind).unwrap();
    assert!(matches!(found.state, crate::history::TableAt::Doubtful(_)), "{found:?}");
}

#[test]
fn a_change_without_a_trace_quarantines_its_table_until_it_is_repaired() {
    let tables = tables();
    snapshot_at(&tables, &start(), &[table("t", &["a"]), table("u", &["x"])]);
    let mut log = Log::mysql();
    row(&mut log, 1, "t", 1);
    row(&mut log, 2, "t", 2);
    row(&mut log, 3, "u", 1);
    let mut reader = Reader::new(&tables, start(), config(HOLD_ALL));
    reader.read(&log.events, &[]).unwrap();
    assert_eq!((reader.seen(), reader.asked.len()), (vec!["t(a)".to_owned(), "u(x)".to_owned()], 0));
    let [told] = &reader.notices[..] else { panic!("{:?}", reader.notices) };
    for part in ["d.t", "2 columns", "millstream schema repair d.t --destination main"] {
        assert!(told.contains(part), "{told}");
    }
    let position = reader.tracker.position().clone();
    let repaired = table("t", &["a", "n"]);
    tables.lock().unwrap().history_mut().repair(&position, ("d".into(), "t".into()), Some(repaired));
    let read = log.events.len();
    row(&mut log, 3, "u", 1);
    row(&mut log, 2, "t", 2);
    reader.read(&log.events[read..], &[]).unwrap();
    assert_eq!(reader.seen()[2..], ["u(x)".to_owned(), "t(a,n)".to_owned()]);
    assert!(reader.notices[1].contains("can be delivered again"), "{:?}", reader.notices);
    // One that comes by later needs no repair.
    let mut later = Reader::new(&tables, start(), config(HOLD_ALL));
    later.read(&log.events, &[]).unwrap();
    assert_eq!(later.seen(), ["t(a)", "t(a,n)", "u(x)", "u(x)", "t(a,n)"]);
    assert_eq!(later.notices, Vec::<String>::new());
}

#[test]
fn a_table_can_hold_its_readers_or_stop_the_destination() {
    let policy = |policy| {
        let spec = FilterSpec { include: vec!["d.t".into()], ..FilterSpec::default() };
        let rules = vec![(Filter::compile(&spec).unwrap(), policy)];
        TrackerConfig { quarantine: Arc::new(QuarantinePolicies { rules }), ..config(HOLD_ALL) }
    };
    let mut log = Log::mysql();
    row(&mut log, 1, "u", 1);
    row(&mut log, 2, "t", 2);
    row(&mut log, 3, "u", 1);
    let tables = tables();
    snapshot_at(&tables, &start(), &[table("t", &["a"]), table("u", &["x"])]);
    let mut holds = Reader::new(&tables, start(), policy(QuarantinePolicy::Hold));
    holds.read(&log.events, &[]).unwrap();
    assert_eq!((holds.seen().len(), holds.held()), (2, vec!["d.t".to_owned()]));
    let mut fails = Reader::new(&tables, start(), policy(QuarantinePolicy::Fail));
    let error = fails.read(&log.events, &[]).unwrap_err();
    assert!(matches!(&error, SourceError::Table { table, .. } if table == "t"), "{error}");
    assert_eq!(fails.seen(), ["u(x)"]);
    assert!(fails.tracker.position().offset < log.offset);
}

#[test]
fn a_place_before_the_history_is_said_to_be_assumed_and_asks_where_it_does_not_fit() {
    let tables = tables();
    let later = Position { offset: 1 << 20, ..start() };
    snapshot_at(&tables, &later, &[table("t", &["a"]), table("u", &["x", "y"])]);
    let mut log = Log::mysql();
    row(&mut log, 1, "t", 1);
    row(&mut log, 1, "t", 1);
    row(&mut log, 2, "u", 1);
    log.statement("ALTER TABLE t ADD b INT");
    row(&mut log, 3, "t", 2);
    let mut reader = Reader::new(&tables, start(), config(HOLD_ALL));
    reader.read(&log.events, &[table("u", &["x"])]).unwrap();
    assert_eq!(reader.seen(), ["t(a)", "t(a)", "u(x)", "t(a,b)"]);
    assert_eq!(reader.asked, ["u"]);
    assert!(reader.notices[0].contains("does not reach back so far"), "{:?}", reader.notices);
    // What followed from an assumption was not recorded as a fact.
    let at = reader.tracker.position().clone();
    let found = tables.lock().unwrap().history().table_at(&("d".into(), "t".into()), &at).unwrap();
    assert!(found.assumed, "{found:?}");
}

#[test]
fn a_damaged_history_stops_only_what_needs_it() {
    let store = crate::records::MemoryStore { bytes: b"this is not a schema history at all".to_vec() };
    let tables = Tables::open("main", Box::new(crate::records::MemoryStore::default()), Box::new(store)).unwrap();
    let tables = Arc::new(Mutex::new(tables));
    let mut log = Log::mysql();
    log.transaction(1, "full", &[1]);
    row(&mut log, 2, "t", 1);
    let mut reader = Reader::new(&tables, start(), config(HOLD_ALL));
    reader.read(&log.events, &[table("t", &["a"])]).unwrap();
    assert_eq!(reader.seen(), ["full(id)"]);
    assert!(reader.notices[0].contains("the schema history cannot be used: damaged at byte 0"), "{:?}", reader.notices);
}
