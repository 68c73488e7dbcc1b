//! libFuzzer over one target, named by the environment: `scripts/fuzz.sh` sets it, builds with coverage, and bounds time
//! and memory. Arguments are libFuzzer's.
#![no_main]
// The macro exports libFuzzer's entry points by their C names.
#![allow(unsafe_code)]

use std::sync::LazyLock;

use millstream_fuzz::{TARGETS, Target, peer};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("MILLSTREAM_FUZZ_TARGET").unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        panic!("MILLSTREAM_FUZZ_TARGET is '{name}'; it must be one of: {}", names.join(" "))
    })
});

libfuzzer_sys::fuzz_target!(init: peer::set_panic_hook(), |data: &[u8]| {
    TARGET.run(data);
});
