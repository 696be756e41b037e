//! Kernels that lack what convis cannot do without: system calls are answered as those kernels would.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use convis_integration::need::root;
use convis_integration::process::{exists, run};
use convis_integration::{convis, need, skip};

const PATIENCE: Duration = Duration::from_mins(1);
const KERNEL_LACKS: i32 = 69;
const RING_BUFFER: &str = "27";
const RAW_TRACEPOINT: &str = "17";

/// Starts convis on a kernel without this type of map or program: its exit code and what it said.
fn without(what: &str, number: &str) -> (Option<i32>, String) {
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/lacking_kernel.py")).args([what, number]);
    command.arg(convis::binary()).args([
        "--sink",
        "stdout,format=json",
        "--admin",
        "off",
        "--duration",
        "5s",
    ]);
    let (status, process) = run("lacking_kernel.py", command, PATIENCE);
    (status.code(), process.stderr())
}

fn refuses_naming(what: &str, number: &str, name: &str) {
    let (code, stderr) = without(what, number);
    assert_eq!(code, Some(KERNEL_LACKS), "{stderr}");
    assert!(stderr.starts_with("convis: this kernel cannot be captured: "), "{stderr}");
    assert!(stderr.to_lowercase().contains(name), "not named, {name}: {stderr}");
}

/// Scenario: no ring buffer, as before Linux 5.8.
/// Guarantees: exit code 69, and a message that names it.
#[test]
fn a_kernel_without_a_ring_buffer_is_refused() {
    need!(root());
    if !exists(OsStr::new("python3")) {
        skip!("needs Python 3.9 or newer");
    }
    refuses_naming("map", RING_BUFFER, "ring");
}

/// Scenario: no raw tracepoints, as before Linux 4.17.
/// Guarantees: exit code 69, and a message that says what cannot be seen.
#[test]
fn a_kernel_without_raw_tracepoints_is_refused() {
    need!(root());
    if !exists(OsStr::new("python3")) {
        skip!("needs Python 3.9 or newer");
    }
    refuses_naming("program", RAW_TRACEPOINT, "process");
}
