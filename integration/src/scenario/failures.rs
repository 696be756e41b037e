//! Attempts that never become a connection: each told once, with why.

use std::net::SocketAddr;
use std::time::Duration;

use super::actor::{Actor, Hand, Place};
use super::end::{End, attempt, close_in_order, failed, new_socket};
use super::links::Pair;
use super::stage::{Lacking, Played, Stage};
use super::suite::Scenario;

const EPERM: i32 = 1;
const EACCES: i32 = 13;
const EISCONN: i32 = 106;
const EADDRNOTAVAIL: i32 = 99;
const ENETUNREACH: i32 = 101;
const ETIMEDOUT: i32 = 110;
const ECONNREFUSED: i32 = 111;
const EHOSTUNREACH: i32 = 113;
const EALREADY: i32 = 114;
const EINPROGRESS: i32 = 115;

/// The scenarios of this file.
pub(super) const ALL: &[Scenario] = &[
    Scenario::during("failures.refused", refused),
    Scenario::during("failures.refused_nonblocking", refused_nonblocking),
    Scenario::during("failures.not_attempts", not_attempts),
    Scenario::during("failures.timed_out", timed_out),
    Scenario::during("failures.net_unreachable", net_unreachable),
    Scenario::during("failures.host_unreachable", host_unreachable),
    Scenario::during("failures.host_unreachable_after_syn", host_unreachable_after_syn),
    Scenario::during("failures.address_not_available", address_not_available),
    Scenario::during("failures.permission_denied", permission_denied),
    Scenario::during("failures.blocked_by_policy", blocked_by_policy),
    Scenario::during("failures.denied_by_module", denied_by_module),
    Scenario::during("failures.cancelled", cancelled),
    Scenario::during("failures.by_uring", by_uring),
];

/// Attempts once with a new socket and closes it.
fn try_once(stage: &mut Stage, hand: &Hand, to: SocketAddr, code: i32, error: &'static str) {
    let socket = new_socket(hand, to);
    let (found, _, _) = attempt(hand, "connect", socket, &to.to_string());
    assert_eq!(found, code, "{to}: {}", std::io::Error::from_raw_os_error(found));
    hand.act(format!("close {socket}"));
    stage.expect(failed(hand, None, to, error));
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an IP address"), port)
}

/// Over both families, through a mapped address, with the socket bound or not, thrice with the same socket.
fn refused(stage: &mut Stage) -> Played {
    let actor = stage.actor(Place::Here)?;
    let hand = actor.hand();
    for address in ["127.0.0.1", "::1"] {
        let (_, to) = stage.closed_port(&hand, address);
        try_once(stage, &hand, to, ECONNREFUSED, "refused");
    }
    let (_, to) = stage.closed_port(&hand, "127.0.0.1");
    try_once(stage, &hand, at("::ffff:127.0.0.1", to.port()), ECONNREFUSED, "refused");

    let (_, to) = stage.closed_port(&hand, "127.0.0.1");
    let socket = new_socket(&hand, to);
    hand.act(format!("bind {socket} 127.0.0.1:0"));
    let local = hand.act(format!("name {socket}"))[0].parse().expect("an address");
    // A failed attempt gives the port back; the next one gets another.
    for local in [Some(local), None, None] {
        assert_eq!(attempt(&hand, "connect", socket, &to.to_string()).0, ECONNREFUSED);
        stage.expect(failed(&hand, local, to, "refused"));
    }
    hand.act(format!("close {socket}"));
    Ok(())
}

/// The error is fetched by `SO_ERROR`, by a second connect, or by nobody: one attempt each.
fn refused_nonblocking(stage: &mut Stage) -> Played {
    let actor = stage.actor(Place::Here)?;
    let hand = actor.hand();
    for fetch in ["error", "connect", "nobody"] {
        for address in ["127.0.0.1", "::1"] {
            let (_, to) = stage.closed_port(&hand, address);
            let socket = new_socket(&hand, to);
            hand.act(format!("nonblocking {socket} 1"));
            let code = attempt(&hand, "connect", socket, &to.to_string()).0;
            assert!([EINPROGRESS, ECONNREFUSED].contains(&code), "{code}");
            if code == EINPROGRESS {
                hand.act(format!("wait {socket} out 5000"));
                match fetch {
                    "error" => assert_eq!(hand.number(format!("error {socket}")), 111),
                    "connect" => {
                        assert_eq!(attempt(&hand, "connect", socket, &to.to_string()).0, ECONNREFUSED);
                    }
                    _ => {}
                }
            }
            hand.act(format!("close {socket}"));
            stage.expect(failed(&hand, None, to, "refused"));
        }
    }
    Ok(())
}

/// EINPROGRESS, EALREADY and EISCONN are no attempts of their own.
fn not_attempts(stage: &mut Stage) -> Played {
    let pair = Pair::new(stage)?;
    let hand = pair.client.hand();
    let listener = stage.listener(&pair.server.hand(), Pair::SERVER);
    // The first SYN is lost, so that the attempt lasts a second.
    pair.server.hand().act("net down far");
    let socket = new_socket(&hand, listener.address);
    hand.act(format!("nonblocking {socket} 1"));
    let to = listener.address.to_string();
    assert_eq!(attempt(&hand, "connect", socket, &to).0, EINPROGRESS);
    for _ in 0..3 {
        assert_eq!(attempt(&hand, "connect", socket, &to).0, EALREADY);
    }
    pair.server.hand().act("net up far");
    let mut server = listener.accept();
    hand.act(format!("nonblocking {socket} 0"));
    let mut client = End::connect_socket(&hand, socket, listener.address);
    client.took = None;
    for _ in 0..3 {
        assert_eq!(attempt(&hand, "connect", socket, &to).0, EISCONN);
    }
    client.write_to(&mut server, 9);
    stage.expect_both(close_in_order(&mut client, &mut server));
    Ok(())
}

/// No answer to any SYN: by `tcp_syn_retries`, and by `TCP_USER_TIMEOUT`; blocking and not.
fn timed_out(stage: &mut Stage) -> Played {
    let pair = Pair::new(stage)?;
    let hand = pair.client.hand();
    hand.act("sysctl net/ipv4/tcp_syn_retries 1");
    try_once(stage, &hand, at(Pair::SILENT, 4001), ETIMEDOUT, "timed_out");

    let to = at(Pair::SILENT, 4002);
    let socket = new_socket(&hand, to);
    hand.act(format!("option {socket} 6 18 700"));
    hand.act(format!("nonblocking {socket} 1"));
    assert_eq!(attempt(&hand, "connect", socket, &to.to_string()).0, EINPROGRESS);
    assert_eq!(hand.act(format!("wait {socket} out 20000")), ["true"]);
    assert_eq!(hand.number(format!("error {socket}")), 110);
    hand.act(format!("close {socket}"));
    stage.expect(failed(&hand, None, to, "timed_out"));
    Ok(())
}

/// No route: no SYN is ever sent.
fn net_unreachable(stage: &mut Stage) -> Played {
    let actor = stage.actor(Place::NewNetwork)?;
    let hand = actor.hand();
    for (address, port) in [("192.0.2.1", 4011), ("2001:db8::1", 4012), ("::ffff:192.0.2.1", 4013)] {
        try_once(stage, &hand, at(address, port), ENETUNREACH, "net_unreachable");
    }
    // Without waiting either, and again with the same socket.
    let to = at("192.0.2.1", 4014);
    let socket = new_socket(&hand, to);
    hand.act(format!("nonblocking {socket} 1"));
    for _ in 0..2 {
        assert_eq!(attempt(&hand, "connect", socket, &to.to_string()).0, ENETUNREACH);
        stage.expect(failed(&hand, None, to, "net_unreachable"));
    }
    hand.act(format!("close {socket}"));
    Ok(())
}

/// A route that says so.
fn nowhere(stage: &mut Stage, why: &str) -> Result<Actor, Lacking> {
    let actor = stage.actor(Place::NewNetwork)?;
    for address in ["192.0.2.2", "2001:db8::2"] {
        let lacking = |(_, error)| Lacking(format!("no such route: {error}"));
        actor.hand().try_do(format!("net {why} {address}")).map_err(lacking)?;
    }
    Ok(actor)
}

fn host_unreachable(stage: &mut Stage) -> Played {
    let actor = nowhere(stage, "unreachable")?;
    for (address, port) in [("192.0.2.2", 4021), ("2001:db8::2", 4022), ("::ffff:192.0.2.2", 4023)] {
        try_once(stage, &actor.hand(), at(address, port), EHOSTUNREACH, "host_unreachable");
    }
    Ok(())
}

fn permission_denied(stage: &mut Stage) -> Played {
    let actor = nowhere(stage, "prohibit")?;
    for (address, port) in [("192.0.2.2", 4031), ("2001:db8::2", 4032), ("::ffff:192.0.2.2", 4033)] {
        try_once(stage, &actor.hand(), at(address, port), EACCES, "permission_denied");
    }
    Ok(())
}

/// A policy lets nothing out to that host: `EPERM`.
fn blocked_by_policy(stage: &mut Stage) -> Played {
    let pair = Pair::new(stage)?;
    let hand = pair.client.hand();
    let lacking = |(_, error)| Lacking(format!("no such policy: {error}"));
    hand.try_do(format!("net block {}", Pair::SERVER)).map_err(lacking)?;
    try_once(stage, &hand, at(Pair::SERVER, 4036), EPERM, "permission_denied");
    try_once(stage, &hand, at(&format!("::ffff:{}", Pair::SERVER), 4037), EPERM, "permission_denied");
    Ok(())
}

/// A security module says no, before TCP knows anything of it.
fn denied_by_module(stage: &mut Stage) -> Played {
    let actor = stage.actor(Place::NewNetwork)?;
    let hand = actor.new_hand();
    let lacking = |(_, error)| Lacking(format!("no Landlock for TCP: {error}"));
    hand.try_do("deny_connect").map_err(lacking)?;
    let to = at("127.0.0.1", 4038);
    let Some(seen) = stage.plan.denied_by_module() else { return Ok(()) };
    for _ in 0..2 {
        let socket = new_socket(&hand, to);
        assert_eq!(attempt(&hand, "connect", socket, &to.to_string()).0, EACCES);
        hand.act(format!("close {socket}"));
        if seen {
            stage.expect(failed(&hand, None, to, "permission_denied"));
        } else {
            stage.claim_port(&hand, to.port());
        }
    }
    Ok(())
}

/// The neighbour does not answer: the SYN waits, then the attempt ends.
fn host_unreachable_after_syn(stage: &mut Stage) -> Played {
    let pair = Pair::new(stage)?;
    try_once(stage, &pair.client.hand(), at(Pair::ABSENT, 4041), EHOSTUNREACH, "host_unreachable");
    Ok(())
}

/// The only local port is taken.
fn address_not_available(stage: &mut Stage) -> Played {
    let actor = stage.actor(Place::NewNetwork)?;
    let hand = actor.hand();
    let other = actor.new_hand();
    for address in ["127.0.0.1", "::1"] {
        let listener = stage.listener(&other, address);
        hand.act("sysctl net/ipv4/ip_local_port_range 50000_50000");
        let mut client = End::connect(&hand, listener.address);
        let mut server = listener.accept();
        for _ in 0..2 {
            try_once(stage, &hand, listener.address, EADDRNOTAVAIL, "address_not_available");
        }
        stage.expect_both(close_in_order(&mut client, &mut server));
        hand.act("sysctl net/ipv4/ip_local_port_range 30000_60000");
    }
    Ok(())
}

/// The application gives up: no warning.
fn cancelled(stage: &mut Stage) -> Played {
    let pair = Pair::new(stage)?;
    let hand = pair.client.hand();
    for port in 4051..4054 {
        let to = at(Pair::SILENT, port);
        let socket = new_socket(&hand, to);
        hand.act(format!("nonblocking {socket} 1"));
        assert_eq!(attempt(&hand, "connect", socket, &to.to_string()).0, EINPROGRESS);
        std::thread::sleep(Duration::from_millis(100));
        let how = if port == 4053 { "unspec" } else { "close" };
        hand.act(format!("{how} {socket}"));
        stage.expect(failed(&hand, None, to, "cancelled"));
        if how == "unspec" {
            hand.act(format!("close {socket}"));
        }
    }
    Ok(())
}

/// Refused and unreachable through `io_uring`.
fn by_uring(stage: &mut Stage) -> Played {
    let actor = stage.actor(Place::NewNetwork)?;
    let hand = actor.hand();
    let (_, to) = stage.closed_port(&hand, "127.0.0.1");
    let socket = new_socket(&hand, to);
    let words = hand.try_do(format!("uring_connect {socket} {to}"));
    let words = words.map_err(|(_, error)| Lacking(format!("no io_uring: {error}")))?;
    if words[0] == "1" || words[0] == "38" {
        return Err(Lacking("no io_uring".to_owned()));
    }
    assert_eq!(words[0], ECONNREFUSED.to_string());
    stage.expect(failed(&hand, None, to, "refused"));
    let to = at("192.0.2.1", 4061);
    let socket = new_socket(&hand, to);
    if let Some(seen) = stage.plan.uring_connect_without_syn() {
        assert_eq!(attempt(&hand, "uring_connect", socket, &to.to_string()).0, ENETUNREACH);
        if seen {
            stage.expect(failed(&hand, None, to, "net_unreachable"));
        }
    }
    Ok(())
}
