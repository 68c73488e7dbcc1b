//! The binlog stream of the crate `mysql_async`, rows decoded by `mysql_common`.

use futures::StreamExt;
use mysql_async::binlog::EventType;
use mysql_async::binlog::events::EventData;
use mysql_async::{BinlogStreamRequest, Conn, OptsBuilder};

use super::{Arrivals, StreamArgs, say};

pub fn run(arguments: &StreamArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(stream(arguments))
}

async fn stream(arguments: &StreamArgs) -> anyhow::Result<()> {
    let options = OptsBuilder::default()
        .ip_or_hostname(&arguments.host)
        .tcp_port(arguments.port)
        .prefer_socket(false)
        .user(Some(&arguments.user))
        .pass(Some(&arguments.password));
    let connection = Conn::new(options).await?;
    let request = BinlogStreamRequest::new(arguments.server_id)
        .with_filename(arguments.file.as_bytes())
        .with_pos(arguments.position);
    let mut events = connection.get_binlog_stream(request).await?;
    say(&serde_json::json!({"event": "ready"}));
    let mut arrivals = Arrivals::new(arguments);
    let mut rows = 0;
    while let Some(event) = events.next().await {
        let event = event?;
        match event.header().event_type() {
            Ok(EventType::XID_EVENT) => {
                if arrivals.transaction(rows) {
                    break;
                }
                rows = 0;
            }
            Ok(
                EventType::WRITE_ROWS_EVENT
                | EventType::UPDATE_ROWS_EVENT
                | EventType::DELETE_ROWS_EVENT
                | EventType::PARTIAL_UPDATE_ROWS_EVENT,
            ) => {
                let Some(EventData::RowsEvent(data)) = event.read_data()? else { continue };
                let Some(map) = events.get_tme(data.table_id()) else { continue };
                for row in data.rows(map) {
                    let (before, after) = row?;
                    std::hint::black_box((before, after));
                    rows += 1;
                }
            }
            _ => {}
        }
    }
    arrivals.done()
}
