//! The host, and more than one of them.

use std::net::IpAddr;
use std::process::Command;

use convis_integration::actors::{Scene, free_port};
use convis_integration::containers::{Host, with_first};
use convis_integration::convis::Convis;
use convis_integration::flow::community_id;
use convis_integration::need::root;
use convis_integration::process::{Process, exists};
use convis_integration::runtimes::Kind;
use convis_integration::{need, skip, turns};

use crate::common::{OF_A_CONNECTION, OF_AN_END, PATIENCE, Place, connect, events, serve, short};

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
