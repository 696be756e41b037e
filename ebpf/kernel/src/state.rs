//! The spine: a connection's life from the state changes of its socket.
//!
//! CLOSE->SYN_SENT runs in the connecting task, so it names the owner, but the addresses are known only when SYN_SENT is
//! left. LISTEN->SYN_RECV makes a child, in whatever context the packet came. An own FIN is sent in the closing task. The
//! last change to CLOSE carries the totals; all between is deduced from the state it leaves.

use crate::emit;
use crate::failed;
use crate::kernel::setting;
use crate::ledger;
use crate::once::{self, Left};
use crate::sock;
use crate::sock::state::{CLOSE, ESTABLISHED, FIN_WAIT1, LAST_ACK, LISTEN, SYN_RECV, SYN_SENT};
use crate::task;
use crate::wire::{Conn, Entry, OpenedRecord, flag, kind, role};

/// A socket's change of state.
#[derive(Clone, Copy)]
struct Change {
    old: u32,
    new: u32,
}

impl Change {
    #[inline(always)]
    fn matters(self) -> bool {
        self.old != self.new
            && (matches!(self.old, SYN_SENT | SYN_RECV | LISTEN)
                || matches!(self.new, CLOSE | SYN_SENT | FIN_WAIT1 | LAST_ACK | LISTEN))
    }

    /// A new attempt, listener or child.
    #[inline(always)]
    fn begins(self) -> bool {
        (self.old == CLOSE && matches!(self.new, SYN_SENT | LISTEN))
            || (self.old == LISTEN && self.new == SYN_RECV)
    }

    #[inline(always)]
    fn ends(self) -> bool {
        self.new == CLOSE
    }

    /// It never came to a connection: a failed attempt, a child that came to nothing.
    #[inline(always)]
    fn fails(self) -> bool {
        self.new == CLOSE && matches!(self.old, SYN_SENT | SYN_RECV)
    }

    /// The connection is established now, or was before and no copy of the program ran then. A simultaneous open goes from
    /// SYN_SENT to SYN_RECV first.
    #[inline(always)]
    fn shows_established(self) -> bool {
        !self.begins() && !self.fails() && (self.old != SYN_SENT || self.new == ESTABLISHED)
    }

    #[inline(always)]
    fn packed(self) -> u32 {
        self.old << 8 | self.new
    }
}

/// A socket goes from `old` to `new`; this is copy number `COPY` of the program.
#[inline(always)]
pub fn changed<const COPY: u64>(sk: u64, old: u32, new: u32) {
    let change = Change { old, new };
    if !change.matters() {
        return;
    }
    let hit = once::hit(sk, change.packed());
    let is_last = setting!(state_copies) == COPY + 1;
    let done = if COPY == 0 { None } else { once::is_done(hit) };
    let left = match done {
        Some(left) => {
            if is_last {
                once::forget();
            }
            left
        }
        None => {
            let left = follow(sk, change, COPY != 0);
            if !is_last {
                once::done(hit, left);
            }
            left
        }
    };
    // Not before the last: a copy that lost the mark to an interruption finds that the work is done by the entry.
    if is_last && change.ends() && left == Left::Goes {
        ledger::remove(sk);
    }
}

/// `may_be_done`: a copy before this one may have done the work.
#[inline(always)]
fn follow(sk: u64, change: Change, may_be_done: bool) -> Left {
    let Some(entry) = entry_for(sk, change, may_be_done) else {
        return if change.ends() { ledger::left(sk) } else { Left::Stays };
    };
    entry.conn.transition = change.packed();
    if !change.ends() || entry.conn.flags & (flag::CLOSED | flag::ENDING) == 0 {
        work(sk, change, entry);
    }
    ledger::left_by(&entry.conn)
}

/// Does what a change of state asks for.
#[inline(always)]
fn work(sk: u64, change: Change, entry: &mut Entry) {
    let establishes = entry.conn.established_ns == 0 && change.shows_established();
    let is_listener = entry.conn.role == role::LISTENER;
    if establishes || is_listener || (change.fails() && entry.conn.role == role::CLIENT) {
        let _counted = sock::fill_tuple(sk, &mut entry.conn);
    }
    if is_listener {
        listener_changes(&mut entry.conn, change);
        return;
    }
    if change.begins() {
        return;
    }
    let mut opens = establishes && became_established(&mut entry.conn, change);
    if change.ends() && !change.fails() || entry.conn.role == role::CLIENT && change.ends() {
        let _counted = sock::fill_totals(sk, change.old, &mut entry.totals);
        if entry.conn.flags & (flag::PREEXISTING | flag::UNTRACKED) != 0 {
            let _counted = sock::fill_role_hints(sk, &mut entry.totals);
        }
    }
    if matches!(change.new, FIN_WAIT1 | LAST_ACK) || change.ends() && sock::was_reset_here(&entry.totals) {
        opens |= closes_here(&mut entry.conn);
    } else if change.ends() && sock::was_destroyed(&entry.totals) && entry.conn.flags & flag::KERNEL == 0 {
        destroyed(&mut entry.conn);
    }
    if entry.conn.flags & flag::SELF != 0 {
        if change.ends() {
            own_ends(&mut entry.conn);
        }
        return;
    }
    if opens {
        ledger::opened(entry);
    }
    if change.ends() {
        ends(sk, change, entry);
    }
}

/// The entry of what begins now, or what began before. An end without an entry gets one, if there is room.
#[inline(always)]
fn entry_for(sk: u64, change: Change, may_be_done: bool) -> Option<&'static mut Entry> {
    if change.begins() {
        if may_be_done && ledger::has_just_begun(sk, change.packed()) {
            return None;
        }
        return begins(sk, change);
    }
    if let Some(entry) = ledger::get(sk) {
        let is_done = may_be_done && entry.conn.transition == change.packed();
        return if is_done { None } else { Some(entry) };
    }
    if change.ends() && !change.fails() { untracked_ends(sk, change) } else { None }
}

/// An attempt and a listener begin in their owner's task, a child in the context of whoever's packet came.
#[inline(always)]
fn begins(sk: u64, change: Change) -> Option<&'static mut Entry> {
    let is_kernels = sock::tcp(sk)?;
    let role = match change.new {
        SYN_SENT => role::CLIENT,
        LISTEN => role::LISTENER,
        _ => role::SERVER,
    };
    let entry = ledger::begin(sk, role)?;
    if is_kernels {
        entry.conn.flags = flag::KERNEL;
    } else if role != role::SERVER {
        let _counted = task::current_owner(&mut entry.conn.owner);
        if u64::from(entry.conn.owner.tgid) == setting!(self_tgid) {
            entry.conn.flags = flag::SELF;
        }
    }
    Some(entry)
}

/// Returns whether this is the moment to say so: a server's end is told when it is accepted, except where nobody does.
#[inline(always)]
fn became_established(conn: &mut Conn, change: Change) -> bool {
    // Where it was missed, the connection begins with its attempt; where even that was, at a time that nobody knows.
    if matches!(change.old, SYN_SENT | SYN_RECV) {
        conn.established_ns = emit::now();
    } else if conn.role != role::UNKNOWN {
        conn.established_ns = conn.start_ns;
    }
    if conn.role == role::CLIENT {
        if conn.flags & flag::SELF != 0 {
            ledger::leave_out_peer(conn);
        }
        // An attempt that was under way when convis started: the connection itself began later.
        conn.flags &= !flag::PREEXISTING;
        return true;
    }
    if ledger::peer_is_self(conn) {
        conn.flags |= flag::SELF;
    } else if conn.flags & flag::KERNEL != 0 {
        conn.flags |= flag::ACCEPTED;
        return true;
    }
    false
}

/// This end's FIN goes out, or it is reset, in the task that closes it. Returns whether only that shows that it was
/// accepted, such as through io_uring: then who holds it at its end owns it.
#[inline(always)]
fn closes_here(conn: &mut Conn) -> bool {
    let tgid = task::current_tgid();
    if conn.flags & (flag::SELF | flag::KERNEL) != 0 || tgid == conn.owner.tgid || task::is_kernels() {
        return false;
    }
    let unaccepted = conn.role == role::SERVER && conn.flags & flag::ACCEPTED == 0;
    if !unaccepted && conn.owner.tgid != 0 {
        conn.closer = tgid;
        return false;
    }
    let _counted = task::current_owner(&mut conn.owner);
    if u64::from(tgid) == setting!(self_tgid) {
        conn.flags |= flag::SELF;
    }
    conn.flags |= if unaccepted { flag::LATE | flag::ACCEPTED } else { flag::LATE };
    unaccepted
}

/// Somebody destroys the socket, in his own task.
#[inline(always)]
fn destroyed(conn: &mut Conn) {
    let tgid = task::current_tgid();
    if tgid != conn.owner.tgid && !task::is_kernels() {
        conn.closer = tgid;
    }
}

/// The socket reaches CLOSE: the only moment when its totals are complete.
#[inline(always)]
fn ends(sk: u64, change: Change, entry: &mut Entry) {
    let is_server = entry.conn.role == role::SERVER;
    if change.fails() && is_server {
        // A handshake that nobody finished.
        entry.conn.flags |= flag::ENDING;
        return;
    }
    if change.fails() {
        failed::told(sk, &entry.totals);
    }
    // A child that the peer reset can still be accepted; one without an error was ended by its closing listener.
    let may_be_accepted = is_server && entry.conn.flags & flag::ACCEPTED == 0 && entry.totals.sk_err != 0;
    if may_be_accepted && sock::is_held(sk) {
        entry.conn.flags |= flag::HELD;
    }
    ledger::ended(if change.fails() { kind::FAILED } else { kind::CLOSED }, entry);
    if may_be_accepted {
        entry.conn.flags |= flag::CLOSED;
    }
}

#[inline(always)]
fn own_ends(conn: &mut Conn) {
    emit::count(|counters| &raw mut counters.own_ends);
    conn.flags |= flag::ENDING;
    if conn.role == role::CLIENT {
        ledger::peer_is_gone(conn);
    }
}

#[inline(always)]
fn listener_changes(conn: &mut Conn, change: Change) {
    let kind = if change.ends() { kind::LISTENER_CLOSED } else { kind::LISTENING };
    if change.ends() {
        conn.flags |= flag::ENDING;
    }
    emit::seen(kind);
    let _sent = emit::send::<OpenedRecord>(kind, |record| {
        emit::header(&mut record.header, kind, emit::now());
        record.conn = *conn;
        Ok(())
    });
}

/// Open before convis attached and not found then, or the ledger was full when it began. Its entry, if there is room now,
/// tells the other copies that it is done.
#[inline(always)]
fn untracked_ends(sk: u64, change: Change) -> Option<&'static mut Entry> {
    sock::tcp(sk)?;
    let entry = ledger::begin(sk, role::UNKNOWN);
    let flags = ledger::beginning_unknown();
    if let Some(entry) = entry {
        entry.conn.flags = flags;
        if change.old == LISTEN {
            entry.conn.role = role::LISTENER;
        }
        return Some(entry);
    }
    if change.old == LISTEN {
        return None;
    }
    let told = ledger::tell(
        kind::CLOSED,
        #[inline(always)]
        |conn, totals| {
            conn.flags = flags;
            let _counted = sock::fill_tuple(sk, conn);
            let _counted = sock::fill_totals(sk, change.old, totals);
            let _counted = sock::fill_role_hints(sk, totals);
        },
    );
    if !told {
        let mut totals = ledger::no_totals();
        let _counted = sock::fill_totals(sk, change.old, &mut totals);
        let _counted = sock::fill_role_hints(sk, &mut totals);
        ledger::lost(kind::CLOSED, role::UNKNOWN, &totals);
    }
    None
}
