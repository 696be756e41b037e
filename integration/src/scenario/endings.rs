//! Every way a connection can end.

use std::net::SocketAddr;
use std::time::Duration;

use super::actor::Place;
use super::end::{End, Listener, Stopped, Way, close_in_order, new_socket};
use super::links::Pair;
use super::stage::{Lacking, Played, Stage};
use super::suite::Scenario;

const ECONNRESET: i32 = 104;
const ETIMEDOUT: i32 = 110;

/// The scenarios of this file.
pub(super) const ALL: &[Scenario] = &[
    Scenario::during("endings.close", close),
    Scenario::during("endings.half_close", half_close),
    Scenario::during("endings.linger0", linger0),
    Scenario::during("endings.unread", unread),
    Scenario::during("endings.reset_after_fin", reset_after_fin),
    Scenario::during("endings.exit", exit),
    Scenario::during("endings.timeout", timeout),
    Scenario::during("endings.disconnect", disconnect),
    Scenario::during("endings.destroyed", destroyed),
    Scenario::during("endings.fast_open", fast_open),
    Scenario::during("endings.fast_open_unwritten", fast_open_unwritten),
    Scenario::during("endings.unaccepted", unaccepted),
    Scenario::during("endings.unaccepted_shared_port", unaccepted_shared_port),
    Scenario::during("endings.peer_gone_before_accept", peer_gone_before_accept),
];

/// Either end closes first, with and without data, over both families.
fn close(stage: &mut Stage) -> Played {
    for address in ["127.0.0.1", "::1"] {
        let two = stage.two(address)?;
        for (bytes, client_first) in [(0, true), (0, false), (1, true), (5000, false)] {
            let (mut client, mut server) = two.pair();
            client.write_to(&mut server, bytes);
            server.write_to(&mut client, bytes / 2);
            let ends = if client_first {
                close_in_order(&mut client, &mut server)
            } else {
                close_in_order(&mut server, &mut client)
            };
            stage.expect_both(ends);
        }
    }
    Ok(())
}

/// The first FIN decides, whatever comes after it: data, or even a reset by the other end.
fn half_close(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    for client_first in [true, false] {
        let (client, server) = two.pair();
        let (mut first, mut second) = if client_first { (client, server) } else { (server, client) };
        first.write_to(&mut second, 100);
        first.shutdown();
        assert_eq!(second.read_all(), Stopped::AtEnd);
        second.write_to(&mut first, 200_000);
        second.close();
        assert_eq!(first.read_all(), Stopped::AtEnd);
        first.close();
        stage.expect_both([first.ended("local_close"), second.ended("peer_close")]);
    }
    Ok(())
}

/// `SO_LINGER` 0.
fn linger0(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    for client_first in [true, false] {
        let (client, server) = two.pair();
        let (mut first, mut second) = if client_first { (client, server) } else { (server, client) };
        first.write_to(&mut second, 1000);
        second.write_to(&mut first, 10);
        first.reset();
        assert_eq!(second.read_all(), Stopped::Error(ECONNRESET));
        second.close();
        stage.expect_both([first.torn("local_reset"), second.torn("peer_reset")]);
    }
    Ok(())
}

/// A close with unread data is a reset.
fn unread(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    for client_first in [true, false] {
        let (client, server) = two.pair();
        let (mut first, mut second) = if client_first { (client, server) } else { (server, client) };
        second.write(3000);
        first.wait_for_pending(3000);
        assert_eq!(first.read_some(1000), Stopped::Enough);
        first.close();
        assert_eq!(second.read_all(), Stopped::Error(ECONNRESET));
        second.close();
        let mut resetting = first.torn("local_reset");
        // Arrived, though the application left 2000 of them.
        resetting.closed().received = Some(3000);
        stage.expect_both([resetting, second.torn("peer_reset")]);
    }
    Ok(())
}

/// A reset by either end after a FIN does not change the first cause.
fn reset_after_fin(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    for client_first in [true, false] {
        let (client, server) = two.pair();
        let (first, mut second) = if client_first { (client, server) } else { (server, client) };
        first.shutdown();
        assert_eq!(second.read_all(), Stopped::AtEnd);
        second.reset();
        assert!(matches!(first.clone().read_all(), Stopped::Error(_)));
        first.close();
        stage.expect_both([first.torn("local_close"), second.torn("peer_close")]);
    }
    Ok(())
}

/// The end of a process closes its connections.
fn exit(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    let ends: Vec<(End, End)> = (0..5)
        .map(|_| {
            let (mut client, mut server) = two.pair();
            client.write_to(&mut server, 77);
            (client, server)
        })
        .collect();
    two.client.exit();
    for (client, mut server) in ends {
        assert_eq!(server.read_all(), Stopped::AtEnd);
        server.close();
        stage.expect_both([client.ended("local_close"), server.ended("peer_close")]);
    }
    Ok(())
}

/// The peer falls silent; the client's patience ends.
fn timeout(stage: &mut Stage) -> Played {
    let pair = Pair::new(stage)?;
    let listener = stage.listener(&pair.server.hand(), Pair::SERVER);
    let (mut client, mut server) = listener.pair(&pair.client.hand(), Way::AsIs);
    client.write_to(&mut server, 500);
    server.write_to(&mut client, 600);
    client.act("option 6 18 1000");
    pair.server.hand().act("net down far");
    client.write(4000);
    assert_eq!(client.read_all(), Stopped::Error(ETIMEDOUT));
    client.close();
    pair.server.hand().act("net up far");
    server.close();
    stage.expect_both([client.torn("timeout"), server.torn("local_close")]);
    Ok(())
}

/// `connect(AF_UNSPEC)` ends a connection; the same socket then makes another one.
fn disconnect(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    let hand = two.client.hand();
    let (mut client, mut server) = two.pair();
    for round in 0..3 {
        client.write_to(&mut server, 100 + round);
        hand.act(format!("unspec {}", client.socket));
        assert_eq!(server.read_all(), Stopped::Error(ECONNRESET));
        server.close();
        stage.expect_both([client.torn("local_reset"), server.torn("peer_reset")]);
        client = End::connect_socket(&hand, client.socket, two.listener.address);
        server = two.listener.accept();
    }
    client.write_to(&mut server, 5);
    stage.expect_both(close_in_order(&mut client, &mut server));
    Ok(())
}

/// Ended from outside, by a process that has neither end: a reset by the end that it names.
fn destroyed(stage: &mut Stage) -> Played {
    const ECONNABORTED: i32 = 103;
    let two = stage.two("127.0.0.1")?;
    let outsider = stage.actor(Place::Here)?;
    for client_ends in [true, false] {
        let (mut client, mut server) = two.pair();
        client.write_to(&mut server, 300);
        server.write_to(&mut client, 400);
        let (mut ended, mut other) = if client_ends { (client, server) } else { (server, client) };
        let done = outsider.hand().try_do(format!("destroy {} {}", ended.local, ended.peer));
        if let Err((_, error)) = done {
            stage.expect_both(close_in_order(&mut ended, &mut other));
            return Err(Lacking(format!("no SOCK_DESTROY: {error}")));
        }
        assert_eq!(ended.read_all(), Stopped::Error(ECONNABORTED));
        assert_eq!(other.read_all(), Stopped::Error(ECONNRESET));
        ended.close();
        other.close();
        let mut end = ended.torn("local_reset");
        end.closed().closing_pid = Some(outsider.who().pid);
        stage.expect_both([end, other.torn("peer_reset")]);
    }
    Ok(())
}

/// Two hands in a network namespace where fast open needs no cookie.
fn fast_open_place(
    stage: &mut Stage,
) -> Result<(super::actor::Actor, super::actor::Actor, Listener), Lacking> {
    let server = stage.actor(Place::NewNetwork)?;
    server.hand().try_do("sysctl net/ipv4/tcp_fastopen 1543").map_err(|(_, error)| Lacking(error))?;
    let client = stage.actor(Place::NetworkOf(server.who().pid))?;
    let listener = stage.listener(&server.hand(), "127.0.0.1");
    Ok((client, server, listener))
}

/// Data in the SYN; each end closes first once.
fn fast_open(stage: &mut Stage) -> Played {
    let (actor, _server, listener) = fast_open_place(stage)?;
    for (bytes, client_first) in [(10, true), (1000, false), (0, true)] {
        let hand = actor.hand();
        let socket = new_socket(&hand, listener.address);
        let rest = format!("{} {bytes}", listener.address);
        let mut client = End::connect_by(&hand, "fast_connect", socket, listener.address, &rest);
        client.written += bytes;
        // The call returns before the handshake is over.
        client.took = None;
        let mut server = listener.accept();
        assert_eq!(server.read_some(bytes), Stopped::Enough);
        server.write_to(&mut client, 20);
        client.write_to(&mut server, 30);
        let ends = if client_first {
            close_in_order(&mut client, &mut server)
        } else {
            close_in_order(&mut server, &mut client)
        };
        stage.expect_both(ends);
    }
    Ok(())
}

/// `TCP_FASTOPEN_CONNECT`: nothing happens before the first write, so a close before it is no failure.
fn fast_open_unwritten(stage: &mut Stage) -> Played {
    const FASTOPEN_CONNECT: i32 = 30;
    let (actor, _server, listener) = fast_open_place(stage)?;
    let hand = actor.hand();
    let connect = || {
        let socket = new_socket(&hand, listener.address);
        hand.act(format!("option {socket} 6 {FASTOPEN_CONNECT} 1"));
        let mut client = End::connect_socket(&hand, socket, listener.address);
        client.took = None;
        client
    };
    connect().close();
    let mut client = connect();
    std::thread::sleep(Duration::from_millis(300));
    client.write(40);
    let mut server = listener.accept();
    assert_eq!(server.read_some(40), Stopped::Enough);
    client.local = hand.act(format!("name {}", client.socket))[0].parse().expect("an address");
    stage.expect_both(close_in_order(&mut client, &mut server));
    connect().close();
    Ok(())
}

/// A listener that closes with children nobody accepted: they are its owner's, and were never opened.
fn unaccepted(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    let hand = two.client.hand();
    let mut clients: Vec<End> = (0..3).map(|_| End::connect(&hand, two.listener.address)).collect();
    clients[1].write(100);
    wait_until_acknowledged(&clients[1]);
    two.listener.close();
    for client in &mut clients {
        assert_eq!(client.read_all(), Stopped::Error(ECONNRESET));
        client.close();
        let child = child_of(client, &two.listener);
        let mut unaccepted = child.torn("local_reset");
        unaccepted.attributions = &["inherited"];
        unaccepted.closed().opened = false;
        unaccepted.closed().accepted = false;
        unaccepted.closed().received = Some(client.written);
        stage.expect_both([client.torn("peer_reset"), unaccepted]);
    }
    Ok(())
}

/// Two processes listen on one port: whose child it was may be unknown, but it is never the other's.
fn unaccepted_shared_port(stage: &mut Stage) -> Played {
    const REUSEPORT: i32 = 15;
    const SOL_SOCKET: i32 = 1;
    let client = stage.actor(Place::Here)?;
    let servers = [stage.actor(Place::Here)?, stage.actor(Place::Here)?];
    let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut listeners = Vec::new();
    for server in &servers {
        let hand = server.hand();
        let socket = new_socket(&hand, address);
        hand.act(format!("option {socket} {SOL_SOCKET} {REUSEPORT} 1"));
        hand.act(format!("bind {socket} {address}"));
        address = hand.act(format!("name {socket}"))[0].parse().expect("an address");
        hand.act(format!("relisten {socket}"));
        listeners.push((hand, socket));
    }
    stage.claim_port(&client.hand(), address.port());
    let mut clients: Vec<End> = (0..12).map(|_| End::connect(&client.hand(), address)).collect();
    for (hand, socket) in listeners {
        let listener = Listener { hand, socket, address };
        listener.close();
        // The children of that listener are reset, the other's live on.
        std::thread::sleep(Duration::from_millis(200));
        let (reset, alive): (Vec<End>, Vec<End>) =
            clients.into_iter().partition(|client| client.act("wait in 0") == ["true".to_owned()]);
        clients = alive;
        for mut client in reset {
            assert_eq!(client.read_all(), Stopped::Error(ECONNRESET));
            client.close();
            let mut child = child_of(&client, &listener).torn("local_reset");
            child.attributions = &["inherited", "unknown"];
            child.closed().opened = false;
            child.closed().accepted = false;
            stage.expect_both([client.torn("peer_reset"), child]);
        }
    }
    assert!(clients.is_empty(), "every child was some listener's");
    Ok(())
}

/// Reset or closed by the client before it is accepted: accepting still works, and the acceptor owns it.
fn peer_gone_before_accept(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    for reset in [true, false] {
        let mut client = End::connect(&two.client.hand(), two.listener.address);
        client.write(50);
        wait_until_acknowledged(&client);
        if reset {
            client.reset();
        } else {
            client.close();
        }
        std::thread::sleep(Duration::from_millis(200));
        let mut server = two.listener.accept();
        (server.local, server.peer) = (client.peer, client.local);
        if reset {
            // Its bytes can still be read; then the reset shows.
            while server.read_some(1) == Stopped::Enough {}
            server.close();
            let mut end = server.torn("peer_reset");
            end.closed().received = Some(50);
            end.closed().accepted_late = true;
            stage.expect_both([client.torn("local_reset"), end]);
        } else {
            assert_eq!(server.read_all(), Stopped::AtEnd);
            server.close();
            stage.expect_both([client.ended("local_close"), server.ended("peer_close")]);
        }
    }
    Ok(())
}

/// The end that waits in a listener's queue.
fn child_of(client: &End, listener: &Listener) -> End {
    End {
        hand: listener.hand.clone(),
        socket: 0,
        owner: listener.hand.who(),
        listener: Some(listener.hand.who()),
        side: crate::truth::Side::Server,
        local: client.peer,
        peer: client.local,
        written: 0,
        read: 0,
        took: None,
    }
}

fn wait_until_acknowledged(end: &End) {
    crate::clock::wait_for("the acknowledgement", Duration::from_secs(20), || {
        let own_syn = 1;
        (end.act("info")[2].parse::<u64>().expect("a count") >= end.written + own_syn).then_some(())
    });
}
