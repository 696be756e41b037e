//! `--config FILE`: what it does, what is wrong with it, and SIGHUP under load.
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

mod reload;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use convis_integration::actors::{Scene, Truth};
use convis_integration::clock::wait_for;
use convis_integration::convis::{self, Convis};
use convis_integration::event::Event;
use convis_integration::need::root;
use convis_integration::oracle::{Oracle, Request};
use convis_integration::process::run;
use convis_integration::traffic::Exchange;
use convis_integration::{need, turns};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
/// Events of one connection on this host: opened and closed, seen from both ends.
const EVENTS: usize = 4;

/// A configuration file that only its owner may read.
struct File {
    folder: TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        file.write(text);
        file.mode(0o600);
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("convis.yaml")
    }

    fn text(&self) -> String {
        self.path().display().to_string()
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).expect("the file can be written");
    }

    fn mode(&self, mode: u32) {
        fs::set_permissions(self.path(), fs::Permissions::from_mode(mode)).expect("the file is ours");
    }
}

/// What convis says of a file that it does not take.
fn refusal(file: &File) -> String {
    let mut command = convis::command();
    command.args(["--config", &file.text()]);
    let (status, process) = run("convis", command, PATIENCE);
    assert_eq!(status.code(), Some(64), "{}", process.stderr());
    process.stderr()
}

fn play(count: usize) -> Truth {
    let exchange =
        Exchange { send: 100, expect: 100, hold: Duration::from_millis(10), ..Exchange::default() };
    Scene { count, ..Scene::one("127.0.0.1:0", exchange) }.play()
}

/// What the ends of connections are told apart by: process, own address, peer's.
type End = (u64, SocketAddr, SocketAddr);

fn ends(truths: &[Truth]) -> BTreeSet<End> {
    let reports = truths.iter().flat_map(|truth| truth.clients.iter().chain(&truth.servers));
    reports.map(|report| (u64::from(report.pid), report.local, report.peer)).collect()
}

/// Name and connection of every event about these ends, as often as it arrived.
fn arrived(oracle: &Oracle, ends: &BTreeSet<End>) -> Vec<(String, String)> {
    let about =
        |event: &Event| event.pid().is_some_and(|pid| ends.contains(&(pid, event.local(), event.peer())));
    let logs = oracle.logs_taken().into_iter().filter(|log| about(&log.event));
    logs.map(|log| (log.event.name, log.event.attributes["convis.connection.id"].to_string())).collect()
}

/// Scenario: a file with a mistake in most lines, and a secret in some.
/// Guarantees: exit code 64, every mistake with its line, nothing else, no secret.
#[test]
fn every_mistake_is_told_with_its_line() {
    let file = File::new(
        "\
intervall: 1s
ring_bytes: 5000
exporters:
  otlp:
    endpont: localhost:4317
    headers:
      api-key: ${env:CONVIS_TEST_UNSET}
      host: hunter2
  otlphttp/backup:
    endpoint: hunter2@localhost
    timeout: 5
  kafka: {brokers: x}
service:
  pipelines: {}
",
    );
    let at = file.text();
    let want = [
        "1: unknown key `intervall`; did you mean `interval`?",
        "2: ring_bytes: `5000` is not valid; expected a power of two from 4096 to 1024M, such as 256K or 8M",
        "5: exporters.otlp: unknown key `endpont`; did you mean `endpoint`?",
        "7: exporters.otlp.headers.api-key: environment variable CONVIS_TEST_UNSET is not set or empty; set it, or give \
         ${env:CONVIS_TEST_UNSET:-default}",
        "11: exporters.otlphttp/backup.timeout: `5` is not valid; valid: a duration of whole milliseconds with units, \
         such as 500ms, 10s or 1m30s",
        "12: exporters: unknown name `kafka`; valid names: otlp_grpc, otlp, otlp_http, otlphttp, \
         prometheus_remote_write, prometheusremotewrite, prometheus, newrelic, file, stdout",
        "13: service: a file of convis has no pipelines: every entry of `exporters:` is active; take this section out",
    ];
    let lines: Vec<_> = want.iter().map(|line| format!("convis: {at}:{line}")).collect();
    assert_eq!(refusal(&file).lines().collect::<Vec<_>>(), lines);
}

/// What `convis check --config` says of a file: exit code, and everything it printed.
fn checked(file: &File) -> (Option<i32>, String) {
    let mut command = convis::command();
    command.args(["check", "--config", &file.text()]);
    let (status, process) = run("convis", command, PATIENCE);
    (status.code(), process.stdout() + &process.stderr())
}

/// Scenario: files are only checked: one that is right, with a folder that does not exist; one with a mistake and a secret;
/// one whose sinks write the same file.
/// Guarantees: exit code 0 and one line, with nothing made; 64 and the lines of a start, without the secret.
#[test]
fn a_file_can_be_tried() {
    let file = File::new("exporters:\n  otlp:\n    sending_queue: {storage: /nonexistent/convis-test}\n");
    assert_eq!(checked(&file), (Some(0), format!("{} is valid\n", file.text())));
    assert!(!Path::new("/nonexistent").exists());
    file.write("exporters:\n  otlp:\n    headers: {api-key: hunter2}\n    timeout: 5\n");
    let (code, said) = checked(&file);
    let start = format!("convis: {}:4: exporters.otlp.timeout: `5` is not valid; ", file.text());
    assert!(code == Some(64) && said.starts_with(&start) && !said.contains("hunter2"), "{code:?} {said}");
    file.write("exporters:\n  file: {path: /tmp/x}\n  file/2: {path: /tmp/../tmp/x}\n");
    let want = "convis: sink file/2: sink file already writes /tmp/x, or renames it when it is full; give each its own `path`\n";
    assert_eq!(checked(&file), (Some(64), want.to_owned()));
    assert_eq!(refusal(&file), want);
}

/// Scenario: a file that is not there.
/// Guarantees: exit code 64 and one line that says so.
#[test]
fn a_missing_file_is_one_line() {
    let file = File::new("");
    fs::remove_file(file.path()).unwrap();
    let want = format!(
        "convis: cannot read {}: No such file or directory (os error 2); check --config\n",
        file.text()
    );
    assert_eq!(refusal(&file), want);
}

/// Scenario: a file with a sink, a header from the environment and an option, a `--sink` on top and the option on the
/// command line too; the file has a secret and everybody may read it.
/// Guarantees: both sinks get every event, the header arrives, the command line wins, the permissions are warned about
/// without the secret.
#[test]
fn a_file_and_the_command_line_add_up() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let file = File::new(&format!(
        "\
interval: 1h
exporters:
  otlp:
    endpoint: http://127.0.0.1:{}
    headers:
      x-tenant: ${{env:CONVIS_TEST_TENANT}}
      x-plain: hunter2
",
        oracle.ports().grpc
    ));
    file.mode(0o644);
    let arguments = ["--config", &file.text(), "--sink", "stdout,format=json", "--interval", "1s"];
    let convis = Convis::start_in(&arguments, &[("CONVIS_TEST_TENANT", "blue")]);
    let truth = play(3);
    convis.wait_for_events(truth.server.port(), EVENTS * 3);
    let ends = ends(&[truth]);
    wait_for("events and metrics to arrive", PATIENCE, || {
        let metrics = oracle.requests().iter().any(|request| request.signal() == "metrics");
        (metrics && arrived(&oracle, &ends).len() >= EVENTS * 3).then_some(())
    });
    assert_eq!(arrived(&oracle, &ends).len(), EVENTS * 3);
    let header = |request: &Request, name: &str| request.header(name).map(str::to_owned);
    for request in oracle.requests() {
        assert_eq!(header(&request, "x-tenant").as_deref(), Some("blue"));
        assert_eq!(header(&request, "x-plain").as_deref(), Some("hunter2"));
    }
    let stopped = convis.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    let warning = format!(
        "convis: warning: {} has secrets and every user may read it; chmod 600, or write ${{env:NAME}} or \
         ${{file:PATH}} in it",
        file.text()
    );
    assert_eq!(stopped.stderr.lines().filter(|line| **line == warning).count(), 1, "{}", stopped.stderr);
    assert!(!stopped.stderr.contains("hunter2") && !stopped.stderr.contains("blue"), "{}", stopped.stderr);
}
