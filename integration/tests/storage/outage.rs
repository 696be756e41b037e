//! A whole minute without the Collector.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use convis_integration::actors::Scene;
use convis_integration::clock::{now, wait_for};
use convis_integration::collector::Collector;
use convis_integration::convis::Convis;
use convis_integration::enough::Enough;
use convis_integration::event::{CLOSED, OPENED};
use convis_integration::need::root;
use convis_integration::traffic::Exchange;
use convis_integration::{need, turns};

use crate::{figure, sink_to, stopped};

const OUTAGE: Duration = Duration::from_mins(1);
/// Far beyond what an event takes from the kernel to the disk.
const TO_DISK: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two scenes, so that the load is the same on every machine.
const PAUSE: Duration = Duration::from_millis(250);
const CONNECTIONS: usize = 5;

/// A connection's end: process, own address, the other's.
type End = (u64, SocketAddr, SocketAddr);

/// Connections that were opened and closed between two instants.
struct Played {
    begun: Instant,
    ended: Instant,
    ends: Vec<End>,
}

fn load(enough: &AtomicBool) -> Vec<Played> {
    let exchange = Exchange { send: 100, expect: 100, ..Exchange::default() };
    let scene = Scene { count: CONNECTIONS, ..Scene::one("127.0.0.1:0", exchange) };
    let mut all = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        let begun = now();
        let truth = scene.play();
        let reports = truth.clients.iter().chain(&truth.servers);
        let ends = reports.map(|report| (u64::from(report.pid), report.local, report.peer)).collect();
        all.push(Played { begun, ended: now(), ends });
        sleep(PAUSE);
    }
    all
}

/// How often each event of each end was taken.
fn taken(collector: &Collector) -> BTreeMap<(End, String), usize> {
    let mut times = BTreeMap::new();
    for event in collector.received().logs.into_iter().map(|log| log.event) {
        if let Some(pid) = event.pid() {
            *times.entry(((pid, event.local(), event.peer()), event.name.clone())).or_default() += 1;
        }
    }
    times
}

/// Scenario: connections come and go all the time; a real Collector is down for a minute; in its middle convis is killed and
/// started again.
/// Guarantees: every event of every connection arrives, but of those that came and went around the kill, which nobody may
/// have seen; each exactly once, but what was on its way when the Collector went, at most twice; nothing is dropped and
/// nothing stays stored.
#[test]
fn a_minute_without_the_collector_and_a_kill_in_it_cost_nothing() {
    need!(root());
    let _turn = turns::together();
    let mut collector = need!(Collector::start());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = |port| Convis::start(&["--sink", &sink_to(port, folder.path(), "")]);
    let convis = start(collector.grpc);
    let enough = AtomicBool::new(false);
    let (played, convis, [gone, killed, again, back]) = thread::scope(|scope| {
        let load = scope.spawn(|| load(&enough));
        let under_load = Enough(&enough);
        wait_for("a first request", PATIENCE, || (!collector.received().logs.is_empty()).then_some(()));
        collector.end();
        let gone = now();
        sleep(OUTAGE / 2);
        let killed = now();
        // Dropped, it is killed.
        drop(convis);
        let convis = start(collector.grpc);
        let again = now();
        sleep(OUTAGE.saturating_sub(gone.elapsed()));
        collector.begin().expect("it started before");
        let back = now();
        sleep(TO_DISK);
        drop(under_load);
        (load.join().expect("the load"), convis, [gone, killed, again, back])
    });
    let last = played.last().expect("some load").ends[0];
    wait_for("the last event", PATIENCE, || {
        (taken(&collector).contains_key(&(last, CLOSED.to_owned()))
            && figure(&convis, "convis_sink_records_queued") == 0
            && figure(&convis, "convis_sink_records_stored") == 0)
            .then_some(())
    });

    let taken = taken(&collector);
    let mut certain = 0;
    for scene in &played {
        let is_certain = scene.ended + TO_DISK < killed || scene.begun > again;
        let most = if scene.begun > gone { 1 } else { 2 };
        certain += usize::from(is_certain && scene.begun > gone && scene.ended < back);
        for (end, name) in scene.ends.iter().flat_map(|end| [(*end, OPENED), (*end, CLOSED)]) {
            let times = taken.get(&(end, name.to_owned())).copied().unwrap_or_default();
            assert!((usize::from(is_certain)..=most).contains(&times), "{name} of {end:?}: {times} times");
        }
        assert_eq!(scene.ends.len(), 2 * CONNECTIONS);
    }
    // A scene takes a fraction of a second, on a busy machine a few: most of the minute was load.
    assert!(certain > 10, "{certain} of {} scenes", played.len());
    let sink = convis.ledger().sink("otlp");
    assert!(sink.balances() && sink.dropped < 0.5, "{sink:?}");
    stopped(convis);
}
