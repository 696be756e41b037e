//! Ends of connections, and which two of them are one connection's.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use convis_exporters::model::{Connection, PeerNetwork, Role};
use rustc_hash::FxHashMap;
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
    /// As of its beginning; what may be learned late is beside.
    first: Connection,
    role: Cell<Option<Role>>,
    /// See [`Connection`].
    unexpected: Cell<bool>,
    sampling_weight: Cell<u32>,
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
    peer: OnceCell<Link>,
    /// What address translation makes of it; not known before it was asked for.
    translated: OnceCell<Box<Translated>>,
    pub(super) translation_asked: Cell<bool>,
}

/// The other end.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) holder: Holder,
    /// Where it is, if that is not where it seems.
    elsewhere: Option<Box<SocketAddr>>,
}

impl End {
    /// An end without a known peer.
    pub(super) fn new(connection: Connection, holder: Holder, began_ns: u64) -> Rc<Self> {
        // Unlike with `Rc::new`, it is made where it stays.
        Rc::new_cyclic(|_| Self {
            role: Cell::new(connection.role),
            unexpected: Cell::new(connection.unexpected),
            sampling_weight: Cell::new(connection.sampling_weight),
            first: connection,
            holder,
            counted: RefCell::default(),
            waiting: Cell::default(),
            held_in: Cell::default(),
            fate: Cell::default(),
            unexpected_counted: Cell::default(),
            began_ns,
            ended_ns: Cell::new(u64::MAX),
            peer: OnceCell::new(),
            translated: OnceCell::new(),
            translation_asked: Cell::default(),
        })
    }

    /// What events say of it, as of now.
    pub(super) const fn connection(&self) -> Connection {
        Connection {
            role: self.role.get(),
            unexpected: self.unexpected.get(),
            sampling_weight: self.sampling_weight.get(),
            ..self.first
        }
    }

    /// See [`Connection`].
    pub(super) const fn role(&self) -> Option<Role> {
        self.role.get()
    }

    /// Its role has become known.
    pub(super) fn set_role(&self, role: Role) {
        self.role.set(Some(role));
    }

    /// Whether it breaks an expectation.
    pub(super) const fn is_unexpected(&self) -> bool {
        self.unexpected.get()
    }

    /// What policy makes of it.
    pub(super) fn judge(&self, unexpected: bool, sampling_weight: u32) {
        self.unexpected.set(unexpected);
        self.sampling_weight.set(sampling_weight);
    }

    /// What of it never changes.
    pub(super) const fn facts(&self) -> &Connection {
        &self.first
    }

    /// The other end, if it is on this host and known.
    pub(super) fn peer(&self) -> Option<&Link> {
        self.peer.get()
    }

    /// Where the other end really is, if that is not where it seems.
    pub(super) fn nat_peer(&self) -> Option<SocketAddr> {
        if let Some(peer) = self.peer.get() {
            return peer.elsewhere.as_deref().copied();
        }
        let real = self.translated.get().map(|translated| translated.server);
        real.filter(|real| *real != self.first.peer)
    }

    /// What address translation makes of it has become known. Only the first answer counts.
    pub(super) fn set_translated(&self, translated: Translated) {
        let _known = self.translated.set(Box::new(translated));
    }

    fn is_linked(&self) -> bool {
        self.peer.get().is_some()
    }

    fn link(&self, other: &Self) {
        let local = other.first.local;
        let elsewhere = (local != self.first.peer).then(|| Box::new(local));
        // Whoever has a peer keeps it.
        let _is_first = self.peer.set(Link { holder: other.holder.clone(), elsewhere });
    }

    fn overlaps(&self, other: &Self, slack_ns: u64) -> bool {
        let before = |one: &Self, two: &Self| one.ended_ns.get().saturating_add(slack_ns) < two.began_ns;
        !before(self, other) && !before(other, self)
    }

    fn own_tuple(&self) -> Tuple {
        (self.first.local, self.first.peer)
    }

    /// Its addresses, as its peer sees them.
    fn tuple(&self) -> Tuple {
        self.translated_tuple().unwrap_or_else(|| self.own_tuple())
    }

    fn translated_tuple(&self) -> Option<Tuple> {
        self.translated.get().map(|translated| (translated.client, translated.server))
    }

    /// Whether it can be found under these addresses: its own, or those that translation makes of them.
    fn is_known_by(&self, (local, peer): &Tuple) -> bool {
        (self.first.local == *local && self.first.peer == *peer)
            || self.translated.get().is_some_and(|to| to.client == *local && to.server == *peer)
    }

    /// Whether its packets stay on the loopback of its network namespace.
    fn is_local(&self) -> bool {
        let (local, peer) = self.tuple();
        let [local, peer] = [local.ip(), peer.ip()];
        local == peer || local.is_loopback() || peer.is_loopback()
    }
}

/// Local and peer address of an end.
type Tuple = (SocketAddr, SocketAddr);

/// Ends by tuple, living ones and those that ended lately.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// By the hash of their tuples, the same for both ends: tuples are large, and each connection has its own.
    by_tuple: FxHashMap<u64, SmallVec<[Rc<End>; 2]>>,
    over: VecDeque<(u64, Rc<End>)>,
    addresses: FxHashMap<IpAddr, Whose>,
    /// Of [`Whose::Ours`] the one that was noted last.
    last_ours: Option<IpAddr>,
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
        self.note_ours(end.first.local.ip());
        self.add_as(end, end.own_tuple());
    }

    /// Takes the other addresses that translation gives to a client's end on its way.
    pub(super) fn translate(&mut self, end: &Rc<End>) {
        // The server's end may come later: it finds this one as it sees it.
        self.add_as(end, end.tuple());
    }

    /// An end is over; its peer may still look for it, unless they know each other.
    pub(super) fn end(&mut self, end: &Rc<End>, time_ns: u64, now_ns: u64) {
        end.ended_ns.set(time_ns);
        if end.is_linked() {
            self.forget(end);
        } else {
            self.over.push_back((now_ns.saturating_add(KEEP_NS), Rc::clone(end)));
        }
    }

    /// Forgets ends that are over for long enough.
    pub(super) fn reap(&mut self, now_ns: u64) {
        while self.over.front().is_some_and(|(until_ns, _)| *until_ns <= now_ns)
            && let Some((_, end)) = self.over.pop_front()
        {
            self.forget(&end);
        }
    }

    fn forget(&mut self, end: &Rc<End>) {
        forget(&mut self.by_tuple, &end.own_tuple(), end);
        if let Some(tuple) = end.translated_tuple() {
            forget(&mut self.by_tuple, &tuple, end);
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
    pub(super) fn may_be_here(&self, end: &End) -> bool {
        let peer = end.first.peer.ip();
        if self.last_ours == Some(peer) {
            return true;
        }
        match self.addresses.get(&peer) {
            Some(Whose::Ours) => true,
            Some(Whose::Foreign(times)) => *times < FOREIGN_AFTER,
            None => end.role() == Some(Role::Client) || PeerNetwork::of(peer) != PeerNetwork::Public,
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

    fn note_ours(&mut self, address: IpAddr) {
        if self.last_ours != Some(address) {
            self.note(address, Whose::Ours);
            self.last_ours = Some(address);
        }
    }

    fn note(&mut self, address: IpAddr, whose: Whose) {
        if self.addresses.len() >= MOST_ADDRESSES && !self.addresses.contains_key(&address) {
            self.addresses.clear();
            self.last_ours = None;
        }
        self.addresses.insert(address, whose);
    }

    /// Adds the end under a tuple, and links it with the only one that can be its peer. A doubt means no peer.
    fn add_as(&mut self, end: &Rc<End>, tuple: Tuple) {
        let wanted = mirrored(tuple);
        let same = self.by_tuple.entry(hash(&tuple)).or_default();
        let found = find(end, &wanted, same).filter(|other| !other.is_linked() && !end.is_linked());
        if let Some(other) = found {
            end.link(other);
            other.link(end);
        }
        let is_found = found.is_some();
        same.push(Rc::clone(end));
        if is_found {
            self.note_ours(end.first.peer.ip());
        }
    }
}

/// The only one of these that can be the end's peer, which it sees under these addresses.
fn find<'a>(end: &Rc<End>, wanted: &Tuple, candidates: &'a [Rc<End>]) -> Option<&'a Rc<End>> {
    let (mut exact, mut loose) = (Only::None, Only::None);
    for other in candidates {
        if other.is_known_by(wanted) && is_possible(end, other) && end.overlaps(other, SLACK_NS) {
            loose = loose.and(other);
            if end.overlaps(other, 0) {
                exact = exact.and(other);
            }
        }
    }
    // An end that began just after another one of its tuple was over fits both, if time is taken loosely.
    match exact {
        Only::None => loose.one(),
        _ => exact.one(),
    }
}

/// Of several, none is the one that is looked for.
#[derive(Clone, Copy)]
enum Only<'a> {
    None,
    One(&'a Rc<End>),
    Several,
}

impl<'a> Only<'a> {
    const fn and(self, other: &'a Rc<End>) -> Self {
        match self {
            Self::None => Self::One(other),
            Self::One(_) | Self::Several => Self::Several,
        }
    }

    const fn one(self) -> Option<&'a Rc<End>> {
        match self {
            Self::One(end) => Some(end),
            Self::None | Self::Several => None,
        }
    }
}

fn forget(by_tuple: &mut FxHashMap<u64, SmallVec<[Rc<End>; 2]>>, tuple: &Tuple, end: &Rc<End>) {
    if let Entry::Occupied(mut same) = by_tuple.entry(hash(tuple)) {
        same.get_mut().retain(|other| !Rc::ptr_eq(other, end));
        if same.get().is_empty() {
            same.remove();
        }
    }
}

/// Whether the two can be one connection's ends. What never leaves a host's loopback stays in one network namespace.
fn is_possible(end: &Rc<End>, other: &Rc<End>) -> bool {
    let same_namespace = end.first.network_namespace == other.first.network_namespace;
    let roles = [end.role(), other.role()];
    !Rc::ptr_eq(end, other)
        && (same_namespace || !(end.is_local() || other.is_local()))
        && (roles[0] != roles[1] || roles == [None; 2])
}

/// The same for a tuple and its mirror.
fn hash((local, peer): &Tuple) -> u64 {
    hash_address(local).wrapping_add(hash_address(peer))
}

/// Of address and port, whose bits are few and alike: both halves of a product depend on all of them.
fn hash_address(address: &SocketAddr) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let folded = |word: u64| {
        let product = u128::from(word) * u128::from(ODD);
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let halves = [product as u64, (product >> 64) as u64];
        halves[0] ^ halves[1]
    };
    let port = u64::from(address.port());
    match address.ip() {
        IpAddr::V4(v4) => folded(u64::from(v4.to_bits()) << 16 | port),
        IpAddr::V6(v6) => {
            #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
            let [high, low] = [(v6.to_bits() >> 64) as u64, v6.to_bits() as u64];
            folded(folded(high) ^ low ^ port << 48)
        }
    }
}

const fn mirrored((local, peer): Tuple) -> Tuple {
    (peer, local)
}

#[cfg(test)]
mod tests;
