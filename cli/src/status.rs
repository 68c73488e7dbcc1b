//! `status`: what a server does.

use serde::Deserialize;

use crate::admin;
use crate::arguments::StatusArguments;
use crate::exit::{Exit, Failure};
use crate::schema::print;
use crate::style::{Colour, Style};
use crate::table::{Table, bytes, duration_us, grouped};

/// Fields that a server lacks read as nothing, those that it has more are passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    server: Server,
    ready: bool,
    not_ready: Vec<String>,
    memory: Memory,
    destinations: Vec<Destination>,
    stages: Vec<Stage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Server {
    id: String,
    version: String,
    listen: String,
    uptime_seconds: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Memory {
    resident_bytes: Option<u64>,
    bound_bytes: u64,
    view_log_bytes: u64,
    view_log_bytes_max: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Destination {
    name: String,
    state: String,
    error: Option<String>,
    server: String,
    version: String,
    position: String,
    gtids: String,
    lag_us: Option<u64>,
    transactions: u64,
    received_bytes: u64,
    reconnects: u64,
    quarantined: Vec<Quarantined>,
    subscriptions: Vec<Subscription>,
    disconnected: Vec<Disconnected>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Quarantined {
    table: String,
    reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subscription {
    name: String,
    client: String,
    peer: String,
    state: String,
    sent_sequence: u64,
    acked_sequence: u64,
    unacked_transactions: u64,
    filter: String,
    position: Position,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Disconnected {
    name: String,
    position: Position,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Position {
    file: String,
    offset: u64,
    open_xa: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stage {
    stage: String,
    count: u64,
    p50_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
}

pub fn run(arguments: &StatusArguments) -> Result<Exit, Failure> {
    let body = admin::get(&arguments.admin, "/api/v1/status")?;
    match arguments.json {
        true => print(&body),
        false => print(&render(&admin::parse(&body)?, Style::of_stdout())),
    }
}

fn render(status: &Status, style: Style) -> String {
    let mut out = String::new();
    let Server { id, version, listen, uptime_seconds } = &status.server;
    let ready = match status.ready {
        true => style.painted(Colour::Green, "ready"),
        false => style.painted(Colour::Red, "not ready"),
    };
    out.push_str(&format!(
        "millstreamd {version} ({id}) at {listen}: {ready}, up {}\n",
        duration_us(uptime_seconds.saturating_mul(1_000_000))
    ));
    for reason in &status.not_ready {
        out.push_str(&format!("  {}\n", style.painted(Colour::Red, reason)));
    }
    let memory = &status.memory;
    let resident = memory.resident_bytes.map_or("unknown".to_owned(), bytes);
    out.push_str(&format!(
        "memory: {resident} resident, bound {}; view logs {} of {}\n",
        bytes(memory.bound_bytes),
        bytes(memory.view_log_bytes),
        bytes(memory.view_log_bytes_max)
    ));
    for destination in &status.destinations {
        out.push('\n');
        render_destination(&mut out, destination, style);
    }
    render_stages(&mut out, &status.stages, style);
    out
}

fn render_destination(out: &mut String, destination: &Destination, style: Style) {
    let colour = if destination.state == "streaming" { Colour::Green } else { Colour::Yellow };
    let lag = destination.lag_us.map_or("unknown".to_owned(), duration_us);
    out.push_str(&format!(
        "{}  {}  lag {lag}  at {}\n",
        style.painted(Colour::Bold, &destination.name),
        style.painted(colour, &destination.state),
        destination.position
    ));
    if let Some(error) = &destination.error {
        out.push_str(&format!("  {} {error}\n", style.painted(Colour::Red, "error:")));
    }
    out.push_str(&format!(
        "  source {} ({}): {} transactions, {} received, {} reconnects\n",
        destination.server,
        destination.version,
        grouped(destination.transactions),
        bytes(destination.received_bytes),
        destination.reconnects
    ));
    if !destination.gtids.is_empty() {
        out.push_str(&format!("  executed {}\n", destination.gtids));
    }
    for quarantined in &destination.quarantined {
        let label = style.painted(Colour::Red, "quarantined:");
        out.push_str(&format!("  {label} {}: {}\n", quarantined.table, quarantined.reason));
    }
    let mut table =
        Table::new(&["subscription", "state", "cursor", "unacked", "sent", "acked", "client", "peer", "filter"]);
    for subscription in &destination.subscriptions {
        let name = if subscription.name.is_empty() { "(ephemeral)" } else { &subscription.name };
        table.row(vec![
            name.to_owned(),
            subscription.state.clone(),
            place(&subscription.position),
            grouped(subscription.unacked_transactions),
            subscription.sent_sequence.to_string(),
            subscription.acked_sequence.to_string(),
            subscription.client.clone(),
            subscription.peer.clone(),
            subscription.filter.clone(),
        ]);
    }
    for cursor in &destination.disconnected {
        let mut row = vec![cursor.name.clone(), "no client".to_owned(), place(&cursor.position)];
        row.resize(9, String::new());
        table.row(row);
    }
    match table.is_empty() {
        true => out.push_str("  no subscriptions\n"),
        false => table.write(out, style, "  "),
    }
}

fn place(position: &Position) -> String {
    let place = format!("{}:{}", position.file, position.offset);
    match position.open_xa {
        0 => place,
        open => format!("{place} ({open} open XA)"),
    }
}

fn render_stages(out: &mut String, stages: &[Stage], style: Style) {
    let mut table = Table::new(&["latency", "count", "p50", "p99", "p99.9", "max"]);
    for stage in stages.iter().filter(|stage| stage.count > 0) {
        let mut row = vec![stage.stage.clone(), grouped(stage.count)];
        row.extend([stage.p50_us, stage.p99_us, stage.p999_us, stage.max_us].map(duration_us));
        table.row(row);
    }
    if !table.is_empty() {
        out.push('\n');
        table.write(out, style, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_everything_is_shown() {
        let body = r#"{"server":{"id":"a","version":"0.1.0","listen":"127.0.0.1:7440","uptime_seconds":90,"cores":[1]},
            "ready":false,"not_ready":["main is connecting"],"memory":{"resident_bytes":null,"bound_bytes":1073741824},
            "destinations":[{"name":"main","state":"halted","error":"binlog is off","server":"db:3306","version":"9.7.0",
            "position":"binlog.000001:4","gtids":"","lag_us":1500,"transactions":12345,"quarantined":
            [{"table":"shop.bad","reason":"unknown type"}],"subscriptions":[{"name":"","client":"tail","peer":"127.0.0.1:5",
            "core":1,"state":"live","sent_sequence":9,"acked_sequence":8,"unacked_transactions":1,"credit_bytes":5,
            "filter":"*.*","position":{"incarnation":"u","file":"binlog.000001","offset":700,"gtids":"","open_xa":2}}],
            "disconnected":[{"name":"billing","position":{"file":"binlog.000001","offset":4}}]}],
            "stages":[{"stage":"sent_to_acked","count":3,"p50_us":10,"p90_us":11,"p99_us":1200,"p999_us":1200,"max_us":1200}]}"#;
        let text = render(&admin::parse(body).expect("answer"), Style::Plain);
        for expected in [
            "not ready, up 90.0 s",
            "main is connecting",
            "main  halted  lag 1.5 ms  at binlog.000001:4",
            "error: binlog is off",
            "12,345 transactions",
            "quarantined: shop.bad: unknown type",
            "(ephemeral)   live       binlog.000001:700 (2 open XA)",
            "billing       no client  binlog.000001:4",
            "sent_to_acked  3      10 us  1.2 ms",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }

    #[test]
    fn an_empty_answer_is_shown_as_nothing() {
        assert!(render(&admin::parse("{}").expect("answer"), Style::Plain).contains("not ready"));
    }
}
