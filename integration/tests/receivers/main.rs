//! OTLP receivers of every temper: what each of them gets, and what is counted of what it does not take.

mod beside;
mod table;
mod tls;

use std::collections::BTreeMap;
use std::time::Duration;

use convis_integration::actors::{Scene, Truth};
use convis_integration::event::Event;
use convis_integration::otlp::Log;
use convis_integration::traffic::Exchange;

/// Longer than any waiting between two attempts that a test provokes.
const PATIENCE: Duration = Duration::from_secs(40);
const CONNECTIONS: usize = 30;
const EVENTS: usize = 4 * CONNECTIONS;

fn play() -> Truth {
    let exchange = Exchange { send: 12_345, expect: 6_789, ..Exchange::default() };
    Scene { count: CONNECTIONS, ..Scene::one("127.0.0.1:0", exchange) }.play()
}

/// How often each event of the traffic is among these records.
fn times(logs: &[Log], truth: &Truth) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for Log { event, .. } in logs {
        if event.is_at(truth.server.port()) {
            *times.entry(key(event)).or_default() += 1;
        }
    }
    times
}

fn key(event: &Event) -> String {
    format!("{} {}", event.text("convis.connection.id"), event.name)
}

/// Whether these are all events of the traffic, each once.
fn is_each_once(times: &BTreeMap<String, usize>) -> bool {
    times.len() == EVENTS && times.values().all(|times| *times == 1)
}
