use convis_exporters::model::PeerNetwork;
use convis_otel_config::policy::{Policy, Settings};

use super::*;

fn policy(write: impl FnOnce(&mut Settings)) -> Policy {
    let mut settings = Settings::default();
    write(&mut settings);
    Policy::new(&settings).unwrap()
}

fn networks(lines: &[&str]) -> Policy {
    policy(|settings| lines.iter().for_each(|line| settings.add_network(line).unwrap()))
}

/// `convis.peer.network` of all points of an instrument.
fn networks_of_points(tracker: &mut Tracker, name: &str) -> Vec<String> {
    let batch = tracker.metrics.collect(100);
    let metrics = batch.resources.iter().flat_map(|of| &of.metrics);
    let points = metrics.filter(|metric| metric.descriptor.name == name).flat_map(|metric| &metric.points);
    let network = |(key, value): &(&str, convis_exporters::model::OwnedValue)| {
        (*key == "convis.peer.network").then(|| value.as_value().to_string())
    };
    points.filter_map(|point| point.attributes.iter().find_map(network)).collect()
}

/// Scenario: a connection into a network that the user has named; then its name changes, and another one begins.
/// Guarantees: the name in events and metrics; each connection keeps the name it began with.
#[test]
fn named_networks_are_told_and_counted() {
    let mut tracker = tracker();
    tracker.set_policy(networks(&["office=10.0.0.0/16"]));
    opened(&mut tracker, conn(1, role::CLIENT, SHELL, 0));
    tracker.set_policy(networks(&["lab=10.0.0.0/16"]));
    closed(&mut tracker, conn(1, role::CLIENT, SHELL, 0), totals(1, 0));
    opened(&mut tracker, conn(2, role::CLIENT, SHELL, 0));
    let events = tracker.take_events();
    let told: Vec<_> = events.iter().map(|event| event.connection.peer_network.as_str()).collect();
    assert_eq!(told, ["office", "office", "lab"]);
    assert_eq!(networks_of_points(&mut tracker, "convis.tcp.connection.closed"), ["office"]);
    assert_eq!(networks_of_points(&mut tracker, "convis.tcp.connection.opened"), ["office", "lab"]);
    tracker.set_policy(Policy::default());
    opened(&mut tracker, conn(3, role::CLIENT, SHELL, 0));
    assert_eq!(tracker.take_events()[0].connection.peer_network, PeerNetwork::Private);
}
