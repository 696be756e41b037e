//! Ends of connections, and which two of them are one connection's.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use convis_exporters::model::{Connection, PeerNetwork, Role};
use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;

use super::fate::Fate;
use super::holder::Holder;
use super::series::Counted;
use crate::nat::Translated;

/// How long an end that is over can still be found by its peer, whose record may come later.
const KEEP_NS: u64 = 3_000_000_000;
/// Two ends of a connection do not begin and end at the same instant: a packet lies between.
const SLACK_NS: u64 = 50_000_000;
/// Addresses that are remembered as this host's or not.
const MOST_ADDRESSES: usize = 16_384;
/// An address is another host's after so many connections in a row whose peer was not found here.
const FOREIGN_AFTER: u8 = 3;

/// One end of a connection, shared by all who speak of it.
#[derive(Debug)]
pub(super) struct End {
    /// Its role may be learned late.
    pub(super) connection: Cell<Connection>,
    pub(super) holder: Holder,
    pub(super) counted: RefCell<Counted>,
    /// Items of it that wait; the next ones wait behind them.
    pub(super) waiting: Cell<u32>,
    /// The pass over the waiting in which one of it was left waiting.
    pub(super) held_in: Cell<u32>,
    /// Not decided before the first of it is let go.
    pub(super) fate: Cell<Option<Fate>>,
    pub(super) unexpected_counted: Cell<bool>,
    /// When it was established or accepted, and when it ended, by the kernel's clock.
    began_ns: u64,
    ended_ns: Cell<u64>,
    peer: RefCell<Option<Rc<Link>>>,
    /// What address translation makes of it; not known before it was asked for.
    translated: OnceCell<Box<Translated>>,
    pub(super) translation_asked: Cell<bool>,
}

/// The other end.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) holder: Holder,
    local: SocketAddr,
}

impl End {
    /// An end without a known peer.
    pub(super) fn new(connection: Connection, holder: Holder, began_ns: u64) -> Rc<Self> {
        Rc::new(Self {
            connection: Cell::new(connection),
            holder,
            counted: RefCell::default(),
            waiting: Cell::default(),
            held_in: Cell::default(),
            fate: Cell::default(),
            unexpected_counted: Cell::default(),
            began_ns,
            ended_ns: Cell::new(u64::MAX),
            peer: RefCell::default(),
            translated: OnceCell::new(),
            translation_asked: Cell::default(),
        })
    }

    /// The other end, if it is on this host and known.
    pub(super) fn peer(&self) -> Option<Rc<Link>> {
        self.peer.borrow().clone()
    }

    /// Where the other end really is, if that is not where it seems.
    pub(super) fn nat_peer(&self) -> Option<SocketAddr> {
        let linked = self.peer.borrow().as_ref().map(|peer| peer.local);
        let real = linked.or_else(|| self.translated.get().map(|translated| translated.server));
        real.filter(|real| *real != self.connection.get().peer)
    }

    /// What address translation makes of it has become known. Only the first answer counts.
    pub(super) fn set_translated(&self, translated: Translated) {
        let _known = self.translated.set(Box::new(translated));
    }

    fn is_linked(&self) -> bool {
        self.peer.borrow().is_some()
    }

    fn overlaps(&self, other: &Self, slack_ns: u64) -> bool {
        let before = |one: &Self, two: &Self| one.ended_ns.get().saturating_add(slack_ns) < two.began_ns;
        !before(self, other) && !before(other, self)
    }

    /// Its addresses, as its peer sees them.
    fn tuple(&self) -> Tuple {
        let connection = self.connection.get();
        match self.translated.get() {
            Some(translated) => (translated.client, translated.server),
            None => (connection.local, connection.peer),
        }
    }

    /// Whether it can be found under these addresses: its own, or those that translation makes of them.
    fn is_known_by(&self, tuple: &Tuple) -> bool {
        let connection = self.connection.get();
        (connection.local, connection.peer) == *tuple || self.tuple() == *tuple
    }

    /// Whether its packets stay on the loopback of its network namespace.
    fn is_local(&self) -> bool {
        let (local, peer) = self.tuple();
        local.ip() == peer.ip() || local.ip().is_loopback() || peer.ip().is_loopback()
    }
}

/// Local and peer address of an end.
type Tuple = (SocketAddr, SocketAddr);

/// Ends by tuple, living ones and those that ended lately.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// By the hash of their tuples: these are large, and each end has its own.
    by_tuple: FxHashMap<u64, SmallVec<[Rc<End>; 1]>>,
    over: VecDeque<(u64, Rc<End>)>,
    addresses: FxHashMap<IpAddr, Whose>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ours,
    /// So many connections in a row found no peer here.
    Foreign(u8),
}

impl Ends {
    /// Adds an end, and links it with its peer if that is known.
    pub(super) fn add(&mut self, end: &Rc<End>) {
        let Connection { local, peer, .. } = end.connection.get();
        self.note(local.ip(), Whose::Ours);
        self.by_tuple.entry(hash(&(local, peer))).or_default().push(Rc::clone(end));
        self.link(end);
    }

    /// Takes the other addresses that translation gives to a client's end on its way.
    pub(super) fn translate(&mut self, end: &Rc<End>) {
        // The server's end may come later: it finds this one as it sees it.
        self.by_tuple.entry(hash(&end.tuple())).or_default().push(Rc::clone(end));
        self.link(end);
    }

    /// An end is over; its peer may still look for it.
    pub(super) fn end(&mut self, end: &Rc<End>, time_ns: u64, now_ns: u64) {
        end.ended_ns.set(time_ns);
        self.over.push_back((now_ns.saturating_add(KEEP_NS), Rc::clone(end)));
    }

    /// Forgets ends that are over for long enough.
    pub(super) fn reap(&mut self, now_ns: u64) {
        while let Some((until_ns, end)) = self.over.front()
            && *until_ns <= now_ns
        {
            let connection = end.connection.get();
            for hash in [(connection.local, connection.peer), end.tuple()].map(|tuple| hash(&tuple)) {
                if let Some(ends) = self.by_tuple.get_mut(&hash) {
                    ends.retain(|other| !Rc::ptr_eq(other, end));
                    if ends.is_empty() {
                        self.by_tuple.remove(&hash);
                    }
                }
            }
            self.over.pop_front();
        }
    }

    /// Ends that are over and not forgotten yet.
    pub(super) fn over(&self) -> usize {
        self.over.len()
    }

    /// Lets go of room that is not needed now.
    pub(super) fn shrink(&mut self) {
        self.by_tuple.shrink_to_fit();
        self.over.shrink_to_fit();
    }

    /// Tuples under which ends are found.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_tuple.len()
    }

    /// Whether it is worth waiting for the other end of a connection. Who connects to a public address may mean this host by
    /// it; who is connected to has seen such a client before.
    pub(super) fn may_be_here(&self, connection: &Connection) -> bool {
        let peer = connection.peer.ip();
        match self.addresses.get(&peer) {
            Some(Whose::Ours) => true,
            Some(Whose::Foreign(times)) => *times < FOREIGN_AFTER,
            None => connection.role == Some(Role::Client) || PeerNetwork::of(peer) != PeerNetwork::Public,
        }
    }

    /// The other end of a connection with this address was waited for in vain.
    pub(super) fn not_here(&mut self, peer: SocketAddr) {
        match self.addresses.get(&peer.ip()) {
            Some(Whose::Ours) => {}
            Some(Whose::Foreign(times)) => self.note(peer.ip(), Whose::Foreign(times.saturating_add(1))),
            None => self.note(peer.ip(), Whose::Foreign(1)),
        }
    }

    fn note(&mut self, address: IpAddr, whose: Whose) {
        if self.addresses.len() >= MOST_ADDRESSES && !self.addresses.contains_key(&address) {
            self.addresses.clear();
        }
        self.addresses.insert(address, whose);
    }

    /// Links the end with the only one that can be its peer. A doubt means no peer.
    fn link(&mut self, end: &Rc<End>) {
        let wanted = mirrored(end.tuple());
        let Some(candidates) = self.by_tuple.get(&hash(&wanted)) else {
            return;
        };
        let fits = |other: &&Rc<End>, slack_ns| {
            other.is_known_by(&wanted) && is_possible(end, other) && end.overlaps(other, slack_ns)
        };
        let within = |slack_ns| candidates.iter().filter(move |other| fits(other, slack_ns));
        // An end that began just after another one of its tuple was over fits both, if time is taken loosely.
        let found = if within(0).next().is_some() { only(within(0)) } else { only(within(SLACK_NS)) };
        let Some(other) = found.filter(|other| !other.is_linked() && !end.is_linked()) else {
            return;
        };
        let link =
            |to: &Rc<End>| Rc::new(Link { holder: to.holder.clone(), local: to.connection.get().local });
        *end.peer.borrow_mut() = Some(link(other));
        *other.peer.borrow_mut() = Some(link(end));
        let reached = end.connection.get().peer.ip();
        self.note(reached, Whose::Ours);
    }
}

/// Whether the two can be one connection's ends. What never leaves a host's loopback stays in one network namespace.
fn is_possible(end: &Rc<End>, other: &Rc<End>) -> bool {
    let (connection, of_other) = (end.connection.get(), other.connection.get());
    let same_namespace = connection.network_namespace == of_other.network_namespace;
    let roles = [connection.role, of_other.role];
    !Rc::ptr_eq(end, other)
        && (same_namespace || !(end.is_local() || other.is_local()))
        && (roles[0] != roles[1] || roles == [None; 2])
}

fn hash(tuple: &Tuple) -> u64 {
    FxBuildHasher.hash_one(tuple)
}

const fn mirrored((local, peer): Tuple) -> Tuple {
    (peer, local)
}

fn only<'a>(mut found: impl Iterator<Item = &'a Rc<End>>) -> Option<&'a Rc<End>> {
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests;
