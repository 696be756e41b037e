//! The names of both ends of connections from, to and between containers, against what their runtimes say.
#![expect(clippy::expect_used, reason = "what does not go as planned fails the test, with its message")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use convis_integration::actors::{Scene, free_port};
use convis_integration::clock::{unix_nanos, wait_for};
use convis_integration::containers::{
    Detached, Host, Named, Part, Player, Proxied, Stream, check_both, check_peers, has_value, with_first,
};
use convis_integration::convis::Convis;
use convis_integration::event::{Event, OPENED};
use convis_integration::flow::community_id;
use convis_integration::namespace::Namespace;
use convis_integration::need::root;
use convis_integration::oracle::Oracle;
use convis_integration::otlp::Point;
use convis_integration::process::{Process, exists};
use convis_integration::runtimes::{Broken, Containerd, Fault, Gate, Kind, PodSpec};
use convis_integration::traffic::Exchange;
use convis_integration::{need, skip, turns};

/// One end's opened and closed.
const OF_AN_END: usize = 2;
const OF_A_CONNECTION: usize = 2 * OF_AN_END;
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On the host.
    Host,
    /// In a container of this name, on the host's bridge.
    Bridge(&'static str),
    /// In a container of this name, in the host's network.
    Unbridged(&'static str),
}

impl Place {
    fn play(self, host: &Host, options: &[&str], part: &Part) -> Player {
        match self {
            Self::Host => host.process(part),
            Self::Bridge(name) => host.container(name, options, part),
            Self::Unbridged(name) => host.container(name, &["--network", "host"], part),
        }
    }

    /// Where others reach it.
    fn address(self, host: &Host) -> IpAddr {
        match self {
            Self::Bridge(name) => host.address_of(name),
            _ => Host::ADDRESS,
        }
    }
}

/// Little is said, and the connection is over.
fn short() -> Exchange {
    Exchange { send: 5, expect: 7, ..Exchange::default() }
}

fn serve(listen: &str, port: u16) -> Part {
    let at = SocketAddr::new(listen.parse().expect("an address"), port);
    Part::serve(at, 1, &short().mirrored())
}

fn connect(to: IpAddr, port: u16, exchange: &Exchange) -> Part {
    Part::connect(SocketAddr::new(to, port), 1, Duration::ZERO, exchange)
}

/// The events at this server port, once there are as many as said; panics if there are more.
fn events(convis: &Convis, port: u16, count: usize) -> Vec<Event> {
    let events = convis.wait_for_events(port, count);
    assert_eq!(events.len(), count, "at port {port}: {events:#?}");
    events
}

/// Scenario: short connections between containers and processes of their host: over the host's bridge, to a socket that
/// listens for IPv6 as well, through the host's own network.
/// Guarantees: both ends' events name both containers, or none where there is none, and both processes.
#[test]
fn both_ends_are_named() {
    let host = need!(Host::start(Kind::Docker));
    let _turn = turns::together();
    let convis = Convis::start(&host.arguments());
    for (client, server, listen) in [
        (Place::Bridge("near"), Place::Bridge("far"), "0.0.0.0"),
        (Place::Bridge("near-4"), Place::Bridge("far-6"), "::"),
        (Place::Bridge("inner"), Place::Host, "0.0.0.0"),
        (Place::Host, Place::Bridge("reached"), "0.0.0.0"),
        (Place::Unbridged("beside"), Place::Unbridged("besides"), "0.0.0.0"),
        (Place::Unbridged("outer"), Place::Bridge("inside"), "0.0.0.0"),
        (Place::Bridge("insider"), Place::Unbridged("outside"), "::"),
    ] {
        let port = free_port();
        let mut serving = server.play(&host, &[], &serve(listen, port));
        serving.listening();
        let client = client.play(&host, &[], &connect(server.address(&host), port, &short())).finish();
        let events = events(&convis, port, OF_A_CONNECTION);
        assert_eq!(check_both(&events, &client, &[&serving.finish()]), OF_A_CONNECTION);
    }
}

/// A server in a container whose port the host publishes.
struct Published {
    server: Player,
    inner: u16,
    outer: u16,
}

impl Published {
    fn start(host: &Host, name: &'static str) -> Self {
        let (inner, outer) = (free_port(), free_port());
        let mut server =
            Place::Bridge(name).play(host, &["-p", &format!("{outer}:{inner}")], &serve("0.0.0.0", inner));
        server.listening();
        Self { server, inner, outer }
    }
}

/// Scenario: clients reach a published port through docker-proxy: a process of the host by 127.0.0.1, a container by the
/// address of its host.
/// Guarantees: two connections, whose ends name each other: the client and docker-proxy, docker-proxy and the container.
#[test]
fn a_proxy_in_between_is_named() {
    let host = need!(Host::start(Kind::Docker));
    let _turn = turns::together();
    let convis = Convis::start(&host.arguments());
    for (client, reach, name) in
        [(Place::Host, LOCALHOST, "published"), (Place::Bridge("neighbour"), Host::ADDRESS, "published-too")]
    {
        let Published { server, inner, outer } = Published::start(&host, name);
        let proxy = Proxied::find(outer);
        let client = client.play(&host, &[], &connect(reach, outer, &short())).finish();
        let server = server.finish();
        let [near, far] = proxy.between(&client, &server);
        let outer = events(&convis, outer, OF_A_CONNECTION);
        let inner = events(&convis, inner, OF_A_CONNECTION);
        for (events, own, other) in [
            (&outer, &client, &near),
            (&outer, &near, &client),
            (&inner, &far, &server),
            (&inner, &server, &far),
        ] {
            check_peers(events, own, other);
        }
    }
}

/// Scenario: a process in the host's network, on the host or in a container, reaches a published port by the host's own
/// address, which the kernel translates: shortly, and where the host's network is not that of the machine's first process,
/// for a while.
/// Guarantees: one connection, whose ends name each other; the client's events say where the server really is.
#[test]
fn ends_name_each_other_through_translation() {
    let host = need!(Host::start(Kind::Docker));
    let _turn = turns::together();
    // Connection tracking of another network is found through a process that is there.
    let held = Exchange { hold: Duration::from_secs(1), ..short() };
    let on_host = || Convis::start_by(with_first(host.network().pid()), &host.arguments());
    let beside = || Convis::start(&host.arguments());
    for (number, (client, convis, exchange)) in [
        (Place::Host, on_host(), short()),
        (Place::Unbridged("beside"), on_host(), short()),
        (Place::Host, beside(), held.clone()),
        (Place::Unbridged("beside-too"), beside(), held),
    ]
    .into_iter()
    .enumerate()
    {
        let name = ["published", "published-1", "published-2", "published-3"][number];
        let Published { server, inner, outer } = Published::start(&host, name);
        let client = client.play(&host, &[], &connect(Host::ADDRESS, outer, &exchange)).finish();
        let server = server.finish();
        assert_ne!(client.reports[0].peer, server.reports[0].local, "it is translated");
        let mut events = [outer, inner].map(|port| events(&convis, port, OF_AN_END)).concat();
        events.sort_by_key(|event| event.timestamp);
        assert_eq!(check_both(&events, &client, &[&server]), OF_A_CONNECTION);
    }
}

const CROWD: usize = 200;
const AT_A_TIME: usize = 4;

/// A container for each, at most [`AT_A_TIME`] at once; each connects, writes some bytes and is removed.
fn crowd(host: &Host, to: SocketAddr) -> Vec<Named> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        while let number @ 0..CROWD = next.fetch_add(1, Ordering::Relaxed) {
            let part = connect(to.ip(), to.port(), &short());
            done.push(host.container(&format!("one-of-many-{number}"), &["--rm"], &part).finish());
        }
        done
    };
    thread::scope(|scope| {
        let runs: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(run)).collect();
        runs.into_iter().flat_map(|run| run.join().expect("every container does its part")).collect()
    })
}

/// Scenario: two hundred containers, each there for one short connection.
/// Guarantees: every event has the right container, at its own end and at the other; none is without its names.
#[test]
fn containers_that_live_milliseconds_are_named() {
    let host = need!(Host::start(Kind::Docker));
    let _turn = turns::alone();
    let convis = Convis::start(&host.arguments());
    let port = free_port();
    let all = Part::serve(SocketAddr::new(ANY, port), CROWD, &short().mirrored());
    let mut server = host.container("server", &[], &all);
    server.listening();
    let clients = crowd(&host, SocketAddr::new(host.address_of("server"), port));
    let server = server.finish();
    let events = events(&convis, port, CROWD * OF_A_CONNECTION);
    for client in &clients {
        assert_eq!(check_both(&events, client, &[&server]), OF_A_CONNECTION);
    }
    let ids: BTreeSet<_> =
        clients.iter().filter_map(|client| Some(client.container.as_ref()?.id())).collect();
    assert_eq!(ids.len(), CROWD, "each is a container of its own");
    check_unnamed(convis, 0);
}

/// Events with the id of their container alone are counted, and there are at least so many. Of other containers of this
/// machine there may be more.
fn check_unnamed(convis: Convis, least: usize) {
    let counted = convis.ledger().sum("convis_events_unnamed_total", &[]).expect("it is counted");
    let stopped = convis.stop();
    let is_unnamed = |event: &&Event| {
        event.resource.contains_key("container.id") && !event.resource.contains_key("container.name")
    };
    let found: Vec<_> = stopped.events.iter().filter(is_unnamed).collect();
    assert_eq!(counted.to_string(), found.len().to_string(), "{found:#?}");
    assert!(found.len() >= least, "{found:#?}");
}

/// Connections of a client that goes on while its host's daemon does not, and the pause between them.
const STEADY: (usize, Duration) = (500, Duration::from_millis(20));
const A_WHILE: Duration = Duration::from_secs(2);

/// Scenario: a process goes on to connect to a container while the daemon is killed and started again; then a new container
/// connects.
/// Guarantees: no event is lost, every one has the names of the container, during the outage as well; the new container is
/// named.
#[test]
fn names_outlive_the_daemon() {
    let mut host = need!(Host::start(Kind::Docker));
    let _turn = turns::together();
    let convis = Convis::start(&host.arguments());
    let (count, every) = STEADY;
    let port = free_port();
    let all = Part::serve(SocketAddr::new(ANY, port), count + 1, &short().mirrored());
    let server = host.detached("server", &all);
    let to = SocketAddr::new(host.address_of("server"), port);
    let client = host.process(&Part::connect(to, count, every, &short()));
    thread::sleep(A_WHILE);
    let killed = unix_nanos();
    host.docker_mut().kill();
    thread::sleep(A_WHILE);
    let resumed = unix_nanos();
    host.docker_mut().resume();
    let late = host.container("late", &[], &connect(to.ip(), port, &short())).finish();
    let client = client.finish();
    let server = server.finish(count + 1);

    let at =
        |from: u64, to: u64| client.reports.iter().filter(|end| (from..to).contains(&end.started)).count();
    let parts = [at(0, killed), at(killed, resumed), at(resumed, u64::MAX)];
    assert!(parts.iter().all(|part| *part > 10), "before, during and after: {parts:?}");
    let all = count + 1;
    let events = events(&convis, port, all * OF_A_CONNECTION);
    let checked = [&client, &late].map(|client| check_both(&events, client, &[&server]));
    assert_eq!(checked.iter().sum::<usize>(), all * OF_A_CONNECTION);
    assert!(convis.ledger().dropped().abs() < f64::EPSILON);
}

/// Scenario: convis asks a runtime that hangs, one that answers rubbish, one that is not there, while a container connects
/// and is connected to.
/// Guarantees: every event comes soon, with the container's id alone, and is counted as such.
#[test]
fn a_runtime_that_does_not_answer_costs_names_alone() {
    let host = need!(Host::start(Kind::Docker));
    let _turn = turns::alone();
    let broken = [Fault::Hangs, Fault::Rubbish, Fault::Absent].map(Broken::new);
    let convis = broken.each_ref().map(|broken| {
        let socket = format!("unix://{}", broken.socket().display());
        let wait = "500ms";
        Convis::start(&["--container-runtime", "docker", "--docker-host", &socket, "--container-wait", wait])
    });
    for (client, server) in [
        (Place::Bridge("first"), Place::Host),
        (Place::Host, Place::Bridge("second")),
        (Place::Bridge("third"), Place::Bridge("fourth")),
    ] {
        let port = free_port();
        let mut serving = server.play(&host, &[], &serve("0.0.0.0", port));
        serving.listening();
        let client =
            client.play(&host, &[], &connect(server.address(&host), port, &short())).finish().by_id_alone();
        let ended = client.reports[0].ended;
        let server = serving.finish().by_id_alone();
        for convis in &convis {
            let events = events(convis, port, OF_A_CONNECTION);
            assert!(unix_nanos() - ended < nanos(SOON), "the events take too long");
            assert_eq!(check_both(&events, &client, &[&server]), OF_A_CONNECTION);
        }
    }
    for convis in convis {
        assert!(convis.ledger().dropped().abs() < f64::EPSILON);
        check_unnamed(convis, 4 * OF_AN_END);
    }
}

/// The wait for a name, for the other end, for a batch, and as much again.
const SOON: Duration = Duration::from_secs(3);

fn nanos(time: Duration) -> u64 {
    time.as_nanos().try_into().expect("not that long")
}

const fn pod<'a>(name: &'a str, namespace: &'a str, uid: &'a str) -> PodSpec<'a> {
    PodSpec { name, namespace, uid, labels: &[], annotations: &[] }
}

/// Scenario: a pod connects to a pod over the bridge of their host, another container of it within its own network.
/// Guarantees: both ends' events name pod, namespace, uid, container, image and service of both.
#[test]
fn pods_name_each_other() {
    need!(Containerd::network_available());
    let network = need!(Namespace::new());
    let _turn = turns::together();
    let mut containerd = Containerd::start_in(&network);
    let shop = pod("cart-7f9c-x2", "shop", "5b6a7c3e-0c51-4a39-8d1b-0f4d7d9f2c11");
    let data = pod("db-0", "data", "0e8f1a2b-3c4d-4e5f-8a9b-1c2d3e4f5a6b");
    let [near, far] = [shop, data].map(|spec| containerd.run_pod(spec));
    let socket = format!("unix://{}", containerd.socket().display());
    let convis = Convis::start(&["--container-runtime", "cri", "--cri-endpoint", &socket]);
    for (number, (client, server)) in
        [((&near, shop), (&far, data)), ((&far, data), (&far, data))].into_iter().enumerate()
    {
        let port = free_port();
        let names = ["server", "client"].map(|name| format!("{name}-{number}"));
        let serving = Detached::in_pod(&containerd, server.0, server.1, &names[0], &serve("0.0.0.0", port));
        let part = connect(containerd.address_of(server.0), port, &short());
        let client = Detached::in_pod(&containerd, client.0, client.1, &names[1], &part).finish(1);
        let events = events(&convis, port, OF_A_CONNECTION);
        assert_eq!(check_both(&events, &client, &[&serving.finish(1)]), OF_A_CONNECTION);
    }
}

const MOVED: u64 = 1_200_000;
const PATIENCE: Duration = Duration::from_secs(20);
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
    let named = |event: &Event| {
        event.try_get("container.name").or_else(|| event.try_get("convis.peer.container.name")).cloned()
    };
    let names: Vec<_> = events.iter().map(|event| (event.name == OPENED, named(event))).collect();
    for (is_opened, name) in names {
        assert_eq!(name, (!is_opened).then(|| "mover".into()), "{events:#?}");
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
    let part = Part::serve(SocketAddr::new(ANY, port), 3, &exchange.mirrored());
    let mut back = host.container("back", &[], &part);
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

/// Scenario: a container of Podman connects to one of its.
/// Guarantees: both ends are named, through the interface of Docker.
#[test]
fn containers_of_podman_are_named() {
    let host = need!(Host::start(Kind::Podman));
    let _turn = turns::together();
    let convis = Convis::start(&host.arguments());
    let port = free_port();
    let mut server = Place::Unbridged("server").play(&host, &[], &serve("0.0.0.0", port));
    server.listening();
    let client =
        Place::Unbridged("client").play(&host, &[], &connect(Host::ADDRESS, port, &short())).finish();
    let events = events(&convis, port, OF_A_CONNECTION);
    assert_eq!(check_both(&events, &client, &[&server.finish()]), OF_A_CONNECTION);
}

/// Scenario: a container of one host connects to one of another; each host has a convis that knows its own containers.
/// Guarantees: the client's event here and the server's there have one flow id, which joins the names of both.
#[test]
fn two_agents_agree_on_the_flow() {
    let hosts = [need!(Host::start(Kind::Docker)), need!(Host::start(Kind::Docker))];
    let _turn = turns::together();
    let [near, far] = &hosts;
    near.network().run(&format!("ip link add far type veth peer name near netns {}", far.network().pid()));
    for (host, link, number) in [(near, "far", 1), (far, "near", 2)] {
        host.network().run(&format!("ip address add 203.0.113.{number}/24 dev {link}"));
        host.network().run(&format!("ip link set {link} up"));
    }
    let agents = hosts.each_ref().map(|host| Convis::start(&host.arguments()));
    let port = free_port();
    let mut server = Place::Unbridged("db").play(far, &[], &serve("0.0.0.0", port));
    server.listening();
    let to = IpAddr::from([203, 0, 113, 2]);
    let client = Place::Unbridged("shop").play(near, &[], &connect(to, port, &short())).finish();
    server.finish();
    // All agents of this machine see all of it; each host's has what happened there.
    let seen = |number: usize| {
        let mut events = events(&agents[number], port, OF_A_CONNECTION);
        let network = hosts[number].network().inode();
        events.retain(|event| event.number("convis.network.namespace") == network);
        let names: Vec<_> = events.iter().map(|event| event.text("container.name").to_owned()).collect();
        let flows: Vec<_> = events.iter().map(|event| event.text("convis.flow.id").to_owned()).collect();
        (names, flows)
    };
    let [end] = &client.reports[..] else { panic!("{client:?}") };
    let flow = community_id(end.local, end.peer);
    for (number, name) in ["shop", "db"].into_iter().enumerate() {
        assert_eq!(seen(number), (vec![name.to_owned(); OF_AN_END], vec![flow.clone(); OF_AN_END]));
    }
}

/// Scenario: convis has a host name of its own, as in a container.
/// Guarantees: its events have the name of the host.
#[test]
fn the_host_has_its_own_name() {
    need!(root());
    if !exists("unshare".as_ref()) {
        skip!("needs unshare");
    }
    let _turn = turns::together();
    let mut first = Command::new("unshare");
    first.args([
        "--uts",
        "sh",
        "-c",
        "echo outside >/proc/sys/kernel/hostname && echo ready && exec sleep 1000",
    ]);
    let mut first = Process::start("a first process", first);
    first.first_line(PATIENCE);
    let convis = Convis::start_by::<&str>(with_first(first.pid()), &[]);
    let truth = Scene::one("127.0.0.1:0", short()).play();
    for event in events(&convis, truth.server.port(), OF_A_CONNECTION) {
        assert_eq!(event.text("host.name"), "outside");
    }
}
