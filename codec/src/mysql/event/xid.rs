//! XID (16): the transaction has committed in a transactional engine.
//!
//! ```text
//! u64 number of the transaction on its server
//! ```

use crate::mysql::error::EventError;
use crate::mysql::reader::Reader;

pub fn parse(body: &[u8]) -> Result<u64, EventError> {
    Reader::new("XID", body).u64("xid")
}
