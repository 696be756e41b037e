//! A real OpenTelemetry Collector as the receiver, and the sample pipelines for it.

mod gateway;
mod matrix;
mod prometheus;
mod samples;

use std::time::Duration;

use convis_integration::actors::{Scene, Truth};
use convis_integration::ends;
use convis_integration::event::Event;
use convis_integration::otlp::Log;
use convis_integration::traffic::Exchange;

const PATIENCE: Duration = Duration::from_secs(30);
const CONNECTIONS: usize = 10;
const EVENTS: usize = 4 * CONNECTIONS;

fn play() -> Truth {
    let exchange = Exchange { send: 54_321, expect: 9_876, ..Exchange::default() };
    Scene { count: CONNECTIONS, ..Scene::one("127.0.0.1:0", exchange) }.play()
}

/// The events of the traffic among these records.
fn events(logs: Vec<Log>, truth: &Truth) -> Vec<Event> {
    logs.into_iter().map(|log| log.event).filter(|event| event.is_at(truth.server.port())).collect()
}

/// Panics unless these are the events of the traffic, each once and as the sockets had it.
fn check_events(events: &[Event], truth: &Truth, name: &str) {
    assert_eq!(events.len(), EVENTS, "{name}: {events:#?}");
    for client in &truth.clients {
        let server = truth.other_end(client);
        ends::check(&ends::find(events, client), client, server);
        ends::check(&ends::find(events, server), server, client);
    }
}
