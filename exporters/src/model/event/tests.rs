use super::*;
use crate::testing::samples::{self, closed, event, process};

fn client(detail: Detail) -> Event {
    event(&process("curl", 1), Some(Role::Client), ["10.0.0.2:53412", "10.8.0.7:443"], detail)
}

fn attributes(event: &Event) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    event.visit(|key, value| found.push((key, value.to_string())));
    found
}

/// Scenario: events of each kind, expected and not, and an unexpected attempt that the application gave up.
/// Guarantees: the mark, WARN and the word on all that are not expected; nothing of it on the others.
#[test]
fn the_unexpected_is_marked() {
    let failed = |error| Detail::Failed { error, duration: Duration::from_millis(2) };
    for (detail, severity) in [
        (Detail::Opened { handshake: None }, SEVERITY_INFO),
        (closed(1, 2), SEVERITY_INFO),
        (failed(ConnectError::Cancelled), SEVERITY_INFO),
        (failed(ConnectError::Refused), SEVERITY_WARN),
    ] {
        let mut event = client(detail);
        let mark = ("convis.unexpected", "true".to_owned());
        assert!(!attributes(&event).contains(&mark) && event.severity() == severity);
        assert!(!event.display_line().to_string().contains("unexpected"));
        event.connection.unexpected = true;
        assert!(attributes(&event).contains(&mark) && event.severity() == SEVERITY_WARN);
        assert!(event.display_line().to_string().ends_with(", unexpected"));
    }
}

/// Scenario: a connection that stands for itself, and one that stands for a hundred.
/// Guarantees: only the latter says so.
#[test]
fn a_weight_is_told() {
    let mut event = client(closed(1, 2));
    assert!(!attributes(&event).iter().any(|(key, _)| *key == "convis.sampling.weight"));
    event.connection.sampling_weight = 100;
    assert!(attributes(&event).contains(&("convis.sampling.weight", "100".to_owned())));
}

/// Scenario: events of all kinds, with all that can be said of a connection and of a peer.
/// Guarantees: each key is among those that an event may have; those of a Resource are not.
#[test]
fn keys_are_those_an_event_may_have() {
    let events = samples::events();
    let peer = Arc::new(Peer::of(&events.events[1].resource));
    for event in &events.events {
        let mut event = event.clone();
        event.peer = Some(Arc::clone(&peer));
        event.nat_peer = Some(([10, 0, 0, 7], 8080).into());
        event.connection = Connection {
            preexisting: true,
            never_accepted: true,
            kernel_owned: true,
            unexpected: true,
            sampling_weight: 7,
            ..event.connection
        };
        event.visit(|key, _| assert!(Event::may_have(key), "{key}"));
        for (key, _) in event.resource.attributes() {
            assert!(!Event::may_have(key), "{key}");
        }
    }
}
