//! Where a scenario plays: its actors, and the book of what convis must say.

use std::fs::File;
use std::net::SocketAddr;

use super::actor::{Actor, Hand, Place};
use super::compare::Claims;
use super::end::{End, Listener};
use super::expect::{Expected, Fate};
use super::plan::Plan;
use crate::truth::Side;

/// One scenario's part of the book.
pub(super) struct Stage {
    pub(super) scenario: String,
    pub(super) plan: Plan,
    pub(super) seed: u64,
    pub(super) connections: usize,
    pub(super) expected: Vec<Expected>,
    pub(super) claims: Claims,
    /// Kept until all is compared: the numbers of namespaces are used again.
    namespaces: Vec<File>,
}

/// Why a scenario cannot play here.
#[derive(Debug)]
pub(super) struct Lacking(pub(super) String);

/// The end of a scenario that played, or what it lacks.
pub(super) type Played = Result<(), Lacking>;

impl From<String> for Lacking {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

impl Stage {
    pub(super) fn new(scenario: &str, plan: Plan, seed: u64, connections: usize) -> Self {
        Self {
            scenario: scenario.to_owned(),
            plan,
            seed,
            connections,
            expected: Vec::new(),
            claims: Claims::default(),
            namespaces: Vec::new(),
        }
    }

    /// A new actor.
    pub(super) fn actor(&mut self, place: Place) -> Result<Actor, Lacking> {
        let actor = Actor::try_start(place)?;
        self.claim_actor(&actor);
        Ok(actor)
    }

    /// A child of an actor, with one of its sockets.
    pub(super) fn child(&mut self, parent: &Actor, inherited: u32) -> Actor {
        let child = parent.new_child(inherited);
        self.claim_actor(&child);
        child
    }

    fn claim_actor(&mut self, actor: &Actor) {
        let who = actor.who();
        self.claims.pids.insert(who.pid, self.scenario.clone());
        self.namespaces.extend(File::open(format!("/proc/{}/ns/net", who.pid)));
    }

    /// Says that this port is the scenario's in the hand's network namespace.
    pub(super) fn claim_port(&mut self, hand: &Hand, port: u16) {
        self.claims.ports.insert((hand.who().network, port), self.scenario.clone());
    }

    /// A listener at a free port.
    pub(super) fn listener(&mut self, hand: &Hand, address: &str) -> Listener {
        let listener = Listener::open(hand, address);
        self.claim_port(hand, listener.address.port());
        listener
    }

    /// A port nobody listens at, kept from others until the returned number is closed.
    pub(super) fn closed_port(&mut self, hand: &Hand, address: &str) -> (u32, SocketAddr) {
        let ip: std::net::IpAddr = address.parse().expect("an IP address");
        let any = SocketAddr::new(ip, 0);
        let socket = super::end::new_socket(hand, any);
        hand.act(format!("bind {socket} {any}"));
        let at: SocketAddr = hand.act(format!("name {socket}"))[0].parse().expect("an address");
        self.claim_port(hand, at.port());
        (socket, at)
    }

    /// One end, or one attempt.
    pub(super) fn expect(&mut self, mut expected: Expected) {
        expected.scenario.clone_from(&self.scenario);
        expected.accept_may_be_missed = expected.side == Side::Server
            && expected.attributions == ["kernel"]
            && self.plan.may_miss_accepts();
        let server = match expected.side {
            Side::Client => Some(expected.peer),
            Side::Server => expected.local,
        };
        let port = server.map(|server| (expected.network, server.port()));
        self.claims.ports.extend(port.map(|port| (port, self.scenario.clone())));
        self.expected.push(expected);
    }

    /// Both ends of one connection.
    pub(super) fn expect_both(&mut self, ends: [Expected; 2]) {
        let place = self.expected.len();
        for (mut end, twin) in ends.into_iter().zip([place + 1, place]) {
            end.closed().twin = Some(twin);
            self.expect(end);
        }
    }

    /// Adds what another stage of the same scenario expects.
    pub(super) fn take_over(&mut self, other: Self) {
        let place = self.expected.len();
        for mut end in other.expected {
            if let Fate::Closed(closed) = &mut end.fate {
                closed.twin = closed.twin.map(|twin| twin + place);
            }
            self.expected.push(end);
        }
        self.claims.ports.extend(other.claims.ports);
        self.claims.pids.extend(other.claims.pids);
        self.namespaces.extend(other.namespaces);
    }

    /// Two processes, a listener of the second, and a connection between them.
    pub(super) fn two(&mut self, address: &str) -> Result<Two, Lacking> {
        let (client, server) = (self.actor(Place::Here)?, self.actor(Place::Here)?);
        let listener = self.listener(&server.hand(), address);
        Ok(Two { client, server, listener })
    }
}

/// A client process and a server process with a listener.
pub(super) struct Two {
    pub(super) client: Actor,
    pub(super) server: Actor,
    pub(super) listener: Listener,
}

impl Two {
    /// A new connection.
    pub(super) fn pair(&self) -> (End, End) {
        self.listener.pair(&self.client.hand(), super::end::Way::AsIs)
    }
}
