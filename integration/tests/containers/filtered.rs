//! Rules about containers and namespaces, whose names only runtimes know.

use std::collections::BTreeMap;

use convis_integration::actors::free_port;
use convis_integration::clock::wait_for;
use convis_integration::containers::{Detached, Host};
use convis_integration::convis::{Convis, Stopped};
use convis_integration::event::{CLOSED, Event, OPENED};
use convis_integration::namespace::Namespace;
use convis_integration::oracle::Oracle;
use convis_integration::runtimes::{Containerd, Kind, PodSpec};
use convis_integration::sums::Series;
use convis_integration::{need, turns};

use crate::common::{PATIENCE, Place, connect, serve, short};

/// Which ends of connections at a port are told; each must be with one opened and one closed event.
fn told(stopped: &Stopped, port: u16) -> Vec<String> {
    let mut told: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let events = stopped.events_at(port);
    for event in &events {
        told.entry(event.text("convis.connection.role").to_owned()).or_default().push(&event.name);
    }
    for (role, names) in &mut told {
        names.sort_unstable();
        assert_eq!(*names, [CLOSED, OPENED], "{role} at {port}: {events:#?}");
    }
    told.into_keys().collect()
}

/// Waits until exactly so many ends were left out.
fn wait_for_filtered(convis: &Convis, ends: u32) {
    wait_for("what was left out to be counted", PATIENCE, || {
        let ledger = convis.ledger();
        let count =
            |kind| ledger.sum("convis_events_filtered_total", &[("kind", kind)]).expect("it is always there");
        let counted = ["opened", "closed"].map(count);
        assert!(
            counted.iter().all(|counted| *counted < f64::from(ends) + 0.5),
            "{counted:?}, more than {ends}"
        );
        counted.iter().all(|counted| *counted > f64::from(ends) - 0.5).then_some(())
    });
}

fn all_name(events: &[Event], key: &str, name: &str) -> bool {
    !events.is_empty() && events.iter().all(|event| *event.get(key) == name)
}

/// Scenario: processes in containers connect to one of their host, and a container to another; convis leaves out some containers by
/// name and by pattern, one by the short form of its id once it is known, and a second convis tells of nothing else.
/// Guarantees: each end is in the events of exactly one of the two, and in metrics where it is in events; what was left out is
/// counted; whose peer is left out still names it.
#[test]
fn containers_are_left_out_or_told_alone() {
    let host = need!(Host::start(Kind::Docker));
    let oracle = need!(Oracle::start("none"));
    let _turn = turns::together();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = ["without", "only"].map(|name| folder.path().join(name));
    let rules = "[{container: [left-out, other-*]}, {container: [PLACE]}]";
    let write = |by_id: &str| {
        let rules = rules.replace("PLACE", by_id);
        for (file, kind) in files.iter().zip(["exclude", "include"]) {
            std::fs::write(file, format!("filters: {{{kind}: {rules}}}\n")).expect("a file");
        }
    };
    write("not-yet-known");
    let sink = format!(
        "otlp,endpoint=http://127.0.0.1:{},protocol=http/protobuf,signals=metrics",
        oracle.ports().http
    );
    let start = |file: usize, more: &[&str]| {
        let config = files[file].display().to_string();
        let own = ["--config", &config].map(str::to_owned);
        Convis::start(
            &[&host.arguments()[..], &own, &more.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()]
                .concat(),
        )
    };
    let mut without = start(0, &["--interval", "300ms", "--sink", &sink]);
    let mut only = start(1, &[]);

    // By whom the server's end is told, and by whom the client's.
    let mut expected = Vec::new();
    for (client, server, left_out) in [
        (Place::Bridge("told"), Place::Host, [false, false]),
        (Place::Bridge("left-out"), Place::Host, [true, false]),
        (Place::Host, Place::Bridge("other-1"), [false, true]),
        (Place::Bridge("told-2"), Place::Bridge("other-2"), [false, true]),
        (Place::Bridge("other-3"), Place::Unbridged("other-4"), [true, true]),
        (Place::Bridge("left-out-not"), Place::Unbridged("another"), [false, false]),
    ] {
        let port = free_port();
        let mut serving = server.play(&host, &[], &serve("0.0.0.0", port));
        serving.listening();
        client.play(&host, &[], &connect(server.address(&host), port, &short())).finish();
        serving.finish();
        expected.push((port, left_out));
    }
    let port = free_port();
    let mut serving = Place::Bridge("by-id").play(&host, &[], &serve("0.0.0.0", port));
    serving.listening();
    write(&serving.container().expect("a container").id()[..12]);
    for convis in [&mut without, &mut only] {
        assert!(convis.reload().contains("reloaded"));
    }
    host.process(&connect(host.address_of("by-id"), port, &short())).finish();
    serving.finish();
    expected.push((port, [false, true]));

    wait_for_filtered(
        &without,
        expected.iter().flat_map(|(_, left_out)| left_out).map(|out| u32::from(*out)).sum(),
    );
    let (without, only) = (without.stop(), only.stop());
    let points = oracle.points_taken();
    for (port, left_out) in &expected {
        let ends_of = |wanted: bool| -> Vec<&str> {
            let ends = ["client", "server"].into_iter().zip(left_out);
            ends.filter(|(_, out)| **out == wanted).map(|(role, _)| role).collect()
        };
        assert_eq!(told(&without, *port), ends_of(false), "left out: {left_out:?}");
        assert_eq!(told(&only, *port), ends_of(true), "left out: {left_out:?}");
        let opened = Series::read(&points, "convis.tcp.connection.opened", *port);
        let counted = ["client", "server"].map(|role| opened.sum(&[("convis.connection.role", role)]));
        assert_eq!(counted, left_out.map(|out| u64::from(!out)), "left out: {left_out:?}");
    }
    assert!(all_name(&without.events_at(expected[1].0), "convis.peer.container.name", "left-out"));
    assert!(all_name(&only.events_at(expected[1].0), "container.name", "left-out"));
    assert!(only.events.iter().all(|event| event.resource.contains_key("container.id")));
}

const fn pod<'a>(name: &'a str, namespace: &'a str, uid: &'a str) -> PodSpec<'a> {
    PodSpec { name, namespace, uid, labels: &[], annotations: &[] }
}

/// Scenario: pods of two namespaces connect to each other and within one; convis leaves out one namespace, and of the other a
/// container by its name in the pod; a second convis tells of that namespace alone.
/// Guarantees: exactly the ends in what is left are told; the others are counted, and still named as peers.
#[test]
fn namespaces_are_left_out_or_told_alone() {
    need!(Containerd::network_available());
    let network = need!(Namespace::new());
    let _turn = turns::together();
    let mut containerd = Containerd::start_in(&network);
    let shop = pod("cart-7f9c-x2", "shop", "5b6a7c3e-0c51-4a39-8d1b-0f4d7d9f2c12");
    let data = pod("db-0", "shop-data", "0e8f1a2b-3c4d-4e5f-8a9b-1c2d3e4f5a6c");
    let [near, far] = [shop, data].map(|spec| containerd.run_pod(spec));
    let socket = format!("unix://{}", containerd.socket().display());
    let cri = ["--container-runtime", "cri", "--cri-endpoint", &socket];
    let rules = ["--exclude", "namespace=*-data", "--exclude", "namespace=shop,container=hidden"];
    let without = Convis::start(&[&cri[..], &rules].concat());
    let only = Convis::start(&[&cri[..], &["--include", "namespace=shop-data"]].concat());
    let mut expected = Vec::new();
    for (number, ((client, client_name), server, is_told)) in [
        (((&near, shop), "shown"), (&far, data), [true, false]),
        (((&far, data), "client"), (&near, shop), [false, true]),
        (((&far, data), "client-too"), (&far, data), [false, false]),
        (((&near, shop), "hidden"), (&near, shop), [false, true]),
    ]
    .into_iter()
    .enumerate()
    {
        let port = free_port();
        let name = format!("server-{number}");
        let serving = Detached::in_pod(&containerd, server.0, server.1, &name, &serve("0.0.0.0", port));
        let asks = connect(containerd.address_of(server.0), port, &short());
        Detached::in_pod(&containerd, client.0, client.1, client_name, &asks).finish(1);
        serving.finish(1);
        let in_data = [client.1, server.1].map(|pod| pod.namespace == data.namespace);
        expected.push((port, is_told, in_data));
    }
    wait_for_filtered(&without, 5);
    let (without, only) = (without.stop(), only.stop());
    for (port, is_told, in_data) in &expected {
        let ends_of = |ends: &[bool; 2]| -> Vec<&str> {
            ["client", "server"]
                .into_iter()
                .zip(ends)
                .filter(|(_, told)| **told)
                .map(|(role, _)| role)
                .collect()
        };
        assert_eq!(told(&without, *port), ends_of(is_told));
        assert_eq!(told(&only, *port), ends_of(in_data));
    }
    assert!(all_name(&without.events_at(expected[0].0), "convis.peer.k8s.namespace.name", "shop-data"));
    assert!(all_name(&without.events_at(expected[1].0), "k8s.namespace.name", "shop"));
    assert!(all_name(&only.events, "k8s.namespace.name", "shop-data"));
}
