//! One end of a connection.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use convis_exporters::model::{Connection, Role};

use super::fate::Fate;
use super::holder::Holder;
use super::series::Counted;
use crate::nat::Translated;

/// Local and peer address of an end.
pub(super) type Tuple = (SocketAddr, SocketAddr);

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

    /// Whether its peer is known.
    pub(super) fn is_linked(&self) -> bool {
        self.peer.get().is_some()
    }

    /// `other` is its peer.
    pub(super) fn link(&self, other: &Self) {
        let local = other.first.local;
        let elsewhere = (local != self.first.peer).then(|| Box::new(local));
        // Whoever has a peer keeps it.
        let _is_first = self.peer.set(Link { holder: other.holder.clone(), elsewhere });
    }

    /// It is over.
    pub(super) fn end(&self, time_ns: u64) {
        self.ended_ns.set(time_ns);
    }

    /// Whether both lived at some time, give or take `slack_ns`.
    pub(super) fn overlaps(&self, other: &Self, slack_ns: u64) -> bool {
        let before = |one: &Self, two: &Self| one.ended_ns.get().saturating_add(slack_ns) < two.began_ns;
        !before(self, other) && !before(other, self)
    }

    /// Its addresses, as it sees them.
    pub(super) fn own_tuple(&self) -> Tuple {
        (self.first.local, self.first.peer)
    }

    /// Its addresses, as its peer sees them.
    pub(super) fn tuple(&self) -> Tuple {
        self.translated_tuple().unwrap_or_else(|| self.own_tuple())
    }

    /// The same, if translation makes others of them.
    pub(super) fn translated_tuple(&self) -> Option<Tuple> {
        self.translated.get().map(|translated| (translated.client, translated.server))
    }

    /// Whether it can be found under these addresses: its own, or those that translation makes of them.
    pub(super) fn is_known_by(&self, (local, peer): &Tuple) -> bool {
        (self.first.local == *local && self.first.peer == *peer)
            || self.translated.get().is_some_and(|to| to.client == *local && to.server == *peer)
    }

    /// Whether its packets stay on the loopback of its network namespace.
    pub(super) fn is_local(&self) -> bool {
        let (local, peer) = self.tuple();
        let [local, peer] = [local.ip(), peer.ip()];
        local == peer || local.is_loopback() || peer.is_loopback()
    }
}
