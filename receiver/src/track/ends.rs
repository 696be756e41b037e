//! Ends of connections, and which two of them are one connection's.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use convis_exporters::model::{PeerNetwork, Role};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::end::{End, Tuple};

/// How long an end that is over can still be found by its peer, whose record may come later.
const KEEP_NS: u64 = 3_000_000_000;
/// Two ends of a connection do not begin and end at the same instant: a packet lies between.
const SLACK_NS: u64 = 50_000_000;
/// Addresses that are remembered as this host's or not.
const MOST_ADDRESSES: usize = 16_384;
/// An address is another host's after so many connections in a row whose peer was not found here.
const FOREIGN_AFTER: u8 = 3;

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
        self.note_ours(end.facts().local.ip());
        self.add_as(end, end.own_tuple());
    }

    /// Takes the other addresses that translation gives to a client's end on its way.
    pub(super) fn translate(&mut self, end: &Rc<End>) {
        // The server's end may come later: it finds this one as it sees it.
        self.add_as(end, end.tuple());
    }

    /// An end is over; its peer may still look for it, unless they know each other.
    pub(super) fn end(&mut self, end: &Rc<End>, time_ns: u64, now_ns: u64) {
        end.end(time_ns);
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
        let peer = end.facts().peer.ip();
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
            self.note_ours(end.facts().peer.ip());
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
    let same_namespace = end.facts().network_namespace == other.facts().network_namespace;
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
