//! Who is at both ends of single connections.

use std::net::SocketAddr;
use std::time::Duration;

use convis_integration::actors::free_port;
use convis_integration::containers::{Host, Part, Player, Proxied, check_both, check_peers, with_first};
use convis_integration::convis::Convis;
use convis_integration::runtimes::Kind;
use convis_integration::traffic::Exchange;
use convis_integration::{need, turns};

use crate::common::{ANY, LOCALHOST, OF_A_CONNECTION, OF_AN_END, Place, connect, events, serve, short};

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
    /// One that serves so many connections.
    fn start(host: &Host, name: &'static str, count: usize) -> Self {
        let (inner, outer) = (free_port(), free_port());
        let serve = Part::serve(SocketAddr::new(ANY, inner), count, &short().mirrored());
        let mut server = Place::Bridge(name).play(host, &["-p", &format!("{outer}:{inner}")], &serve);
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
        let Published { server, inner, outer } = Published::start(&host, name, 1);
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
        // When a container ends, Docker lets the kernel forget its connections: this one still waits for another then.
        let Published { server, inner, outer } = Published::start(&host, name, 2);
        let client = client.play(&host, &[], &connect(Host::ADDRESS, outer, &exchange)).finish();
        let mut events = [outer, inner].map(|port| events(&convis, port, OF_AN_END)).concat();
        events.sort_by_key(|event| event.timestamp);
        host.process(&connect(host.address_of(name), inner, &short())).finish();
        let server = server.finish();
        assert_ne!(client.reports[0].peer, server.reports[0].local, "it is translated");
        assert_eq!(check_both(&events, &client, &[&server]), OF_A_CONNECTION);
    }
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
