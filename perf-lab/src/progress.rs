//! What goes on, on stderr: an experiment takes minutes.

use std::sync::OnceLock;
use std::time::Instant;

static BEGAN: OnceLock<Instant> = OnceLock::new();

/// With the minutes since the first call.
pub fn say(what: impl std::fmt::Display) {
    let minutes = BEGAN.get_or_init(Instant::now).elapsed().as_secs_f64() / 60.0;
    eprintln!("lab: {minutes:5.1} min  {what}");
}
