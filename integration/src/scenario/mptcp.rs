//! Multipath TCP: each subflow is one TCP connection, its owner the process with the socket above it.
//! Above TCP, both ends agree on the end; then each closes the subflow, and either FIN may be the first. What one end sent is
//! what the other received, but MPTCP may have sent some of it twice, of which it keeps an account.

use std::net::SocketAddr;

use super::actor::{Actor, Hand, Place, new_number};
use super::end::{End, Listener, Stopped, Way};
use super::stage::{Lacking, Played, Stage};
use super::suite::Scenario;

/// The scenarios of this file.
pub(super) const ALL: &[Scenario] = &[
    Scenario::during("mptcp.both", both),
    Scenario::during("mptcp.client", client),
    Scenario::during("mptcp.server", server),
];

/// Both ends speak it.
fn both(stage: &mut Stage) -> Played {
    play(stage, true, true)
}

/// Falls back to plain TCP, because the server speaks nothing else.
fn client(stage: &mut Stage) -> Played {
    play(stage, true, false)
}

/// A plain TCP client at a listener that speaks both, as many programs' are by default.
fn server(stage: &mut Stage) -> Played {
    play(stage, false, true)
}

fn play(stage: &mut Stage, client_speaks: bool, server_speaks: bool) -> Played {
    let (client, server) = (stage.actor(Place::Here)?, stage.actor(Place::Here)?);
    for address in ["127.0.0.1", "::1"] {
        let listener = listener(stage, &server, address, server_speaks)?;
        for (bytes, client_first) in [(0, true), (1, false), (5000, true), (200_000, false)] {
            let (mut client, mut server) = connect(&client.hand(), &listener, client_speaks)?;
            client.write_to(&mut server, bytes);
            server.write_to(&mut client, bytes / 2);
            let (first, second) =
                if client_first { (&mut client, &mut server) } else { (&mut server, &mut client) };
            let is_multipath = client_speaks && server_speaks;
            let again = is_multipath.then(|| [first.sent_again(), second.sent_again()]);
            first.close();
            assert_eq!(second.read_all(), Stopped::AtEnd, "the other end closes");
            second.close();
            let mut ends = [first.ended("local_close"), second.ended("peer_close")];
            ends[0].closed().subflow = again;
            ends[1].closed().subflow = again.map(|[first, second]| [second, first]);
            stage.expect_both(ends);
        }
    }
    Ok(())
}

fn socket(hand: &Hand, at: SocketAddr) -> Result<u32, Lacking> {
    let socket = new_number();
    let made = hand.try_do(format!("mptcp_socket {socket} {}", if at.is_ipv4() { 4 } else { 6 }));
    made.map(|_| socket).map_err(|(_, error)| Lacking(format!("no MPTCP: {error}")))
}

fn listener(stage: &mut Stage, actor: &Actor, address: &str, speaks: bool) -> Result<Listener, Lacking> {
    let hand = actor.hand();
    if !speaks {
        return Ok(stage.listener(&hand, address));
    }
    let any = SocketAddr::new(address.parse().expect("an IP address"), 0);
    let socket = socket(&hand, any)?;
    hand.act(format!("bind {socket} {any}"));
    hand.act(format!("relisten {socket}"));
    let address: SocketAddr = hand.act(format!("name {socket}"))[0].parse().expect("an address");
    stage.claim_port(&hand, address.port());
    Ok(Listener { hand, socket, address })
}

fn connect(hand: &Hand, listener: &Listener, speaks: bool) -> Result<(End, End), Lacking> {
    if !speaks {
        return Ok(listener.pair(hand, Way::AsIs));
    }
    let socket = socket(hand, listener.address)?;
    let client = End::connect_socket(hand, socket, listener.address);
    Ok((client, listener.accept()))
}
