//! Exit codes and the one line that comes with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use convis_integration::actors::Scene;
use convis_integration::clock::now;
use convis_integration::convis::{self, Convis};
use convis_integration::need::root;
use convis_integration::process::{exists, run};
use convis_integration::traffic::Exchange;
use convis_integration::{need, skip, turns};

const PATIENCE: Duration = Duration::from_secs(20);
const USAGE: i32 = 64;
const NOT_PERMITTED: i32 = 77;

/// Runs convis to its end: its exit code and what it said on stderr.
fn outcome(mut command: Command, arguments: &[&str]) -> (Option<i32>, String) {
    command.args(arguments);
    let (status, process) = run("convis", command, PATIENCE);
    (status.code(), process.stderr())
}

/// Expects exit code 64 and one line with all these words.
fn refuses(arguments: &[&str], words: &[&str]) {
    let (code, stderr) = outcome(convis::command(), arguments);
    assert_eq!(code, Some(USAGE), "{arguments:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
    let missing: Vec<_> = words.iter().filter(|word| !stderr.contains(**word)).collect();
    assert!(missing.is_empty(), "{arguments:?} misses {missing:?}: {stderr}");
}

/// Scenario: a sink that does not exist.
/// Guarantees: exit code 64, one line that names the sinks there are.
#[test]
fn an_unknown_sink_is_refused() {
    refuses(&["--sink", "kafka"], &["kafka", "stdout", "otlp"]);
}

/// Scenario: a key that the sink does not have.
/// Guarantees: exit code 64, one line that names its keys.
#[test]
fn an_unknown_key_is_refused() {
    refuses(
        &["--sink", "otlp,endpiont=http://127.0.0.1:4317"],
        &["endpiont", "endpoint", "protocol", "compression"],
    );
    refuses(&["--sink", "stdout,colour=red"], &["colour", "format"]);
}

/// Scenario: values that cannot be.
/// Guarantees: exit code 64, one line with the key and, where there are few, what is valid.
#[test]
fn a_bad_value_is_refused() {
    refuses(&["--sink", "otlp,endpoint=http://[::1"], &["endpoint"]);
    refuses(&["--sink", "otlp,endpoint=ftp://127.0.0.1:21"], &["endpoint", "http"]);
    refuses(&["--sink", "otlp,protocol=carrier-pigeon"], &["protocol", "grpc", "http/protobuf"]);
    refuses(&["--sink", "stdout,format=xml"], &["format", "table", "json"]);
    refuses(&["--interval", "soon"], &["--interval"]);
    refuses(&["--events", "opened,gone"], &["--events", "opened", "closed", "failed"]);
    refuses(&["--metric-resource", "pod"], &["--metric-resource", "executable", "process"]);
    refuses(&["--ring-bytes", "5000"], &["--ring-bytes", "power of two"]);
    refuses(&["--admin", "nowhere"], &["--admin", "127.0.0.1:8469", "off"]);
}

/// Scenario: a value is missing, on the command line or in a sink.
/// Guarantees: exit code 64, one line that names what lacks it.
#[test]
fn a_missing_value_is_refused() {
    refuses(&["--sink"], &["--sink"]);
    refuses(&["--sink", "otlp,endpoint"], &["otlp", "key=value"]);
    refuses(&["--sink", "newrelic"], &["newrelic"]);
    refuses(&["--no-such-flag"], &["--no-such-flag"]);
}

/// Scenario: a secret comes from a variable that is not set, or from a file that is not there.
/// Guarantees: exit code 64, one line that names the variable or the reason.
#[test]
fn a_missing_source_is_refused() {
    refuses(&["--sink", "newrelic,account=1,key=${env:CONVIS_TEST_UNSET}"], &["CONVIS_TEST_UNSET"]);
    refuses(&["--sink", "newrelic,account=1,key=@/nonexistent/key"], &["No such file"]);
}

/// Scenario: files that are no recording, or not there; a recording where a file is; flags that make no sense in a replay.
/// Guarantees: exit code 64, one line that says what is wrong, also without root; the file stays as it was.
#[test]
fn a_bad_recording_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    fs::write(&text, "no recording").unwrap();
    let path = text.to_str().unwrap();
    refuses(&["--replay", path], &[path, "no recording of convis"]);
    refuses(&["--replay", "/nonexistent"], &["/nonexistent", "No such file"]);
    refuses(&["--replay", path, "--record", "/tmp/x"], &["--replay", "--record"]);
    refuses(&["--replay", path, "--probes", "kprobe"], &["--probes", "--replay"]);
    refuses(&["--replay", path, "--replay-speed", "fast"], &["--replay-speed", "1x"]);
    need!(root());
    refuses(&["--record", path, "--admin", "off"], &[path, "exists"]);
    refuses(&["--record", "/nonexistent/file", "--admin", "off"], &["/nonexistent/file", "No such file"]);
    assert_eq!(fs::read(&text).unwrap(), b"no recording");
}

/// Scenario: a user without any capability runs convis.
/// Guarantees: exit code 77, one line that names the capabilities and how to grant them.
#[test]
fn without_capabilities_it_says_what_to_grant() {
    need!(root());
    if !exists("setpriv".as_ref()) {
        skip!("setpriv is missing: install util-linux");
    }
    // The build folder may lie where nobody but root looks.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("convis");
    fs::copy(convis::binary(), &copy).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(copy);

    let (code, stderr) =
        outcome(command, &["--sink", "stdout,format=json", "--admin", "off", "--duration", "1s"]);
    assert_eq!(code, Some(NOT_PERMITTED), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for word in ["CAP_BPF", "CAP_PERFMON", "sudo"] {
        assert!(stderr.contains(word), "{word} is missing: {stderr}");
    }
}

/// Scenario: `--duration 2s`.
/// Guarantees: convis stops by itself, in time and successfully, its events printed, with a summary as the last line.
#[test]
fn a_duration_ends_the_run() {
    need!(root());
    let _turn = turns::together();
    let started = now();
    let convis = Convis::start(&["--duration", "2s"]);
    let truth = Scene::one("127.0.0.1:0", Exchange { send: 10, ..Exchange::default() }).play();
    let stopped = convis.wait();
    let took = started.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(6)).contains(&took), "it took {took:?}");
    assert_eq!(stopped.events_at(truth.server.port()).len(), 4);
    summarizes(&stopped.stderr);
}

/// Scenario: SIGTERM right after the last connection was closed.
/// Guarantees: what was captured is still printed, exit code 0, a summary as the last line.
#[test]
fn sigterm_flushes() {
    need!(root());
    let _turn = turns::together();
    let convis = Convis::start::<&str>(&[]);
    let truth =
        Scene { count: 20, ..Scene::one("127.0.0.1:0", Exchange { send: 10, ..Exchange::default() }) }.play();
    let stopped = convis.stop();
    assert_eq!(stopped.events_at(truth.server.port()).len(), 80);
    summarizes(&stopped.stderr);
}

fn summarizes(stderr: &str) {
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.contains("seen") && last.contains("dropped"), "no summary at the end: {stderr}");
}

/// Scenario: `--admin off`.
/// Guarantees: convis listens on nothing.
#[test]
fn the_admin_port_can_be_off() {
    need!(root());
    let mut command = convis::command();
    command.args(["--sink", "stdout,format=json", "--admin", "off", "--duration", "1s"]);
    let mut process = convis_integration::process::Process::start("convis", command);
    std::thread::sleep(Duration::from_millis(700));
    let sockets: Vec<_> = fs::read_dir(format!("/proc/{}/fd", process.pid())).map_or_else(
        |_| Vec::new(),
        |entries| entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect(),
    );
    let listening =
        sockets.iter().filter(|target| is_tcp_socket(process.pid(), &target.to_string_lossy())).count();
    assert_eq!(listening, 0, "{sockets:?}");
    assert!(process.wait(PATIENCE).success(), "{}", process.stderr());
}

/// Whether a link such as `socket:[123]` is among the process' TCP sockets.
fn is_tcp_socket(pid: u32, target: &str) -> bool {
    let Some(inode) = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')) else {
        return false;
    };
    ["tcp", "tcp6"].iter().any(|table| {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        text.lines().any(|line| line.split_whitespace().nth(9) == Some(inode))
    })
}
