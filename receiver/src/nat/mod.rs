//! Through address translation: where a connection goes that a client of this host opens.
//!
//! The connection tracking of the host's network namespace is asked for one connection at a time, over netlink, and
//! answers at once. What it does not know stays unsaid. Where there is nothing to translate it is hardly ever asked.

mod budget;
mod conntrack;
mod counters;
mod namespace;
mod netlink;
mod plain;
mod socket;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use budget::Budget;
use conntrack::Tuple;
pub use counters::{Counted, Failure};
use plain::Plain;
use serde::{Deserialize, Serialize};
use socket::Conntrack;

const SECOND_NS: u64 = 1_000_000_000;

/// A connection as its server's end sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Translated {
    /// Where it comes from there: not the client's own address behind source NAT.
    pub client: SocketAddr,
    /// Where it really goes: not the address that the client connected to behind destination NAT.
    pub server: SocketAddr,
}

/// Why translations cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The kernel lacks the family of sockets, or convis may not have one.
    #[error("no netlink socket to netfilter: {0}")]
    Socket(#[source] std::io::Error),
    /// The host's network namespace is another one than convis's, and is out of reach.
    #[error("the host's network namespace cannot be entered: {0}")]
    Namespace(#[source] std::io::Error),
    /// Every request needs that right in the user namespace that owns the network namespace.
    #[error("CAP_NET_ADMIN is missing")]
    NotPermitted,
    /// The kernel's part that answers, `nf_conntrack_netlink`, is not there.
    #[error("this kernel does not tell what it tracks")]
    NotSupported,
}

/// What tracks connections.
trait Table {
    /// How many connections are tracked.
    fn entries(&mut self) -> Result<u32, Failure>;

    /// What the server's end of a connection sends and receives, of the connection whose client's end sends `original`;
    /// `None` if it is not tracked.
    fn reply(&mut self, original: Tuple) -> Result<Option<Tuple>, Failure>;
}

/// Asks the connection tracking of a network namespace.
pub struct Nat {
    table: Result<Box<dyn Table + Send>, Unavailable>,
    plain: Plain,
    budget: Budget,
    /// Whether anything is tracked, and until when that is believed, in nanoseconds.
    tracks: (bool, u64),
    counted: Counted,
    namespace: Option<u32>,
}

impl Nat {
    /// Of the host's network namespace: that of pid 1 in the procfs at `proc_root`, also when convis is in another.
    /// The process must keep its right to ask (`CAP_NET_ADMIN`).
    pub fn open(proc_root: &Path) -> Self {
        let (socket, namespace) = match namespace::of_host(proc_root) {
            Ok((socket, namespace)) => (Ok(socket), namespace),
            Err(unavailable) => (Err(unavailable), None),
        };
        let nat = Self::new(socket.map(|socket| Conntrack::new(socket, proc_root)));
        Self { namespace, ..nat }
    }

    /// Of the network namespace at `namespace`, such as `/proc/<pid>/ns/net`.
    pub fn open_in(namespace: &Path) -> Self {
        let proc_root = PathBuf::from("/proc");
        Self::new(namespace::enter(namespace).map(|socket| Conntrack::new(socket, &proc_root)))
    }

    fn new<T: Table + Send + 'static>(table: Result<T, Unavailable>) -> Self {
        let mut nat = Self {
            table: table.map(|table| Box::new(table) as Box<dyn Table + Send>),
            plain: Plain::default(),
            budget: Budget::default(),
            tracks: (false, 0),
            counted: Counted::default(),
            namespace: None,
        };
        // Now rather than with the first connection: whether convis may ask, and what the kernel has to load for that.
        nat.look_around(0);
        // By a clock that is not known yet: the first connection's.
        nat.tracks.1 = 0;
        nat
    }

    /// Why there will never be an answer, if so.
    pub fn unavailable(&self) -> Option<&Unavailable> {
        self.table.as_ref().err()
    }

    /// Inode of the host's network namespace, when known.
    pub const fn namespace(&self) -> Option<u32> {
        self.namespace
    }

    /// What questions came to.
    pub const fn counters(&self) -> Counted {
        self.counted
    }

    /// What becomes of a TCP connection from `client`, where its SYN came from, to `server`, what it connected to.
    /// `now_ns` is any clock in nanoseconds that never goes back.
    ///
    /// `None`: both ends see the same addresses, or it is not known, or it was not asked, to save time. Never waits.
    ///
    /// The answer is that of one network namespace: a loopback connection of another one must not be asked for. Entries in
    /// zones of connection tracking, as some virtual networks have, are not known.
    pub fn translated(&mut self, client: SocketAddr, server: SocketAddr, now_ns: u64) -> Option<Translated> {
        let original = Tuple::new(client, server)?;
        if self.table.is_err() {
            return None;
        }
        if !self.tracks_any(now_ns) {
            self.counted.skipped_idle += 1;
            return None;
        }
        if self.plain.is(original, now_ns) {
            self.counted.skipped_plain += 1;
            return None;
        }
        if !self.budget.take(now_ns) {
            self.counted.skipped_budget += 1;
            return None;
        }
        self.look_up(original, now_ns)
    }

    fn look_up(&mut self, original: Tuple, now_ns: u64) -> Option<Translated> {
        let table = self.table.as_mut().ok()?;
        self.counted.lookups += 1;
        match table.reply(original) {
            Ok(Some(reply)) if reply == original.reversed() => {
                self.counted.plain += 1;
                self.plain.add(original, now_ns);
                None
            }
            Ok(Some(reply)) => {
                self.counted.translated += 1;
                self.plain.remove(original);
                Some(Translated { client: reply.to, server: reply.from })
            }
            Ok(None) => {
                self.counted.untracked += 1;
                None
            }
            Err(failure) => {
                self.fail(failure);
                None
            }
        }
    }

    fn tracks_any(&mut self, now_ns: u64) -> bool {
        if now_ns >= self.tracks.1 {
            self.look_around(now_ns);
        }
        self.tracks.0
    }

    fn look_around(&mut self, now_ns: u64) {
        let Ok(table) = &mut self.table else {
            return;
        };
        let entries = table.entries();
        // Better ask in vain than not at all.
        self.tracks = (!matches!(entries, Ok(0)), now_ns.saturating_add(SECOND_NS));
        match entries {
            Ok(_) => {}
            // Every kernel that can answer knows this question.
            Err(Failure::Unknown) => self.end(Failure::Unknown, Unavailable::NotSupported),
            Err(failure) => self.fail(failure),
        }
    }

    fn fail(&mut self, failure: Failure) {
        match failure {
            Failure::NotPermitted => self.end(failure, Unavailable::NotPermitted),
            _ => self.counted.count(failure),
        }
    }

    fn end(&mut self, failure: Failure, why: Unavailable) {
        self.counted.count(failure);
        self.table = Err(why);
    }
}

/// Where segments come from and go to, in one direction.
type Direction = (SocketAddr, SocketAddr);

/// What the kernel's answer to the request of this number says, whatever it is: how many connections are tracked, and both
/// directions of one. Public for a fuzz target.
#[doc(hidden)]
pub fn understood(received: &[u8], sequence: u32) -> Option<(Option<u32>, Option<[Direction; 2]>)> {
    let Ok(Some(netlink::Answer::Message(_, attributes))) = netlink::read(received, sequence) else {
        return None;
    };
    let direction = |tuple: Tuple| (tuple.from, tuple.to);
    let entry = conntrack::read_entry(&attributes);
    let entry = entry.map(|(original, reply)| [direction(original), direction(reply)]);
    Some((conntrack::read_stats(&attributes), entry))
}

#[cfg(test)]
mod tests;
