//! Whose connection it is, however the process came to it and whatever became of it.

use std::process::Command;

use super::actor::{Actor, Identity, Place};
use super::end::{End, Stopped, Way, close_in_order, new_socket};
use super::hands::{DASH, DASH_BYTES, INHERITED};
use super::stage::{Lacking, Played, Stage};
use super::suite::{Rest, Scenario};
use crate::truth::Side;

/// The scenarios of this file.
pub(super) const ALL: &[Scenario] = &[
    Scenario::during("owners.threads", threads),
    Scenario::during("owners.prefork", prefork),
    Scenario::during("owners.short_lived", short_lived),
    Scenario::during("owners.descriptor_passed", descriptor_passed),
    Scenario::during("owners.descriptor_passed_back", descriptor_passed_back),
    Scenario::during("owners.descriptor_inherited", descriptor_inherited),
    Scenario::during("owners.inherited_survives_parent", inherited_survives_parent),
    Scenario::during("owners.pid_reuse", pid_reuse),
    Scenario::during("owners.network_namespace", network_namespace),
    Scenario::during("owners.pid_namespace", pid_namespace),
    Scenario::during("owners.uring_connect", uring_connect),
    Scenario::during("owners.uring_accept", uring_accept),
    Scenario::during("owners.uring_accept_peer_closes", uring_accept_peer_closes),
    Scenario::during("owners.kernel_socket", kernel_socket),
    Scenario::spanning("owners.blocked_workers", blocked_workers),
];

/// Connected, accepted and closed by different threads of one process.
fn threads(stage: &mut Stage) -> Played {
    let actor = stage.actor(Place::Here)?;
    let listener = stage.listener(&actor.hand(), "127.0.0.1");
    let hands: Vec<_> = (0..4).map(|_| actor.new_hand()).collect();
    for turn in 0..8 {
        let acceptor = listener.seen_by(&hands[(turn + 1) % 4], listener.socket);
        let (mut client, mut server) = acceptor.pair(&hands[turn % 4], Way::AsIs);
        client.write_to(&mut server, 10);
        (client.hand, server.hand) = (hands[(turn + 2) % 4].clone(), hands[(turn + 3) % 4].clone());
        stage.expect_both(close_in_order(&mut client, &mut server));
    }
    Ok(())
}

/// The child that accepts is the owner, not the parent that listens.
fn prefork(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    let children: Vec<Actor> = (0..4).map(|_| stage.child(&two.server, two.listener.socket)).collect();
    for child in children.iter().chain(&children) {
        let listener = two.listener.seen_by(&child.hand(), INHERITED);
        let (mut client, mut server) = listener.pair(&two.client.hand(), Way::AsIs);
        server.write_to(&mut client, 123);
        stage.expect_both(close_in_order(&mut server, &mut client));
    }
    Ok(())
}

/// Connects, writes and is gone; accepted only then.
fn short_lived(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    for _ in 0..30 {
        let (pid, status) = dash(&two.listener.address.to_string());
        assert!(status, "a dash ends well");
        let ends = dashed(stage, &two.listener.accept(), pid);
        expect_dash(stage, ends);
    }
    Ok(())
}

fn dash(to: &str) -> (u32, bool) {
    let mut child = Command::new("/proc/self/exe").args([DASH, to]).spawn().expect("a dash starts");
    (child.id(), child.wait().is_ok_and(|status| status.success()))
}

/// Both ends of what a dashing process did.
fn dashed(stage: &mut Stage, server: &End, pid: u32) -> (End, End) {
    stage.claims.pids.insert(pid, stage.scenario.clone());
    let client = End {
        owner: Identity { pid, own_pid: pid, ..server.owner },
        side: Side::Client,
        local: server.peer,
        peer: server.local,
        written: DASH_BYTES,
        ..server.clone()
    };
    (client, server.clone())
}

fn expect_dash(stage: &mut Stage, (client, mut server): (End, End)) {
    assert_eq!(server.read_all(), Stopped::AtEnd);
    server.close();
    stage.expect_both([client.ended("local_close"), server.ended("peer_close")]);
}

/// The acceptor stays the owner; who closed is told beside it.
fn descriptor_passed(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    let third = stage.actor(Place::Here)?;
    for (server_first, passed_is_server) in [(true, true), (false, true), (true, false), (false, false)] {
        let (mut client, mut server) = two.pair();
        let passed = if passed_is_server { &mut server } else { &mut client };
        let number = passed.hand.pass(passed.socket, &third.hand());
        passed.close();
        (passed.hand, passed.socket) = (third.hand(), number);
        client.write_to(&mut server, 40);
        server.write_to(&mut client, 50);
        let ends = if server_first {
            close_in_order(&mut server, &mut client)
        } else {
            let [client, server] = close_in_order(&mut client, &mut server);
            [server, client]
        };
        let closer = third.who().pid;
        stage.expect_both(ends.map(|mut end| {
            let is_passed = (end.side == Side::Server) == passed_is_server;
            end.closed().closing_pid = is_passed.then_some(closer);
            end
        }));
    }
    Ok(())
}

/// Passed on and closed there first: the owner itself closes it last, and nobody else is named.
fn descriptor_passed_back(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    let third = stage.actor(Place::Here)?;
    let (mut client, mut server) = two.pair();
    let number = server.hand.pass(server.socket, &third.hand());
    let mut borrowed = End { hand: third.hand(), socket: number, ..server.clone() };
    borrowed.write_to(&mut client, 60);
    server.written = borrowed.written;
    borrowed.close();
    stage.expect_both(close_in_order(&mut server, &mut client));
    Ok(())
}

/// Inherited over fork, closed last by the child.
fn descriptor_inherited(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    for client_forks in [true, false] {
        let (mut client, mut server) = two.pair();
        let (end, parent) =
            if client_forks { (&mut client, &two.client) } else { (&mut server, &two.server) };
        let child = stage.child(parent, end.socket);
        end.close();
        (end.hand, end.socket) = (child.hand(), INHERITED);
        client.write_to(&mut server, 70);
        let mut ends = close_in_order(&mut client, &mut server);
        ends[usize::from(!client_forks)].closed().closing_pid = Some(child.who().pid);
        stage.expect_both(ends);
    }
    Ok(())
}

/// The owner is gone when its child closes, by exiting: it stays the owner.
fn inherited_survives_parent(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    let parent = stage.actor(Place::Here)?;
    let (mut client, mut server) = two.listener.pair(&parent.hand(), Way::AsIs);
    let child = stage.child(&parent, client.socket);
    parent.exit();
    (client.hand, client.socket) = (child.hand(), INHERITED);
    client.write_to(&mut server, 80);
    let pid = child.who().pid;
    child.exit();
    assert_eq!(server.read_all(), Stopped::AtEnd);
    server.close();
    let mut client = client.ended("local_close");
    client.closed().closing_pid = Some(pid);
    stage.expect_both([client, server.ended("peer_close")]);
    Ok(())
}

/// Another process with the process id of one that has just gone.
fn pid_reuse(stage: &mut Stage) -> Played {
    const ATTEMPTS: usize = 200;
    const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
    let two = stage.two("127.0.0.1")?;
    let to = two.listener.address.to_string();
    let mut reused = 0;
    for _ in 0..ATTEMPTS {
        let (first, _) = dash(&to);
        let ends = dashed(stage, &two.listener.accept(), first);
        expect_dash(stage, ends);
        std::fs::write(LAST_PID, (first - 1).to_string())
            .map_err(|error| Lacking(format!("{LAST_PID}: {error}")))?;
        let second = stage.actor(Place::Here)?;
        let (mut client, mut server) = two.listener.pair(&second.hand(), Way::AsIs);
        client.write_to(&mut server, 90);
        stage.expect_both(close_in_order(&mut client, &mut server));
        reused += usize::from(second.who().pid == first);
        if reused == 3 {
            return Ok(());
        }
    }
    Err(Lacking(format!("{reused} process ids were used again in {ATTEMPTS} attempts, 3 are wanted")))
}

/// The same addresses and ports in two network namespaces.
fn network_namespace(stage: &mut Stage) -> Played {
    const SAME: &str = "127.0.0.1:7777";
    let mut ends = Vec::new();
    for bytes in [5, 6, 7] {
        let server = stage.actor(Place::NewNetwork)?;
        let client = stage.actor(Place::NetworkOf(server.who().pid))?;
        let address = SAME.parse().expect("an address");
        let socket = super::actor::new_number();
        server.hand().act(format!("listen {socket} {SAME} 16"));
        stage.claim_port(&server.hand(), 7777);
        let listener = super::end::Listener { hand: server.hand(), socket, address };
        let from = new_socket(&client.hand(), address);
        client.hand().act(format!("bind {from} 127.0.0.1:8888"));
        let mut one = End::connect_socket(&client.hand(), from, address);
        let mut other = listener.accept();
        one.write_to(&mut other, bytes);
        ends.push((one, other, client, server));
    }
    for (client, server, ..) in &mut ends {
        stage.expect_both(close_in_order(client, server));
    }
    Ok(())
}

/// In new user, process id and network namespaces: the host's process id, and beside it the process's own.
fn pid_namespace(stage: &mut Stage) -> Played {
    let server = stage.actor(Place::Nested)?;
    let client = stage.actor(Place::NetworkOf(server.who().pid))?;
    assert_ne!(server.who().pid, server.who().own_pid, "it has another process id inside");
    let listener = stage.listener(&server.hand(), "127.0.0.1");
    for inside_connects in [false, true] {
        let (mut client, mut server) = if inside_connects {
            let outer = stage.listener(&client.hand(), "::1");
            outer.pair(&server.hand(), Way::AsIs)
        } else {
            listener.pair(&client.hand(), Way::AsIs)
        };
        client.write_to(&mut server, 11);
        stage.expect_both(close_in_order(&mut client, &mut server));
    }
    let child = stage.child(&server, listener.socket);
    assert_ne!(child.who().pid, child.who().own_pid);
    let (mut client, mut server) = listener.seen_by(&child.hand(), INHERITED).pair(&client.hand(), Way::AsIs);
    stage.expect_both(close_in_order(&mut client, &mut server));
    Ok(())
}

fn uring_connect(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    let hand = two.client.hand();
    for _ in 0..3 {
        let to = two.listener.address;
        let socket = new_socket(&hand, to);
        let words = hand.try_do(format!("uring_connect {socket} {to}"));
        if words.as_ref().map_or(true, |words| words[0] != "0") {
            return Err(Lacking(format!("no io_uring: {words:?}")));
        }
        let local = words.unwrap_or_default()[2].parse().expect("an address");
        let mut server = two.listener.accept();
        let mut client = End { socket, side: Side::Client, local, peer: to, ..server.clone() };
        (client.hand, client.owner) = (hand.clone(), hand.who());
        client.write_to(&mut server, 12);
        stage.expect_both(close_in_order(&mut client, &mut server));
    }
    Ok(())
}

/// The acceptor closes first or last; either way it is the task that closes.
fn uring_accept(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    for server_first in [true, false] {
        let mut client = End::connect(&two.client.hand(), two.listener.address);
        let mut server =
            two.listener.accept_by_uring().map_err(|error| Lacking(format!("no io_uring: {error}")))?;
        client.write_to(&mut server, 13);
        let ends = if server_first {
            close_in_order(&mut server, &mut client)
        } else {
            let [client, server] = close_in_order(&mut client, &mut server);
            [server, client]
        };
        let attributions = stage.plan.uring_accept();
        stage.expect_both(ends.map(|mut end| {
            if end.side == Side::Server {
                end.attributions = attributions;
            }
            end
        }));
    }
    Ok(())
}

/// Reset by the peer: it is over before the acceptor, which listens as well, closes anything.
fn uring_accept_peer_closes(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    let mut client = End::connect(&two.client.hand(), two.listener.address);
    let mut server =
        two.listener.accept_by_uring().map_err(|error| Lacking(format!("no io_uring: {error}")))?;
    client.write_to(&mut server, 14);
    client.reset();
    assert!(matches!(server.read_all(), Stopped::Error(_)));
    server.close();
    let mut server = server.torn("peer_reset");
    server.attributions = stage.plan.uring_accept();
    stage.expect_both([client.torn("local_reset"), server]);
    Ok(())
}

/// The kernel's own socket, of a network file system that a process mounts: it is nobody's. The other end is as any.
fn kernel_socket(stage: &mut Stage) -> Played {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !known.lines().any(|line| line.ends_with("\tnfs4")) {
        return Err(Lacking("no NFS client in this kernel".to_owned()));
    }
    let server = stage.actor(Place::NewNetwork)?;
    for _ in 0..2 {
        let listener = stage.listener(&server.hand(), "127.0.0.1");
        let mounting = stage.actor(Place::NetworkOf(server.who().pid))?;
        let number = listener.begin_accept();
        mounting.new_hand().begin(format!("mount_nfs {}", listener.address.port()));
        let mut server = listener.accepted(number);
        server.wait_for_pending(1);
        // Nobody answers; with the process ends the attempt, and the kernel closes its socket.
        mounting.exit();
        assert_eq!(server.read_all(), Stopped::AtEnd);
        server.close();
        let client = End {
            side: Side::Client,
            local: server.peer,
            peer: server.local,
            written: server.read,
            read: server.written,
            ..server.clone()
        };
        let mut client = client.ended("local_close");
        (client.owner, client.attributions, client.kernel_owned) = (None, &["unknown"], true);
        stage.expect_both([client, server.ended("peer_close")]);
        listener.close();
    }
    Ok(())
}

/// 64 workers wait in accept since before convis: each is right from its first connection on.
fn blocked_workers(stage: &mut Stage) -> Result<Rest, Lacking> {
    const PROCESSES: usize = 8;
    const THREADS: usize = 8;
    let two = stage.two("127.0.0.1")?;
    let children: Vec<Actor> =
        (0..PROCESSES).map(|_| stage.child(&two.server, two.listener.socket)).collect();
    let workers: Vec<_> = children
        .iter()
        .flat_map(|child| (0..THREADS).map(|_| two.listener.seen_by(&child.new_hand(), INHERITED)))
        .collect();
    let waiting: Vec<u32> = workers.iter().map(super::end::Listener::begin_accept).collect();
    Ok(Box::new(move |stage: &mut Stage| {
        let _children = children;
        let mut clients: Vec<End> =
            workers.iter().map(|_| End::connect(&two.client.hand(), two.listener.address)).collect();
        let mut servers: Vec<End> =
            workers.iter().zip(&waiting).map(|(worker, number)| worker.accepted(*number)).collect();
        for client in &mut clients {
            let place = servers.iter().position(|server| server.peer == client.local);
            let mut server = servers.swap_remove(place.expect("somebody accepted it"));
            client.write_to(&mut server, 15);
            stage.expect_both(close_in_order(client, &mut server));
        }
        Ok(())
    }))
}
