//! The ledger: one entry for each connection from its first transition to its delivered end.

use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, LruHashMap};

use crate::emit;
use crate::kernel::ReadFailed;
use crate::once::Left;
use crate::sock;
use crate::wire::{
    AF_INET, ClosedRecord, Conn, Entry, OpenedRecord, Owner, SOCKET_KEY, Totals, Tuple, flag, kind, map_error,
};

#[map(name = "CONNS")]
static CONNS: HashMap<u64, Entry> = HashMap::with_max_entries(1, 0);

/// Ends whose peer is convis. Small: convis has a handful of connections.
#[map(name = "OWN_PEERS")]
static OWN_PEERS: LruHashMap<Tuple, u8> = LruHashMap::with_max_entries(1024, 0);

const PORT_MARKS: usize = 1024;

/// Ports that convis has ever connected to, by their low bits: what listens on another needs no look at [`OWN_PEERS`].
#[unsafe(no_mangle)]
static mut OWN_PORTS: [u8; PORT_MARKS] = [0; PORT_MARKS];

/// Every entry begins as a copy of this: the stack has no room to build one, and scratch room of a CPU is not safe from
/// programs that interrupt each other on older kernels.
static BLANK: Entry = Entry {
    conn: Conn {
        id: 0,
        start_ns: 0,
        established_ns: 0,
        owner: Owner { tgid: 0, exec_seq: 0, start_ns: 0, cgroup_id: 0, uid: 0, vpid: 0 },
        local: [0; 2],
        peer: [0; 2],
        local_port_be: 0,
        peer_port_be: 0,
        netns: 0,
        family: 0,
        flags: 0,
        role: 0,
        reserved: [0; 3],
        closer: 0,
        transition: 0,
    },
    totals: Totals {
        bytes_acked: 0,
        bytes_received: 0,
        bytes_sent: 0,
        bytes_retrans: 0,
        snd_una: 0,
        snd_nxt: 0,
        write_seq: 0,
        segs_in: 0,
        segs_out: 0,
        total_retrans: 0,
        srtt_us_8: 0,
        sk_err: 0,
        sk_flags: 0,
        old_state: 0,
        shutdown: 0,
        reserved: [0; 2],
    },
    end_ns: 0,
};

/// 1 once a connection began without room in the ledger.
#[unsafe(no_mangle)]
static mut WAS_FULL: u32 = 0;

/// Flag of an end whose beginning was not seen.
#[inline(always)]
pub fn beginning_unknown() -> u16 {
    // SAFETY: an integer that only ever becomes 1.
    if unsafe { (&raw const WAS_FULL).read_volatile() } == 0 { flag::PREEXISTING } else { flag::UNTRACKED }
}

/// Makes the entry of a connection without addresses under `key`; a full ledger is counted.
#[inline(always)]
pub fn begin(key: u64, role: u8) -> Option<&'static mut Entry> {
    if !renew(key) {
        emit::count(|counters| &raw mut counters.untracked);
        // SAFETY: an integer that only ever becomes 1.
        unsafe { (&raw mut WAS_FULL).write_volatile(1) };
        return None;
    }
    let entry = get(key)?;
    entry.conn.role = role;
    entry.conn.start_ns = emit::now();
    entry.conn.id = if key & SOCKET_KEY == 0 { key } else { id_at(entry.conn.start_ns) };
    Some(entry)
}

/// Totals of which nothing is known.
#[inline(always)]
pub fn no_totals() -> Totals {
    BLANK.totals
}

/// An id that no other connection has while the host is up: when it began, and where. One CPU does not begin two
/// connections within a nanosecond, and two CPUs that share the low bits would have to begin one at the same nanosecond.
#[inline(always)]
pub fn id_at(boot_ns: u64) -> u64 {
    const CPU_BITS: u32 = 6;
    // SAFETY: takes no argument.
    let cpu = u64::from(unsafe { bpf_get_smp_processor_id() }) & ((1 << CPU_BITS) - 1);
    (boot_ns << CPU_BITS | cpu) & !SOCKET_KEY
}

/// The entry under `key`.
#[inline(always)]
pub fn get(key: u64) -> Option<&'static mut Entry> {
    // SAFETY: the socket's lock, or its first or last reference, orders the writers of one entry.
    CONNS.get_ptr_mut(key).map(|entry| unsafe { &mut *entry })
}

/// Whether an earlier copy of the program made the entry under `key`, just now: an older one is what a missed end left.
#[inline(always)]
pub fn has_just_begun(key: u64, transition: u32) -> bool {
    const JUST_NS: u64 = 1_000_000_000;
    match get(key) {
        Some(entry) => entry.conn.transition == transition && emit::now() - entry.conn.start_ns < JUST_NS,
        None => false,
    }
}

/// Forgets the entry under `key`.
#[inline(always)]
pub fn remove(key: u64) {
    const ENOENT: i32 = -2;
    if let Err(error) = CONNS.remove(key)
        && error != ENOENT
    {
        refused(error);
    }
}

/// Puts a blank entry under `key`, also where an end that no program saw has left another one.
#[inline(always)]
fn renew(key: u64) -> bool {
    const EEXIST: i32 = -17;
    match CONNS.insert(key, &BLANK, u64::from(BPF_NOEXIST)) {
        Ok(()) => true,
        Err(EEXIST) => {
            if let Some(entry) = get(key) {
                set_aside(entry);
            }
            insert(key, &BLANK, BPF_ANY)
        }
        Err(error) => {
            refused(error);
            false
        }
    }
}

/// The entry's place is no longer its own: what still waits to be told as opened moves to a new id, since its end may wait under
/// its own.
#[inline(always)]
pub fn set_aside(entry: &mut Entry) {
    const ENDED: u16 = flag::CLOSED | flag::ENDING;
    let flags = entry.conn.flags;
    // An end that was seen has told this too, unless the accept came after it.
    if flags & flag::OPEN_PENDING == 0 || flags & ENDED == flag::ENDING {
        return;
    }
    entry.conn.flags = flags & !ENDED;
    if !insert(id_at(emit::now()), entry, BPF_ANY) {
        emit::count(|counters| &raw mut counters.ledger_full[kind::OPENED as usize]);
    }
}

/// Puts an entry in; a refusal is counted.
#[inline(always)]
fn insert(key: u64, entry: &Entry, flags: u32) -> bool {
    match CONNS.insert(key, entry, u64::from(flags)) {
        Ok(()) => true,
        Err(error) => {
            refused(error);
            false
        }
    }
}

#[inline(always)]
fn refused(error: i32) {
    let kind = match error {
        -7 => map_error::FULL,
        -16 | -35 => map_error::BUSY,
        -12 => map_error::NO_MEMORY,
        _ => map_error::OTHER,
    };
    emit::count(|counters| &raw mut counters.map_errors[kind]);
}

/// What becomes of the entry of an ended connection: it can go, unless it waits for its accept.
#[inline(always)]
pub fn left_by(conn: &Conn) -> Left {
    if conn.flags & flag::CLOSED == 0 { Left::Goes } else { Left::Stays }
}

/// The same of the entry under `key`.
#[inline(always)]
pub fn left(key: u64) -> Left {
    get(key).map_or(Left::Goes, |entry| left_by(&entry.conn))
}

/// Enters under `key` what `fill` finds, unless there is an entry already. Made elsewhere first, so that no other program
/// sees half of it.
#[inline(always)]
pub fn enter(key: u64, fill: impl FnOnce(&mut Conn) -> Result<(), ReadFailed>) {
    let start_ns = emit::now();
    let id = id_at(start_ns);
    if !insert(id, &BLANK, BPF_ANY) {
        emit::count(|counters| &raw mut counters.untracked);
        return;
    }
    if let Some(entry) = get(id) {
        entry.conn.id = id;
        entry.conn.start_ns = start_ns;
        if fill(&mut entry.conn).is_ok() {
            let _known = CONNS.insert(key, &*entry, u64::from(BPF_NOEXIST));
        }
    }
    remove(id);
}

/// Tells the end of something that has no entry; `false` if the ring has no room.
#[inline(always)]
pub fn tell(kind: u8, fill: impl FnOnce(&mut Conn, &mut Totals)) -> bool {
    emit::seen(kind);
    emit::send::<ClosedRecord>(
        kind,
        #[inline(always)]
        |record| {
            let time_ns = emit::now();
            emit::header(&mut record.header, kind, time_ns);
            record.conn = BLANK.conn;
            record.totals = BLANK.totals;
            record.conn.id = id_at(time_ns);
            record.conn.start_ns = time_ns;
            fill(&mut record.conn, &mut record.totals);
            Ok(())
        },
    )
}

/// Makes an entry that belongs to no socket, for [`ended_alone`].
#[inline(always)]
pub fn begin_alone(role: u8) -> Option<&'static mut Entry> {
    begin(id_at(emit::now()), role)
}

/// Flag of an entry whose last record found no room in the ring.
#[inline(always)]
fn waiting(kind: u8) -> u16 {
    if kind == kind::FAILED { flag::FAILED } else { flag::CLOSED }
}

/// Neither ring nor ledger had room; its bytes are still counted.
#[inline(always)]
pub fn lost(kind: u8, role: u8, totals: &Totals) {
    emit::count(|counters| &raw mut counters.ledger_full[kind as usize]);
    if kind == kind::CLOSED {
        let (sent, received) = sock::payload(role, totals);
        emit::add(sent, |counters| &raw mut counters.lost_sent);
        emit::add(received, |counters| &raw mut counters.lost_received);
    }
}

/// Sends the opened record of a connection that was established just now, or of which that was missed; without room in the
/// ring the entry remembers it.
#[inline(always)]
pub fn opened(entry: &mut Entry) {
    if !send_opened(entry, entry.conn.established_ns, 0) {
        entry.conn.flags |= flag::OPEN_PENDING;
    }
}

/// Sends an opened record, with these flags beside the entry's own; `false` without room in the ring.
#[inline(always)]
pub fn send_opened(entry: &Entry, time_ns: u64, flags: u16) -> bool {
    emit::seen(kind::OPENED);
    emit::send::<OpenedRecord>(kind::OPENED, |record| {
        emit::header(&mut record.header, kind::OPENED, time_ns);
        record.conn = entry.conn;
        record.conn.flags |= flags;
        Ok(())
    })
}

/// Sends the last record of a connection; without room in the ring it waits in the ledger under its id.
#[inline(always)]
pub fn ended(kind: u8, entry: &mut Entry) {
    if sent_end(kind, entry) {
        return;
    }
    let flags = entry.conn.flags;
    entry.conn.flags = flags | waiting(kind);
    if !insert(entry.conn.id, entry, BPF_ANY) {
        lost(kind, entry.conn.role, &entry.totals);
        if flags & flag::OPEN_PENDING != 0 {
            emit::count(|counters| &raw mut counters.ledger_full[kind::OPENED as usize]);
        }
    }
    entry.conn.flags = flags;
}

/// The same for an entry of [`begin_alone`], which then stays only if it waits.
#[inline(always)]
pub fn ended_alone(kind: u8, entry: &mut Entry) {
    let id = entry.conn.id;
    if sent_end(kind, entry) {
        remove(id);
    } else {
        entry.conn.flags |= waiting(kind);
    }
}

#[inline(always)]
fn sent_end(kind: u8, entry: &mut Entry) -> bool {
    entry.end_ns = emit::now();
    // Volatile, or the compiler may keep it back until after the record is written, when it is of no use.
    // SAFETY: an integer in the entry.
    unsafe { core::ptr::write_volatile(&raw mut entry.conn.flags, entry.conn.flags | flag::ENDING) };
    emit::seen(kind);
    emit::send::<ClosedRecord>(kind, |record| {
        emit::header(&mut record.header, kind, entry.end_ns);
        record.conn = entry.conn;
        record.totals = entry.totals;
        Ok(())
    })
}

/// Remembers that the other end of this connection of convis must be left out.
#[inline(always)]
pub fn leave_out_peer(conn: &Conn) {
    // SAFETY: a byte that only ever becomes 1.
    unsafe { own_port(conn.peer_port_be).write_volatile(1) };
    let _full = OWN_PEERS.insert(&mirrored(conn), 1, u64::from(BPF_ANY));
}

/// Forgets [`leave_out_peer`].
#[inline(always)]
pub fn peer_is_gone(conn: &Conn) {
    let _absent = OWN_PEERS.remove(&mirrored(conn));
}

/// Whether the other end of this connection is convis.
#[inline(always)]
pub fn peer_is_self(conn: &Conn) -> bool {
    // SAFETY: a byte that only ever becomes 1, before the peer's end can be established.
    let may_be = unsafe { own_port(conn.local_port_be).read_volatile() } != 0;
    may_be && OWN_PEERS.get_ptr(&tuple(conn)).is_some()
}

#[inline(always)]
fn own_port(port_be: u16) -> *mut u8 {
    let port = u64::from(u16::from_be(port_be));
    // Masked right where it is used, which a volatile read sees to: older verifiers lose sight of it on the way.
    // SAFETY: a local integer.
    let mark = unsafe { (&raw const port).read_volatile() } as usize & (PORT_MARKS - 1);
    // SAFETY: within the array.
    unsafe { (&raw mut OWN_PORTS).cast::<u8>().add(mark) }
}

#[inline(always)]
fn tuple(conn: &Conn) -> Tuple {
    Tuple {
        local: conn.local,
        peer: conn.peer,
        local_port_be: conn.local_port_be,
        peer_port_be: conn.peer_port_be,
        netns: if is_loopback(conn) { conn.netns } else { 0 },
    }
}

#[inline(always)]
fn mirrored(conn: &Conn) -> Tuple {
    Tuple {
        local: conn.peer,
        peer: conn.local,
        local_port_be: conn.peer_port_be,
        peer_port_be: conn.local_port_be,
        netns: if is_loopback(conn) { conn.netns } else { 0 },
    }
}

#[inline(always)]
fn is_loopback(conn: &Conn) -> bool {
    if conn.family == AF_INET { conn.peer[0] & 0xff == 127 } else { conn.peer == [0, 1_u64.to_be()] }
}
