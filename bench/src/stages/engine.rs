//! From the source's batches to the messages of subscribers, and their acks.

use std::sync::{Arc, Mutex};

use millstream_codec::mysql::server::ServerKind;
use millstream_codec::mysql::table_map::TableMap;
use millstream_codec::wire::messages::{ClientMessage, Filter as WireFilter, Hello, Order, Start, Subscribe};
use millstream_core::engine::batch::SourceBatch;
use millstream_core::engine::home::{Home, HomeConfig, HomeEffect};
use millstream_core::engine::hub::{Begin, Hub, HubLimits};
use millstream_core::engine::interest::{InterestSet, ViewId, ViewInterest};
use millstream_core::engine::ring::{RingReceiver, RingSender, ring};
use millstream_core::engine::shard::{Shard, ShardOutput};
use millstream_core::engine::shared::Destination;
use millstream_core::engine::subscription::Subscription;
use millstream_core::engine::table::TableVersion;
use millstream_core::filter::{ColumnSpec, Filter, FilterSpec};
use millstream_core::limits::RING_ITEMS;
use millstream_core::position::Position;
use millstream_core::tables::Tables;

use super::receive::{batches, interest, start, tables, tracker};
use super::{Entry, Sink, Size, Stage};
use crate::binlog::HEADER_BYTES;
use crate::log::{self, EVENTS_PER_TRANSACTION, ORDERS_PER_TRANSACTION};
use crate::{orders, tables as made};

pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "filter.wants", units: "lookups", make: Wants::make },
    Entry { name: "filter.table", units: "tables", make: PlanTable::make },
    Entry { name: "ring", units: "items", make: HandOver::make },
    Entry { name: "shard", units: "rows", make: Encode::make },
    Entry { name: "fan_out.one", units: "rows", make: |size| FanOut::make(size, &["shop.*"]) },
    Entry { name: "fan_out.16_of_one_view", units: "rows", make: |size| FanOut::make(size, &["shop.*"; 16]) },
    Entry { name: "fan_out.16_views", units: "rows", make: |size| FanOut::make(size, &SIXTEEN) },
    Entry { name: "ack", units: "acks", make: Ack::make },
];

/// Different filters that all want `shop.orders`.
const SIXTEEN: [&str; 16] = [
    "shop.*",
    "shop.*d*",
    "*.orders",
    "shop.orders",
    "sh*.*",
    "s*p.*",
    "*.o*",
    "*.or*",
    "*.ord*",
    "*.orde*",
    "*.*s",
    "*.*rs",
    "*.*ers",
    "*p.*",
    "*op.*",
    "/shop\\.orders/",
];

fn transactions(size: Size) -> usize {
    match size {
        Size::Smoke => 500,
        Size::Full => 5_000,
    }
}

pub(super) fn filter(include: &str) -> Arc<Filter> {
    let spec = FilterSpec { include: vec![include.to_owned()], ..FilterSpec::default() };
    Arc::new(Filter::compile(&spec).expect("a filter"))
}

/// What views ask of tables, of each form that a filter may have.
fn many_views() -> Arc<InterestSet> {
    let spec = |include: &[&str], exclude: &[&str], columns: &[&str]| FilterSpec {
        include: include.iter().map(ToString::to_string).collect(),
        exclude: exclude.iter().map(ToString::to_string).collect(),
        columns: columns
            .iter()
            .map(|column| ColumnSpec { tables: "bench.*".into(), columns: vec![(*column).to_owned()] })
            .collect(),
        ..FilterSpec::default()
    };
    let specs = [
        spec(&["shop.orders"], &[], &[]),
        spec(&["shop.*"], &["shop.tmp*"], &[]),
        spec(&["crm_*.customer*", "crm_*.account*"], &[], &[]),
        spec(&["/shop_\\d+\\.(orders|items)/"], &[], &[]),
        spec(&["bench.*"], &["bench.narrow"], &["id", "name"]),
        spec(&["bench.wide"], &[], &["i0", "s1", "m2"]),
        spec(&["*.*"], &["mysql.*", "sys.*", "bench.*", "shop*.*"], &[]),
        spec(&["/bench\\..*/"], &[], &[]),
    ];
    let views = specs.iter().enumerate().map(|(index, spec)| ViewInterest {
        view: ViewId(index as u32 + 1),
        filter: Arc::new(Filter::compile(spec).expect("a filter")),
    });
    Arc::new(InterestSet { version: 1, views: views.collect() })
}

/// Does anybody want this table? Asked where a TABLE_MAP is new.
struct Wants {
    interest: Arc<InterestSet>,
    names: Vec<(String, String)>,
}

impl Wants {
    fn make(size: Size) -> (u64, Box<dyn Stage>) {
        let databases = ["shop", "shop_7", "crm_eu", "mysql", "bench"];
        let tables = ["orders", "tmp_orders", "customers", "items", "accounts", "narrow"];
        let count = transactions(size);
        let name = |index: usize| (databases[index % 5].to_owned(), format!("{}{}", tables[index % 6], index % 7));
        let stage = Self { interest: many_views(), names: (0..count).map(name).collect() };
        (count as u64, Box::new(stage))
    }
}

impl Stage for Wants {
    fn run(&mut self, sink: Sink<'_>) -> u64 {
        let mut wanted = 0_u64;
        for (database, table) in &self.names {
            wanted = wanted.rotate_left(1);
            wanted ^= u64::from(self.interest.wants(database, table));
        }
        sink(&wanted.to_le_bytes());
        self.names.len() as u64
    }
}

/// Who wants what of a table version: asked once for each and interest.
struct PlanTable {
    interest: Arc<InterestSet>,
    versions: Vec<Arc<TableVersion>>,
    rounds: usize,
}

impl PlanTable {
    fn make(size: Size) -> (u64, Box<dyn Stage>) {
        let mut tables = Tables::in_memory("bench");
        let rows =
            [orders::orders(1, 1), made::integers(1), made::utf8(1), made::narrow(1), made::wide(1), made::labels(1)];
        let versions = rows.iter().map(|rows| {
            let map = TableMap::parse(&rows.table_map[HEADER_BYTES..], ServerKind::Mysql).expect("a TABLE_MAP");
            let schema = map.schema().expect("full metadata");
            tables.resolve(schema, map.formats, &start()).expect("a version")
        });
        let versions: Vec<_> = versions.collect();
        let rounds = transactions(size) / 10;
        ((versions.len() * rounds) as u64, Box::new(Self { interest: many_views(), versions, rounds }))
    }
}

impl Stage for PlanTable {
    fn run(&mut self, sink: Sink<'_>) -> u64 {
        let mut count = 0;
        for _ in 0..self.rounds {
            for version in &self.versions {
                let interest = self.interest.table(version);
                sink(&[interest.projections.len() as u8, interest.views.len() as u8]);
                count += 1;
            }
        }
        count
    }
}

/// Both ends on one thread: what a hand-over costs besides the cache lines that move between cores.
struct HandOver {
    sender: RingSender<Arc<SourceBatch>>,
    receiver: RingReceiver<Arc<SourceBatch>>,
    batch: Arc<SourceBatch>,
    rounds: usize,
}

impl HandOver {
    fn make(size: Size) -> (u64, Box<dyn Stage>) {
        let (sender, receiver) = ring(RING_ITEMS, 1 << 30);
        let source = Source::new(1, interest("shop.*"));
        let batch = source.batches.into_iter().next().expect("a batch");
        let rounds = transactions(size) / 10;
        ((rounds * RING_ITEMS) as u64, Box::new(Self { sender, receiver, batch, rounds }))
    }
}

impl Stage for HandOver {
    fn run(&mut self, sink: Sink<'_>) -> u64 {
        let mut count = 0;
        for _ in 0..self.rounds {
            for _ in 0..RING_ITEMS {
                assert!(self.sender.push(self.batch.clone(), 1 << 10).is_ok(), "there is room");
            }
            while let Some(batch) = self.receiver.pop() {
                count += batch.transactions.len() as u64;
            }
        }
        sink(&count.to_le_bytes());
        count
    }
}

/// What the tracker made of a log.
struct Source {
    tables: Arc<Mutex<Tables>>,
    batches: Vec<Arc<SourceBatch>>,
}

/// As much as one read of a busy socket brings.
const TRANSACTIONS_PER_BATCH: usize = 32;

impl Source {
    fn new(transactions: usize, interest: Arc<InterestSet>) -> Self {
        let tables = tables();
        let mut tracker = tracker(tables.clone(), interest);
        let mut made = Vec::new();
        for (bytes, ranges) in log::transactions(transactions).chunks() {
            for ranges in ranges.chunks(TRANSACTIONS_PER_BATCH * EVENTS_PER_TRANSACTION) {
                tracker.events(bytes.clone(), ranges, 1);
                batches(&mut tracker, |batch| made.push(Arc::new(batch)));
            }
        }
        Self { tables, batches: made }
    }

    fn encoded(&self) -> Vec<ShardOutput> {
        let mut shard = Shard::new(0, 1, self.tables.clone());
        self.batches.iter().map(|batch| shard.encode(batch.clone())).collect()
    }
}

struct Encode {
    source: Source,
    shard: Shard,
}

impl Encode {
    fn make(size: Size) -> (u64, Box<dyn Stage>) {
        let source = Source::new(transactions(size), interest("shop.*"));
        let shard = Shard::new(0, 1, source.tables.clone());
        ((transactions(size) * ORDERS_PER_TRANSACTION) as u64, Box::new(Self { source, shard }))
    }
}

impl Stage for Encode {
    fn run(&mut self, sink: Sink<'_>) -> u64 {
        let mut rows = 0;
        for batch in &self.source.batches {
            let output = self.shard.encode(batch.clone());
            rows += output.rows;
            sink(&output.slab);
        }
        rows
    }
}

fn interest_of(outputs: &[ShardOutput]) -> Arc<InterestSet> {
    outputs.first().expect("a batch").batch.interest.clone()
}

/// A batch before those of this interest with nothing in it: views start with the first that was routed for them.
pub(super) fn nothing(interest: Arc<InterestSet>) -> ShardOutput {
    let batch = SourceBatch {
        number: 0,
        chunks: Vec::new(),
        tables: Vec::new(),
        events: Vec::new(),
        transactions: Vec::new(),
        tail: Arc::new(start()),
        interest,
        received_us: 1,
        source_time_us: 1,
    };
    ShardOutput::empty(batch)
}

const LIMITS: HubLimits = HubLimits {
    view_log_bytes_max: 1 << 30,
    catchup_log_bytes_max: 1 << 30,
    batch_bytes_target: 64 << 10,
    unacked_transactions_max: u64::MAX,
    pin_distance_bytes: 1 << 20,
};

/// Encoded once, put into each view, handed to each subscription, acknowledged by each.
pub(super) struct FanOut {
    filters: Vec<Arc<Filter>>,
    tables: Arc<Mutex<Tables>>,
    outputs: Vec<ShardOutput>,
    hub: Hub,
}

impl FanOut {
    fn make(size: Size, includes: &[&str]) -> (u64, Box<dyn Stage>) {
        let filters: Vec<_> = includes.iter().map(|include| filter(include)).collect();
        let tables = tables();
        let hub = Self::hub(&filters, &tables);
        let source = Source::new(transactions(size), hub.destination.interest());
        let outputs = source.encoded();
        let rows = outputs.iter().map(|output| output.rows).sum();
        (rows, Box::new(Self { filters, tables, outputs, hub }))
    }

    /// Views are numbered alike each time, so that what is encoded suits every hub.
    pub(super) fn hub(filters: &[Arc<Filter>], tables: &Arc<Mutex<Tables>>) -> Hub {
        let mut hub = Hub::new(destination(tables), LIMITS);
        for (id, filter) in filters.iter().enumerate() {
            let id = id as u64;
            let mut subscription = Subscription::new(id, None, id, filter.clone(), ViewId(0), i64::MAX);
            subscription.announced = true;
            hub.subscribe(subscription, Begin::Latest);
        }
        hub.live_started(Arc::new(start()), 0);
        hub
    }
}

fn destination(tables: &Arc<Mutex<Tables>>) -> Arc<Destination> {
    let everything = Arc::new(Filter::everything());
    let none = std::iter::empty::<(Arc<str>, Arc<Position>)>();
    Arc::new(Destination::new("bench".into(), 7, tables.clone(), Arc::default(), everything, none))
}

impl Stage for FanOut {
    fn prepare(&mut self) {
        self.hub = Self::hub(&self.filters, &self.tables);
        // Those who wait for the live stream join it.
        self.hub.live_batch(&[&nothing(interest_of(&self.outputs))], 1);
        self.hub.seal(1);
        self.hub.take_effects();
    }

    fn run(&mut self, sink: Sink<'_>) -> u64 {
        let mut sent = 0;
        for output in &self.outputs {
            self.hub.live_batch(&[output], 1);
            self.hub.seal(1);
            drop(self.hub.take_effects());
            for id in 0..self.filters.len() as u64 {
                while let Some(entry) = self.hub.next_entry(id) {
                    self.hub.sent(id, &entry, entry.bytes.len(), 1);
                    sent += entry.rows;
                    sink(&entry.bytes);
                }
                let subscription = self.hub.subscription(id).expect("it is subscribed");
                let sequence = subscription.sent_sequence;
                subscription.ack(sequence, |_, _| {}).expect("it was sent");
            }
        }
        // Everybody has every row.
        sent / self.filters.len() as u64
    }
}

/// A client with a durable cursor that acknowledges each transaction; the store answers after so many of them.
const ACKS_PER_SAVE: usize = 16;

struct Ack {
    outputs: Vec<ShardOutput>,
    tables: Arc<Mutex<Tables>>,
    home: Home,
    connection: u64,
    /// On their way to the store.
    saves: Vec<u64>,
    transactions: usize,
}

impl Ack {
    fn make(size: Size) -> (u64, Box<dyn Stage>) {
        let count = transactions(size);
        let tables = tables();
        // The first view of a destination has the number 1, as in the interest that is routed by.
        let source = Source::new(count, interest("shop.*"));
        let home = Self::home(&tables);
        let stage =
            Self { outputs: source.encoded(), tables, home, connection: 0, saves: Vec::new(), transactions: count };
        (count as u64, Box::new(stage))
    }

    fn home(tables: &Arc<Mutex<Tables>>) -> Home {
        let config =
            HomeConfig { core: 0, server_id: "bench".into(), connections_max: 10, authenticate: false, hub: LIMITS };
        Home::new(config, vec![destination(tables)], Arc::default(), Default::default())
    }

    fn take_effects(&mut self) {
        while let Some(effect) = self.home.next_effect() {
            if let HomeEffect::SaveCursor { ticket, .. } = effect {
                self.saves.push(ticket);
            }
        }
    }

    fn save(&mut self) {
        for ticket in std::mem::take(&mut self.saves) {
            self.home.cursor_saved(ticket, true);
        }
        self.take_effects();
    }
}

impl Stage for Ack {
    /// All transactions are sent.
    fn prepare(&mut self) {
        self.home = Self::home(&self.tables);
        self.saves.clear();
        let now_us = 1_000_000;
        self.connection = self.home.connect("bench".into(), now_us).expect("there is room");
        self.home.receive(
            self.connection,
            ClientMessage::Hello(Hello { protocol_version: 1, ..Hello::default() }),
            now_us,
        );
        let subscribe = Subscribe {
            destination: "bench".into(),
            subscription: "bench".into(),
            filter: WireFilter { include: vec!["shop.*".into()], ..WireFilter::default() },
            start: Start::Latest,
            order: Order::Commit,
            credit_bytes: 1 << 40,
            compiled: Vec::new(),
            standby: false,
        };
        self.home.receive(self.connection, ClientMessage::Subscribe(Box::new(subscribe)), now_us);
        self.home.live_started(0, Arc::new(start()), 0);
        self.home.live_batch(0, &[&nothing(interest_of(&self.outputs))], true, now_us);
        self.take_effects();
        self.save();
        for output in &self.outputs {
            self.home.live_batch(0, &[output], true, now_us);
        }
        while self.home.next_outgoing(self.connection, now_us).is_some() {}
        self.take_effects();
    }

    fn run(&mut self, sink: Sink<'_>) -> u64 {
        let now_us = 2_000_000;
        let (mut acked, mut sequence) = (0, 0);
        while acked < self.transactions {
            for _ in 0..ACKS_PER_SAVE.min(self.transactions - acked) {
                sequence += 1;
                self.home.receive(self.connection, ClientMessage::Ack { epoch: 7, sequence }, now_us);
                acked += 1;
            }
            self.take_effects();
            self.save();
            while let Some(outgoing) = self.home.next_outgoing(self.connection, now_us) {
                sink(&outgoing.head);
            }
        }
        assert!(!self.home.is_closing(self.connection), "every ack was of what was sent");
        acked as u64
    }
}
