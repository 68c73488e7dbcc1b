//! Every named limit of the engine, with its arithmetic. What the configuration can set has its default here.

// ---------------------------------------------------------------------------------------------- filters

/// Patterns of one filter: include, exclude and projections together. Each is tried once per new table map.
pub const FILTER_PATTERNS_MAX: usize = 1_000;
/// One pattern; a database's and a table's name have at most 64 characters of 4 bytes each.
pub const FILTER_PATTERN_BYTES_MAX: usize = 4_096;
/// What one compiled regex may take.
pub const FILTER_REGEX_BYTES_MAX: usize = 1 << 20;

// ---------------------------------------------------------------------------------------------- tables

/// Table versions and projections that are kept ready, of one destination, where nobody uses them just now. A table of 4
/// columns takes about 2.5 KiB (schema, layout, program), one of 50 columns 23 KiB: 200,000 of the former, 23,000 of the
/// latter. Those in use (of the table maps that a reader remembers) are kept beyond that.
pub const TABLE_VERSIONS_BYTES_MAX: usize = 512 << 20;
/// Plans of tables that one shard keeps, 200 bytes each besides the versions; all are made anew when there are more.
pub const TABLE_PLANS_MAX: usize = TABLE_MAPS_MAX;
/// Encoded Layout messages that one worker keeps, for the next connection that needs them; encoded anew beyond that.
pub const LAYOUT_MESSAGES_BYTES_MAX: usize = 64 << 20;
/// One commit of the registry. A table of 4,096 columns with names of 64 four-byte characters, each written twice,
/// takes 2 MiB; a batch may hold several.
pub const REGISTRY_FRAME_BYTES_MAX: u32 = 64 << 20;
/// The file of the schema history; beyond it the oldest versions of each table are forgotten. 200 bytes a column: some
/// 60,000 versions of tables of 20 columns.
pub const HISTORY_BYTES_MAX: u64 = 256 << 20;
/// The history is written in frames of about this size.
pub const HISTORY_FRAME_BYTES: usize = 8 << 20;
/// Versions of one table that are kept in any case: DDL more often than that within the retained log forgets the oldest.
pub const HISTORY_VERSIONS_MAX: usize = 64;

// ---------------------------------------------------------------------------------------------- tracking

/// Default of `hold_bytes_max`: what one open transaction may hold (in bytes of the chunks that it pins) before its
/// parts are handed out as provisional. 256 reads of 256 KiB.
pub const HOLD_BYTES_MAX_DEFAULT: usize = 64 << 20;
/// Rows of prepared XA transactions that are kept for their XA COMMIT, all together; what is more is read again.
pub const XA_KEPT_BYTES_MAX: usize = 16 << 20;
/// XA transactions that may be open at once. MySQL itself stops at max_prepared_xa or at its connections.
pub const XA_OPEN_MAX: usize = 100_000;
/// A TRANSACTION_PAYLOAD is decompressed in pieces of about this size (or of one event, where that is larger).
pub const PAYLOAD_PIECE_BYTES: usize = 1 << 20;
/// Table maps that one reader remembers, and their bytes; half or more are forgotten, between two transactions, when one is
/// reached. A table of 4 columns with names takes 250 bytes (100 of them the map's own), one of 50 columns 1.2 KiB:
/// 130,000 of the former, 50,000 of the latter. 4,096 columns with names of 64 four-byte characters: 1 MiB.
pub const TABLE_MAPS_MAX: usize = 1 << 17;
pub const TABLE_MAP_BYTES_MAX: usize = 64 << 20;
/// Savepoints of one transaction that can be rolled back to.
pub const SAVEPOINTS_MAX: usize = 65_536;
/// How much of a statement is parsed as DDL; what lies behind is delivered, but not looked at. An ALTER of all 4,096
/// columns stays below it.
pub const DDL_PARSED_BYTES_MAX: usize = 4 << 20;
/// How much of a statement an error or notice repeats.
pub const STATEMENT_EXCERPT_CHARS: usize = 200;
/// Rows events of one batch, so that indices fit 32 bits and a batch of tiny events stays in the order of 100 MiB.
pub const BATCH_EVENTS_MAX: usize = 1 << 21;

/// Bytes of events that one batch takes to the shards; a transaction that holds more leaves in several parts. What is
/// encoded of a batch lies in memory beside it: some 3 MiB then, whatever the transaction has. Where `hold_bytes_max` is
/// less, that counts.
pub const BATCH_SOURCE_BYTES: usize = 1 << 20;

const _: () = assert!(PAYLOAD_PIECE_BYTES < HOLD_BYTES_MAX_DEFAULT);
const _: () = assert!(XA_KEPT_BYTES_MAX <= HOLD_BYTES_MAX_DEFAULT);

// ---------------------------------------------------------------------------------------------- engine

/// Rows of one event that are encoded into one piece. A message is ended when it has `FRAGMENT_BYTES_MAX`, so it stays
/// below that + piece: 5 MiB, under the 8 MiB that readers of other languages are promised.
pub const PIECE_BYTES_MAX: usize = 4 << 20;
/// A transaction goes on in another message when the one that is built has this size, or eight times the batch's target
/// where that is less: however large it is, its messages are small. At least the target, where that is more.
pub const FRAGMENT_BYTES_MAX: usize = 1 << 20;
/// Slabs of encoded rows that a shard keeps to be used again, and the largest: a batch of `BATCH_SOURCE_BYTES` makes
/// some 3 MiB, most make less than one. With several cores some are on their way at a time.
pub const SLABS_KEPT_MAX: usize = 4;
pub const SLAB_BYTES_KEPT_MAX: usize = 4 << 20;
/// Sealed batches share allocations of this size.
pub const BATCH_CHUNK_BYTES: usize = 256 << 10;
/// Of these, what one core keeps of a destination to be used again once its messages are sent, and the largest: a message
/// with the room that it takes at its end. 8 MiB at most.
pub const BATCH_CHUNKS_KEPT_MAX: usize = 16;
pub const BATCH_CHUNK_BYTES_KEPT_MAX: usize = 512 << 10;
/// Default of `batch_bytes_target`: a batch is sent when it has this size, or when no further input is at hand.
pub const BATCH_BYTES_TARGET_DEFAULT: usize = 128 << 10;
/// Default of `view_log_bytes_max`, of one worker core and destination: what clients may lag behind in memory before
/// they go on by a reader of their own. At 50 MB/s of batches a little over a second.
pub const VIEW_LOG_BYTES_MAX_DEFAULT: usize = 64 << 20;
/// What a catch-up keeps ready for its client before it stops reading: some round trips' worth.
pub const CATCHUP_LOG_BYTES_MAX: usize = 4 << 20;
/// A catch-up whose client takes nothing for so long gives its connection to the source back, until it does.
pub const CATCHUP_PARK_MS: u64 = 5_000;
/// A catch-up that is nearer to the live stream than this pins a place in the live log. What arrives until it has
/// read the rest must fit the log.
pub const PIN_DISTANCE_BYTES: u64 = 16 << 20;
/// Default of `unacked_transactions_max`: marks of about 100 bytes each, 6.5 MB for one subscription.
pub const UNACKED_TRANSACTIONS_MAX_DEFAULT: u64 = 1 << 16;
/// The live stream numbers its transactions from here; catch-ups of the past count from 1 and stay below: at a million
/// transactions a second, twelve days.
pub const LIVE_FIRST_SEQUENCE: u64 = 1 << 40;

/// Items of one ring. Each pins at least one chunk of 256 KiB; `ring_bytes_max` bounds them before this does.
pub const RING_ITEMS: usize = 1_024;
/// The smallest bound of one ring: some chunks, or nothing would overlap.
pub const RING_BYTES_MIN: usize = 1 << 20;
/// Default of `ring_bytes_max`, of all rings together.
pub const RING_BYTES_MAX_DEFAULT: usize = 256 << 20;

// ---------------------------------------------------------------------------------------------- clients

/// A message of a client: the largest is a Subscribe with its filters and compiled fields.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The first receive buffer of a connection; it grows to a message's size and not beyond.
pub const CLIENT_BUFFER_BYTES: usize = 4 << 10;
/// Answers that wait for a client that does not read; over it the client is not listened to.
pub const CONTROL_QUEUE_BYTES_MAX: usize = 256 << 10;
pub const CLIENT_NAME_CHARS_MAX: usize = 128;
pub const SUBSCRIPTION_NAME_CHARS_MAX: usize = 128;
/// Default of `connections_max` of one worker core.
pub const CONNECTIONS_MAX_DEFAULT: usize = 256;
/// Socket turns of one connection before the others have theirs.
pub const CONNECTION_TURNS: usize = 8;
/// A connection that has not said Hello by then, or Subscribe by then after its Welcome, is ended.
pub const SUBSCRIBE_US: i64 = 10_000_000;
/// A client hears something at least this often.
pub const HEARTBEAT_US: i64 = 1_000_000;

// ---------------------------------------------------------------------------------------------- cores

/// Heartbeats and idle cursors are looked after this often.
pub const TICK_US: u64 = 250_000;
/// Histograms and status go to the control thread each so many ticks.
pub const TICKS_PER_REPORT: u64 = 4;
/// How long a core may work before it looks at its sockets again: at 200 us a busy core answers in 250 us, at the
/// runtime's default of 100 ms in 100 ms.
pub const PREEMPT_US: u64 = 200;
/// Registered memory of one executor: its sockets do not use it, so that it is the least that there is. All of it is resident,
/// and locked three times over.
pub const EXECUTOR_IO_MEMORY_BYTES: usize = 64 << 10;
pub const EXECUTOR_RING_DEPTH: usize = 512;
/// An executor that is not up by then never will be.
pub const EXECUTOR_START_MS: u64 = 10_000;
/// A snapshot of `information_schema` at the start; what takes longer is given up, and tables are read one by one. 100,000 tables
/// of 20 columns are 2 million rows, some seconds for a server.
pub const SNAPSHOT_MS: u64 = 20_000;
/// What clients' sockets get to take the last messages at shutdown.
pub const SHUTDOWN_MS: u64 = 2_000;
pub const STOP_POLL_MS: u64 = 20;
/// How long a starting server waits for the port to be free: what was killed still listens for some 10 to 100 ms.
pub const PORT_FREE_MS: u64 = 3_000;
/// A source that could not be opened is tried again after this; within an open stream reconnects are faster.
pub const REOPEN_MS: u64 = 200;
/// A halted source is looked at again after this.
pub const HALTED_RETRY_MS: u64 = 5_000;

const _: () = assert!(PIECE_BYTES_MAX + FRAGMENT_BYTES_MAX < 8 << 20);
const _: () = assert!(3 * BATCH_SOURCE_BYTES <= SLAB_BYTES_KEPT_MAX);
const _: () = assert!(BATCH_BYTES_TARGET_DEFAULT <= FRAGMENT_BYTES_MAX);
const _: () = assert!(BATCH_SOURCE_BYTES <= HOLD_BYTES_MAX_DEFAULT);
const _: () = assert!(CATCHUP_LOG_BYTES_MAX < VIEW_LOG_BYTES_MAX_DEFAULT);
const _: () = assert!((PIN_DISTANCE_BYTES as usize) < VIEW_LOG_BYTES_MAX_DEFAULT);
const _: () = assert!(RING_BYTES_MIN <= RING_BYTES_MAX_DEFAULT);
