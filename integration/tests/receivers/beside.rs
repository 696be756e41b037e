use std::net::TcpListener;
use std::time::Duration;

use convis_integration::actors::free_port;
use convis_integration::clock::{now, wait_for};
use convis_integration::convis::Convis;
use convis_integration::need::root;
use convis_integration::oracle::Oracle;
use convis_integration::{need, sums, turns};

use super::{EVENTS, PATIENCE, is_each_once, play, times};

/// A batch of events leaves after at most a second, metrics every second.
const PROMPT: Duration = Duration::from_secs(5);
/// Less than one scene has events, so that the queues of the dead overflow.
const SHORT_QUEUE: usize = EVENTS / 2;

/// Scenario: a living receiver between two dead ones: where nobody listens, and where connections are taken and never read;
/// their queues hold less than comes.
/// Guarantees: the living one has everything within seconds, once; the dead ones' records wait or are counted as too many;
/// convis still ends in time and says what is left.
#[test]
fn the_dead_do_not_hold_up_the_living() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = (silent.local_addr().unwrap().port(), silent);
    let spec = |port: u16, more: &str| format!("otlp,endpoint=http://127.0.0.1:{port},protocol=grpc{more}");
    let short = format!(",queue_size={SHORT_QUEUE}");
    let sinks = [spec(free_port(), &short), spec(oracle.ports().grpc, ""), spec(silent.0, &short)];
    let mut arguments = vec!["--interval", "1s", "--shutdown-timeout", "2s"];
    arguments.extend(sinks.iter().flat_map(|sink| ["--sink", sink.as_str()]));
    let convis = Convis::start(&arguments);

    for _ in 0..2 {
        let truth = play();
        let played = now();
        wait_for("all events and sums at the living", PATIENCE, || {
            let events = times(&oracle.logs_taken(), &truth).len();
            (events == EVENTS && sums::complete(&oracle.points_taken(), &truth)).then_some(())
        });
        assert!(played.elapsed() < PROMPT, "the living had to wait for {:?}", played.elapsed());
        assert!(is_each_once(&times(&oracle.logs_taken(), &truth)));
        sums::check(&oracle.points_taken(), &truth);
    }
    for dead in ["otlp", "otlp/3"] {
        let full = [("stage", dead), ("reason", "queue_full")];
        let (account, full) = wait_for("the accounts of the dead", PATIENCE, || {
            let ledger = convis.ledger();
            let account = ledger.sink(dead);
            let full = ledger.sum("convis_events_dropped_total", &full).unwrap_or_default();
            (account.balances() && account.accepted >= 2.0 * EVENTS as f64).then_some((account, full))
        });
        assert!(account.sent < 0.5 && account.queued > 0.5, "{dead}: {account:?}");
        assert!((account.dropped - full).abs() < 0.5, "{dead}: {account:?}, {full} found the queue full");
        assert!(full >= (2 * EVENTS - SHORT_QUEUE) as f64, "{dead}: {account:?}");
    }
    let asked = now();
    let stopped = convis.stop();
    assert!(asked.elapsed() < PROMPT, "it took {:?}", asked.elapsed());
    assert!(stopped.status.success(), "{}", stopped.stderr);
    let summary = stopped.stderr.lines().last().unwrap_or_default();
    assert!(summary.contains("otlp") && summary.contains("otlp/3"), "{summary:?}");
}
