//! The recording of the demonstration, replayed by the program as anybody would.
//!
//! After a change of the records or of the recording's format: `CONVIS_WRITE_DEMO=1 cargo test -p convis --test demo`, and look at what
//! became of `testdata/demo.jsonl`.

#![expect(clippy::unwrap_used, reason = "a helper of tests that may fail like them")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

mod host;
#[path = "../../benches/scenes/mod.rs"]
mod scenes;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// What `convis --replay` prints, and what it says.
fn replay(arguments: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_convis"))
        .arg("--replay")
        .arg(testdata("demo.recording"))
        .args(arguments)
        .env_clear()
        .env("TZ", "UTC")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{}: {stderr}", output.status);
    (stdout, stderr)
}

#[expect(clippy::disallowed_methods, reason = "asked for by a person, not by the product")]
fn is_written() -> bool {
    std::env::var("CONVIS_WRITE_DEMO").is_ok()
}

/// Scenario: the demonstration is made again, and replayed as JSON lines.
/// Guarantees: the committed file, of a few KB; the committed lines, whoever replays them wherever; the accounts add up.
#[test]
fn the_demonstration_tells_what_it_should() {
    let recording = host::demo();
    if is_written() {
        fs::write(testdata("demo.recording"), &recording).unwrap();
    }
    assert!(recording.len() < 16 << 10, "{}", recording.len());
    assert!(
        fs::read(testdata("demo.recording")).unwrap() == recording,
        "testdata/demo.recording is out of date"
    );
    let (lines, said) = replay(&["--sink", "stdout,format=json", "--events", "opened,updated,closed,failed"]);
    if is_written() {
        fs::write(testdata("demo.jsonl"), &lines).unwrap();
    }
    let expected = fs::read_to_string(testdata("demo.jsonl")).unwrap();
    for (line, expected) in lines.lines().zip(expected.lines()) {
        assert_eq!(line, expected);
    }
    assert_eq!(lines.lines().count(), expected.lines().count());
    assert!(said.contains("of demo from 2026-11-24T10:01:39.000Z"), "{said}");
    assert!(said.contains("opened 11 seen = 11 delivered + 0 pending + 0 dropped"), "{said}");
    assert!(said.contains("28 sent, 0 dropped"), "{said}");
}

/// Scenario: the demonstration as README shows it, but for the pace; a filter.
/// Guarantees: the table; only what passes the filter.
#[test]
fn a_replay_has_the_options_of_a_run() {
    let (table, _) = replay(&[]);
    for words in ["shop-web-1/nginx[812]", "curl[4711]", "reset by peer", "refused"] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let json = ["--sink", "stdout,format=json"];
    let (failed, _) = replay(&[&json[..], &["--events", "failed", "--exclude", "port=8081"]].concat());
    assert_eq!(failed.lines().count(), 1, "{failed}");
    assert!(failed.contains("\"error.type\":\"host_unreachable\""), "{failed}");
}
