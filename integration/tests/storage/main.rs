//! Events that wait in storage: what was taken while the receiver was down arrives, whatever became of convis meanwhile.

mod outage;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use convis_integration::actors::{Scene, Truth};
use convis_integration::clock::wait_for;
use convis_integration::convis::{Convis, Stopped};
use convis_integration::event::{CLOSED, OPENED};
use convis_integration::need::root;
use convis_integration::oracle::Oracle;
use convis_integration::process::{Process, run};
use convis_integration::traffic::Exchange;
use convis_integration::{convis, need, turns};

/// A killed process leaves its attempts' waits behind: the next one tries at once.
const PATIENCE: Duration = Duration::from_secs(20);
const CONNECTIONS: usize = 20;
/// Opened and closed, at both ends.
const EVENTS: usize = 4 * CONNECTIONS;

fn sink(oracle: &Oracle, directory: &Path, more: &str) -> String {
    sink_to(oracle.ports().grpc, directory, more)
}

/// To the receiver at this port.
fn sink_to(port: u16, directory: &Path, more: &str) -> String {
    let endpoint = format!("http://127.0.0.1:{port},protocol=grpc");
    let storage = directory.display();
    format!(
        "otlp,endpoint={endpoint},signals=logs,storage={storage},retry_initial=100ms,retry_max=500ms{more}"
    )
}

fn start(oracle: &Oracle, directory: &Path, more: &str) -> Convis {
    Convis::start(&["--sink", &sink(oracle, directory, more)])
}

fn traffic() -> Truth {
    let exchange = Exchange { send: 1000, expect: 2000, ..Exchange::default() };
    Scene { count: CONNECTIONS, ..Scene::one("127.0.0.1:0", exchange) }.play()
}

fn figure(convis: &Convis, name: &str) -> u64 {
    let figure = convis.ledger().sum(name, &[("sink", "otlp"), ("signal", "events")]).unwrap_or_default();
    // Counts are whole and small.
    format!("{figure:.0}").parse().unwrap_or_else(|_| panic!("{name} is no count: {figure}"))
}

/// Waits until everything that was taken up to the end of this traffic is on disk, while nothing can be sent.
fn wait_until_stored(convis: &Convis, truth: &Truth) {
    convis.wait_for_events(truth.server.port(), EVENTS);
    // All sinks are given events at one time.
    let accepted = figure(convis, "convis_sink_records_accepted_total");
    wait_for("events on disk", PATIENCE, || {
        (figure(convis, "convis_sink_records_stored") >= accepted).then_some(())
    });
}

/// The events of the traffic that were taken, in order: connection and name.
fn taken_in_order(oracle: &Oracle, truth: &Truth) -> Vec<(String, String)> {
    let logs = oracle.logs_taken().into_iter().map(|log| log.event);
    let of_traffic = logs.filter(|event| event.is_at(truth.server.port()));
    of_traffic.map(|event| (event.text("convis.connection.id").to_owned(), event.name.clone())).collect()
}

/// How often each event of the traffic was taken.
fn taken(oracle: &Oracle, truth: &Truth) -> BTreeMap<(String, String), usize> {
    let mut times = BTreeMap::new();
    for event in taken_in_order(oracle, truth) {
        *times.entry(event).or_default() += 1;
    }
    times
}

/// Each event once, and those of each end in the order of its life.
fn check_once_in_order(oracle: &Oracle, truth: &Truth) {
    let taken = taken_in_order(oracle, truth);
    assert_eq!(taken.len(), EVENTS, "{taken:#?}");
    let place = |id: &String, wanted: &str| taken.iter().position(|(of, name)| of == id && name == wanted);
    for (id, _) in &taken {
        let (opened, closed) = (place(id, OPENED), place(id, CLOSED));
        assert!(opened.is_some() && opened < closed, "{id}: {opened:?}, {closed:?}");
    }
}

fn wait_for_delivery(oracle: &Oracle, truths: &[Truth]) {
    wait_for("delivery", PATIENCE, || {
        truths.iter().all(|truth| taken(oracle, truth).len() == EVENTS).then_some(())
    });
}

/// Scenario: the receiver is down; convis is killed twice, each time after traffic; the third one finds the receiver back.
/// Guarantees: all events of all connections arrive, each exactly once since none was acknowledged before a kill, in
/// order; then nothing is stored any more.
#[test]
fn events_outlive_kills() {
    need!(root());
    let _turn = turns::together();
    let mut oracle = need!(Oracle::absent());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut truths = Vec::new();
    for _ in 0..2 {
        let convis = start(&oracle, folder.path(), "");
        let truth = traffic();
        wait_until_stored(&convis, &truth);
        truths.push(truth);
        // Dropped, it is killed.
        drop(convis);
    }
    let convis = start(&oracle, folder.path(), "");
    assert!(figure(&convis, "convis_sink_records_accepted_total") >= 2 * EVENTS as u64);
    truths.push(traffic());
    oracle.begin("none");
    wait_for_delivery(&oracle, &truths);
    for truth in &truths {
        check_once_in_order(&oracle, truth);
    }
    let stderr = stopped(convis).stderr;
    // What else this machine does arrives until then.
    let counted = format!("otlp events: {} sent, 0 dropped", oracle.logs_taken().len());
    assert!(stderr.contains(&counted), "{counted}: {stderr}");
    assert!(!stderr.contains("kept in storage"), "{stderr}");
}

/// Scenario: convis is killed while it works off what waited, at the first request that is taken; another one follows.
/// Guarantees: every event arrives; none more than twice, which is what a kill before its outcome was noted explains.
#[test]
fn a_kill_costs_duplicates_at_most() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("unavailable"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let convis = start(&oracle, folder.path(), "");
    let truth = traffic();
    wait_until_stored(&convis, &truth);
    oracle.fault("none");
    wait_for("a first request", PATIENCE, || (!oracle.logs_taken().is_empty()).then_some(()));
    drop(convis);
    let convis = start(&oracle, folder.path(), "");
    wait_for_delivery(&oracle, std::slice::from_ref(&truth));
    stopped(convis);
    assert!(taken(&oracle, &truth).values().all(|times| *times <= 2));
}

/// Scenario: a store with room for a part of what comes while the receiver is down; a graceful stop; a second process with
/// the receiver back.
/// Guarantees: the stop drops nothing and says what it keeps; what was dropped for room is counted and is not among what
/// arrives; that was the oldest: of the first traffic nothing arrives, the last arrives whole.
#[test]
fn a_bounded_store_drops_the_oldest_and_a_stop_keeps_the_rest() {
    need!(root());
    // What else the machine does would take room.
    let _turn = turns::alone();
    let mut oracle = need!(Oracle::absent());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let convis = start(&oracle, folder.path(), ",storage_size=24K");
    let mut truths = Vec::new();
    let accepted = || figure(&convis, "convis_sink_records_accepted_total");
    while convis.ledger().sink("otlp").dropped < 1.5 * EVENTS as f64 {
        let truth = traffic();
        convis.wait_for_events(truth.server.port(), EVENTS);
        // The first request gathers for a second; from then on everything waits between attempts.
        wait_for("an attempt", PATIENCE, || (figure(&convis, "convis_sink_exports_total") > 0).then_some(()));
        truths.push(truth);
        assert!(truths.len() < 50, "24 KiB take {} events", accepted());
    }
    let stopped = stopped(convis);
    let kept = number_before(&stopped.stderr, " kept in storage");
    let dropped = number_before(&stopped.stderr, " dropped, ");
    assert!(kept > 0 && dropped >= EVENTS as u64, "{}", stopped.stderr);
    assert!(stopped.stderr.contains("otlp events: 0 sent, "), "{}", stopped.stderr);

    oracle.begin("none");
    let convis = start(&oracle, folder.path(), "");
    wait_for("what was kept", PATIENCE, || {
        (figure(&convis, "convis_sink_records_sent_total") >= kept).then_some(())
    });
    let arrived: Vec<_> = truths.iter().map(|truth| taken(&oracle, truth).len()).collect();
    assert_eq!((arrived.first(), arrived.last()), (Some(&0), Some(&EVENTS)), "{arrived:?}");
    assert!(arrived.is_sorted(), "the oldest made room: {arrived:?}");
    let arrived: usize = arrived.iter().sum();
    let all = truths.len() * EVENTS;
    // Background noise of the machine is counted too, so these are bounds.
    assert!(
        arrived as u64 <= kept && (all - arrived) as u64 <= dropped,
        "{arrived} of {all}: {kept}, {dropped}"
    );
}

/// A file whose one sink, always of the same name and with the same folder, sends to this receiver, with this header.
fn file(oracle: &Oracle, directory: &Path, round: &str) -> String {
    format!(
        "\
exporters:
  otlp_grpc/kept:
    endpoint: http://127.0.0.1:{}
    signals: [logs]
    headers: {{x-round: {round}}}
    sending_queue: {{storage: {}}}
    retry_on_failure: {{initial_interval: 100ms, max_interval: 500ms}}
",
        oracle.ports().grpc,
        directory.display()
    )
}

/// Scenario: a receiver is down and events wait in storage; twice the sink's settings change by SIGHUP, each time with more
/// traffic, first to another receiver that is down as well, then by a header; then both receivers come up.
/// Guarantees: all events arrive at the second receiver, each exactly once and in order, with the last header; nothing was
/// counted twice or dropped, and nothing is stored any more.
#[test]
fn a_reload_hands_over_what_waits() {
    need!(root());
    let _turn = turns::together();
    let (mut before, mut after) = (need!(Oracle::absent()), need!(Oracle::absent()));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = folder.path().join("convis.yaml");
    let write = |text: String| std::fs::write(&settings, text).expect("the file can be written");
    write(file(&before, folder.path(), "one"));
    let config = settings.display().to_string();
    let mut convis = Convis::start(&["--config", &config]);
    let mut truths = vec![traffic()];
    for (oracle, round) in [(&after, "two"), (&after, "three")] {
        let truth = truths.last().expect("some");
        convis.wait_for_events(truth.server.port(), EVENTS);
        write(file(oracle, folder.path(), round));
        assert_eq!(convis.reload(), "convis: reloaded: sinks: 1 started, 1 stopped, 1 unchanged");
        truths.push(traffic());
    }
    convis.wait_for_events(truths[2].server.port(), EVENTS);
    before.begin("none");
    after.begin("none");
    wait_for_delivery(&after, &truths);
    for truth in &truths {
        check_once_in_order(&after, truth);
    }
    assert!(before.requests().is_empty());
    assert!(after.requests().iter().all(|request| request.header("x-round") == Some("three")));
    let stderr = stopped(convis).stderr;
    // What else this machine does arrives until then, and both take all kinds of events.
    let arrived = after.logs_taken().len();
    for sink in ["stdout", "otlp_grpc/kept"] {
        let counted = format!("{sink} events: {arrived} sent, 0 dropped");
        assert!(stderr.contains(&counted), "{counted}: {stderr}");
    }
    assert!(!stderr.contains("kept in storage"), "{stderr}");
}

/// Scenario: a directory whose store another convis uses, and one that is a file.
/// Guarantees: exit code 64 and one line that names the sink and what to do.
#[test]
fn what_cannot_be_opened_is_a_usage_error() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::absent());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let _convis = start(&oracle, folder.path(), "");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    for (directory, line) in [
        (folder.path(), "another convis uses it; give each its own `storage` directory"),
        (file.as_path(), "choose another `storage` directory"),
    ] {
        let mut command = convis::command();
        command.args(["--admin", "off", "--sink", &sink(&oracle, directory, "")]);
        let (status, process): (_, Process) = run("convis", command, PATIENCE);
        let stderr = process.stderr();
        assert_eq!((status.code(), stderr.lines().count()), (Some(64), 1), "{stderr}");
        assert!(
            stderr.starts_with("convis: sink otlp: storage: cannot ") && stderr.trim_end().ends_with(line),
            "{stderr}"
        );
    }
}

fn stopped(convis: Convis) -> Stopped {
    let stopped = convis.stop();
    assert!(stopped.status.success(), "{}: {}", stopped.status, stopped.stderr);
    stopped
}

/// The number that stands before these words.
fn number_before(text: &str, words: &str) -> u64 {
    let (before, _) = text.rsplit_once(words).unwrap_or_else(|| panic!("no {words:?} in {text}"));
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or_else(|_| panic!("no number before {words:?} in {text}"))
}
