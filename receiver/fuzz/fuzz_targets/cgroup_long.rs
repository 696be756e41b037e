//! Any short text again and again, as a path much longer than any: whatever takes more than linear time runs out of it.
//! From `receiver/`: `cargo +nightly fuzz run cgroup_long -- -max_len=16 -timeout=5`.
#![no_main]

use convis::identity::cgroup::{Place, procfs};
use libfuzzer_sys::fuzz_target;

/// All that is read of `/proc/<pid>/cgroup`.
const LONG: usize = 256 * 1024;

fuzz_target!(|text: &str| {
    let long = text.repeat(LONG / text.len().max(1));
    let _place = Place::of(&long);
    let _chosen = procfs::chosen(&format!("0::/{long}"));
    let _lines = procfs::chosen(&long);
});
