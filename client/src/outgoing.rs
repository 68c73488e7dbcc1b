//! What a client says, as framed messages.

use capnp::message::Builder;
use capnp::serialize::write_message_to_words;
use millstream_codec::millstream_capnp::{Order as WireOrder, client_message, filter, start, subscribe};

use crate::config::{ClientConfig, Ddl, Filter, Order, Start, WhenTaken};
use crate::protocol::PROTOCOL_VERSION;

fn framed(fill: impl FnOnce(client_message::Builder<'_>)) -> Vec<u8> {
    let mut message = Builder::new_default();
    fill(message.init_root());
    write_message_to_words(&message)
}

pub(crate) fn hello(config: &ClientConfig, highest_epoch: u64) -> Vec<u8> {
    framed(|message| {
        let mut hello = message.init_hello();
        hello.set_protocol_version(PROTOCOL_VERSION);
        hello.set_client_name(&config.client_name);
        hello.set_user(&config.user);
        hello.set_password(&config.password);
        hello.set_highest_epoch(highest_epoch);
    })
}

pub(crate) fn subscribe(config: &ClientConfig, start: &Start) -> Vec<u8> {
    framed(|message| {
        let mut subscribe = message.init_subscribe();
        subscribe.set_destination(&config.destination);
        subscribe.set_subscription(&config.subscription);
        subscribe.set_credit_bytes(config.credit_bytes);
        subscribe.set_standby(config.when_taken == WhenTaken::Wait);
        subscribe.set_order(match config.order {
            Order::Commit => WireOrder::Commit,
            Order::Table => WireOrder::Table,
        });
        set_filter(subscribe.reborrow().init_filter(), &config.filter);
        set_start(subscribe.reborrow().init_start(), start);
        set_compiled(subscribe, config);
    })
}

fn set_compiled(subscribe: subscribe::Builder<'_>, config: &ClientConfig) {
    let mut list = subscribe.init_compiled(config.compiled.len() as u32);
    for (index, field) in config.compiled.iter().enumerate() {
        let mut entry = list.reborrow().get(index as u32);
        entry.set_table(&field.table);
        entry.set_field(&field.field);
        entry.set_ordinal(field.ordinal);
        entry.set_type(&field.type_name);
    }
}

fn set_filter(mut builder: filter::Builder<'_>, filter: &Filter) {
    set_texts(builder.reborrow().init_include(filter.include.len() as u32), &filter.include);
    set_texts(builder.reborrow().init_exclude(filter.exclude.len() as u32), &filter.exclude);
    let mut columns = builder.reborrow().init_columns(filter.columns.len() as u32);
    for (index, projection) in filter.columns.iter().enumerate() {
        let mut entry = columns.reborrow().get(index as u32);
        entry.set_tables(&projection.tables);
        set_texts(entry.init_columns(projection.columns.len() as u32), &projection.columns);
    }
    let mut kinds = builder.reborrow().init_kinds(filter.kinds.len() as u32);
    for (index, kind) in filter.kinds.iter().enumerate() {
        kinds.set(index as u32, *kind);
    }
    builder.set_ddl(filter.ddl == Ddl::Deliver);
}

fn set_texts(mut list: capnp::text_list::Builder<'_>, texts: &[String]) {
    for (index, text) in texts.iter().enumerate() {
        list.set(index as u32, text);
    }
}

fn set_start(mut builder: start::Builder<'_>, start: &Start) {
    match start {
        Start::Resume => builder.set_resume(()),
        Start::Token(token) => builder.set_token(token.as_bytes()),
        Start::Earliest => builder.set_earliest(()),
        Start::Latest => builder.set_latest(()),
        Start::GtidSet(set) => builder.set_gtid_set(set),
        Start::File { file, offset } => {
            let mut position = builder.init_file();
            position.set_file(file);
            position.set_offset(*offset);
        }
        Start::TimestampUs(timestamp_us) => builder.set_timestamp_us(*timestamp_us),
    }
}

pub(crate) fn ack(epoch: u64, sequence: u64) -> Vec<u8> {
    framed(|message| {
        let mut ack = message.init_ack();
        ack.set_epoch(epoch);
        ack.set_sequence(sequence);
    })
}

pub(crate) fn rollback() -> Vec<u8> {
    framed(|mut message| message.set_rollback(()))
}

pub(crate) fn credit(bytes: u64) -> Vec<u8> {
    framed(|mut message| message.set_credit(bytes))
}

pub(crate) fn ping(number: u64) -> Vec<u8> {
    framed(|mut message| message.set_ping(number))
}

pub(crate) fn unsubscribe() -> Vec<u8> {
    framed(|mut message| message.set_unsubscribe(()))
}
