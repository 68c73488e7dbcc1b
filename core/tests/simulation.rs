//! The home of one core under a seeded scheduler: a live stream, catch-ups, clients with any credit that ack, roll
//! back, vanish and come back, a store of cursors that is slow or fails, and logs small enough to fall off from.
//!
//! Checked after every step: on one connection nothing is missing, nothing comes twice, and the order is that of the
//! source; over connections nothing that was not acknowledged is skipped, and nothing before the last durable ack comes
//! again. A failing seed is printed and repeats exactly: `MILLSTREAM_SEED=n cargo test -p millstream-core --test simulation`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use millstream_codec::millstream_capnp::{change, server_message};
use millstream_codec::mysql::gtid::{ExecutedGtids, Gtid};
use millstream_codec::wire::frame::MessageFramer;
use millstream_codec::wire::messages::{
    ClientMessage, Filter as WireFilter, Hello, Order, ServerMessage, Start as StartRequest, Subscribe,
};
use millstream_core::engine::batch::{Ddl, PartEnd, SourceBatch, TransactionPart};
use millstream_core::engine::home::{Home, HomeConfig, HomeEffect};
use millstream_core::engine::hub::{CatchUpStep, HubLimits};
use millstream_core::engine::interest::InterestSet;
use millstream_core::engine::shard::ShardOutput;
use millstream_core::engine::shared::Destination;
use millstream_core::filter::Filter;
use millstream_core::limits::LIVE_FIRST_SEQUENCE;
use millstream_core::position::{FilePosition, Position};
use millstream_core::source::start::Start;
use millstream_core::tables::Tables;

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
/// More with `MILLSTREAM_SEEDS`.
const SEEDS: u64 = 60;
const STEPS: usize = 4_000;
const CLIENTS: usize = 4;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*: any full-period generator would do.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The source's history: transaction `i` lies between two places, and is for everybody or for nobody.
#[derive(Clone)]
struct Transaction {
    start: FilePosition,
    end: FilePosition,
    wanted: bool,
}

#[derive(Default)]
struct History {
    transactions: Vec<Transaction>,
}

impl History {
    fn grow(&mut self, random: &mut Random) {
        let (file, offset) = match self.transactions.last() {
            None => (1, 157),
            Some(last) => {
                let number: u64 = last.end.file.rsplit('.').next().expect("a number").parse().expect("a number");
                if last.end.offset > 20_000 { (number + 1, 157) } else { (number, last.end.offset) }
            }
        };
        let file: Arc<str> = format!("binlog.{file:06}").into();
        let size = 200 + random.below(800);
        self.transactions.push(Transaction {
            start: FilePosition { file: file.clone(), offset },
            end: FilePosition { file, offset: offset + size },
            wanted: !random.chance(30),
        });
    }

    /// Behind the first `count` transactions.
    fn position(&self, count: usize) -> Position {
        let mut gtids = ExecutedGtids::None;
        if count > 0 {
            gtids = format!("{UUID}:1-{count}").parse().expect("a set");
        }
        let at = count.checked_sub(1).and_then(|last| self.transactions.get(last)).map(|last| last.end.clone());
        let at = at.unwrap_or(FilePosition { file: "binlog.000001".into(), offset: 157 });
        Position { incarnation: "server".into(), file: at.file, offset: at.offset, gtids, open_xa: Arc::from([]) }
    }

    /// How many transactions lie before the position.
    fn index(&self, position: &Position) -> usize {
        match position.gtids.to_string().rsplit_once(':') {
            None => 0,
            Some((_, "1")) => 1,
            Some((_, range)) => range.rsplit_once('-').expect("1-n: no holes").1.parse().expect("a number"),
        }
    }

    fn batch(
        &self,
        number: u64,
        from: usize,
        to: usize,
        first_sequence: u64,
        interest: Arc<InterestSet>,
    ) -> ShardOutput {
        let transactions = (from..to)
            .map(|index| {
                let transaction = &self.transactions[index];
                let table = if transaction.wanted { "db" } else { "other" };
                TransactionPart {
                    sequence: first_sequence + (index - from) as u64,
                    begin: true,
                    end: PartEnd::Commit,
                    gtid: Some(format!("{UUID}:{}", index + 1).parse::<Gtid>().expect("a GTID")),
                    start: transaction.start.clone(),
                    position: transaction.end.clone(),
                    commit_time_us: 1,
                    time_precision_us: 1,
                    events: 0..0,
                    ddl: Some(Arc::new(Ddl {
                        database: table.into(),
                        statement: index.to_string(),
                        kind: "alter_table",
                        tables: vec![(table.into(), "t".into())],
                    })),
                    truncate_to: None,
                    open_xa: None,
                    held_tables: Vec::new(),
                }
            })
            .collect();
        let batch = SourceBatch {
            number,
            chunks: Vec::new(),
            tables: Vec::new(),
            events: Vec::new(),
            transactions,
            tail: Arc::new(self.position(to)),
            interest,
            received_us: 1,
            source_time_us: 1,
        };
        ShardOutput::empty(batch)
    }
}

struct Reader {
    /// Transactions read.
    at: usize,
    start: Start,
    next_sequence: u64,
    interest: Arc<InterestSet>,
    step: CatchUpStep,
    opened: bool,
    number: u64,
}

struct Connected {
    id: u64,
    framer: MessageFramer,
    welcomed: bool,
    /// The index of the next transaction that must come, at the earliest.
    next: Option<usize>,
    /// (sequence, index behind it) delivered and not acknowledged.
    unacked: Vec<(u64, usize)>,
    epoch: u64,
    /// Rollbacks that were not answered: what comes before the last answer is void.
    rolling_back: u32,
}

#[derive(Default)]
struct Client {
    connected: Option<Connected>,
    /// Transactions before this index were acknowledged by the client (or were not for it).
    acked: usize,
    /// What the server said is durable.
    durable: usize,
    begun: bool,
    delivered: u64,
}

struct World {
    random: Random,
    history: History,
    home: Home,
    destination: Arc<Destination>,
    live: usize,
    live_number: u64,
    readers: HashMap<u64, Reader>,
    clients: Vec<Client>,
    saves: Vec<u64>,
    now_us: i64,
    catchups: u64,
    splices: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let tables = Arc::new(Mutex::new(Tables::in_memory("main")));
        let everything = Filter::compile(&Default::default()).expect("compiles");
        let destination = Arc::new(Destination::new(
            "main".into(),
            7,
            tables,
            Arc::default(),
            Arc::new(everything),
            std::iter::empty(),
        ));
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let limits = HubLimits {
            view_log_bytes_max: 2_000 + random.below(20_000) as usize,
            catchup_log_bytes_max: 1_000 + random.below(4_000) as usize,
            batch_bytes_target: 400 + random.below(3_000) as usize,
            unacked_transactions_max: 5 + random.below(50),
            pin_distance_bytes: 500 + random.below(10_000),
        };
        let config =
            HomeConfig { core: 0, server_id: "s".into(), connections_max: 100, authenticate: false, hub: limits };
        let home = Home::new(config, vec![destination.clone()], Arc::default(), Arc::default());
        let mut history = History::default();
        for _ in 0..random.below(40) {
            history.grow(&mut random);
        }
        World {
            live: history.transactions.len(),
            random,
            history,
            home,
            destination,
            live_number: 0,
            readers: HashMap::new(),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            saves: Vec::new(),
            now_us: 1_000_000,
            catchups: 0,
            splices: 0,
        }
    }

    fn effects(&mut self) {
        while let Some(effect) = self.home.next_effect() {
            match effect {
                HomeEffect::StartCatchUp { subscription, start, first_sequence, interest, .. } => {
                    self.catchups += 1;
                    let reader = Reader {
                        at: 0,
                        start,
                        next_sequence: first_sequence,
                        interest,
                        step: CatchUpStep::Read,
                        opened: false,
                        number: 0,
                    };
                    self.readers.insert(subscription, reader);
                }
                HomeEffect::StopCatchUp { subscription, .. } => {
                    self.readers.remove(&subscription);
                    self.splices += 1;
                }
                HomeEffect::ResumeCatchUp { subscription, .. } => {
                    if self
                        .readers
                        .get(&subscription)
                        .is_some_and(|reader| reader.opened && reader.step != CatchUpStep::Read)
                    {
                        let step = self.home.catchup_step(0, subscription, self.now_us);
                        if let Some(reader) = self.readers.get_mut(&subscription) {
                            reader.step = step;
                        }
                    }
                }
                HomeEffect::SaveCursor { ticket, .. } => {
                    self.saves.push(ticket);
                }
                HomeEffect::Wake { .. } | HomeEffect::Verify { .. } => {}
            }
        }
    }

    fn step(&mut self) {
        self.now_us += 50_000;
        match self.random.below(100) {
            0..20 => {
                for _ in 0..self.random.below(6) {
                    self.history.grow(&mut self.random);
                }
            }
            20..45 => self.live(),
            45..65 => self.catch_up(),
            65..70 => self.answer_save(),
            70..72 => self.home.tick(self.now_us),
            _ => {
                let client = self.random.below(CLIENTS as u64) as usize;
                self.client(client);
            }
        }
        self.effects();
    }

    fn live(&mut self) {
        let to = self.history.transactions.len().min(self.live + self.random.below(5) as usize);
        let sequence = LIVE_FIRST_SEQUENCE + self.live as u64;
        if self.live_number == 0 {
            self.home.live_started(0, Arc::new(self.history.position(self.live)), sequence - 1);
        }
        let output = self.history.batch(self.live_number, self.live, to, sequence, self.destination.interest());
        self.live_number += 1;
        self.live = to;
        let seal = self.random.chance(70);
        self.home.live_batch(0, &[&output], seal, self.now_us);
    }

    fn catch_up(&mut self) {
        let mut ids: Vec<u64> = self.readers.keys().copied().collect();
        ids.sort_unstable();
        if ids.is_empty() {
            return;
        }
        let id = ids[self.random.below(ids.len() as u64) as usize];
        let Some(reader) = self.readers.get_mut(&id) else { return };
        if !reader.opened {
            reader.at = match &reader.start {
                Start::Position(position) => self.history.index(position),
                Start::Earliest => 0,
                other => panic!("no client asks for {other:?}"),
            };
            reader.opened = true;
            let position = Arc::new(self.history.position(reader.at));
            let sequence = reader.next_sequence;
            let step = self.home.catchup_started(0, id, position, sequence, self.now_us);
            if let Some(reader) = self.readers.get_mut(&id) {
                reader.step = step;
            }
            return;
        }
        if reader.step != CatchUpStep::Read {
            // What a parked reader does: asks again now and then.
            let step = self.home.catchup_step(0, id, self.now_us);
            if let Some(reader) = self.readers.get_mut(&id) {
                reader.step = step;
            }
            return;
        }
        let to = self.history.transactions.len().min(reader.at + 1 + self.random.below(8) as usize);
        if to == reader.at {
            return;
        }
        let output = self.history.batch(reader.number, reader.at, to, reader.next_sequence, reader.interest.clone());
        reader.next_sequence += (to - reader.at) as u64;
        reader.at = to;
        reader.number += 1;
        let step = self.home.catchup_batch(0, id, &output, self.now_us);
        if let Some(reader) = self.readers.get_mut(&id) {
            reader.step = step;
        }
    }

    fn answer_save(&mut self) {
        if self.saves.is_empty() {
            return;
        }
        let ticket = self.saves.remove(0);
        let success = !self.random.chance(10);
        self.home.cursor_saved(ticket, success);
    }

    fn client(&mut self, number: usize) {
        if self.clients[number].connected.is_none() {
            self.connect(number);
            return;
        }
        match self.random.below(100) {
            0..50 => self.receive(number),
            50..75 => self.ack(number),
            75..90 => {
                let credit = self.random.below(4_000);
                self.tell(number, ClientMessage::Credit(credit));
            }
            90..92 => {
                if let Some(connected) = self.clients[number].connected.as_mut().filter(|client| client.next.is_some())
                {
                    connected.rolling_back += 1;
                    self.tell(number, ClientMessage::Rollback);
                }
            }
            92..95 => {
                let connected = self.clients[number].connected.take().expect("it is connected");
                self.home.disconnect(connected.id);
            }
            _ => {}
        }
    }

    fn tell(&mut self, number: usize, message: ClientMessage) {
        let Some(connected) = &self.clients[number].connected else { return };
        self.home.receive(connected.id, message, self.now_us);
        self.effects();
    }

    fn connect(&mut self, number: usize) {
        let id = self.home.connect("peer".into(), self.now_us).expect("there is room");
        self.clients[number].connected = Some(Connected {
            id,
            framer: MessageFramer::new(4_096, 1 << 20),
            welcomed: false,
            next: None,
            unacked: Vec::new(),
            epoch: 0,
            rolling_back: 0,
        });
        let hello = Hello { protocol_version: 1, ..Hello::default() };
        self.tell(number, ClientMessage::Hello(hello));
        let start = if self.clients[number].begun {
            StartRequest::Resume
        } else if self.random.chance(50) {
            StartRequest::Earliest
        } else {
            StartRequest::Latest
        };
        let subscribe = Subscribe {
            destination: "main".into(),
            subscription: format!("client-{number}"),
            // Two clients of the same filter share a view, the others have one of their own.
            filter: WireFilter {
                include: vec![if number < 2 { "db.*".into() } else { "db.t".into() }],
                ..WireFilter::default()
            },
            start,
            order: Order::Commit,
            credit_bytes: self.random.below(5_000),
            compiled: Vec::new(),
            standby: false,
        };
        self.tell(number, ClientMessage::Subscribe(Box::new(subscribe)));
    }

    fn receive(&mut self, number: usize) {
        let Some(connected) = self.clients[number].connected.as_mut() else { return };
        let Some(outgoing) = self.home.next_outgoing(connected.id, self.now_us) else { return };
        let mut bytes = outgoing.head.clone();
        bytes.extend_from_slice(&outgoing.batch_bytes());
        let mut rest = &bytes[..];
        let mut messages = Vec::new();
        while !rest.is_empty() {
            let taken = connected.framer.push(rest);
            rest = &rest[taken..];
            while let Some(message) = connected.framer.message().expect("well framed") {
                let root = message.root::<server_message::Reader<'_>>().expect("a root");
                messages.push(match ServerMessage::decode(root).expect("understood") {
                    Some(message) => Received::Message(message),
                    None => Received::Batch(transactions_of(root)),
                });
            }
        }
        for message in messages {
            self.take(number, message);
        }
    }

    fn take(&mut self, number: usize, message: Received) {
        let client = &mut self.clients[number];
        let Some(connected) = client.connected.as_mut() else { return };
        match message {
            Received::Message(ServerMessage::Welcome { .. }) => connected.welcomed = true,
            Received::Message(ServerMessage::Subscribed { epoch, position, .. }) => {
                assert!(connected.welcomed);
                connected.epoch = epoch;
                let base = self.history.index(&Position::from_wire(&position).expect("a position"));
                if client.begun {
                    check_base(&self.history, number, base, client.acked, client.durable);
                } else {
                    client.begun = true;
                    client.acked = base;
                    client.durable = base;
                }
                connected.next = Some(base);
            }
            Received::Message(ServerMessage::RolledBack(position)) => {
                let base = self.history.index(&Position::from_wire(&position).expect("a position"));
                check_base(&self.history, number, base, client.acked, client.durable);
                assert!(connected.rolling_back > 0);
                connected.rolling_back -= 1;
                connected.next = Some(base);
                connected.unacked.clear();
            }
            Received::Message(ServerMessage::Acked { position, .. }) => {
                let durable = self.history.index(&Position::from_wire(&position).expect("a position"));
                let unacknowledged = (client.acked..durable).find(|index| self.history.transactions[*index].wanted);
                assert_eq!(unacknowledged, None, "client {number}: durable {durable} passes what was not acknowledged");
                client.durable = client.durable.max(durable);
            }
            Received::Message(ServerMessage::Error(error)) => {
                // The name may still be held by the connection that vanished: none does here, it is released at once.
                panic!("client {number}: {error:?}");
            }
            Received::Message(_) => {}
            Received::Batch(transactions) => {
                for (sequence, index) in transactions {
                    if connected.rolling_back > 0 {
                        continue;
                    }
                    let next = connected.next.expect("Subscribed comes first");
                    if let Some(index) = index {
                        let expected = (next..self.history.transactions.len())
                            .find(|index| self.history.transactions[*index].wanted);
                        assert_eq!(Some(index), expected, "client {number}: the next transaction behind {next}");
                        connected.next = Some(index + 1);
                        client.delivered += 1;
                    }
                    if let Some((last, _)) = connected.unacked.last() {
                        assert!(sequence > *last, "client {number}: sequences ascend");
                    }
                    connected.unacked.push((sequence, connected.next.unwrap_or(0)));
                }
            }
        }
    }

    fn ack(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let Some(connected) = client.connected.as_mut() else { return };
        if connected.unacked.is_empty() || connected.rolling_back > 0 {
            return;
        }
        let last = self.random.below(connected.unacked.len() as u64) as usize;
        let (sequence, index) = connected.unacked[last];
        connected.unacked.drain(..=last);
        client.acked = client.acked.max(index);
        let epoch = connected.epoch;
        self.tell(number, ClientMessage::Ack { epoch, sequence });
    }

    /// With an idle source, clients that take everything get everything.
    fn drain(&mut self) {
        for _ in 0..20_000 {
            self.now_us += 300_000;
            self.live();
            self.home.seal(0, self.now_us);
            self.home.tick(self.now_us);
            self.effects();
            for _ in 0..4 {
                self.catch_up();
                self.effects();
            }
            self.answer_save();
            for number in 0..CLIENTS {
                if self.clients[number].connected.is_none() {
                    self.connect(number);
                }
                self.tell(number, ClientMessage::Credit(100_000));
                self.receive(number);
                self.ack(number);
            }
            let all =
                self.history.transactions.iter().rposition(|transaction| transaction.wanted).map_or(0, |last| last + 1);
            if self.live == self.history.transactions.len()
                && self.clients.iter().all(|client| {
                    client.connected.as_ref().is_some_and(|connected| {
                        connected.next.is_some_and(|next| next >= all) && connected.unacked.is_empty()
                    }) && client.durable >= all
                })
            {
                return;
            }
        }
        let state: Vec<String> = self
            .clients
            .iter()
            .map(|client| {
                let next = client.connected.as_ref().and_then(|connected| connected.next);
                format!("next {next:?} acked {} durable {}", client.acked, client.durable)
            })
            .collect();
        let modes: BTreeMap<u64, CatchUpStep> = self.readers.iter().map(|(id, reader)| (*id, reader.step)).collect();
        panic!(
            "not drained: {} transactions, live {}, {state:?}, {modes:?}",
            self.history.transactions.len(),
            self.live
        );
    }
}

enum Received {
    Message(ServerMessage),
    /// (sequence, index in the history; `None`: it only moves the position)
    Batch(Vec<(u64, Option<usize>)>),
}

fn transactions_of(root: server_message::Reader<'_>) -> Vec<(u64, Option<usize>)> {
    let Ok(server_message::Batch(batch)) = root.which() else { panic!("a batch") };
    let mut transactions = Vec::new();
    for fragment in batch.expect("a batch").get_fragments().expect("fragments") {
        assert!(fragment.get_begin() && fragment.get_commit());
        let changes = fragment.get_changes().expect("changes");
        if changes.is_empty() {
            transactions.push((fragment.get_sequence(), None));
            continue;
        }
        assert_eq!(changes.len(), 1);
        let Ok(change::Ddl(ddl)) = changes.get(0).which() else { panic!("a statement") };
        let statement = ddl.expect("ddl").get_statement().expect("a text").to_string().expect("UTF-8");
        transactions.push((fragment.get_sequence(), Some(statement.parse().expect("an index"))));
    }
    transactions
}

/// What a connection begins behind: nothing unacknowledged lies before it, nothing durable behind it.
fn check_base(history: &History, number: usize, base: usize, acked: usize, durable: usize) {
    let lost = (acked..base).find(|index| history.transactions[*index].wanted);
    assert_eq!(lost, None, "client {number}: begins at {base}, but acknowledged only up to {acked}");
    let again = (base..durable).find(|index| history.transactions[*index].wanted);
    assert_eq!(again, None, "client {number}: begins at {base}, before its durable ack at {durable}");
}

#[test]
fn nothing_is_lost_or_repeated_whatever_the_schedule() {
    let one: Option<u64> = std::env::var("MILLSTREAM_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let count = std::env::var("MILLSTREAM_SEEDS").map_or(SEEDS, |count| count.parse().expect("a number"));
    let seeds = one.map_or(1..count + 1, |seed| seed..seed + 1);
    let (mut delivered, mut catchups, mut splices) = (0, 0, 0);
    for seed in seeds {
        eprintln!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.drain();
        delivered += world.clients.iter().map(|client| client.delivered).sum::<u64>();
        catchups += world.catchups;
        splices += world.splices;
    }
    eprintln!("{delivered} transactions delivered, {catchups} catch-ups, {splices} ended");
    assert!(delivered > 10_000 && catchups > 100 && splices > 100, "the schedules reach what they are for");
}
