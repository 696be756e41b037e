//! The comparator against what a convis with one fault would say.

use serde_json::{Value, json};

use super::*;
use crate::flow::community_id;
use crate::scenario::expect::Owner;
use crate::truth::Side;

const NETWORK: u64 = 4_026_531_833;
const CLIENT: &str = "127.0.0.1:40000";
const SERVER: &str = "127.0.0.1:80";

fn end(side: Side, pid: u32, reason: &'static str, written: u64, read: u64, twin: usize) -> Expected {
    let (local, peer) = if side == Side::Client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
    Expected {
        scenario: "test".to_owned(),
        network: NETWORK,
        side,
        local: Some(local.parse().unwrap()),
        peer: peer.parse().unwrap(),
        owner: Some(Owner { pid, own_pid: pid }),
        attributions: &["kernel"],
        accept_may_be_missed: false,
        listener: Some(Owner { pid: 6, own_pid: 6 }),
        kernel_owned: false,
        fate: Fate::Closed(Closed { twin: Some(twin), ..Closed::orderly(reason, written, read) }),
    }
}

fn both() -> Vec<Expected> {
    vec![end(Side::Client, 7, "local_close", 100, 30, 1), end(Side::Server, 8, "peer_close", 30, 100, 0)]
}

fn claims() -> Claims {
    let mut claims =
        Claims { shared_network: NETWORK, executable: "/scenario".to_owned(), ..Claims::default() };
    claims.ports.insert((NETWORK, 80), "test".to_owned());
    claims.pids.extend([(7, "test".to_owned()), (8, "test".to_owned())]);
    claims
}

fn event(end: &Expected, id: &str, name: &str, time: u32, more: &Value) -> Event {
    let local = end.local.unwrap();
    let (client, server) = if end.side == Side::Client { (local, end.peer) } else { (end.peer, local) };
    let mut attributes = json!({
        "network.transport": "tcp", "network.type": "ipv4",
        "network.local.address": local.ip().to_string(), "network.local.port": local.port(),
        "network.peer.address": end.peer.ip().to_string(), "network.peer.port": end.peer.port(),
        "client.address": client.ip().to_string(), "client.port": client.port(),
        "server.address": server.ip().to_string(), "server.port": server.port(),
        "convis.connection.role": end.side.to_string(), "convis.connection.id": id,
        "convis.flow.id": community_id(client, server), "convis.network.namespace": end.network,
        "convis.process.attribution": "kernel",
    });
    attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let line = json!({
        "timestamp": format!("2026-11-24T08:00:00.{time:09}Z"), "event_name": format!("convis.tcp.connection.{name}"),
        "severity": "INFO", "attributes": attributes,
        "resource": { "process.pid": end.owner.unwrap().pid, "process.executable.path": "/scenario" },
    });
    Event::from_line(&line.to_string())
}

/// What a right convis says of an end.
fn told(end: &Expected, id: &str) -> Vec<Event> {
    let Fate::Closed(closed) = &end.fate else { panic!("a closed end") };
    let handshake = json!({ "convis.tcp.handshake.duration": 0.001 });
    let opened = if end.side == Side::Client { handshake } else { json!({}) };
    let totals = json!({
        "convis.bytes.sent": closed.written, "convis.bytes.received": closed.received,
        "convis.close.reason": closed.reason, "convis.connection.duration": 0.5,
    });
    vec![event(end, id, "opened", 1, &opened), event(end, id, "closed", 2, &totals)]
}

fn right() -> Vec<Event> {
    both().iter().zip(["1", "2"]).flat_map(|(end, id)| told(end, id)).collect()
}

fn differences(events: &[Event]) -> Vec<String> {
    compare(&both(), events, &claims(), 0).differences.into_iter().map(|difference| difference.what).collect()
}

fn set(event: &mut Event, key: &str, value: impl Into<Value>) {
    let map = if event.resource.contains_key(key) { &mut event.resource } else { &mut event.attributes };
    map.insert(key.to_owned(), value.into());
}

/// Asserts that this fault shows, in words with these in them.
fn caught(fault: impl FnOnce(&mut Vec<Event>), words: &str) {
    let mut events = right();
    fault(&mut events);
    let found = differences(&events);
    assert!(found.iter().any(|what| what.contains(words)), "{words:?} is not in {found:#?}");
}

/// Scenario: everything is told as it was.
/// Guarantees: no difference, and nothing is missing.
#[test]
fn the_truth_passes() {
    assert_eq!(differences(&right()), Vec::<String>::new());
    assert_eq!(missing(&both(), &right()), 0);
}

/// Scenario: the SYN is counted as a byte, on one end; the FIN on the other.
/// Guarantees: one byte is enough to fail.
#[test]
fn a_byte_too_many_is_caught() {
    caught(|events| set(&mut events[1], "convis.bytes.sent", 101), "sent is 101, not 100");
    caught(|events| set(&mut events[3], "convis.bytes.received", 101), "received is 101, not 100");
    caught(|events| set(&mut events[1], "convis.bytes.unacked", 1), "unacked is 1");
}

/// Scenario: both ends exchange their owners; one has none; one has a process id of another namespace.
/// Guarantees: each is caught.
#[test]
fn a_wrong_owner_is_caught() {
    let swap = |events: &mut Vec<Event>| {
        for (place, pid) in [8, 8, 7, 7].into_iter().enumerate() {
            set(&mut events[place], "process.pid", pid);
        }
    };
    caught(swap, "process.pid is 8, not 7");
    let remove = |events: &mut Vec<Event>| drop(events[2].resource.remove("process.pid"));
    caught(remove, "process.pid is null, not 8");
    caught(|events| set(&mut events[0], "process.executable.path", "/bin/sh"), "executable.path");
    caught(|events| set(&mut events[0], "process.vpid", 1), "process.vpid is 1, not null");
    caught(
        |events| set(&mut events[1], "convis.closing.process.pid", 7),
        "closing.process.pid is 7, not null",
    );
    caught(|events| set(&mut events[0], "convis.process.attribution", "inherited"), "attribution");
}

/// Scenario: an event comes twice, with its own id or another one, from the right process or another.
/// Guarantees: each is caught.
#[test]
fn a_doubled_event_is_caught() {
    caught(|events| events.push(events[1].clone()), r#"["opened", "closed", "closed"]"#);
    let again = |pid: u32| {
        move |events: &mut Vec<Event>| {
            let mut copy = events[3].clone();
            set(&mut copy, "convis.connection.id", "3");
            set(&mut copy, "process.pid", pid);
            events.push(copy);
        }
    };
    caught(again(8), "nobody did this");
    caught(again(7), "nobody did this");
    let foreign = |events: &mut Vec<Event>| {
        again(99)(events);
        set(events.last_mut().unwrap(), "process.executable.path", "/other");
    };
    caught(foreign, "nobody did this");
}

/// Scenario: another program uses the port afterwards.
/// Guarantees: that is no difference.
#[test]
fn strangers_are_left_alone() {
    let mut events = right();
    let mut stranger = events[0].clone();
    for (key, value) in [("convis.connection.id", json!("9")), ("network.local.port", json!(41000))] {
        set(&mut stranger, key, value);
    }
    set(&mut stranger, "process.pid", 99);
    set(&mut stranger, "process.executable.path", "/other");
    events.push(stranger);
    assert_eq!(differences(&events), Vec::<String>::new());
}

/// Scenario: an end, an event, or the order is missing.
/// Guarantees: each is caught, and known to be missing while it may still come.
#[test]
fn a_missing_event_is_caught() {
    caught(|events| events.truncate(2), "convis says nothing of it");
    caught(|events| drop(events.remove(2)), r#"["closed"], not ["opened", "closed"]"#);
    caught(|events| drop(events.remove(1)), r#"["opened"], not ["opened", "closed"]"#);
    caught(|events| events.swap(0, 1), r#"["closed", "opened"]"#);
    assert_eq!(missing(&both(), &right()[..2]), 1);
    assert_eq!(missing(&both(), &right()[..3]), 1);
}

/// Scenario: the ending, the severity, the role, the flow, the namespace or the handshake is another one.
/// Guarantees: each is caught.
#[test]
fn a_wrong_word_is_caught() {
    caught(|events| set(&mut events[1], "convis.close.reason", "peer_close"), "close.reason");
    caught(|events| events[1].severity = json!("WARN"), "severity");
    caught(|events| set(&mut events[2], "convis.connection.role", "client"), "role");
    caught(|events| set(&mut events[2], "convis.flow.id", "1:x"), "flow.id");
    caught(
        |events| events.iter_mut().for_each(|event| set(event, "convis.network.namespace", 1)),
        "nothing of it",
    );
    caught(|events| set(&mut events[0], "convis.tcp.handshake.duration", 0), "handshake.duration");
    caught(|events| set(&mut events[3], "convis.connection.accepted", false), "accepted is false, not null");
    caught(
        |events| set(&mut events[3], "convis.connection.preexisting", true),
        "preexisting is true, not null",
    );
}

/// Scenario: after a reset, what was sent is more than the other end has, or less than that with what was in flight.
/// Guarantees: the law between the ends is kept to the byte.
#[test]
fn the_law_of_torn_connections_is_exact() {
    let mut expected = both();
    for end in &mut expected {
        end.closed().all_sent = false;
        end.closed().received = None;
    }
    let found = |sent: u64, unacked: Option<u64>, received: u64| {
        let mut events = right();
        set(&mut events[1], "convis.bytes.sent", sent);
        if let Some(unacked) = unacked {
            set(&mut events[1], "convis.bytes.unacked", unacked);
        }
        set(&mut events[3], "convis.bytes.received", received);
        compare(&expected, &events, &claims(), 0).differences.len()
    };
    assert_eq!(found(60, Some(40), 60), 0);
    assert_eq!(found(60, Some(40), 100), 0);
    assert_eq!(found(60, None, 60), 0);
    assert_eq!(found(60, None, 59), 1, "more was acknowledged than arrived");
    assert_eq!(found(60, Some(40), 101), 1, "more arrived than was sent");
    assert_eq!(found(60, Some(0), 60), 1, "nothing unacknowledged is left out");
    assert_eq!(found(60, Some(41), 60), 1, "more than was written");
}

/// Scenario: a failed attempt, told with another error, twice, or as a warning though the application gave up.
/// Guarantees: each is caught; told right, it passes.
#[test]
fn a_failed_attempt_is_told_once() {
    let mut end = end(Side::Client, 7, "", 0, 0, 0);
    end.fate = Fate::Failed("cancelled");
    let told = event(&end, "5", "failed", 1, &json!({ "error.type": "cancelled" }));
    end.local = None;
    let found =
        |events: &[Event]| compare(std::slice::from_ref(&end), events, &claims(), 0).differences.len();
    assert_eq!(found(std::slice::from_ref(&told)), 0);
    assert_eq!(found(&[told.clone(), told.clone()]), 1);
    let (mut other, mut warned, mut again) = (told.clone(), told.clone(), told.clone());
    set(&mut other, "error.type", "refused");
    warned.severity = json!("WARN");
    set(&mut again, "convis.connection.id", "6");
    assert_eq!(found(&[other]), 1);
    assert_eq!(found(&[warned]), 1);
    assert_eq!(found(&[told, again]), 1);
}

/// Scenario: updated events whose growth does not sum to the total, and one too many.
/// Guarantees: each is caught; a right series passes.
#[test]
fn updates_sum_to_the_total() {
    let found = |deltas: [u64; 2], most: usize| {
        let mut expected = both();
        expected[0].closed().updates = (0, most);
        let update = |delta: u64, total: u64| {
            let more = json!({
                "convis.bytes.sent": total, "convis.bytes.sent.delta": delta,
                "convis.bytes.received": 0, "convis.bytes.received.delta": 0,
            });
            event(&expected[0], "1", "updated", 1, &more)
        };
        let mut events = right();
        events.splice(1..1, [update(deltas[0], 20), update(deltas[1], 70)]);
        compare(&expected, &events, &claims(), 0).differences.len()
    };
    assert_eq!(found([20, 50], 2), 0);
    assert_eq!(found([20, 50], 1), 1);
    assert_ne!(found([20, 49], 2), 0);
    assert_ne!(found([21, 50], 2), 0);
}

/// Scenario: a server's end told as the closing task's, or, reset by its peer, as its listener's; where accepts can be missed and
/// where they cannot, with and without a program that the kernel skipped.
/// Guarantees: that passes only where it can be, as often as the kernel says; a denied accept and a wrong heir never do.
#[test]
fn a_missed_accept_must_be_counted() {
    const LISTENER: u32 = 6;
    const OWNER: u32 = 8;
    let told_as = |reason: &'static str, owner: u32, may_be_missed: bool, skipped: u64, denied: bool| {
        let mut expected = both();
        expected[1].accept_may_be_missed = may_be_missed;
        expected[1].closed().reason = reason;
        let mut events = right();
        for event in &mut events[2..] {
            set(event, "convis.process.attribution", "inherited");
            set(event, "process.pid", owner);
        }
        set(&mut events[3], "convis.close.reason", reason);
        if denied {
            set(&mut events[3], "convis.connection.accepted", false);
        }
        let outcome = compare(&expected, &events, &claims(), skipped);
        (outcome.differences.is_empty(), outcome.accepts_missed.len())
    };
    assert_eq!(told_as("peer_close", OWNER, true, 1, false), (true, 1));
    assert_eq!(told_as("peer_reset", LISTENER, true, 1, false), (true, 1));
    for (reason, owner, may_be_missed, skipped, denied) in [
        ("peer_close", OWNER, true, 0, false),
        ("peer_close", OWNER, false, 1, false),
        ("peer_close", LISTENER, true, 1, false),
        ("peer_reset", OWNER, true, 1, false),
        ("peer_reset", LISTENER, true, 1, true),
    ] {
        let told = told_as(reason, owner, may_be_missed, skipped, denied);
        assert_eq!(told, (false, 0), "{reason} {owner} {may_be_missed} {skipped} {denied}");
    }
}

/// Scenario: of ten accepts, two or three are missed, all counted.
/// Guarantees: two are few, three are not.
#[test]
fn many_missed_accepts_are_caught() {
    let mut end = end(Side::Server, 8, "peer_close", 30, 100, 0);
    end.accept_may_be_missed = true;
    let found = |missed: usize| {
        too_many(&vec!["test".to_owned(); missed], &vec![end.clone(); 10]).map(|difference| difference.what)
    };
    assert_eq!(found(2), None);
    assert_eq!(found(3).as_deref(), Some("3 of 10 accepts were missed"));
}
