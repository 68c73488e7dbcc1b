//! The floor: a socket that reads the dump and drops it. What it is told of the stream is when so many bytes were there.

use std::io::Read;
use std::net::TcpStream;

use super::{StreamArgs, say};
use crate::clock::now_ns;

const BUFFER_BYTES: usize = 256 << 10;

/// Its stamps are pairs: bytes so far, and when. `rows` is the number of bytes to wait for.
pub fn run(arguments: &StreamArgs) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect((arguments.host.as_str(), arguments.port))?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut reads: Vec<[u64; 2]> = Vec::with_capacity(1 << 20);
    let mut bytes = 0;
    say(&serde_json::json!({"event": "ready"}));
    loop {
        let read = stream.read(&mut buffer)?;
        anyhow::ensure!(read > 0, "the stream ended after {bytes} bytes");
        bytes += read as u64;
        reads.push([bytes, now_ns()]);
        if bytes >= arguments.rows {
            break;
        }
    }
    if let Some(path) = &arguments.stamps {
        let flat: Vec<u8> = reads.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
        std::fs::write(path, flat)?;
    }
    say(&serde_json::json!({"event": "done", "rows": bytes, "transactions": reads.len(), "ns": now_ns()}));
    Ok(())
}
