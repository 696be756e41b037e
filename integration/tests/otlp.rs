//! What arrives at an independent OTLP receiver, against what the sockets did.

use std::time::Duration;

use convis_integration::actors::{Scene, Truth, free_port};
use convis_integration::clock::wait_for;
use convis_integration::convis::Convis;
use convis_integration::ends;
use convis_integration::event::Event;
use convis_integration::http;
use convis_integration::need::root;
use convis_integration::oracle::{Oracle, Request};
use convis_integration::otlp::{self, Log, Point};
use convis_integration::registry::{SCHEMA_URL, is_known};
use convis_integration::traffic::Exchange;
use convis_integration::truth::Side;
use convis_integration::{need, sums, turns};

const PATIENCE: Duration = Duration::from_secs(15);
const CONNECTIONS: usize = 10;

/// What one convis sent about one scene.
struct Arrived {
    truth: Truth,
    requests: Vec<Request>,
    convis_pid: u64,
}

impl Arrived {
    fn logs(&self) -> Vec<Log> {
        self.requests.iter().flat_map(Request::logs).collect()
    }

    fn events(&self) -> Vec<Event> {
        let port = self.truth.server.port();
        self.logs().into_iter().map(|log| log.event).filter(|event| event.is_at(port)).collect()
    }
}

fn endpoint(oracle: &Oracle, protocol: &str) -> String {
    let port = if protocol == "grpc" { oracle.ports().grpc } else { oracle.ports().http };
    format!("endpoint=http://127.0.0.1:{port},protocol={protocol}")
}

/// Plays ten connections, half of them closed first by each end, under a convis with this sink.
fn send(oracle: &Oracle, protocol: &str, settings: &str) -> Arrived {
    let sink = format!("otlp,{}{settings}", endpoint(oracle, protocol));
    let convis = Convis::start(&["--interval", "1s", "--sink", &sink]);
    let exchange = Exchange { send: 12_345, expect: 67_890, first: Side::Server, ..Exchange::default() };
    let truth = Scene { count: CONNECTIONS, ..Scene::one("127.0.0.1:0", exchange) }.play();
    wait_for("events and metrics to arrive", PATIENCE, || {
        let logs = oracle.logs_taken();
        let events = logs.iter().filter(|log| log.event.is_at(truth.server.port())).count();
        (events >= 4 * CONNECTIONS && sums::complete(&oracle.points_taken(), &truth)).then_some(())
    });
    let convis_pid = u64::from(convis.pid());
    let stopped = convis.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    Arrived { truth, requests: oracle.requests(), convis_pid }
}

fn check_events(arrived: &Arrived) {
    let events = arrived.events();
    assert_eq!(events.len(), 4 * CONNECTIONS, "{events:#?}");
    for client in &arrived.truth.clients {
        let server = arrived.truth.other_end(client);
        ends::check(&ends::find(&events, client), client, server);
        ends::check(&ends::find(&events, server), server, client);
    }
}

fn check_records(arrived: &Arrived) {
    for log in arrived.logs() {
        assert_eq!(
            (log.scope.name.as_str(), log.scope.schema_url.as_str()),
            ("convis", SCHEMA_URL),
            "{log:#?}"
        );
        assert!(!log.scope.version.is_empty(), "{log:#?}");
        assert!(log.event.name.starts_with("convis.tcp.connection."), "{log:#?}");
        assert!(log.body.as_str().is_some_and(|body| !body.is_empty() && !body.contains('\n')), "{log:#?}");
        assert!(log.event.timestamp > 0 && log.observed >= log.event.timestamp, "{log:#?}");
        assert!(log.severity == 9 || log.severity == 13, "{log:#?}");
        assert_ne!(log.event.pid(), Some(arrived.convis_pid), "convis leaves itself out: {log:#?}");
        check_keys(log.event.resource.keys().chain(log.event.attributes.keys()));
    }
}

fn check_metrics(arrived: &Arrived) {
    let points: Vec<_> = arrived.requests.iter().flat_map(Request::points).collect();
    sums::check(&points, &arrived.truth);
    for point in points.iter().filter(|point| sums::is_observed(point)) {
        assert_eq!(
            (point.scope.name.as_str(), point.scope.schema_url.as_str()),
            ("convis", SCHEMA_URL),
            "{point:#?}"
        );
        sums::check_form(point);
        if point.attribute("server.port") == Some(arrived.truth.server.port().to_string()) {
            sums::check_owner(point);
        }
        check_keys(point.resource.keys().chain(point.attributes.keys()));
    }
}

fn check_keys<'a>(keys: impl Iterator<Item = &'a String>) {
    let unknown: Vec<_> = keys.filter(|key| !is_known(key)).collect();
    assert!(unknown.is_empty(), "neither convis' own nor in the semantic conventions: {unknown:?}");
}

fn check_envelopes(arrived: &Arrived) {
    for request in &arrived.requests {
        assert_eq!(otlp::empty_envelope(request.message()), None, "{request:#?}");
        assert_ne!(request.signal(), "traces");
    }
    let most = |signal| {
        let of_signal = arrived.requests.iter().filter(|request| request.signal() == signal);
        of_signal.map(|request| otlp::resources(request.message())).max()
    };
    // Client and server are two processes: two Resources of events.
    assert!(most("logs") >= Some(2), "one request carries many Resources");
}

fn check_all(arrived: &Arrived) {
    check_envelopes(arrived);
    check_events(arrived);
    check_records(arrived);
    check_metrics(arrived);
    for request in &arrived.requests {
        let agent = request.header("user-agent").unwrap_or_default();
        assert!(
            agent.to_lowercase().contains("convis") || is_about_convis(request),
            "user-agent is {agent:?}"
        );
    }
}

/// Self-telemetry is sent by the SDK, which names itself.
fn is_about_convis(request: &Request) -> bool {
    request.points().iter().all(|point| !sums::is_observed(point)) && request.logs().is_empty()
}

/// Scenario: ten connections, reported over gRPC without compression.
/// Guarantees: every event and every counter arrives, exact, in well-formed envelopes with the right names.
#[test]
fn over_grpc() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let arrived = send(&oracle, "grpc", ",compression=none,header.x-tenant=blue");
    check_all(&arrived);
    assert!(arrived.requests.iter().all(|request| request.header("x-tenant") == Some("blue")));
}

/// Scenario: the same with gzip.
/// Guarantees: the same, and fewer bytes on the wire than in the messages.
#[test]
fn over_grpc_compressed() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let arrived = send(&oracle, "grpc", ",compression=gzip");
    check_all(&arrived);
    let sizes: u64 = arrived.requests.iter().filter_map(|request| request.field("size").as_u64()).sum();
    let wire = arrived.requests.iter().filter_map(|request| request.field("wireTotal").as_u64()).max();
    assert!(wire.is_some_and(|wire| wire < sizes), "{wire:?} bytes came for {sizes}");
}

/// Scenario: ten connections, reported over HTTP without compression.
/// Guarantees: as over gRPC.
#[test]
fn over_http() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let arrived = send(&oracle, "http/protobuf", ",compression=none,header.x-tenant=blue");
    check_all(&arrived);
    for request in &arrived.requests {
        assert!(request.field("encoding").is_null(), "{request:#?}");
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        assert_eq!(request.header("x-tenant"), Some("blue"));
    }
}

/// Scenario: the same with gzip.
/// Guarantees: the same, and the observed data comes compressed.
#[test]
fn over_http_compressed() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let arrived = send(&oracle, "http/protobuf", ",compression=gzip");
    check_all(&arrived);
    assert!(
        arrived
            .requests
            .iter()
            .all(|request| request.field("encoding") == "gzip" || is_about_convis(request))
    );
}

/// Scenario: `temporality=delta`.
/// Guarantees: the points say delta and add up to the truth.
#[test]
fn deltas_add_up() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let sink = format!("otlp,{},temporality=delta", endpoint(&oracle, "grpc"));
    let convis = Convis::start(&["--interval", "1s", "--sink", &sink]);
    let exchange = Exchange { send: 1000, expect: 2000, ..Exchange::default() };
    let scene = Scene::one(&format!("127.0.0.1:{}", free_port()), exchange);
    let first = scene.play();
    std::thread::sleep(Duration::from_millis(1500));
    scene.play();
    assert!(convis.stop().status.success());

    let port = first.server.port().to_string();
    let points = oracle.points_taken();
    let io: Vec<_> = points
        .iter()
        .filter(|point| point.metric == "convis.tcp.connection.io")
        .filter(|point| point.attribute("server.port").as_ref() == Some(&port))
        .collect();
    assert!(io.iter().all(|point| point.data["aggregationTemporality"] == 1), "{io:#?}");
    let total: u64 = io.iter().map(|point| point.integer()).sum();
    assert_eq!(total, 2 * 2 * 3000, "two connections, two ends each");
}

/// Scenario: a Resource for each process, over gRPC; one connection.
/// Guarantees: both processes have their own Resource with pid and owner, and `process.network.io` is exact for each.
#[test]
fn each_process_has_its_own_resource() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let sink = format!("otlp,{}", endpoint(&oracle, "grpc"));
    let convis = Convis::start(&["--metric-resource", "process", "--sink", &sink]);
    let truth =
        Scene::one("127.0.0.1:0", Exchange { send: 1000, expect: 2000, ..Exchange::default() }).play();
    assert!(convis.stop().status.success());

    let points = oracle.points_taken();
    for report in truth.ends() {
        let io: Vec<_> = points
            .iter()
            .filter(|point| point.metric == "process.network.io" && pid(point) == Some(report.pid))
            .collect();
        for (direction, bytes) in [("transmit", report.written), ("receive", report.read)] {
            let directed = |point: &&&Point| {
                point.attributes.len() == 1
                    && point.attribute("network.io.direction").as_deref() == Some(direction)
            };
            let last = io.iter().rfind(directed).map(|point| point.integer());
            assert_eq!(last, Some(bytes), "{direction} of {}", report.pid);
        }
        let owner = io.first().and_then(|point| point.resource.get("process.owner"));
        assert_eq!(owner.and_then(|owner| owner.as_str()), Some("root"));
    }
}

fn pid(point: &Point) -> Option<u32> {
    point.resource.get("process.pid")?.as_u64()?.try_into().ok()
}

/// Scenario: a sink over gRPC and one over HTTP, and attributes of convis and of the host in the environment.
/// Guarantees: convis's own metrics come both ways, from a Resource that is convis, with the figures of its ledger; what
/// describes convis is nowhere else, what describes the host is everywhere.
#[test]
fn convis_tells_of_itself() {
    need!(root());
    let _turn = turns::together();
    for protocol in ["grpc", "http/protobuf"] {
        let oracle = need!(Oracle::start("none"));
        let sink = format!("otlp,{}", endpoint(&oracle, protocol));
        let attributes =
            [("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,k8s.pod.name=convis-7")];
        let convis = Convis::start_in(&["--interval", "1s", "--sink", &sink], &attributes);
        Scene::one("127.0.0.1:0", Exchange::default()).play();
        wait_for("convis's own metrics", PATIENCE, || {
            let seen = |point: &Point| point.metric == "convis.events.seen" && opened(point) >= Some(2);
            oracle.points_taken().iter().any(seen).then_some(())
        });
        assert!(convis.stop().status.success());
        for point in oracle.points_taken() {
            let text = |key: &str| point.resource.get(key).and_then(|value| value.as_str());
            assert_eq!(text("deployment.environment.name"), Some("test"), "{point:#?}");
            let is_own = !sums::is_observed(&point);
            let is_convis =
                text("service.name") == Some("convis") && text("process.executable.name").is_none();
            assert_eq!(is_convis, is_own, "{point:#?}");
            assert_eq!(text("k8s.pod.name"), is_own.then_some("convis-7"), "{point:#?}");
        }
    }
}

/// Scenario: a header of the sink, and in the environment another value for it and another header.
/// Guarantees: each request, also of convis's own metrics, has the sink's value once, and the other header.
#[test]
fn headers_of_the_sink_win() {
    need!(root());
    let _turn = turns::together();
    for protocol in ["grpc", "http/json"] {
        let oracle = need!(Oracle::start("none"));
        let sink = format!("otlp,{},header.x-tenant=blue", endpoint(&oracle, protocol));
        let headers = [("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=red,x-room=7")];
        let convis = Convis::start_in(&["--interval", "1s", "--sink", &sink], &headers);
        Scene::one("127.0.0.1:0", Exchange::default()).play();
        wait_for("convis's own metrics and observed ones", PATIENCE, || {
            let points = oracle.points_taken();
            let own = points.iter().any(|point| point.metric == "convis.events.seen");
            (own && points.iter().any(sums::is_observed)).then_some(())
        });
        assert!(convis.stop().status.success());
        for request in oracle.requests() {
            let sent = ["x-tenant", "x-room"].map(|name| request.header(name));
            assert_eq!(sent, [Some("blue"), Some("7")], "{protocol}: {request:#?}");
        }
    }
}

fn opened(point: &Point) -> Option<u64> {
    (point.attribute("kind").as_deref() == Some("opened")).then(|| point.integer())
}

/// Scenario: convis sends to a receiver on this host, whose connection then ends, and its `/metrics` is visited; once as
/// usual, once with `--include-self`.
/// Guarantees: neither end of either connection is told, and all four are counted; asked for, both are told.
#[test]
fn own_connections_are_left_out() {
    need!(root());
    let _turn = turns::together();
    for include in [false, true] {
        let mut oracle = need!(Oracle::start("none"));
        let sink = format!("otlp,{}", endpoint(&oracle, "grpc"));
        let mut arguments = vec!["--interval", "1s", "--sink", &sink];
        arguments.extend(include.then_some("--include-self"));
        let convis = Convis::start(&arguments);
        wait_for("metrics to arrive", PATIENCE, || (!oracle.requests().is_empty()).then_some(()));
        let ports = [oracle.ports().grpc, convis.admin().port()];
        oracle.vanish();
        let own = || http::get(convis.admin(), "/metrics").ok().map(|(_, text)| value(&text, OWN_ENDS));
        if include {
            for port in ports {
                convis.wait_for_events(port, 2);
            }
            assert_eq!(own(), Some(0));
            continue;
        }
        wait_for("all ends to be counted", PATIENCE, || own().filter(|ends| *ends >= 4));
        for port in ports {
            assert!(convis.events_at(port).is_empty(), "{:#?}", convis.events_at(port));
        }
    }
}

const OWN_ENDS: &str = "convis_connections_own_total ";

/// The value of a sample without labels.
fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}
