//! What a server would say, for tests: layouts, batches and the small messages.
//!
//! The table `shop.orders` here lies in the struct that the protocol calls `Hello`, so that a list of it can be built
//! and read by generated code: `id` is `highestEpoch` (its value bit is the lowest of `protocolVersion`), `note` is `clientName`.

#![allow(dead_code)]

use std::sync::Arc;

use capnp::message::Builder;
use capnp::serialize::write_message_to_words;
use capnp::struct_list;
use capnp::traits::HasTypeId;
use millstream_codec::millstream_capnp::{fragment, hello, server_message};
use millstream_codec::wire::layout::{ColumnKind, Layout, LayoutColumn};
use millstream_codec::wire::messages::{ErrorMessage, Heartbeat, Op, PROTOCOL_VERSION, ServerMessage};
use millstream_codec::wire::position::Position;

pub const LAYOUT: u32 = 7;
pub const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

pub fn orders_layout() -> Layout {
    let column = |name: &str, kind, slot, null_slot| LayoutColumn {
        name: name.into(),
        field: name.into(),
        ordinal: 0,
        kind,
        slot,
        null_slot,
        mysql_type: String::new(),
        digits: 0,
        bits: 0,
        labels: Arc::from([]),
        primary_key: 0,
        masked: false,
    };
    Layout {
        id: LAYOUT,
        database: "shop".into(),
        table: "orders".into(),
        struct_id: <hello::Reader<'static> as HasTypeId>::TYPE_ID,
        version: 1,
        file_id: 1,
        data_words: 2,
        pointers: 3,
        columns: vec![column("id", ColumnKind::Uint64, 1, Some(0)), column("note", ColumnKind::Text, 0, None)],
        capnp_text: String::new(),
        nodes: Vec::new(),
    }
}

pub fn layout() -> Vec<u8> {
    ServerMessage::Layout(Box::new(orders_layout())).encode()
}

pub fn welcome() -> Vec<u8> {
    ServerMessage::Welcome {
        protocol_version: PROTOCOL_VERSION,
        server_version: "0.1.0".into(),
        server_id: "test".into(),
    }
    .encode()
}

/// Behind transaction `number`: GTID set `UUID:1-number`, offset `1000 * number`.
pub fn position(number: u64) -> Position {
    Position {
        incarnation: UUID.into(),
        file: "binlog.000001".into(),
        offset: 1000 * number,
        gtid_set: if number == 0 { String::new() } else { format!("{UUID}:1-{number}") },
        open_xa: Vec::new(),
    }
}

pub fn subscribed(epoch: u64, number: u64) -> Vec<u8> {
    ServerMessage::Subscribed { epoch, position: position(number), token: Vec::new() }.encode()
}

pub fn acked(epoch: u64, sequence: u64) -> Vec<u8> {
    ServerMessage::Acked { epoch, sequence, position: position(sequence) }.encode()
}

pub fn heartbeat(sequence: u64, stands: Option<u64>) -> Vec<u8> {
    let position = stands.map(position);
    let heartbeat = Heartbeat { sequence, position, server_time_us: 1, source_lag_us: -1 };
    ServerMessage::Heartbeat(Box::new(heartbeat)).encode()
}

pub fn error(code: &str, retry: bool) -> Vec<u8> {
    ServerMessage::Error(ErrorMessage { code: code.into(), message: format!("about {code}"), retry }).encode()
}

/// One part of a transaction, as the tests need it.
#[derive(Clone)]
pub struct Fragment {
    pub sequence: u64,
    pub begin: bool,
    pub commit: bool,
    pub abort: bool,
    pub truncate_to: Option<u32>,
    /// (event, id): one change with one inserted row each.
    pub rows: Vec<(u32, u64)>,
    pub layout: u32,
    /// Rows announced more than there are.
    pub excess: u32,
}

/// A whole transaction with one row whose id is its sequence.
pub fn whole(sequence: u64) -> Fragment {
    Fragment {
        sequence,
        begin: true,
        commit: true,
        abort: false,
        truncate_to: None,
        rows: vec![(0, sequence)],
        layout: LAYOUT,
        excess: 0,
    }
}

pub fn first_part(sequence: u64, rows: &[(u32, u64)]) -> Fragment {
    Fragment { commit: false, rows: rows.to_vec(), ..whole(sequence) }
}

pub fn next_part(sequence: u64, rows: &[(u32, u64)]) -> Fragment {
    Fragment { begin: false, ..first_part(sequence, rows) }
}

pub fn last_part(sequence: u64, rows: &[(u32, u64)]) -> Fragment {
    Fragment { commit: true, ..next_part(sequence, rows) }
}

pub fn batch(epoch: u64, fragments: &[Fragment]) -> Vec<u8> {
    let mut message = Builder::new_default();
    let root: server_message::Builder<'_> = message.init_root();
    let mut batch = root.init_batch();
    batch.set_epoch(epoch);
    let mut list = batch.init_fragments(fragments.len() as u32);
    for (index, fragment) in fragments.iter().enumerate() {
        write_fragment(list.reborrow().get(index as u32), fragment);
    }
    write_message_to_words(&message)
}

fn write_fragment(mut builder: fragment::Builder<'_>, fragment: &Fragment) {
    builder.set_sequence(fragment.sequence);
    builder.set_begin(fragment.begin);
    builder.set_commit(fragment.commit);
    builder.set_abort(fragment.abort);
    builder.set_commit_time_us(1_000_000);
    builder.set_time_precision_us(1);
    builder.set_gtid(format!("{UUID}:{}", fragment.sequence).as_str());
    if let Some(event) = fragment.truncate_to {
        builder.set_truncate_to(event);
    }
    let mut start = builder.reborrow().init_start_position();
    start.set_file("binlog.000001");
    start.set_offset(1000 * (fragment.sequence - 1));
    let mut end = builder.reborrow().init_position();
    end.set_file("binlog.000001");
    end.set_offset(1000 * fragment.sequence);
    let mut changes = builder.init_changes(fragment.rows.len() as u32);
    for (index, &(event, id)) in fragment.rows.iter().enumerate() {
        let mut rows = changes.reborrow().get(index as u32).init_rows();
        rows.set_layout(fragment.layout);
        rows.set_op(Op::Insert);
        rows.set_count(1 + fragment.excess);
        rows.set_event(event);
        rows.set_first_row(index as u32);
        let after: struct_list::Builder<'_, hello::Owned> = rows.init_after().initn_as(1);
        let mut row = after.get(0);
        row.set_protocol_version(1);
        row.set_highest_epoch(id);
        row.set_client_name(format!("order {id}").as_str());
    }
}
