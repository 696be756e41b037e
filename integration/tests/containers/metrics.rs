//! The names of containers and services on metrics.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use convis_integration::actors::free_port;
use convis_integration::clock::wait_for;
use convis_integration::containers::{Host, Part, Stream, check_both, has_value};
use convis_integration::convis::Convis;
use convis_integration::event::OPENED;
use convis_integration::oracle::Oracle;
use convis_integration::otlp::Point;
use convis_integration::runtimes::{Gate, Kind};
use convis_integration::traffic::Exchange;
use convis_integration::{need, turns};

use crate::common::{ANY, OF_A_CONNECTION, PATIENCE, connect, events};

const MOVED: u64 = 1_200_000;
const IO: &str = "convis.tcp.connection.io";
const ACTIVE: &str = "convis.tcp.connection.active";
const CLOSED: &str = "convis.tcp.connection.closed";

/// The points about one end's connections to a port, by request.
fn points_at(oracle: &Oracle, port: u16, role: &str) -> Vec<Vec<Point>> {
    let port = port.to_string();
    let is_wanted = |point: &Point| {
        point.attribute("server.port").as_deref() == Some(&port)
            && point.attribute("convis.connection.role").as_deref() == Some(role)
    };
    let requests = oracle.requests().into_iter().map(|request| request.points());
    requests.map(|points| points.into_iter().filter(is_wanted).collect()).collect()
}

/// Waits until so many connections of one end to a port are counted as closed.
fn wait_for_closed(oracle: &Oracle, port: u16, role: &str, count: u64) {
    wait_for("closed connections", PATIENCE, || {
        let closed = Stream::all(points_at(oracle, port, role).iter().flatten(), CLOSED);
        (closed.iter().map(Stream::last).sum::<u64>() == count).then_some(())
    });
}

fn to_oracle(oracle: &Oracle) -> [String; 4] {
    let sink =
        format!("otlp,endpoint=http://127.0.0.1:{},protocol=grpc,signals=metrics", oracle.ports().grpc);
    ["--interval".into(), "1s".into(), "--sink".into(), sink]
}

/// Scenario: a container moves bytes over one connection; its runtime answers late, in the middle of that.
/// Guarantees: what was counted until then is on a Resource with the container's id alone, which ends; the rest is on one
/// with its names, from 0; no byte is on both or on none; at every time the connection is open once.
#[test]
fn metrics_go_on_with_names_that_come_late() {
    let host = need!(Host::start(Kind::Docker));
    let oracle = need!(Oracle::start("none"));
    let _turn = turns::together();
    let gate = Gate::before(&host.docker().socket());
    let runtime = format!("unix://{}", gate.socket().display());
    let wait = ["--container-runtime", "docker", "--docker-host", &runtime, "--container-wait", "200ms"];
    let convis = Convis::start(&[&wait.map(str::to_owned)[..], &to_oracle(&oracle)].concat());
    let port = free_port();
    let short = Exchange { send: MOVED, expect: 7, ..Exchange::default() };
    let long = Exchange { pieces: 32, pause: Duration::from_millis(250), ..short.clone() };
    let mut server = host.process(&Part::serve(SocketAddr::new(ANY, port), 1, &short.mirrored()));
    server.listening();
    let client = host.container("mover", &[], &connect(Host::ADDRESS, port, &long));
    wait_for("some time without a name", PATIENCE, || {
        let points = points_at(&oracle, port, "client").concat();
        (points.iter().filter(|point| point.metric == ACTIVE).count() >= 3).then_some(())
    });
    gate.open();
    let (client, server) = (client.finish(), server.finish());
    wait_for_closed(&oracle, port, "client", 1);

    let requests = points_at(&oracle, port, "client");
    let moved = Stream::all(requests.iter().flatten(), IO);
    let mut sent: Vec<_> =
        moved.iter().filter(|stream| stream.point.attributes["network.io.direction"] == "transmit").collect();
    sent.sort_by_key(|stream| stream.start);
    let [before, after] = sent[..] else { panic!("two streams: {sent:#?}") };
    let id = client.container.as_ref().expect("it is in one").id();
    for (stream, name) in [(before, None), (after, Some("mover"))] {
        let resource = |key: &str| stream.point.resource.get(key).and_then(serde_json::Value::as_str);
        assert_eq!((resource("container.id"), resource("container.name")), (Some(id), name));
        assert_eq!(resource("service.name"), name.or(Some("traffic")));
        assert!(stream.values.len() > 2, "{stream:#?}");
    }
    assert!(before.is_over && !after.is_over, "{sent:#?}");
    assert!(before.last() > 0 && after.last() > 0, "{sent:#?}");
    assert_eq!(before.last() + after.last(), client.reports[0].written, "{sent:#?}");
    let [.., (read_before, _), (read_last, _)] = before.values[..] else { panic!("{before:#?}") };
    assert!((read_before..=read_last).contains(&after.start), "{sent:#?}");
    for (number, points) in requests.iter().enumerate() {
        let active = points.iter().filter(|point| point.metric == ACTIVE && has_value(point));
        let all: Vec<_> = active.map(Point::integer).collect();
        let is_over = points.iter().any(|point| point.metric == CLOSED);
        assert!(all.is_empty() || all.iter().sum::<u64>() == u64::from(!is_over), "{number}: {points:#?}");
    }
    for (metric, count) in [("convis.tcp.connection.opened", 1), (CLOSED, 1)] {
        let streams = Stream::all(requests.iter().flatten(), metric);
        assert_eq!(streams.iter().map(Stream::last).sum::<u64>(), count, "{streams:#?}");
    }
    let events = events(&convis, port, OF_A_CONNECTION);
    for event in &events {
        let name = event.try_get("container.name").or_else(|| event.try_get("convis.peer.container.name"));
        let expected = (event.name != OPENED).then_some("mover");
        assert_eq!(name.and_then(serde_json::Value::as_str), expected, "{events:#?}");
    }
    assert_eq!(server.reports[0].read, MOVED);
}

/// Scenario: a container and a process of the host hold connections to a container for several seconds, another container
/// only shortly.
/// Guarantees: Resources of metrics have the container's name and its service's, points the other end's service; there is
/// one stream for each, and the sums are exact.
#[test]
fn metrics_name_both_ends() {
    let host = need!(Host::start(Kind::Docker));
    let oracle = need!(Oracle::start("none"));
    let _turn = turns::together();
    let convis = Convis::start(&[host.arguments(), to_oracle(&oracle)].concat());
    let port = free_port();
    let exchange = Exchange { send: 123_456, expect: 78_901, ..Exchange::default() };
    let held = Exchange { hold: Duration::from_secs(4), ..exchange.clone() };
    let serve = Part::serve(SocketAddr::new(ANY, port), 3, &exchange.mirrored());
    let mut back = host.container("back", &[], &serve);
    back.listening();
    let to = host.address_of("back");
    let front = host.container("front", &[], &connect(to, port, &held));
    let process = host.process(&connect(to, port, &held));
    let brief = host.container("brief", &[], &connect(to, port, &exchange)).finish();
    let clients = [front.finish(), process.finish(), brief];
    let back = back.finish();
    let events = events(&convis, port, 3 * OF_A_CONNECTION);
    for client in &clients {
        check_both(&events, client, &[&back]);
    }
    for role in ["client", "server"] {
        wait_for_closed(&oracle, port, role, 3);
    }
    for (role, moved) in [("client", [123_456, 78_901]), ("server", [78_901, 123_456])] {
        let points = points_at(&oracle, port, role).concat();
        for (direction, bytes) in ["transmit", "receive"].into_iter().zip(moved) {
            let mut streams = Stream::all(&points, IO);
            streams.retain(|stream| stream.point.attributes["network.io.direction"] == direction);
            assert_eq!(streams.iter().map(Stream::last).collect::<Vec<_>>(), [bytes; 3], "{streams:#?}");
            check_services(&streams, role);
        }
        let active = Stream::all(&points, ACTIVE);
        assert!(active.iter().all(|stream| stream.last() == 0), "{active:#?}");
        let held =
            active.iter().filter(|stream| stream.values.iter().filter(|(_, open)| *open == 1).count() >= 3);
        assert_eq!(held.count(), 2, "{active:#?}");
    }
}

/// Who speaks and with whom, of the three streams of a role.
fn check_services(streams: &[Stream], role: &str) {
    let text = |of: Option<&serde_json::Value>| of.and_then(serde_json::Value::as_str).map(str::to_owned);
    let of = |stream: &Stream| {
        let resource = |key| text(stream.point.resource.get(key));
        let (container, service) = (resource("container.name"), resource("service.name"));
        assert!(container.is_none() || container == service, "{stream:#?}");
        (container, text(stream.point.attributes.get("service.peer.name")))
    };
    let found: BTreeSet<_> = streams.iter().map(of).collect();
    // The process of the host.
    let third = if role == "client" { (None, "back") } else { (Some("back"), "traffic") };
    let pairs = match role {
        "client" => [(Some("front"), "back"), (Some("brief"), "back"), third],
        _ => [(Some("back"), "front"), (Some("back"), "brief"), third],
    };
    let owned = |(own, peer): (Option<&str>, &str)| (own.map(str::to_owned), Some(peer.to_owned()));
    assert_eq!(found, pairs.map(owned).into(), "{streams:#?}");
}
