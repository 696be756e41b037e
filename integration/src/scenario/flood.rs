//! Tens of thousands of short connections, over loopback and between namespaces, with and without packet steering.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::actor::{Actor, Place};
use super::end::{End, Listener};
use super::links::Pair;
use super::stage::{Lacking, Played, Stage};
use super::stampede::{self, COURSES, Course, Line};
use super::suite::Scenario;
use crate::truth::Side;

/// For each connection of the mix.
const SHARE: usize = 10;

/// A ring that is full nearly always.
pub(super) const SMALL_RING: &[&str] = &["--ring-bytes", "4096"];

/// The scenarios of this file, with a ring of the default size.
pub(super) const ALL: &[Scenario] = &[
    Scenario::during("flood.loopback", loopback),
    Scenario::during("flood.rps", rps),
    Scenario::during("flood.veth", veth),
    Scenario::during("flood.veth_rps", veth_rps),
];

/// The same with [`SMALL_RING`].
pub(super) const ALL_SMALL: &[Scenario] = &[
    Scenario::during("flood.small_ring.loopback", loopback),
    Scenario::during("flood.small_ring.rps", rps),
    Scenario::during("flood.small_ring.veth", veth),
    Scenario::during("flood.small_ring.veth_rps", veth_rps),
];

fn loopback(stage: &mut Stage) -> Played {
    let (client, server) = (stage.actor(Place::Here)?, stage.actor(Place::Here)?);
    flood(stage, &client, &server, "127.0.0.1");
    Ok(())
}

/// What is sent on loopback is received on another processor, in the middle of whatever runs there.
fn rps(stage: &mut Stage) -> Played {
    only_in_machines_of_the_suite()?;
    let server = stage.actor(Place::NewNetwork)?;
    let client = stage.actor(Place::NetworkOf(server.who().pid))?;
    steer(&server, "lo")?;
    flood_steered(stage, &client, &server, "127.0.0.1");
    Ok(())
}

fn veth(stage: &mut Stage) -> Played {
    let pair = Pair::new(stage)?;
    flood(stage, &pair.client, &pair.server, Pair::SERVER);
    Ok(())
}

fn veth_rps(stage: &mut Stage) -> Played {
    only_in_machines_of_the_suite()?;
    let pair = Pair::new(stage)?;
    steer(&pair.client, "near")?;
    steer(&pair.server, "far")?;
    flood_steered(stage, &pair.client, &pair.server, Pair::SERVER);
    Ok(())
}

fn steer(actor: &Actor, link: &str) -> Played {
    let lacking = |(_, error)| Lacking(format!("no packet steering: {error}"));
    actor.hand().try_do(format!("net steer {link}")).map(drop).map_err(lacking)
}

/// Steered packets arrive while any process runs, and not every kernel lets programs run whichever process that is. The
/// virtual machines have Debian's kernels, and this as their first process.
fn only_in_machines_of_the_suite() -> Played {
    const FIRST: &str = "/bin/busybox";
    match std::fs::read_link("/proc/1/exe") {
        Ok(first) if first.as_os_str() == FIRST => Ok(()),
        _ => Err(Lacking(
            "only in the virtual machines: this kernel may not run programs where steered packets arrive"
                .to_owned(),
        )),
    }
}

/// As [`flood`], where packets must have been steered.
fn flood_steered(stage: &mut Stage, client: &Actor, server: &Actor, address: &str) {
    let before = steered();
    flood(stage, client, server, address);
    let count = steered() - before;
    assert!(count >= stage.connections as u64, "{count} packets were steered");
}

/// How many packets one processor has given to another.
fn steered() -> u64 {
    const COLUMN: usize = 9;
    let text =
        std::fs::read_to_string("/proc/net/softnet_stat").expect("the kernel's own account of packets");
    let column = |line: &str| line.split(' ').nth(COLUMN).and_then(|word| u64::from_str_radix(word, 16).ok());
    text.lines().filter_map(column).sum()
}

/// Plays it and expects every end.
fn flood(stage: &mut Stage, client: &Actor, server: &Actor, address: &str) {
    let listeners = COURSES.map(|_| stage.listener(&server.hand(), address));
    let count = (stage.connections * SHARE).div_ceil(COURSES.len());
    let numbers = listeners.each_ref().map(|listener| listener.socket.to_string()).join(" ");
    let addresses = listeners.each_ref().map(|listener| listener.address.to_string()).join(" ");
    let hand = server.new_hand();
    hand.begin(format!("flood_accept {count} {} {numbers}", stage.seed));
    let clients = stampede::read(
        &client.hand().file(format!("flood_connect {count} {} {addresses}", stage.seed.wrapping_add(1000))),
    );
    let servers = stampede::read(&hand.file_begun());
    assert_eq!((clients.len(), servers.len()), (count * COURSES.len(), count * COURSES.len()));
    let mut others: BTreeMap<(usize, u16), VecDeque<Line>> = BTreeMap::new();
    for line in servers {
        others.entry((line.course, line.port)).or_default().push_back(line);
    }
    let host = if address == Pair::SERVER { Pair::CLIENT } else { address };
    let host = host.parse().expect("an IP address");
    for line in clients {
        let other = others.get_mut(&(line.course, line.port)).and_then(VecDeque::pop_front);
        let other = other.expect("the server accepted it");
        let listener = &listeners[line.course];
        let at = SocketAddr::new(host, line.port);
        expect(stage, client, listener, at, [line, other]);
    }
    for listener in &listeners {
        listener.close();
    }
}

fn expect(stage: &mut Stage, actor: &Actor, listener: &Listener, at: SocketAddr, [line, other]: [Line; 2]) {
    let client = End {
        hand: actor.hand(),
        socket: 0,
        owner: actor.who(),
        listener: None,
        side: Side::Client,
        local: at,
        peer: listener.address,
        written: line.written,
        read: line.read,
        took: None,
    };
    let server = End {
        hand: listener.hand.clone(),
        owner: listener.hand.who(),
        listener: Some(listener.hand.who()),
        side: Side::Server,
        local: listener.address,
        peer: at,
        written: other.written,
        read: other.read,
        ..client.clone()
    };
    stage.expect_both(match COURSES[line.course] {
        Course::ClientFirst => [client.ended("local_close"), server.ended("peer_close")],
        Course::ServerFirst => [client.ended("peer_close"), server.ended("local_close")],
        Course::Reset => [client.torn("local_reset"), server.torn("peer_reset")],
        Course::Gone => {
            let mut server = server.torn("peer_reset");
            server.closed().accepted_late = true;
            [client.torn("local_reset"), server]
        }
    });
}
