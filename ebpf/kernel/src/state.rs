//! The spine: a connection's life from the state changes of its socket.
//!
//! Only a few of the changes matter. CLOSE->SYN_SENT runs in the connecting task, so it names the owner, but the
//! addresses are known only when SYN_SENT is left. LISTEN->SYN_RECV makes a child, in whatever context the packet came.
//! The last change to CLOSE carries the totals; all between is deduced from the state it leaves.

use crate::emit;
use crate::kernel::setting;
use crate::ledger;
use crate::sock;
use crate::task;
use crate::wire::{Conn, Entry, OpenedRecord, flag, kind, role};

const ESTABLISHED: u32 = 1;
const SYN_SENT: u32 = 2;
const SYN_RECV: u32 = 3;
const CLOSE: u32 = 7;
const LISTEN: u32 = 10;

/// A TCP socket goes from `old` to `new`.
#[inline(always)]
pub fn changed(sk: u64, old: u32, new: u32) {
    let matters = old == SYN_SENT || old == SYN_RECV || old == LISTEN || new == CLOSE || new == SYN_SENT;
    if !matters || old == new {
        return;
    }
    if new == SYN_SENT {
        connecting(sk);
    } else if new == CLOSE {
        closed(sk, old);
    } else if old == LISTEN {
        if new == SYN_RECV {
            child_made(sk);
        }
    } else {
        established(sk, old, new);
    }
}

/// The attempt begins, in the connecting task.
#[inline(always)]
fn connecting(sk: u64) {
    if !sock::is_tcp(sk) {
        return;
    }
    let Some(entry) = ledger::begin(sk, role::CLIENT) else {
        return;
    };
    let _counted = task::current_owner(&mut entry.conn.owner);
    if u64::from(entry.conn.owner.tgid) == setting!(self_tgid) {
        entry.conn.flags |= flag::SELF;
    }
}

/// A listener's child, in the context of whoever's packet came.
#[inline(always)]
fn child_made(sk: u64) {
    if sock::is_tcp(sk) {
        let _full = ledger::begin(sk, role::SERVER);
    }
}

/// SYN_SENT or SYN_RECV is left for anything but CLOSE.
#[inline(always)]
fn established(sk: u64, old: u32, new: u32) {
    if old == SYN_SENT && new != ESTABLISHED {
        // Simultaneous open: it goes on to SYN_RECV.
        return;
    }
    let Some(entry) = ledger::get(sk) else {
        return;
    };
    if entry.conn.established_ns != 0 {
        return;
    }
    became_established(sk, entry, emit::now());
}

#[inline(always)]
fn became_established(sk: u64, entry: &mut Entry, time_ns: u64) {
    entry.conn.established_ns = time_ns;
    let _counted = sock::fill_tuple(sk, &mut entry.conn);
    if entry.conn.role == role::CLIENT {
        client_established(entry, time_ns);
    } else if ledger::peer_is_self(&entry.conn) {
        entry.conn.flags |= flag::SELF;
    }
}

#[inline(always)]
fn client_established(entry: &mut Entry, time_ns: u64) {
    if entry.conn.flags & flag::SELF == 0 {
        ledger::opened(entry, time_ns);
    } else {
        ledger::leave_out_peer(&entry.conn);
    }
}

/// The socket reaches CLOSE: the only moment when its totals are complete.
#[inline(always)]
fn closed(sk: u64, old: u32) {
    if old == LISTEN {
        if sock::is_tcp(sk) {
            listener_closed(sk);
        }
        return;
    }
    let Some(entry) = ledger::get(sk) else {
        if old != SYN_SENT && old != SYN_RECV && sock::is_tcp(sk) {
            untracked_closed(sk, old);
        }
        return;
    };
    if entry.conn.flags & flag::CLOSED != 0 {
        return;
    }
    if entry.conn.flags & flag::SELF != 0 {
        own_closed(sk, &entry.conn);
        return;
    }
    if old == SYN_SENT || old == SYN_RECV {
        attempt_ended(sk, old, entry);
        return;
    }
    if entry.conn.established_ns == 0 {
        // The kernel skipped the program when it was established: then it begins with its attempt.
        let start_ns = entry.conn.start_ns;
        became_established(sk, entry, start_ns);
    }
    let _counted = sock::fill_totals(sk, old, &mut entry.totals);
    ledger::ended(kind::CLOSED, entry);
    // A child that the peer reset can still be accepted; one without an error was ended by its closing listener.
    let awaits_accept =
        entry.conn.role == role::SERVER && entry.conn.flags & flag::ACCEPTED == 0 && entry.totals.sk_err != 0;
    if awaits_accept {
        entry.conn.flags |= flag::CLOSED;
    } else {
        ledger::remove(sk);
    }
}

/// Not established: a failed attempt of a client, a child that came to nothing.
#[inline(always)]
fn attempt_ended(sk: u64, old: u32, entry: &mut Entry) {
    if entry.conn.role == role::CLIENT {
        let _counted = sock::fill_tuple(sk, &mut entry.conn);
        let _counted = sock::fill_totals(sk, old, &mut entry.totals);
        ledger::ended(kind::FAILED, entry);
    }
    ledger::remove(sk);
}

#[inline(always)]
fn own_closed(sk: u64, conn: &Conn) {
    emit::count(|counters| &raw mut counters.own_ends);
    if conn.role == role::CLIENT {
        ledger::peer_is_gone(conn);
    }
    ledger::remove(sk);
}

/// Open before convis attached, or the ledger was full when it began. Its entry lives only while it is told.
#[inline(always)]
fn untracked_closed(sk: u64, old: u32) {
    let Some(entry) = ledger::begin(sk, role::UNKNOWN) else {
        return;
    };
    entry.conn.flags = flag::PREEXISTING;
    let _counted = sock::fill_tuple(sk, &mut entry.conn);
    let _counted = sock::fill_totals(sk, old, &mut entry.totals);
    let _counted = sock::fill_role_hints(sk, &mut entry.totals);
    ledger::ended(kind::CLOSED, entry);
    ledger::remove(sk);
}

/// Children that wait for this listener's accept will never get it.
#[inline(always)]
fn listener_closed(sk: u64) {
    emit::seen(kind::LISTENER_CLOSED);
    let _counted = emit::send::<OpenedRecord>(kind::LISTENER_CLOSED, |record| {
        emit::header(&mut record.header, kind::LISTENER_CLOSED, emit::now());
        ledger::clear(&mut record.conn);
        sock::fill_tuple(sk, &mut record.conn)
    });
}
