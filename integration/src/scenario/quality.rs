//! Round-trip time, segments, retransmissions and handshakes, against what the sockets themselves tell once they have ended.

use std::time::Duration;

use super::actor::Hand;
use super::end::{End, Listener, Stopped, Way, close_in_order, new_socket};
use super::expect::{Expected, Quality};
use super::links::Pair;
use super::stage::{Lacking, Played, Stage};
use super::suite::Scenario;
use crate::clock::{now, wait_for};

/// The scenarios of this file.
pub(super) const ALL: &[Scenario] = &[
    Scenario::during("quality.loopback", loopback),
    Scenario::during("quality.delay", delay),
    Scenario::during("quality.lost_syn", lost_syn),
    Scenario::during("quality.retransmits", retransmits),
];

/// States of `TCP_INFO`.
const SYN_SENT: u64 = 2;
const CLOSE: u64 = 7;

/// `TCP_INFO` of a socket, by any hand of its process, as soon as it is in this state.
fn info_in_state(hand: &Hand, socket: u32, state: u64) -> Vec<u64> {
    let numbers =
        || hand.act(format!("info {socket}")).iter().map(|word| word.parse().expect("a number")).collect();
    wait_for("a state of the connection", Duration::from_secs(20), || {
        Some(numbers()).filter(|numbers: &Vec<u64>| numbers[6] == state)
    })
}

/// What it says of an end that is over: nothing changes any more.
fn settled(end: &End) -> Quality {
    let numbers = info_in_state(&end.hand, end.socket, CLOSE);
    let [rtt, retransmits, _, _, segments_out, segments_in, _] = numbers[..] else { panic!("seven numbers") };
    Quality { rtt, segments_out, segments_in, retransmits }
}

/// Ends both directions and asks both sockets before they are closed.
fn close_measured(first: &mut End, second: &mut End) -> [Expected; 2] {
    first.shutdown();
    assert_eq!(second.read_all(), Stopped::AtEnd, "the other end is over");
    second.shutdown();
    assert_eq!(first.read_all(), Stopped::AtEnd, "the other end is over");
    let qualities = [settled(first), settled(second)];
    first.close();
    second.close();
    let mut ends = [first.ended("local_close"), second.ended("peer_close")];
    for (end, quality) in ends.iter_mut().zip(qualities) {
        end.closed().quality = Some(quality);
    }
    ends
}

fn loopback(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    for bytes in [0, 1, 100_000] {
        for client_first in [true, false] {
            let (mut client, mut server) = two.pair();
            client.write_to(&mut server, bytes);
            server.write_to(&mut client, bytes);
            let ends = if client_first {
                close_measured(&mut client, &mut server)
            } else {
                close_measured(&mut server, &mut client)
            };
            stage.expect_both(ends);
        }
    }
    Ok(())
}

/// 20 ms each way: both the handshake and the round trips take at least 40.
fn delay(stage: &mut Stage) -> Played {
    const EACH_WAY: u32 = 20_000;
    let pair = Pair::new(stage)?;
    let listener = stage.listener(&pair.server.hand(), Pair::SERVER);
    for (actor, link) in [(&pair.client, "near"), (&pair.server, "far")] {
        let begun = actor.hand().try_do(format!("net delay {link} {EACH_WAY} 0"));
        begun.map_err(|(_, error)| Lacking(format!("no netem: {error}")))?;
    }
    let (mut client, mut server) = listener.pair(&pair.client.hand(), Way::AsIs);
    client.write_to(&mut server, 5000);
    server.write_to(&mut client, 5000);
    std::thread::sleep(Duration::from_millis(200));
    let mut ends = close_measured(&mut client, &mut server);
    ends[0].closed().handshake_at_least = 0.04;
    stage.expect_both(ends);
    Ok(())
}

/// The first SYN is lost: the handshake takes the second of its retransmission, which counts.
fn lost_syn(stage: &mut Stage) -> Played {
    let pair = Pair::new(stage)?;
    let listener = stage.listener(&pair.server.hand(), Pair::SERVER);
    let (mut client, mut server) = connect_through_gap(&pair, &listener);
    client.write_to(&mut server, 10);
    let mut ends = close_in_order(&mut client, &mut server);
    ends[0].closed().handshake_at_least = 0.9;
    stage.expect_both(ends);
    Ok(())
}

fn connect_through_gap(pair: &Pair, listener: &Listener) -> (End, End) {
    let hand = pair.client.hand();
    let asking = pair.client.new_hand();
    pair.server.hand().act("net down far");
    let socket = new_socket(&hand, listener.address);
    let began = now();
    hand.begin(format!("connect {socket} {}", listener.address));
    // The socket is locked from this state on until its SYN has been sent.
    info_in_state(&asking, socket, SYN_SENT);
    pair.server.hand().act("net up far");
    let words = hand.wait().unwrap_or_else(|(_, error)| panic!("connect: {error}"));
    assert_eq!(words[0], "0", "connected after {:?}", began.elapsed());
    let nanos: u64 = words[1].parse().expect("nanoseconds");
    let server = listener.accept();
    let client = End {
        hand: hand.clone(),
        socket,
        owner: hand.who(),
        side: crate::truth::Side::Client,
        local: words[2].parse().expect("an address"),
        peer: listener.address,
        took: Some(crate::clock::seconds(nanos)),
        ..server.clone()
    };
    (client, server)
}

/// Sent again while the link was down: as often as the socket says.
fn retransmits(stage: &mut Stage) -> Played {
    let pair = Pair::new(stage)?;
    let listener = stage.listener(&pair.server.hand(), Pair::SERVER);
    let (mut client, mut server) = listener.pair(&pair.client.hand(), Way::AsIs);
    client.write_to(&mut server, 100);
    pair.server.hand().act("net down far");
    client.write(300);
    std::thread::sleep(Duration::from_millis(900));
    pair.server.hand().act("net up far");
    assert_eq!(server.read_some(300), Stopped::Enough);
    let ends = close_measured(&mut client, &mut server);
    stage.expect_both(ends);
    Ok(())
}
