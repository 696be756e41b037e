//! The Python oracle holds what it says, before it judges convis.

use std::process::Command;
use std::time::Duration;

use convis_integration::need;
use convis_integration::oracle::{python, source};
use convis_integration::process::run;

/// Scenario: the official stubs send to the oracle: contents, encodings, and every fault.
/// Guarantees: it writes down what was sent and misbehaves exactly as asked.
#[test]
fn the_oracle_passes_its_own_check() {
    let mut command = Command::new(need!(python()));
    command.arg(source("selftest.py"));
    let (status, process) = run("selftest.py", command, Duration::from_mins(1));
    assert!(status.success(), "{}", process.stderr());
}
