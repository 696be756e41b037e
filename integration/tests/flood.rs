//! Nothing is lost when connections come as fast as the machine makes them.

use std::collections::BTreeMap;
use std::time::Duration;

use convis_integration::actors::{Scene, Truth};
use convis_integration::clock::wait_for;
use convis_integration::convis::{Convis, Stopped};
use convis_integration::event::{CLOSED, Event, OPENED};
use convis_integration::ledger::Ledger;
use convis_integration::need::root;
use convis_integration::traffic::Exchange;
use convis_integration::{need, turns};

const KINDS: [&str; 3] = ["opened", "closed", "failed"];
/// Other processes of the host make them as well, so they balance only at a moment when none does.
const PROCESS_KINDS: [&str; 3] = ["exec", "fork", "exit"];
const SENT: u64 = 100;
const ANSWERED: u64 = 200;
const SETTLED: Duration = Duration::from_secs(30);

fn flood(count: usize) -> Truth {
    let exchange = Exchange { send: SENT, expect: ANSWERED, ..Exchange::default() };
    let truth = Scene { count, parallel: 4, ..Scene::one("127.0.0.1:0", exchange) }.play();
    let failed: Vec<_> = truth.ends().filter(|end| end.result != "ok").collect();
    assert!(failed.is_empty(), "the flood itself must be whole: {failed:#?}");
    truth
}

/// Waits until nothing moves any more, then stops convis.
fn settle(convis: Convis, truth: &Truth) -> (Ledger, Stopped) {
    let ends = truth.ends().count() as f64;
    let ledger = wait_for("the ledger to settle", SETTLED, || {
        let ledger = convis.ledger();
        let taken = ledger.kind("closed").delivered + ledger.kind("closed").dropped;
        let quiet =
            KINDS.iter().all(|kind| ledger.kind(kind).pending < 0.5) && ledger.sink("stdout").queued < 0.5;
        let balanced = PROCESS_KINDS.iter().all(|kind| ledger.kind(kind).balances());
        (taken >= ends && quiet && balanced).then_some(ledger)
    });
    (ledger, convis.stop())
}

fn check_whole(events: &[Event], truth: &Truth) {
    for (role, sent, received) in [("client", SENT, ANSWERED), ("server", ANSWERED, SENT)] {
        let mine: Vec<&Event> =
            events.iter().filter(|event| event.text("convis.connection.role") == role).collect();
        let named = |name| mine.iter().filter(move |event| event.name == name);
        let total = |key: &str| named(CLOSED).map(|event| event.number(key)).sum::<u64>();
        let count = truth.clients.len();
        assert_eq!(
            (named(OPENED).count(), named(CLOSED).count(), mine.len()),
            (count, count, 2 * count),
            "{role}"
        );
        assert_eq!(total("convis.bytes.sent"), sent * count as u64, "{role}");
        assert_eq!(total("convis.bytes.received"), received * count as u64, "{role}");
    }
    check_pairs(events);
    check_ports(events, truth);
}

/// Every id has one opened and one closed event.
fn check_pairs(events: &[Event]) {
    let mut by_id: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in events {
        by_id.entry(event.text("convis.connection.id")).or_default().push(&event.name);
    }
    let odd: Vec<_> =
        by_id.iter().filter(|(_, names)| names.as_slice() != [OPENED, CLOSED]).take(5).collect();
    assert!(odd.is_empty(), "{odd:#?}");
}

/// Ports come again within a flood, so they are compared as often as they came.
fn check_ports(events: &[Event], truth: &Truth) {
    let mut seen: BTreeMap<u64, i64> = BTreeMap::new();
    for event in events {
        *seen.entry(event.number("client.port")).or_default() += 1;
    }
    for report in truth.ends() {
        *seen.entry(u64::from(report.client().port())).or_default() -= 2;
    }
    let wrong: Vec<_> = seen.iter().filter(|(_, balance)| **balance != 0).take(5).collect();
    assert!(wrong.is_empty(), "client ports and the surplus of events: {wrong:?}");
}

/// Scenario: 20,000 connections as fast as two processes can, with default settings.
/// Guarantees: every end has its two events and its exact bytes; nothing was dropped at any stage and the ledger
/// balances.
#[test]
fn a_flood_is_reported_whole() {
    need!(root());
    let _turn = turns::alone();
    let convis = Convis::start::<&str>(&[]);
    let truth = flood(20_000);
    let (ledger, stopped) = settle(convis, &truth);
    check_whole(&stopped.events_at(truth.server.port()), &truth);
    assert!(ledger.dropped() < 0.5, "{ledger:#?}");
    assert!(KINDS.iter().all(|kind| ledger.kind(kind).balances()), "{ledger:#?}");
    assert!(ledger.sink("stdout").balances(), "{ledger:#?}");
}

/// Scenario: the same with a ring of one page, which is full nearly always.
/// Guarantees: what the ring cannot take of connections comes later from the map: nothing is lost, nothing comes twice; the
/// equation holds for every kind.
#[test]
fn a_full_ring_loses_nothing() {
    need!(root());
    let _turn = turns::alone();
    let convis = Convis::start(&["--ring-bytes", "4096"]);
    let truth = flood(5_000);
    let (ledger, stopped) = settle(convis, &truth);
    check_whole(&stopped.events_at(truth.server.port()), &truth);
    // Process records have no ledger behind the ring: what a ring of one page drops of them is counted.
    assert!(KINDS.iter().all(|kind| ledger.kind(kind).dropped < 0.5), "{ledger:#?}");
    assert!(ledger.sink("stdout").balances(), "{ledger:#?}");
    assert!(KINDS.iter().all(|kind| ledger.kind(kind).balances()), "{ledger:#?}");
}
