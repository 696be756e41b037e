//! A receiver that misbehaves costs data only where it says so, and never holds up capture.
//!
//! Every test runs two OTLP sinks, one over gRPC and one over HTTP, to one oracle, beside the JSON sink.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use convis_integration::actors::{Scene, Truth};
use convis_integration::clock::{now, wait_for};
use convis_integration::convis::Convis;
use convis_integration::ledger::{Ledger, Sink};
use convis_integration::need::root;
use convis_integration::oracle::{Oracle, Request};
use convis_integration::traffic::Exchange;
use convis_integration::{need, turns};

const CONNECTIONS: usize = 5;
const EVENTS: usize = 4 * CONNECTIONS;
const PROMPT: Duration = Duration::from_secs(3);
/// Longer than any waiting between two attempts that a test provokes.
const RECOVERY: Duration = Duration::from_secs(40);
/// The names of the two sinks, with the transport each uses.
const SINKS: [(&str, &str); 2] = [("otlp", "grpc"), ("otlp/2", "http")];

/// A convis between traffic and an oracle.
struct Bench {
    oracle: Oracle,
    convis: Convis,
}

impl Bench {
    fn start(oracle: Oracle) -> Self {
        let ports = oracle.ports();
        let grpc = format!("otlp,endpoint=http://127.0.0.1:{},protocol=grpc,timeout=2s", ports.grpc);
        let http = format!("otlp,endpoint=http://127.0.0.1:{},protocol=http/protobuf,timeout=2s", ports.http);
        let convis = Convis::start(&["--interval", "1s", "--sink", &grpc, "--sink", &http]);
        Self { oracle, convis }
    }

    /// Traffic, whose events must show on stdout whatever the other sinks are in for.
    fn traffic_seen_promptly(&self) -> Truth {
        let exchange = Exchange { send: 1000, expect: 2000, ..Exchange::default() };
        let truth = Scene { count: CONNECTIONS, ..Scene::one("127.0.0.1:0", exchange) }.play();
        let ended = now();
        let events = self.convis.wait_for_events(truth.server.port(), EVENTS);
        assert!(ended.elapsed() < PROMPT, "stdout was held up for {:?}", ended.elapsed());
        assert_eq!(events.len(), EVENTS, "{events:#?}");
        truth
    }

    /// Waits until both transports have taken every event of the traffic, each exactly once.
    fn wait_for_delivery(&self, truth: &Truth) {
        for (_, transport) in SINKS {
            wait_for(&format!("delivery over {transport}"), RECOVERY, || {
                (self.taken(transport, truth).len() >= EVENTS).then_some(())
            });
        }
        for (_, transport) in SINKS {
            let taken = self.taken(transport, truth);
            assert!(
                taken.len() == EVENTS && taken.values().all(|times| *times == 1),
                "{transport}: {taken:#?}"
            );
        }
    }

    /// How often each event of the traffic was taken without a fault.
    fn taken(&self, transport: &str, truth: &Truth) -> BTreeMap<String, usize> {
        self.received(transport, "none", truth)
    }

    /// How often each event of the traffic came in a request that met this fault.
    fn received(&self, transport: &str, fault: &str, truth: &Truth) -> BTreeMap<String, usize> {
        let requests = self.oracle.requests();
        let fits = |request: &&Request| request.field("transport") == transport && request.fault() == fault;
        let mut times = BTreeMap::new();
        for log in requests.iter().filter(fits).flat_map(Request::logs) {
            if log.event.is_at(truth.server.port()) {
                let key = format!("{} {}", log.event.text("convis.connection.id"), log.event.name);
                *times.entry(key).or_default() += 1;
            }
        }
        times
    }

    /// Waits until the accounts of a sink are as `wanted` says; they must balance all the while.
    fn wait_for_accounts(&self, sink: &str, wanted: impl Fn(Sink) -> bool) -> Sink {
        wait_for(&format!("the accounts of {sink}"), RECOVERY, || {
            let account = self.convis.ledger().sink(sink);
            (account.balances() && wanted(account)).then_some(account)
        })
    }

    /// Stops convis; it must have survived, and whatever it dropped at the end it must have counted before.
    fn stop(self) {
        let stopped = self.convis.stop();
        assert!(stopped.status.success(), "{}: {}", stopped.status, stopped.stderr);
    }
}

fn dropped(ledger: &Ledger, sink: &str, reason: &str) -> f64 {
    ledger.sum("convis_events_dropped_total", &[("stage", sink), ("reason", reason)]).unwrap_or_default()
}

/// A fault that passes: nothing may be lost by it.
fn delivered_after(oracle: Oracle, fault_to_heal: Option<Duration>) {
    let bench = Bench::start(oracle);
    let truth = bench.traffic_seen_promptly();
    if let Some(duration) = fault_to_heal {
        sleep(duration);
        bench.oracle.fault("none");
    }
    bench.wait_for_delivery(&truth);
    for (sink, _) in SINKS {
        bench.wait_for_accounts(sink, |account| account.sent >= EVENTS as f64 && account.dropped < 0.5);
    }
    bench.stop();
}

/// Scenario: nobody listens when convis starts; the receiver comes three seconds later.
/// Guarantees: capture goes on, what waits is counted as queued, and then everything arrives once.
#[test]
fn a_receiver_that_comes_late_gets_everything() {
    need!(root());
    let _turn = turns::together();
    let mut bench = Bench::start(need!(Oracle::absent()));
    let truth = bench.traffic_seen_promptly();
    for (sink, _) in SINKS {
        bench.wait_for_accounts(sink, |account| account.queued >= EVENTS as f64 && account.dropped < 0.5);
    }
    sleep(Duration::from_secs(1));
    bench.oracle.begin("none");
    bench.wait_for_delivery(&truth);
    bench.stop();
}

/// Scenario: the receiver dies, there is traffic, another one starts on the same ports.
/// Guarantees: what came before arrived then, what came between arrives after, both once.
#[test]
fn a_receiver_may_go_and_return() {
    need!(root());
    let _turn = turns::together();
    let mut bench = Bench::start(need!(Oracle::start("none")));
    let before = bench.traffic_seen_promptly();
    bench.wait_for_delivery(&before);
    bench.oracle.vanish();
    let between = bench.traffic_seen_promptly();
    bench.oracle.begin("none");
    bench.wait_for_delivery(&between);
    bench.wait_for_delivery(&before);
    bench.stop();
}

/// Scenario: the receiver says it is unavailable and asks to come back in a second, for some seconds.
/// Guarantees: everything arrives once in the end.
#[test]
fn unavailability_passes() {
    need!(root());
    let _turn = turns::together();
    delivered_after(need!(Oracle::start("unavailable:1")), Some(Duration::from_secs(2)));
}

/// Scenario: the first four requests fail.
/// Guarantees: they are sent again: everything arrives once.
#[test]
fn first_failures_are_retried() {
    need!(root());
    let _turn = turns::together();
    delivered_after(need!(Oracle::start("fail-first:4")), None);
}

/// Scenario: the receiver reads requests and never answers, for some seconds.
/// Guarantees: convis gives up waiting at its timeout and sends again: everything is answered once in the end.
#[test]
fn a_hanging_receiver_is_left_waiting() {
    need!(root());
    let _turn = turns::together();
    delivered_after(need!(Oracle::start("hang")), Some(Duration::from_secs(3)));
}

/// Scenario: every answer takes a second, which is less than the timeout.
/// Guarantees: nothing is sent twice.
#[test]
fn a_slow_receiver_gets_everything_once() {
    need!(root());
    let _turn = turns::together();
    let bench = Bench::start(need!(Oracle::start("slow:1")));
    let truth = bench.traffic_seen_promptly();
    for (sink, transport) in SINKS {
        bench.wait_for_accounts(sink, |account| account.sent >= EVENTS as f64 && account.dropped < 0.5);
        let received = bench.received(transport, "slow", &truth);
        assert!(
            received.len() == EVENTS && received.values().all(|times| *times == 1),
            "{transport}: {received:#?}"
        );
    }
    bench.stop();
}

/// A fault that refuses for good: what it refused is counted, not repeated, and what follows arrives.
fn refused(fault: &str, kind: &str, at_least: f64) {
    let bench = Bench::start(need!(Oracle::start(fault)));
    let lost = bench.traffic_seen_promptly();
    for (sink, transport) in SINKS {
        bench.wait_for_accounts(sink, |account| account.dropped >= at_least);
        assert!(dropped(&bench.convis.ledger(), sink, "rejected") >= at_least);
        wait_for("the events to be offered", RECOVERY, || {
            (bench.received(transport, kind, &lost).len() == EVENTS).then_some(())
        });
    }
    bench.oracle.fault("none");
    let kept = bench.traffic_seen_promptly();
    bench.wait_for_delivery(&kept);
    for (_, transport) in SINKS {
        let again = bench.taken(transport, &lost);
        let offered = bench.received(transport, kind, &lost);
        assert!(
            again.is_empty() && offered.values().all(|times| *times == 1),
            "{transport}: {again:?} {offered:?}"
        );
    }
    bench.stop();
}

/// Scenario: the receiver refuses every request as invalid, then takes them.
/// Guarantees: the refused records are counted as rejected and not sent again; what follows arrives.
#[test]
fn rejected_records_are_counted() {
    need!(root());
    let _turn = turns::together();
    refused("reject", "reject", EVENTS as f64);
}

/// Scenario: the receiver takes requests but calls three records of each rejected.
/// Guarantees: those are counted as rejected, and nothing of a request is sent again.
#[test]
fn partly_rejected_records_are_counted() {
    need!(root());
    let _turn = turns::together();
    refused("partial:3", "partial", 3.0);
}

/// Scenario: the receiver answers with bytes that are no OTLP, then behaves.
/// Guarantees: convis lives, its accounts balance, and what follows arrives.
#[test]
fn nonsense_does_no_harm() {
    need!(root());
    let _turn = turns::together();
    let bench = Bench::start(need!(Oracle::start("nonsense")));
    bench.traffic_seen_promptly();
    sleep(Duration::from_secs(2));
    for (sink, _) in SINKS {
        bench.wait_for_accounts(sink, |account| account.accepted >= EVENTS as f64);
    }
    bench.oracle.fault("none");
    let kept = bench.traffic_seen_promptly();
    bench.wait_for_delivery(&kept);
    bench.stop();
}

/// Scenario: convis is stopped while nobody takes its data.
/// Guarantees: it ends in time, successfully, and says how much it leaves behind.
#[test]
fn stopping_does_not_wait_for_a_dead_receiver() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::absent());
    let sink = format!("otlp,endpoint=http://127.0.0.1:{},protocol=grpc", oracle.ports().grpc);
    let convis = Convis::start(&["--shutdown-timeout", "2s", "--sink", &sink]);
    let truth = Scene::one("127.0.0.1:0", Exchange { send: 1, ..Exchange::default() }).play();
    convis.wait_for_events(truth.server.port(), 4);
    let asked = now();
    let stopped = convis.stop();
    assert!(asked.elapsed() < Duration::from_secs(6), "it took {:?}", asked.elapsed());
    assert!(stopped.status.success(), "{}: {}", stopped.status, stopped.stderr);
    let summary = stopped.stderr.lines().last().unwrap_or_default();
    assert!(summary.contains("otlp"), "the summary names the sink that lost: {summary:?}");
}
