//! What policy makes of real connections: filters, sampling, named networks, expectations.
#![expect(clippy::expect_used, reason = "what does not go as planned fails the test, with its message")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use convis_integration::actors::{Scene, free_port};
use convis_integration::clock::wait_for;
use convis_integration::convis::{Convis, Stopped};
use convis_integration::event::{CLOSED, Event, FAILED, OPENED};
use convis_integration::need::root;
use convis_integration::oracle::Oracle;
use convis_integration::otlp::Point;
use convis_integration::sums::Series;
use convis_integration::traffic::Exchange;
use convis_integration::{need, turns};

const PATIENCE: Duration = Duration::from_secs(15);
const OPENED_SUM: &str = "convis.tcp.connection.opened";

/// Opens and closes a connection at this address, both ends in this process.
fn pair(ip: &str, port: u16) {
    let at = SocketAddr::new(ip.parse().expect("an address"), port);
    let listener = TcpListener::bind(at).expect("a free port");
    let mut client = TcpStream::connect(at).expect("a listener");
    let (mut server, _) = listener.accept().expect("a client");
    client.write_all(b"hello").expect("a peer that reads");
    server.read_exact(&mut [0; 5]).expect("a peer that writes");
    drop(client);
    drop(server);
}

/// The same by processes of the traffic tool.
fn by_tool(port: u16, count: usize) {
    let exchange = Exchange { send: 10, ..Exchange::default() };
    Scene { count, ..Scene::one(&format!("127.0.0.1:{port}"), exchange) }.play();
}

/// convis with these rules, and with its metrics at an independent receiver.
fn convis(oracle: &Oracle, rules: &[String]) -> Convis {
    let sink = format!("otlp,endpoint=http://127.0.0.1:{},protocol=http/protobuf", oracle.ports().http);
    let settings = ["--interval", "300ms", "--sink", &sink].map(str::to_owned);
    Convis::start(&[&settings[..], rules].concat())
}

fn rules(pairs: &[(&str, String)]) -> Vec<String> {
    pairs.iter().flat_map(|(flag, rule)| [(*flag).to_owned(), rule.clone()]).collect()
}

/// How many events of which name and role there are at this port.
fn told(stopped: &Stopped, port: u16) -> BTreeMap<(String, String), usize> {
    let mut told = BTreeMap::new();
    for event in stopped.events_at(port) {
        *told.entry((event.name.clone(), event.text("convis.connection.role").to_owned())).or_default() += 1;
    }
    told
}

/// So many opened and closed events of these roles.
fn whole(roles: &[&str], count: usize) -> BTreeMap<(String, String), usize> {
    let names = [OPENED, CLOSED];
    roles.iter().flat_map(|role| names.map(|name| ((name.to_owned(), (*role).to_owned()), count))).collect()
}

fn opened(points: &[Point], port: u16) -> [u64; 2] {
    ["client", "server"]
        .map(|role| Series::read(points, OPENED_SUM, port).sum(&[("convis.connection.role", role)]))
}

fn wait_for_count(convis: &Convis, name: &str, kind: &str, count: usize) {
    let read = || convis.ledger().sum(name, &[("kind", kind)]).expect("it is always there");
    wait_for(&format!("{count} in {name} of {kind}"), PATIENCE, || {
        let read = read();
        assert!(read < count as f64 + 0.5, "{read} in {name} of {kind}, more than {count}");
        (read > count as f64 - 0.5).then_some(())
    });
}

/// Scenario: rules that leave out by port, executable, role, the peer's address, this end's address and network, each at a port
/// of its own, and a port that no rule is about.
/// Guarantees: exactly what a rule matches is in no event and no metric; it is counted, and the kernel's equation still holds.
#[test]
fn what_is_excluded_is_nowhere() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let [all, tool, own, role, peer, local, network, other] = [(); 8].map(|()| free_port());
    let convis = convis(
        &oracle,
        &rules(&[
            ("--exclude", format!("port={all}")),
            ("--exclude", format!("executable=traffic,port={tool},port={own}")),
            ("--exclude", format!("role=client,port={role}")),
            ("--exclude", format!("cidr=127.0.0.9,port={peer}")),
            ("--exclude", format!("local_cidr=127.0.0.8/29,port={local}")),
            ("--exclude", format!("network=loopback,port={network}")),
        ]),
    );
    pair("127.0.0.1", all);
    by_tool(tool, 3);
    for port in [own, role, network, other] {
        pair("127.0.0.1", port);
    }
    pair("127.0.0.9", peer);
    pair("127.0.0.9", local);
    // Both of `all`, six of `tool`, one each of `role`, `peer` and `local`, both of `network`.
    for kind in ["opened", "closed"] {
        wait_for_count(&convis, "convis_events_filtered_total", kind, 2 + 6 + 3 + 2);
    }
    wait_for("the equation to hold", PATIENCE, || {
        let ledger = convis.ledger();
        ["opened", "closed"].iter().all(|kind| ledger.kind(kind).balances()).then_some(())
    });
    let stopped = convis.stop();
    let points = oracle.points_taken();
    for (port, roles) in [
        (all, &[][..]),
        (tool, &[]),
        (own, &["client", "server"]),
        (role, &["server"]),
        (peer, &["server"]),
        (local, &["client"]),
        (network, &[]),
        (other, &["client", "server"]),
    ] {
        assert_eq!(told(&stopped, port), whole(roles, 1));
        let counted = ["client", "server"].map(|role| u64::from(roles.contains(&role)));
        assert_eq!(opened(&points, port), counted, "{roles:?}");
    }
}

/// Scenario: rules that include by port and role, and by executable; connections that either matches, and others.
/// Guarantees: exactly what a rule matches is told and counted.
#[test]
fn only_what_is_included_is_told() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let [served, tool, other] = [(); 3].map(|()| free_port());
    let convis = convis(
        &oracle,
        &rules(&[
            ("--include", format!("port={served},role=server")),
            ("--include", format!("executable=*/traffic,port={tool}")),
        ]),
    );
    pair("127.0.0.1", served);
    pair("127.0.0.1", other);
    by_tool(other, 2);
    by_tool(tool, 2);
    let stopped = convis.stop();
    let points = oracle.points_taken();
    assert_eq!(told(&stopped, served), whole(&["server"], 1));
    assert_eq!(told(&stopped, tool), whole(&["client", "server"], 2));
    assert_eq!(told(&stopped, other), BTreeMap::new());
    assert_eq!([served, tool, other].map(|port| opened(&points, port)), [[0, 1], [2, 2], [0, 0]]);
}

/// Scenario: one in five of 23 connections is told, by role; an attempt at the same port is refused.
/// Guarantees: of each role four or five connections, each whole and with its weight; the attempt is told without one; what was
/// left out is counted, and metrics count everything.
#[test]
fn a_sample_stands_for_all() {
    const COUNT: u32 = 23;
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let port = free_port();
    let convis = convis(&oracle, &rules(&[("--sample", format!("keep=1/5,port={port},per=role"))]));
    by_tool(port, COUNT as usize);
    TcpStream::connect(("127.0.0.1", port)).expect_err("nobody listens any more");
    wait_for("the attempt", PATIENCE, || {
        convis.events_at(port).iter().any(|event| event.name == FAILED).then_some(())
    });
    let left_out = convis.ledger();
    let stopped = convis.stop();
    let events = stopped.events_at(port);
    let (failed, sampled): (Vec<_>, Vec<_>) = events.iter().partition(|event| event.name == FAILED);
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].try_get("convis.sampling.weight"), None);
    assert!(sampled.iter().all(|event| event.number("convis.sampling.weight") == 5), "{sampled:#?}");
    for role in ["client", "server"] {
        let ids = |name: &str| -> Vec<&str> {
            let wanted = |event: &&&Event| event.name == name && event.text("convis.connection.role") == role;
            let mut ids: Vec<_> =
                sampled.iter().filter(wanted).map(|event| event.text("convis.connection.id")).collect();
            ids.sort_unstable();
            ids
        };
        let told = ids(OPENED);
        assert!([4, 5].contains(&told.len()), "{told:?}");
        assert_eq!(told, ids(CLOSED));
    }
    assert_eq!(opened(&oracle.points_taken(), port), [u64::from(COUNT); 2]);
    let opened_events = sampled.iter().filter(|event| event.name == OPENED).count();
    let sampled_out = left_out.sum("convis_events_sampled_total", &[("kind", "opened")]);
    assert_eq!(sampled_out, Some(f64::from(2 * COUNT) - opened_events as f64));
}

/// Scenario: this process is expected to connect into a named network only; it connects there, elsewhere, and in vain elsewhere.
/// Guarantees: the network's name in events and metrics; the latter two, and not their servers' ends, are WARN, marked, and
/// counted once each.
#[test]
fn the_unexpected_is_told() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let [expected, elsewhere, refused] = [(); 3].map(|()| free_port());
    let convis = convis(
        &oracle,
        &rules(&[
            ("--network", "lab=127.7.7.0/24".to_owned()),
            ("--expect", "executable=filters-*,role=client,network=lab".to_owned()),
        ]),
    );
    pair("127.7.7.1", expected);
    pair("127.0.0.1", elsewhere);
    TcpStream::connect(("127.0.0.1", refused)).expect_err("nobody listens");
    let stopped = convis.stop();
    let points = oracle.points_taken();

    let network = |event: &Event| event.text("convis.peer.network").to_owned();
    let is_client = |event: &Event| event.text("convis.connection.role") == "client";
    for event in stopped.events_at(expected) {
        assert_eq!(network(&event), if is_client(&event) { "lab" } else { "loopback" }, "{event:#?}");
        assert!(event.is_info() && event.try_get("convis.unexpected").is_none(), "{event:#?}");
    }
    let others = [stopped.events_at(elsewhere), stopped.events_at(refused)].concat();
    for event in &others {
        assert_eq!(network(event), "loopback", "{event:#?}");
        let mark = event.try_get("convis.unexpected").map(|mark| mark == true);
        assert_eq!(mark, is_client(event).then_some(true), "{event:#?}");
        assert_eq!(event.is_warning(), is_client(event), "{event:#?}");
    }
    assert_eq!((stopped.events_at(expected).len(), others.len()), (4, 5));
    let unexpected = |port| {
        Series::read(&points, "convis.tcp.connection.unexpected", port)
            .sum(&[("convis.connection.role", "client")])
    };
    assert_eq!([expected, elsewhere, refused].map(unexpected), [0, 1, 1]);
    let in_lab = [("convis.connection.role", "client"), ("convis.peer.network", "lab")];
    assert_eq!(Series::read(&points, OPENED_SUM, expected).sum(&in_lab), 1);
}

/// Scenario: a file leaves out two ports; a connection of each family opens there and stays; then the file no longer says so, and is
/// read again; the first two close, and two more come and go.
/// Guarantees: nothing of the first two, neither before nor after; everything of the others.
#[test]
fn a_new_policy_is_for_new_connections() {
    need!(root());
    let _turn = turns::together();
    let listeners = ["127.0.0.1:0", "[::1]:0"].map(|at| TcpListener::bind(at).expect("a free port"));
    let at = listeners.each_ref().map(|listener| listener.local_addr().expect("a bound socket"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("convis.yaml");
    let write = |text: &str| std::fs::write(&file, text).expect("the file can be written");
    write(&format!("filters: {{exclude: {{ports: [{}, {}]}}}}\n", at[0].port(), at[1].port()));
    let mut convis = Convis::start(&["--config", &file.display().to_string()]);
    let old = listeners.map(|listener| {
        let client = TcpStream::connect(listener.local_addr().expect("a bound socket")).expect("a listener");
        (client, listener.accept().expect("a client"))
    });
    wait_for_count(&convis, "convis_events_filtered_total", "opened", 4);
    write("filters: {}\n");
    assert!(convis.reload().contains("reloaded"));
    drop(old);
    let new = [free_port(), free_port()];
    pair("127.0.0.1", new[0]);
    pair("::1", new[1]);
    let stopped = convis.stop();
    assert!(at.iter().all(|at| stopped.events_at(at.port()).is_empty()));
    assert_eq!(new.map(|port| told(&stopped, port)), [(); 2].map(|()| whole(&["client", "server"], 1)));
}
