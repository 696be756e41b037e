//! Bytes, however they are written and whatever happens to them on the way.
//!
//! Totals beyond 4 GiB are not among these: they take too long for a suite that runs at every change.

use std::thread::sleep;
use std::time::Duration;

use super::actor::Place;
use super::end::{End, Stopped, Way, close_in_order, new_socket};
use super::links::Pair;
use super::stage::{Lacking, Played, Stage};
use super::suite::Scenario;

const SOL_SOCKET: i32 = 1;
const SO_SNDBUF: i32 = 7;
const SO_RCVBUF: i32 = 8;

/// The scenarios of this file.
pub(super) const ALL: &[Scenario] = &[
    Scenario::during("bytes.ways_to_write", ways_to_write),
    Scenario::during("bytes.zerocopy", zerocopy),
    Scenario::during("bytes.fast_open", fast_open),
    Scenario::during("bytes.half_close", half_close),
    Scenario::during("bytes.zero_window", zero_window),
    Scenario::during("bytes.slow_reader", slow_reader),
    Scenario::during("bytes.torn_while_queued", torn_while_queued),
    Scenario::during("bytes.link_down", link_down),
    Scenario::during("bytes.bucket", bucket),
    Scenario::during("bytes.loss", loss),
];

fn ways_to_write(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    for how in ["write", "writev", "sendfile", "splice"] {
        for bytes in [1, 4097, 300_000, 3_000_000] {
            let (mut client, mut server) = two.pair();
            client.write_by(&mut server, bytes, how);
            server.write_by(&mut client, bytes / 2, how);
            stage.expect_both(close_in_order(&mut client, &mut server));
        }
    }
    Ok(())
}

fn zerocopy(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    for bytes in [1, 100_000] {
        let (mut client, mut server) = two.pair();
        let begun = client.hand.try_do(format!("option {} {SOL_SOCKET} 60 1", client.socket));
        begun.map_err(|(_, error)| Lacking(format!("no SO_ZEROCOPY: {error}")))?;
        client.write_by(&mut server, bytes, "zerocopy");
        stage.expect_both(close_in_order(&mut server, &mut client));
    }
    Ok(())
}

/// Data in the SYN, from the client that closes at once, with and without more of it.
fn fast_open(stage: &mut Stage) -> Played {
    let actor = stage.actor(Place::NewNetwork)?;
    actor.hand().try_do("sysctl net/ipv4/tcp_fastopen 1543").map_err(|(_, error)| Lacking(error))?;
    let client_hand = actor.new_hand();
    for address in ["127.0.0.1", "::1"] {
        let listener = stage.listener(&actor.hand(), address);
        for (with_syn, more) in [(1, 0), (1300, 0), (1300, 100_000)] {
            let socket = new_socket(&client_hand, listener.address);
            let rest = format!("{} {with_syn}", listener.address);
            let mut client = End::connect_by(&client_hand, "fast_connect", socket, listener.address, &rest);
            client.written += with_syn;
            client.took = None;
            client.write(more);
            client.close();
            let mut server = listener.accept();
            assert_eq!(server.read_all(), Stopped::AtEnd);
            server.close();
            stage.expect_both([client.ended("local_close"), server.ended("peer_close")]);
        }
    }
    Ok(())
}

fn half_close(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    for bytes in [0, 1, 2_000_000] {
        let (mut client, mut server) = two.pair();
        client.write_to(&mut server, 10);
        client.shutdown();
        assert_eq!(server.read_all(), Stopped::AtEnd);
        server.write_to(&mut client, bytes);
        server.shutdown();
        assert_eq!(client.read_all(), Stopped::AtEnd);
        server.close();
        client.close();
        stage.expect_both([client.ended("local_close"), server.ended("peer_close")]);
    }
    Ok(())
}

/// The reader sleeps with a tiny buffer: the window closes and opens again.
fn zero_window(stage: &mut Stage) -> Played {
    const BYTES: u64 = 200_000;
    let two = stage.two("127.0.0.1")?;
    two.server.hand().act(format!("option {} {SOL_SOCKET} {SO_RCVBUF} 2048", two.listener.socket));
    let (mut client, mut server) = two.pair();
    client.act(&format!("option {SOL_SOCKET} {SO_SNDBUF} 8192"));
    client.begin_write(BYTES, "write");
    sleep(Duration::from_millis(1500));
    assert_eq!(server.read_some(BYTES), Stopped::Enough);
    assert_eq!(client.wrote(), 0);
    stage.expect_both(close_in_order(&mut client, &mut server));
    Ok(())
}

/// Closed, and its process gone, with data still queued for a slow reader: all of it arrives and counts.
fn slow_reader(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    let dying = stage.actor(Place::Here)?;
    two.server.hand().act(format!("option {} {SOL_SOCKET} {SO_RCVBUF} 4096", two.listener.socket));
    let (mut client, mut server) = two.listener.pair(&dying.hand(), Way::AsIs);
    client.write(60_000);
    client.close();
    dying.exit();
    sleep(Duration::from_millis(500));
    while server.read_some(5000) == Stopped::Enough {
        sleep(Duration::from_millis(20));
    }
    assert_eq!(server.read, client.written);
    server.close();
    stage.expect_both([client.ended("local_close"), server.ended("peer_close")]);
    Ok(())
}

/// Reset by the slow reader while data is queued: what arrived, what was acknowledged and what was in flight add up.
fn torn_while_queued(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    two.server.hand().act(format!("option {} {SOL_SOCKET} {SO_RCVBUF} 4096", two.listener.socket));
    for closes_first in [false, true] {
        let (mut client, mut server) = two.pair();
        client.write(60_000);
        assert_eq!(server.read_some(1000), Stopped::Enough);
        if closes_first {
            client.close();
        }
        server.reset();
        let reasons =
            if closes_first { ["local_close", "local_reset"] } else { ["peer_reset", "local_reset"] };
        if !closes_first {
            assert!(matches!(client.read_all(), Stopped::Error(_)));
            client.close();
        }
        let mut server = server.torn(reasons[1]);
        // More has arrived than was read.
        server.closed().received = None;
        stage.expect_both([client.torn(reasons[0]), server]);
    }
    Ok(())
}

/// The link is down for a while: what was sent is sent again, and counts once.
fn link_down(stage: &mut Stage) -> Played {
    let pair = Pair::new(stage)?;
    let listener = stage.listener(&pair.server.hand(), Pair::SERVER);
    let far = pair.server.hand();
    for (link, hand) in [("far", &far), ("near", &pair.client.new_hand())] {
        let (mut client, mut server) = listener.pair(&pair.client.hand(), Way::AsIs);
        client.write_to(&mut server, 1000);
        hand.act(format!("net down {link}"));
        client.write(50_000);
        sleep(Duration::from_secs(1));
        hand.act(format!("net up {link}"));
        if link == "near" {
            // Taken down, the link forgot the neighbours.
            hand.try_do(format!("net silent near {}", Pair::SILENT)).ok();
        }
        assert_eq!(server.read_some(50_000), Stopped::Enough);
        stage.expect_both(close_in_order(&mut client, &mut server));
    }
    Ok(())
}

/// Through a queue that drops what does not fit, on the sender's own host: segments are dropped before they leave it.
fn bucket(stage: &mut Stage) -> Played {
    const BYTES: u64 = 3_000_000;
    let pair = Pair::new(stage)?;
    let listener = stage.listener(&pair.server.hand(), Pair::SERVER);
    let begun = pair.client.hand().try_do("net bucket near 2000000 20000 30000");
    begun.map_err(|(_, error)| Lacking(format!("no tbf: {error}")))?;
    let (mut client, mut server) = listener.pair(&pair.client.hand(), Way::AsIs);
    client.write_to(&mut server, BYTES);
    stage.expect_both(close_in_order(&mut client, &mut server));
    Ok(())
}

/// One of twenty packets is lost, on both ways; the two hosts know each other by then, or a lost question of the link's own
/// would be an attempt that fails.
fn loss(stage: &mut Stage) -> Played {
    let pair = Pair::new(stage)?;
    let listener = stage.listener(&pair.server.hand(), Pair::SERVER);
    let (mut client, mut server) = listener.pair(&pair.client.hand(), Way::AsIs);
    client.write_to(&mut server, 1);
    stage.expect_both(close_in_order(&mut client, &mut server));
    for (actor, link) in [(&pair.client, "near"), (&pair.server, "far")] {
        let begun = actor.hand().try_do(format!("net delay {link} 1000 20"));
        begun.map_err(|(_, error)| Lacking(format!("no netem: {error}")))?;
    }
    for client_first in [true, false] {
        let (mut client, mut server) = listener.pair(&pair.client.hand(), Way::AsIs);
        client.write_to(&mut server, 500_000);
        server.write_to(&mut client, 500_000);
        let (first, second) =
            if client_first { (&mut client, &mut server) } else { (&mut server, &mut client) };
        stage.expect_both(close_in_order(first, second));
    }
    Ok(())
}
