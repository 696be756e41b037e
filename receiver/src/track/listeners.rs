//! Listening sockets: whose are the children that nobody accepts, and which end of an old connection is the server's.

use convis_ebpf::wire::{self, Conn};
use convis_exporters::model::Role;
use rustc_hash::FxHashMap;

use super::holder::Holder;
use crate::totals;

/// A listener that so many walks in a row do not show is forgotten. One that closed is known that long: its children's ends
/// come after its own.
const WALKS_TO_FORGET: u32 = 2;

/// Listeners by network namespace and port (network byte order).
#[derive(Debug, Default)]
pub(super) struct Listeners(FxHashMap<(u32, u16), Vec<Listener>>);

#[derive(Debug)]
struct Listener {
    id: u64,
    family: u16,
    local: wire::Address,
    holder: Holder,
    /// The last walk that showed it, or before which it closed.
    walk: u32,
}

impl Listeners {
    /// Notes that a listener is still there; `false` for one that is new.
    pub(super) fn refresh(&mut self, conn: &Conn, walk: u32) -> bool {
        let known = self.known(conn);
        known.map(|listener| listener.walk = walk).is_some()
    }

    /// Adds a listener that is not known.
    pub(super) fn add(&mut self, conn: &Conn, holder: Holder, walk: u32) {
        self.0.entry(place(conn)).or_default().push(Listener {
            id: conn.id,
            family: conn.family,
            local: conn.local,
            holder,
            walk,
        });
    }

    /// Forgets what is no longer shown.
    pub(super) fn end_walk(&mut self, walk: u32) {
        self.0.retain(|_, of| {
            of.retain(|listener| walk.wrapping_sub(listener.walk) < WALKS_TO_FORGET);
            !of.is_empty()
        });
    }

    /// The one process whose listeners a child can come from; `None` if there are several, or one is not known.
    pub(super) fn owner_of(&self, child: &Conn) -> Option<Holder> {
        let of = self.0.get(&place(child))?;
        let best = of.iter().filter_map(|listener| listener.fit(child)).max()?;
        let mut fitting = of.iter().filter(|listener| listener.fit(child) == Some(best));
        let holder = &fitting.next()?.holder;
        let is_one = holder.process.is_some() && fitting.all(|other| other.holder.is_same_process(holder));
        is_one.then(|| holder.clone())
    }

    /// The role of an end whose beginning was not seen: the server's if its port is listened on, else what its figures say.
    /// `None` if the two contradict each other, or say nothing.
    pub(super) fn role_of(&self, conn: &Conn, raw: &wire::Totals) -> Option<Role> {
        let of = self.0.get(&place(conn));
        let listens = of.is_some_and(|of| of.iter().any(|listener| listener.fit(conn).is_some()));
        match totals::role(raw) {
            Some(Role::Client) if listens => None,
            _ if listens => Some(Role::Server),
            told => told,
        }
    }

    fn known(&mut self, conn: &Conn) -> Option<&mut Listener> {
        self.0.get_mut(&place(conn))?.iter_mut().find(|listener| listener.id == conn.id)
    }
}

impl Listener {
    /// How well its address fits an end's, the better the greater, as the kernel chooses among listeners; `None` if not at
    /// all.
    fn fit(&self, end: &Conn) -> Option<u8> {
        let same_family = self.family == end.family;
        let any = self.local == [0; 2];
        match (same_family, any) {
            (true, _) if self.local == end.local => Some(2),
            (true, true) => Some(1),
            // An IPv6 listener on all addresses takes IPv4 as well, unless told otherwise.
            (false, true) if self.family == wire::AF_INET6 => Some(0),
            _ => None,
        }
    }
}

const fn place(conn: &Conn) -> (u32, u16) {
    (conn.netns, conn.local_port_be)
}
