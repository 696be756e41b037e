//! What arrives at a New Relic that keeps its documented rules, against what the sockets did.

#![expect(clippy::expect_used, reason = "a helper of tests that may fail like them")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use convis_integration::actors::{Scene, Truth};
use convis_integration::clock::wait_for;
use convis_integration::convis::Convis;
use convis_integration::ends;
use convis_integration::event::Event;
use convis_integration::need::root;
use convis_integration::newrelic::rules::MAX_BYTES;
use convis_integration::newrelic::{KEY, NewRelic};
use convis_integration::traffic::Exchange;
use convis_integration::truth::Side;
use convis_integration::{need, turns};

const PATIENCE: Duration = Duration::from_secs(20);
const CONNECTIONS: usize = 10;
const UPDATED: &str = "convis.tcp.connection.updated";

/// Ten connections, half of them closed first by each end.
fn play() -> Truth {
    let exchange = Exchange { send: 12_345, expect: 67_890, first: Side::Server, ..Exchange::default() };
    Scene { count: CONNECTIONS, ..Scene::one("127.0.0.1:0", exchange) }.play()
}

/// Waits for all events of the truth and checks each against it.
fn check_arrival(newrelic: &NewRelic, truth: &Truth) {
    let port = truth.server.port();
    wait_for("all events to arrive", PATIENCE, || {
        (newrelic.events_at(port).len() >= 4 * CONNECTIONS).then_some(())
    });
    let events = newrelic.events_at(port);
    assert_eq!(events.len(), 4 * CONNECTIONS, "{events:#?}");
    for client in &truth.clients {
        let server = truth.other_end(client);
        ends::check(&ends::find(&events, client), client, server);
        ends::check(&ends::find(&events, server), server, client);
    }
}

/// Whether any part of the key long enough to tell it shows in a text.
fn shows_key(text: &str) -> bool {
    text.contains(&KEY[..8]) || text.contains(&KEY[KEY.len() - 8..])
}

/// The arguments of a process as everybody sees them.
fn command_line(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("it lives").replace('\0', " ")
}

/// Scenario: ten connections, with the key in a file.
/// Guarantees: every event arrives once, in requests that keep the rules, exact; the key shows nowhere.
#[test]
fn every_event_arrives_once() {
    need!(root());
    let _turn = turns::together();
    let newrelic = NewRelic::start(MAX_BYTES);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    fs::write(&path, format!("{KEY}\n")).expect("a file");
    let at = format!("@{}", path.display());
    let convis = Convis::start(&["--sink", &newrelic.sink(&at)]);
    check_arrival(&newrelic, &play());
    assert!(command_line(convis.pid()).contains(&at), "where the key is may be seen");
    assert!(newrelic.taken().iter().all(|event| event["eventType"] == "ConvisConnection"));
    let stopped = convis.stop();
    assert!(stopped.status.success() && !shows_key(&stopped.stderr), "{}", stopped.stderr);
    assert!(newrelic.statuses().iter().all(|status| *status == 200), "{:?}", newrelic.statuses());
}

/// Scenario: secrets written out on the command line, in both forms of the option; New Relic is busy, then unavailable.
/// Guarantees: every event arrives once; the secrets are used and yet not to be seen in the arguments, and nothing else is
/// hidden.
#[test]
fn secrets_do_not_show_and_failures_pass() {
    need!(root());
    let _turn = turns::together();
    let newrelic = NewRelic::start(MAX_BYTES);
    newrelic.fail(&[(429, Some("1")), (503, None)]);
    let sink = newrelic.sink(KEY);
    let other = "--sink=otlp,endpoint=http://127.0.0.1:9,header.x-token=hunter2-and-more,retry=false";
    let convis = Convis::start(&["--sink", &sink, other]);
    let shown = command_line(convis.pid());
    let stars = "*".repeat(KEY.len());
    assert!(shown.contains(&sink.replace(KEY, &stars)), "{shown}");
    assert!(shown.contains(&other.replace("hunter2-and-more", "****************")), "{shown}");
    check_arrival(&newrelic, &play());
    assert_eq!(newrelic.statuses()[..3], [429, 503, 200]);
    let stopped = convis.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    assert!(!shows_key(&stopped.stderr) && !stopped.stderr.contains("hunter2"), "{}", stopped.stderr);
    assert!(!stopped.stderr.contains("cannot be overwritten"), "{}", stopped.stderr);
}

/// Scenario: New Relic takes no request of more than 10 kB.
/// Guarantees: requests are cut until they are taken, and every event arrives once.
#[test]
fn large_requests_are_cut() {
    need!(root());
    let _turn = turns::together();
    let newrelic = NewRelic::start(10_000);
    let convis = Convis::start(&["--sink", &newrelic.sink(KEY)]);
    check_arrival(&newrelic, &play());
    assert!(newrelic.statuses().contains(&413));
    assert!(convis.stop().status.success());
}

/// Scenario: the key is not the account's, and there is traffic twice.
/// Guarantees: convis goes on, counts every event as rejected, and says so once, with what to check and without the key that
/// the answer repeats.
#[test]
fn a_wrong_key_is_said_once() {
    need!(root());
    let _turn = turns::together();
    let newrelic = NewRelic::start(MAX_BYTES);
    let wrong = format!("f{}", &KEY[1..]);
    let convis = Convis::start(&["--sink", &newrelic.sink(&wrong)]);
    for times in 1..=2 {
        convis.wait_for_events(play().server.port(), 4 * CONNECTIONS);
        wait_for("the refusals", PATIENCE, || {
            let ledger = convis.ledger();
            let labels = [("stage", "newrelic"), ("reason", "rejected")];
            let rejected = ledger.sum("convis_events_dropped_total", &labels).unwrap_or_default();
            let account = ledger.sink("newrelic");
            let whole = (times * 4 * CONNECTIONS) as f64;
            (account.balances() && rejected >= whole && account.queued < 0.5).then_some(())
        });
    }
    assert!(newrelic.statuses().len() > 1 && newrelic.statuses().iter().all(|status| *status == 403));
    let stopped = convis.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    let said: Vec<_> = stopped.stderr.lines().filter(|line| line.contains("403")).collect();
    assert_eq!(said.len(), 1, "{}", stopped.stderr);
    assert!(said[0].contains("`key`") && said[0].contains("`account`"), "{}", said[0]);
    assert!(!shows_key(&stopped.stderr), "{}", stopped.stderr);
}

/// Scenario: a connection that lives on and moves bytes in three steps, with updates every second.
/// Guarantees: its updates arrive while it lives; what they say it grew by sums up to what was moved, at every one of them,
/// and the close says no more.
#[test]
fn updates_add_up() {
    need!(root());
    let _turn = turns::together();
    let newrelic = NewRelic::start(MAX_BYTES);
    let convis = Convis::start(&["--update-interval", "1s", "--sink", &newrelic.sink(KEY)]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("a bound socket");
    let mut client = TcpStream::connect(at).expect("a listener");
    let (mut server, _) = listener.accept().expect("a client");
    let of_client = |name: &str| -> Vec<Event> {
        let events = newrelic.events_at(at.port()).into_iter();
        events
            .filter(|event| event.name == name && event.text("convis.connection.role") == "client")
            .collect()
    };
    for (step, bytes) in (1_u64..).zip([10_000_u64, 1, 20_000]) {
        client
            .write_all(&vec![7; usize::try_from(bytes).expect("a small number")])
            .expect("a peer that reads");
        server
            .read_exact(&mut vec![0; usize::try_from(bytes).expect("a small number")])
            .expect("a peer that writes");
        let sums = [10_000, 10_001, 30_001];
        let so_far = sums[usize::try_from(step).expect("a small number") - 1];
        wait_for("an update", PATIENCE, || {
            let updates = of_client(UPDATED);
            (updates.last()?.number("convis.bytes.sent") == so_far).then_some(())
        });
    }
    drop((client, server));
    let closed = wait_for("the close", PATIENCE, || of_client("convis.tcp.connection.closed").pop());
    let mut grown = 0;
    let updates = of_client(UPDATED);
    assert!(updates.len() >= 3, "{updates:#?}");
    for update in &updates {
        grown += update.number("convis.bytes.sent.delta");
        assert_eq!(update.number("convis.bytes.sent"), grown, "{update:#?}");
        assert_eq!(update.number("convis.bytes.received.delta"), 0, "{update:#?}");
    }
    assert_eq!((grown, closed.number("convis.bytes.sent")), (30_001, 30_001));
    assert!(convis.stop().status.success());
}
