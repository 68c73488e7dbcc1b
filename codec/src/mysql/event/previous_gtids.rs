//! PREVIOUS_GTIDS (35): all that was executed before this file began. The body is a GTID set in its binary form.

use crate::mysql::error::EventError;
use crate::mysql::gtid::GtidSet;

pub fn parse(body: &[u8]) -> Result<GtidSet, EventError> {
    GtidSet::decode(body)
}
