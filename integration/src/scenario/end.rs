//! One end of a connection in the hand that plays it, with what it did.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::actor::{Hand, Identity, new_number};
use super::expect::{Closed, Expected, Fate, Owner};
use crate::actors::canonical;
use crate::truth::Side;

/// The backlog of ordinary listeners.
const BACKLOG: u32 = 4096;

/// A listening socket.
#[derive(Clone)]
pub(super) struct Listener {
    pub(super) hand: Hand,
    pub(super) socket: u32,
    pub(super) address: SocketAddr,
}

/// One end.
#[derive(Clone)]
pub(super) struct End {
    pub(super) hand: Hand,
    pub(super) socket: u32,
    pub(super) owner: Identity,
    /// Of a server's end, who listens.
    pub(super) listener: Option<Identity>,
    pub(super) side: Side,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) written: u64,
    pub(super) read: u64,
    /// Seconds that connect took.
    pub(super) took: Option<f64>,
}

/// What ended a read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Stopped {
    Enough,
    AtEnd,
    Error(i32),
}

impl Listener {
    /// At a free port of this address.
    pub(super) fn open(hand: &Hand, address: &str) -> Self {
        Self::with_backlog(hand, address, BACKLOG)
    }

    /// As [`Listener::open`], for so many that wait.
    pub(super) fn with_backlog(hand: &Hand, address: &str, backlog: u32) -> Self {
        let ip: IpAddr = address.parse().expect("an IP address");
        let socket = new_number();
        let words = hand.act(format!("listen {socket} {} {backlog}", SocketAddr::new(ip, 0)));
        let address = words[0].parse().expect("an address");
        Self { hand: hand.clone(), socket, address }
    }

    /// The same listener in another hand of the process, or in a process that inherited it as `socket`.
    pub(super) fn seen_by(&self, hand: &Hand, socket: u32) -> Self {
        Self { hand: hand.clone(), socket, address: self.address }
    }

    /// Where it is reached: on loopback if it listens everywhere.
    pub(super) fn reach(&self, way: Way) -> SocketAddr {
        let ip = match way {
            Way::AsIs if !self.address.ip().is_unspecified() => self.address.ip(),
            Way::AsIs if self.address.is_ipv4() => IpAddr::from([127, 0, 0, 1]),
            Way::AsIs => IpAddr::V6(Ipv6Addr::LOCALHOST),
            Way::Ipv4 => IpAddr::from([127, 0, 0, 1]),
            Way::Mapped => IpAddr::V6(std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
        };
        SocketAddr::new(ip, self.address.port())
    }

    /// Lets its hand begin to accept; [`Listener::accepted`] takes the outcome.
    pub(super) fn begin_accept(&self) -> u32 {
        let number = new_number();
        self.hand.begin(format!("accept {number} {}", self.socket));
        number
    }

    /// The end that was accepted under this number.
    pub(super) fn accepted(&self, number: u32) -> End {
        let words = self.hand.wait().unwrap_or_else(|(_, error)| panic!("accept: {error}"));
        accepted_end(&self.hand, number, &words)
    }

    /// Accepts one.
    pub(super) fn accept(&self) -> End {
        let number = self.begin_accept();
        self.accepted(number)
    }

    /// Accepts one through `io_uring`; the error names what the kernel lacks.
    pub(super) fn accept_by_uring(&self) -> Result<End, String> {
        let number = new_number();
        let words = self.hand.try_do(format!("uring_accept {number} {}", self.socket));
        words.map(|words| accepted_end(&self.hand, number, &words)).map_err(|(_, error)| error)
    }

    /// A connection to it from `client`, accepted by its own hand.
    pub(super) fn pair(&self, client: &Hand, way: Way) -> (End, End) {
        let client = End::connect(client, self.reach(way));
        let server = self.accept();
        assert_eq!(canonical(server.peer), canonical(client.local), "only this client connects here");
        (client, server)
    }

    pub(super) fn close(&self) {
        self.hand.act(format!("close {}", self.socket));
    }
}

/// How a client reaches a listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// At the address it has.
    AsIs,
    /// One that listens everywhere, over IPv4.
    Ipv4,
    /// The same through the IPv4-mapped address of an IPv6 socket.
    Mapped,
}

fn accepted_end(hand: &Hand, socket: u32, words: &[String]) -> End {
    let address = |at: usize| words[at].parse().expect("an address");
    End {
        hand: hand.clone(),
        socket,
        owner: hand.who(),
        listener: Some(hand.who()),
        side: Side::Server,
        local: address(0),
        peer: address(1),
        written: 0,
        read: 0,
        took: None,
    }
}

/// An unconnected socket for this destination, in this hand.
pub(super) fn new_socket(hand: &Hand, to: SocketAddr) -> u32 {
    let socket = new_number();
    hand.act(format!("socket {socket} {}", if to.is_ipv4() { 4 } else { 6 }));
    socket
}

/// What came of connecting: the error number or 0, seconds, own address.
pub(super) fn attempt(hand: &Hand, deed: &str, socket: u32, rest: &str) -> (i32, f64, SocketAddr) {
    let words = hand.act(format!("{deed} {socket} {rest}"));
    let nanos: u64 = words[1].parse().expect("nanoseconds");
    let code = words[0].parse().expect("an error number");
    (code, crate::clock::seconds(nanos), words[2].parse().expect("an address"))
}

impl End {
    /// Connects a new socket.
    pub(super) fn connect(hand: &Hand, to: SocketAddr) -> Self {
        let socket = new_socket(hand, to);
        Self::connect_socket(hand, socket, to)
    }

    /// Connects this socket.
    pub(super) fn connect_socket(hand: &Hand, socket: u32, to: SocketAddr) -> Self {
        Self::connect_by(hand, "connect", socket, to, &to.to_string())
    }

    /// Connects by another deed.
    pub(super) fn connect_by(hand: &Hand, deed: &str, socket: u32, to: SocketAddr, rest: &str) -> Self {
        let (code, took, local) = attempt(hand, deed, socket, rest);
        assert_eq!(code, 0, "{deed} to {to}: {}", std::io::Error::from_raw_os_error(code));
        Self {
            hand: hand.clone(),
            socket,
            owner: hand.who(),
            listener: None,
            side: Side::Client,
            local,
            peer: to,
            written: 0,
            read: 0,
            took: Some(took),
        }
    }

    pub(super) fn act(&self, deed: &str) -> Vec<String> {
        let (verb, rest) = deed.split_once(' ').unwrap_or((deed, ""));
        self.hand.act(format!("{verb} {} {rest}", self.socket))
    }

    /// Lets it begin to write; [`End::wrote`] takes the outcome.
    pub(super) fn begin_write(&self, bytes: u64, how: &str) {
        self.hand.begin(format!("write {} {bytes} {how}", self.socket));
    }

    /// Whether all that was begun could be written, or the error number.
    pub(super) fn wrote(&mut self) -> i32 {
        let words = self.hand.wait().unwrap_or_else(|(_, error)| panic!("write: {error}"));
        self.written += words[0].parse::<u64>().expect("a count");
        words[1].parse().expect("an error number")
    }

    /// Writes so many bytes.
    pub(super) fn write(&mut self, bytes: u64) {
        if bytes > 0 {
            self.begin_write(bytes, "write");
            assert_eq!(self.wrote(), 0, "all can be written");
        }
    }

    /// Writes while the other end reads exactly that.
    pub(super) fn write_to(&mut self, other: &mut Self, bytes: u64) {
        self.write_by(other, bytes, "write");
    }

    /// As [`End::write_to`], by another way to write.
    pub(super) fn write_by(&mut self, other: &mut Self, bytes: u64, how: &str) {
        if bytes > 0 {
            let same_hand = self.hand.is(&other.hand);
            assert!(!same_hand, "one hand cannot write and read at a time");
            self.begin_write(bytes, how);
            assert_eq!(other.read_some(bytes), Stopped::Enough, "all arrives");
            assert_eq!(self.wrote(), 0, "all can be written");
        }
    }

    /// Reads so many bytes, unless something ends it before.
    pub(super) fn read_some(&mut self, bytes: u64) -> Stopped {
        let words = self.act(&format!("read {bytes}"));
        self.was_read(&words)
    }

    /// Reads to the end of the stream.
    pub(super) fn read_all(&mut self) -> Stopped {
        let words = self.act("drain");
        self.was_read(&words)
    }

    fn was_read(&mut self, words: &[String]) -> Stopped {
        self.read += words[0].parse::<u64>().expect("a count");
        match (words[1].parse().expect("an error number"), words[2].as_str()) {
            (0, "end") => Stopped::AtEnd,
            (0, _) => Stopped::Enough,
            (code, _) => Stopped::Error(code),
        }
    }

    /// Waits until so many bytes wait to be read.
    pub(super) fn wait_for_pending(&self, bytes: u64) {
        crate::clock::wait_for("bytes to arrive", std::time::Duration::from_secs(20), || {
            (self.hand.number(format!("pending {}", self.socket)) >= bytes).then_some(())
        });
    }

    /// Bytes that MPTCP sent once more, beyond what was written, once all of that has arrived.
    pub(super) fn sent_again(&self) -> u64 {
        crate::clock::wait_for("all to be acknowledged", std::time::Duration::from_secs(20), || {
            let words = self.act("mptcp_info");
            (words[0] == "true").then(|| words[1].parse().expect("a count"))
        })
    }

    pub(super) fn shutdown(&self) {
        self.act("shutdown");
    }

    pub(super) fn close(&self) {
        self.act("close");
    }

    /// Closes with a reset.
    pub(super) fn reset(&self) {
        self.act("linger0");
        self.close();
    }

    /// What an orderly end of it with this reason looks like.
    pub(super) fn ended(&self, reason: &'static str) -> Expected {
        let handshake_at_most = self.took;
        Expected {
            scenario: String::new(),
            network: self.owner.network,
            side: self.side,
            local: Some(canonical(self.local)),
            peer: canonical(self.peer),
            owner: Some(Owner::from(self.owner)),
            attributions: &["kernel"],
            accept_may_be_missed: false,
            listener: self.listener.map(Owner::from),
            kernel_owned: false,
            fate: Fate::Closed(Closed {
                handshake_at_most,
                ..Closed::orderly(reason, self.written, self.read)
            }),
        }
    }

    /// As [`End::ended`], where some of what was written may not have been acknowledged.
    pub(super) fn torn(&self, reason: &'static str) -> Expected {
        let mut expected = self.ended(reason);
        expected.closed().all_sent = false;
        expected
    }
}

/// What a failed attempt looks like.
pub(super) fn failed(
    hand: &Hand,
    local: Option<SocketAddr>,
    to: SocketAddr,
    error: &'static str,
) -> Expected {
    let who = hand.who();
    Expected {
        scenario: String::new(),
        network: who.network,
        side: Side::Client,
        local: local.map(canonical),
        peer: canonical(to),
        owner: Some(Owner::from(who)),
        attributions: &["kernel"],
        accept_may_be_missed: false,
        listener: None,
        kernel_owned: false,
        fate: Fate::Failed(error),
    }
}

/// Ends a connection in an orderly way, `first` first; both have read everything.
pub(super) fn close_in_order(first: &mut End, second: &mut End) -> [Expected; 2] {
    first.close();
    assert_eq!(second.read_all(), Stopped::AtEnd, "the other end closes");
    second.close();
    [first.ended("local_close"), second.ended("peer_close")]
}
