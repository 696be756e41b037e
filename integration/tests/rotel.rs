//! Rotel as the receiver: a second one that is not ours. It passes on what it understood, to the oracle.

use std::time::Duration;

use convis_integration::actors::Scene;
use convis_integration::clock::poll;
use convis_integration::convis::Convis;
use convis_integration::event::Event;
use convis_integration::need::root;
use convis_integration::oracle::{Oracle, Request};
use convis_integration::otlp;
use convis_integration::rotel::Rotel;
use convis_integration::traffic::Exchange;
use convis_integration::{ends, need, sums, turns};

const PATIENCE: Duration = Duration::from_secs(20);
const CONNECTIONS: usize = 10;

/// Scenario: ten connections, sent over gRPC to one Rotel and over HTTP to another; each passes them on, by its own kind of
/// transport, to the oracle.
/// Guarantees: from each come all events, once, and the sums of the truth.
#[test]
fn rotel_understands_it() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let to = |port: u16| format!("http://127.0.0.1:{port}");
    let by_grpc = need!(Rotel::start(&to(oracle.ports().grpc), "grpc"));
    let by_http = need!(Rotel::start(&to(oracle.ports().http), "http"));
    let sinks = [(by_grpc.grpc, "grpc"), (by_http.http, "http/protobuf")]
        .map(|(port, protocol)| format!("otlp,endpoint={},protocol={protocol},compression=gzip", to(port)));
    let convis = Convis::start(&["--interval", "1s", "--sink", &sinks[0], "--sink", &sinks[1]]);
    let exchange = Exchange { send: 33_333, expect: 4_444, ..Exchange::default() };
    let truth = Scene { count: CONNECTIONS, ..Scene::one("127.0.0.1:0", exchange) }.play();
    let port = truth.server.port();

    for (transport, rotel) in [("grpc", &by_grpc), ("http", &by_http)] {
        let came = || {
            let requests = oracle.requests().into_iter();
            let requests: Vec<_> =
                requests.filter(|request| request.field("transport") == transport).collect();
            let messages = requests.iter().map(Request::message);
            let events: Vec<Event> = messages
                .clone()
                .flat_map(|message| otlp::logs_at(message, port))
                .map(|log| log.event)
                .collect();
            let mut points: Vec<_> = messages.flat_map(|message| otlp::points_at(message, port)).collect();
            // Rotel's requests overtake each other.
            points.sort_by_key(|point| point.number("timeUnixNano"));
            (events, points)
        };
        let all = poll(PATIENCE, || {
            let (events, points) = came();
            (events.len() >= 4 * CONNECTIONS && sums::complete(&points, &truth)).then_some(())
        });
        let (events, points) = came();
        assert!(all.is_some(), "{} events over {transport}: {}", events.len(), rotel.log());
        assert_eq!(events.len(), 4 * CONNECTIONS, "{transport}: {events:#?}");
        for client in &truth.clients {
            let server = truth.other_end(client);
            ends::check(&ends::find(&events, client), client, server);
            ends::check(&ends::find(&events, server), server, client);
        }
        sums::check(&points, &truth);
    }
    assert!(convis.stop().status.success());
}
