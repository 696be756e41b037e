//! Mixes and deliberate single connections on this kernel, each against the book of what its sockets did.
#![expect(clippy::expect_used, reason = "what does not go as planned fails the test, with its message")]

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use convis_integration::convis::binary;
use convis_integration::need::root;
use convis_integration::process::{built, run};
use convis_integration::{need, turns};

const PATIENCE: Duration = Duration::from_mins(5);

/// Plays a group; a scenario that this kernel cannot play is told, not hidden.
fn play(group: &str, seed: u64, connections: usize) {
    let _turn = turns::together();
    play_alone(group, seed, connections);
}

/// As [`play`], for who has the machine already.
fn play_alone(group: &str, seed: u64, connections: usize) {
    let mut command = Command::new(built("scenario"));
    command.arg("--convis").arg(binary()).args(["--only", group, "--seed", &seed.to_string()]);
    command.args(["--connections", &connections.to_string()]);
    let (status, process) = run("scenario", command, PATIENCE);
    let told = process.stdout();
    for line in told.lines().filter(|line| line.starts_with("skipped ")) {
        // Not `eprintln!`: the test runner would keep it to itself.
        writeln!(std::io::stderr(), "{line}").expect("stderr takes a line");
    }
    let lines: Vec<&str> = told.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert!(status.success(), "{}\n{}", lines.join("\n"), process.stderr());
}

/// Scenario: eight threads draw two thousand connections: families, processes, pre-forked workers, processes that are gone
/// at once, passed descriptors, sizes, ways to write, ends, refusals. The seed is the day's luck, and is told on failure.
/// Guarantees: the same connections, owners, bytes and ends in convis's events, each once, and nothing else.
#[test]
fn mix() {
    need!(root());
    play("mix", u64::from(std::process::id()), 2000);
}

/// Scenario: every way a connection can end.
/// Guarantees: the first cause, at both ends.
#[test]
fn endings() {
    need!(root());
    play("endings", 1, 1);
}

/// Scenario: every way an attempt can fail, and calls that are no attempts.
/// Guarantees: one event for each attempt, with why.
#[test]
fn failures() {
    need!(root());
    play("failures", 1, 1);
}

/// Scenario: threads, children, passed and inherited descriptors, used process ids, namespaces, `io_uring`, blocked workers.
/// Guarantees: who connected or accepted is the owner; who closed is named when it is another.
#[test]
fn owners() {
    need!(root());
    play("owners", 1, 1);
}

/// Scenario: every way to write, full windows, slow readers, links that drop.
/// Guarantees: the bytes that the applications wrote, to the byte.
#[test]
fn bytes() {
    need!(root());
    play("bytes", 1, 1);
}

/// Scenario: connections that are older than convis, in several namespaces.
/// Guarantees: their ends are told with owner and totals.
#[test]
fn preexisting() {
    need!(root());
    play("preexisting", 1, 1);
}

/// Scenario: long connections, busy and idle, with an updated event each second.
/// Guarantees: what they say sums to the totals; nothing is said of what is idle.
#[test]
fn updated() {
    need!(root());
    play("updated", 1, 1);
}

/// Scenario: plain, delayed and lossy connections whose sockets are asked just before they close.
/// Guarantees: convis says of round trips, segments, retransmissions and handshakes what the sockets say.
#[test]
fn quality() {
    need!(root());
    play("quality", 1, 1);
}

/// Scenario: multipath TCP at both ends, and at one of them.
/// Guarantees: each subflow is one connection, of the right process, to the byte.
#[test]
fn mptcp() {
    need!(root());
    play("mptcp", 1, 1);
}

/// Scenario: 20,000 short connections of random sizes and three endings, over loopback and between namespaces, with a ring
/// of the default size and one of a page.
/// Guarantees: every end once, its owner, bytes and ending.
#[test]
fn flood() {
    need!(root());
    let _turn = turns::alone();
    play_alone("flood", u64::from(std::process::id()), 2000);
}
