//! Connections that were open before convis: their owners come from a snapshot, their totals from their beginning.

use super::actor::{Actor, Place};
use super::end::{End, Stopped, Way, close_in_order};
use super::expect::Expected;
use super::hands::INHERITED;
use super::stage::{Lacking, Played, Stage};
use super::suite::{Rest, Scenario};

const ECONNRESET: i32 = 104;

/// The scenarios of this file.
pub(super) const ALL: &[Scenario] = &[
    Scenario::spanning("preexisting.here", here),
    Scenario::spanning("preexisting.one_process", one_process),
    Scenario::spanning("preexisting.network_namespaces", network_namespaces),
    Scenario::spanning("preexisting.pid_namespace", pid_namespace),
    Scenario::spanning("preexisting.prefork", prefork),
    Scenario::spanning("preexisting.half_closed", half_closed),
    Scenario::spanning("preexisting.reset", reset),
    Scenario::spanning("preexisting.listener_gone", listener_gone),
    Scenario::spanning("preexisting.listener", listener),
];

/// A connection and its actors, which live until it is closed.
type Open = (End, End, Vec<Actor>);

/// What convis can say of an end it did not see begin.
fn old(mut end: Expected) -> Expected {
    end.attributions = &["procfs"];
    let closed = end.closed();
    closed.opened = false;
    closed.preexisting = true;
    end
}

/// More bytes now that convis captures, then an orderly end, the client's and the server's in turn.
fn go_on(mut open: Vec<Open>) -> Rest {
    Box::new(move |stage: &mut Stage| {
        for (turn, (client, server, _actors)) in open.iter_mut().enumerate() {
            client.write_to(server, 1000 + turn as u64);
            server.write_to(client, 20_000);
            let ends =
                if turn % 2 == 0 { close_in_order(client, server) } else { close_in_order(server, client) };
            stage.expect_both(ends.map(old));
        }
        Ok(())
    })
}

fn begin(client: &mut End, server: &mut End) {
    client.write_to(server, 3000);
    server.write_to(client, 70_000);
}

/// Two processes, both families and the mapped form.
fn here(stage: &mut Stage) -> Result<Rest, Lacking> {
    let mut open = Vec::new();
    for (address, way) in
        [("127.0.0.1", Way::AsIs), ("::1", Way::AsIs), ("::", Way::Mapped), ("::", Way::Ipv4)]
    {
        for _ in 0..2 {
            let two = stage.two(address)?;
            let (mut client, mut server) = two.listener.pair(&two.client.hand(), way);
            begin(&mut client, &mut server);
            open.push((client, server, vec![two.client, two.server]));
        }
    }
    Ok(go_on(open))
}

/// Both ends in one process.
fn one_process(stage: &mut Stage) -> Result<Rest, Lacking> {
    let actor = stage.actor(Place::Here)?;
    let listener = stage.listener(&actor.hand(), "127.0.0.1");
    let hand = actor.new_hand();
    let mut open = Vec::new();
    for _ in 0..2 {
        let (mut client, mut server) = listener.pair(&hand, Way::AsIs);
        begin(&mut client, &mut server);
        open.push((client, server, Vec::new()));
    }
    open[0].2.push(actor);
    Ok(go_on(open))
}

fn network_namespaces(stage: &mut Stage) -> Result<Rest, Lacking> {
    let mut open = Vec::new();
    for address in ["127.0.0.1", "::1", "127.0.0.1"] {
        let server = stage.actor(Place::NewNetwork)?;
        let client = stage.actor(Place::NetworkOf(server.who().pid))?;
        let listener = stage.listener(&server.hand(), address);
        let (mut one, mut other) = listener.pair(&client.hand(), Way::AsIs);
        begin(&mut one, &mut other);
        open.push((one, other, vec![client, server]));
    }
    Ok(go_on(open))
}

fn pid_namespace(stage: &mut Stage) -> Result<Rest, Lacking> {
    let server = stage.actor(Place::Nested)?;
    let client = stage.actor(Place::NetworkOf(server.who().pid))?;
    let listener = stage.listener(&server.hand(), "127.0.0.1");
    let (mut one, mut other) = listener.pair(&client.hand(), Way::AsIs);
    begin(&mut one, &mut other);
    Ok(go_on(vec![(one, other, vec![client, server])]))
}

/// Accepted by a child whose parent listens.
fn prefork(stage: &mut Stage) -> Result<Rest, Lacking> {
    let two = stage.two("127.0.0.1")?;
    let child = stage.child(&two.server, two.listener.socket);
    let listener = two.listener.seen_by(&child.hand(), INHERITED);
    let (mut client, mut server) = listener.pair(&two.client.hand(), Way::AsIs);
    begin(&mut client, &mut server);
    Ok(go_on(vec![(client, server, vec![two.client, two.server, child])]))
}

/// One direction was already over.
fn half_closed(stage: &mut Stage) -> Result<Rest, Lacking> {
    let two = stage.two("127.0.0.1")?;
    let (mut client, mut server) = two.pair();
    begin(&mut client, &mut server);
    client.shutdown();
    assert_eq!(server.read_all(), Stopped::AtEnd);
    Ok(Box::new(move |stage: &mut Stage| {
        let _two = two;
        server.write_to(&mut client, 999);
        server.close();
        assert_eq!(client.read_all(), Stopped::AtEnd);
        client.close();
        stage.expect_both([client.ended("local_close"), server.ended("peer_close")].map(old));
        Ok(())
    }))
}

/// Its end is a reset.
fn reset(stage: &mut Stage) -> Result<Rest, Lacking> {
    let two = stage.two("127.0.0.1")?;
    let (mut client, mut server) = two.pair();
    begin(&mut client, &mut server);
    Ok(Box::new(move |stage: &mut Stage| {
        let _two = two;
        server.reset();
        assert_eq!(client.read_all(), Stopped::Error(ECONNRESET));
        client.close();
        stage.expect_both([client.torn("peer_reset"), server.torn("local_reset")].map(old));
        Ok(())
    }))
}

/// The listener closed before convis started: what tells a server from a client may be gone with it.
fn listener_gone(stage: &mut Stage) -> Result<Rest, Lacking> {
    let two = stage.two("127.0.0.1")?;
    let (mut client, mut server) = two.pair();
    begin(&mut client, &mut server);
    two.listener.close();
    Ok(Box::new(move |stage: &mut Stage| {
        let _two = two;
        client.write_to(&mut server, 5);
        let ends = close_in_order(&mut client, &mut server);
        stage.expect_both(ends.map(|end| {
            let mut end = old(end);
            end.closed().role_may_be_unknown = true;
            end
        }));
        Ok(())
    }))
}

/// Only the listener is old: what it accepts now is as new as any.
fn listener(stage: &mut Stage) -> Result<Rest, Lacking> {
    let two = stage.two("127.0.0.1")?;
    Ok(Box::new(move |stage: &mut Stage| -> Played {
        let (mut client, mut server) = two.pair();
        begin(&mut client, &mut server);
        stage.expect_both(close_in_order(&mut client, &mut server));
        Ok(())
    }))
}
