//! Recordings of a running convis, replayed by nobody in particular.

#![expect(clippy::expect_used, reason = "a helper of tests that may fail like them")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use convis_integration::actors::{Scene, free_port};
use convis_integration::clock::wait_for;
use convis_integration::convis::{self, Convis, Stopped};
use convis_integration::disk::{Disk, fill_but_for_two_pages};
use convis_integration::event::Event;
use convis_integration::need::root;
use convis_integration::process::{exists, run};
use convis_integration::traffic::Exchange;
use convis_integration::{need, skip, turns};

const PATIENCE: Duration = Duration::from_secs(30);
const NOBODY: u32 = 65_534;
/// Only what the test does itself: others on this host may have more connections than standard output takes.
const OWN: [&str; 2] = ["--include=executable=traffic", "--include=executable=bash"];

/// A folder where nobody may read a recording and run convis.
struct Stand {
    folder: tempfile::TempDir,
}

impl Stand {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // The build folder may lie where nobody but root looks.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        fs::copy(convis::binary(), folder.path().join("convis")).expect("a copy");
        Self { folder }
    }

    fn recording(&self) -> PathBuf {
        self.folder.path().join("recording")
    }

    /// Replays the recording as a user without any right, to its end: what it printed, and what it said.
    fn replay(&self, recording: &Path, arguments: &[&str]) -> (String, String) {
        chown(recording, Some(NOBODY), None).expect("another owner");
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(self.folder.path().join("convis"));
        convis::without_settings(&mut command);
        command.args(["--sink", "stdout,format=json", "--replay"]).arg(recording).args(OWN).args(arguments);
        let (status, process) = run("convis --replay", command, PATIENCE);
        assert!(status.success(), "{status}: {}", process.stderr());
        (process.stdout(), process.stderr())
    }
}

/// A convis that tells and records.
fn record(recording: &Path, arguments: &[&str]) -> Convis {
    let path = recording.display().to_string();
    let all: Vec<&str> =
        ["--record", &path].into_iter().chain(OWN).chain(arguments.iter().copied()).collect();
    Convis::start(&all)
}

/// Connections of several processes, of which some live only for one; attempts that are refused; both families.
fn play() -> u16 {
    let exchange = Exchange { send: 54_321, expect: 9_876, ..Exchange::default() };
    let scene = Scene { count: 20, parallel: 4, ..Scene::one("127.0.0.1:0", exchange.clone()) };
    let port = scene.play().server.port();
    Scene { count: 5, ..Scene::one("[::1]:0", exchange) }.play_by_one_process_each();
    let closed = free_port();
    for _ in 0..3 {
        let refused = Command::new("bash")
            .args(["-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{closed}")])
            .stderr(std::process::Stdio::null())
            .status();
        assert!(!refused.expect("bash").success());
    }
    port
}

fn event_names(text: &str) -> BTreeSet<String> {
    text.lines().map(|line| Event::from_line(line).name).collect()
}

/// The kernel's part of the summary, which is the last line.
fn accounts(stderr: &str) -> &str {
    let last = stderr.lines().last().unwrap_or_default();
    last.split_once("; stdout").map_or(last, |(kernel, _)| kernel)
}

/// Scenario: convis records while processes come, connect, fail to and go; meanwhile long connections are told as updated. Then
/// all of these are gone, and a user without rights replays the file, as fast as possible and at its own pace.
/// Guarantees: the same text, byte by byte: every event with its time, owner, bytes, ids; and the same accounts. A filter given
/// to the replay leaves out what it names, and only that. At its own pace it takes as long as it took.
#[test]
fn a_replay_tells_the_same() {
    need!(root());
    if !exists("setpriv".as_ref()) {
        skip!("setpriv is missing: install util-linux");
    }
    let _turn = turns::together();
    let stand = Stand::new();
    let recording = stand.recording();
    let events = "opened,updated,closed,failed";
    let began = convis_integration::clock::now();
    let convis =
        record(&recording, &["--events", events, "--update-interval", "100ms", "--interval", "300ms"]);
    let slow = Exchange { send: 4096, hold: Duration::from_millis(700), ..Exchange::default() };
    let port = play();
    let held = Scene { count: 3, parallel: 3, ..Scene::one("127.0.0.1:0", slow) }.play();
    convis.wait_for_events(port, 80);
    let stopped = convis.stop();
    let took = began.elapsed();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    assert_eq!(fs::metadata(&recording).expect("a file").permissions().mode() & 0o777, 0o600);
    assert!(stopped.stderr.contains(" records recorded"), "{}", stopped.stderr);
    let names = event_names(&stopped.stdout);
    assert!(names.contains("convis.tcp.connection.failed"), "{names:?}");
    assert!(names.contains("convis.tcp.connection.updated"), "{names:?}");

    let (text, stderr) = stand.replay(&recording, &["--events", events]);
    same_lines(&text, &stopped.stdout);
    assert_eq!(accounts(&stderr), accounts(&stopped.stderr));

    let filter = format!("port={}", held.server.port());
    let (text, _) = stand.replay(&recording, &["--events", events, "--exclude", &filter]);
    let others: Vec<_> =
        stopped.stdout.lines().filter(|line| !Event::from_line(line).is_at(held.server.port())).collect();
    assert!(others.len() < stopped.stdout.lines().count());
    same_lines(&text, &(others.join("\n") + "\n"));

    let again = convis_integration::clock::now();
    let (text, _) = stand.replay(&recording, &["--events", events, "--replay-speed", "1x"]);
    same_lines(&text, &stopped.stdout);
    let paced = again.elapsed();
    let times: Vec<_> = text.lines().map(|line| Event::from_line(line).timestamp).collect();
    let (first, last) = (times.iter().min().expect("events"), times.iter().max().expect("events"));
    let span = Duration::from_nanos(last - first);
    assert!(span > Duration::from_millis(700) && paced >= span, "{span:?} {paced:?}");
    assert!(paced < took + Duration::from_secs(5), "{took:?} {paced:?}");
}

/// Panics at the first line that differs.
fn same_lines(text: &str, expected: &str) {
    for (number, (line, expected)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(line, expected, "line {number}");
    }
    assert_eq!(text.lines().count(), expected.lines().count());
    assert_eq!(text, expected);
}

/// Scenario: convis is killed while it records, half a second after the last event.
/// Guarantees: the replay says that the recording was not ended, and tells every event that was printed, in its order.
#[test]
fn a_killed_recording_is_not_lost() {
    need!(root());
    if !exists("setpriv".as_ref()) {
        skip!("setpriv is missing: install util-linux");
    }
    let _turn = turns::together();
    let stand = Stand::new();
    let path = stand.recording().display().to_string();
    let convis = record(&stand.recording(), &[]);
    let port = play();
    convis.wait_for_events(port, 80);
    std::thread::sleep(Duration::from_millis(500));
    let stopped = convis.kill();
    let (text, stderr) = stand.replay(&stand.recording(), &[]);
    assert!(stderr.contains("as after a kill"), "{stderr}");
    let at_port = |text: &str| -> Vec<String> {
        text.lines().filter(|line| Event::from_line(line).is_at(port)).map(str::to_owned).collect()
    };
    assert_eq!(at_port(&stopped.stdout).len(), 80);
    assert_eq!(at_port(&text), at_port(&stopped.stdout));
    // Cut in the middle of its last bytes.
    let size = fs::metadata(&path).expect("a file").len();
    let file = fs::OpenOptions::new().write(true).open(&path).expect("the recording");
    file.set_len(size - 3).expect("a shorter file");
    let (text, stderr) = stand.replay(&stand.recording(), &[]);
    assert!(stderr.contains("ends in the middle, as after a kill"), "{stderr}");
    assert_eq!(at_port(&text).len(), 80);
}

/// Scenario: the disk of the recording is full after a few connections.
/// Guarantees: convis says so once and captures on, nothing is lost or held up; the summary counts what is not in the
/// recording, and what is in it can be replayed.
#[test]
fn a_full_disk_ends_only_the_recording() {
    need!(root());
    if !exists("setpriv".as_ref()) {
        skip!("setpriv is missing: install util-linux");
    }
    let _turn = turns::together();
    let stand = Stand::new();
    let disk = Disk::of(1 << 20);
    fs::set_permissions(disk.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let recording = disk.path().join("recording");
    let convis = record(&recording, &[]);
    fill_but_for_two_pages(&disk.path().join("ballast"));
    let port = play();
    convis.wait_for_events(port, 80);
    wait_for("the failure to be said", PATIENCE, || convis.stderr().contains("No space left").then_some(()));
    let port_after = play();
    convis.wait_for_events(port_after, 80);
    let dropped = convis.ledger().dropped();
    let Stopped { status, stdout, stderr, .. } = convis.stop();
    assert!(status.success() && dropped < 0.5, "{dropped} {stderr}");
    assert_eq!(stderr.matches("No space left").count(), 1, "{stderr}");
    assert!(stderr.contains(" are missing in the recording"), "{stderr}");
    let at = |text: &str, port| text.lines().filter(|line| Event::from_line(line).is_at(port)).count();
    assert_eq!((at(&stdout, port), at(&stdout, port_after)), (80, 80));
    let (text, _) = stand.replay(&recording, &[]);
    assert!(at(&text, port) < 80 && at(&text, port_after) == 0);
    let printed: BTreeSet<_> = stdout.lines().collect();
    let early = text.lines().filter(|line| printed.contains(line)).count();
    assert!(early * 10 >= text.lines().count() * 8, "{early} of {}", text.lines().count());
}
