//! The ledger: one entry for each connection from its first transition to its delivered end.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, LruHashMap, PerCpuArray};

use crate::emit;
use crate::kernel::setting;
use crate::wire::{AF_INET, ClosedRecord, Conn, Entry, OpenedRecord, Tuple, flag, kind};

#[map(name = "CONNS")]
static CONNS: HashMap<u64, Entry> = HashMap::with_max_entries(1, 0);

/// Ends whose peer is convis. Small: convis has a handful of connections.
#[map(name = "OWN_PEERS")]
static OWN_PEERS: LruHashMap<Tuple, u8> = LruHashMap::with_max_entries(1024, 0);

const ENTRY_WORDS: usize = size_of::<Entry>() / 8;

/// Room to build an entry in, since the stack has none. Only the state program uses it, and no program interrupts itself.
#[map(name = "SCRATCH")]
static SCRATCH: PerCpuArray<Entry> = PerCpuArray::with_max_entries(1, 0);

/// A new connection without addresses, in this CPU's scratch room.
#[inline(always)]
pub fn scratch(role: u8) -> Option<&'static mut Entry> {
    let entry = SCRATCH.get_ptr_mut(0)?;
    let words = entry.cast::<u64>();
    for word in 0..ENTRY_WORDS {
        // Volatile, or the compiler makes it a call that clears byte by byte.
        // SAFETY: within this CPU's own slot, see SCRATCH.
        unsafe { words.add(word).write_volatile(0) };
    }
    // SAFETY: the same; all zero is a valid entry.
    let entry = unsafe { &mut *entry };
    entry.conn.role = role;
    entry.conn.start_ns = emit::now();
    entry.conn.id = next_id();
    Some(entry)
}

/// An id that no other connection has while the host is up: the CPU, and a count that starts at the microsecond of load.
#[inline(always)]
pub fn next_id() -> u64 {
    const COUNT_BITS: u32 = 48;
    let mut id = 0;
    if let Some(counters) = emit::counters() {
        // SAFETY: this CPU's own slot.
        unsafe {
            id = (*counters).next_id;
            (*counters).next_id = id.wrapping_add(1);
        }
    }
    // SAFETY: takes no argument.
    let cpu = u64::from(unsafe { bpf_get_smp_processor_id() });
    (cpu << COUNT_BITS) | (setting!(id_base).wrapping_add(id) & ((1 << COUNT_BITS) - 1))
}

/// The entry under `key`.
#[inline(always)]
pub fn get(key: u64) -> Option<&'static mut Entry> {
    // SAFETY: the socket's lock, or its first or last reference, orders the writers of one entry.
    CONNS.get_ptr_mut(key).map(|entry| unsafe { &mut *entry })
}

/// Makes the entry of a living connection.
#[inline(always)]
pub fn insert(sk: u64, entry: &Entry) {
    if CONNS.insert(sk, entry, u64::from(BPF_ANY)).is_err() {
        emit::count(|counters| &raw mut counters.untracked);
    }
}

/// Forgets the entry under `key`.
#[inline(always)]
pub fn remove(key: u64) {
    let _absent = CONNS.remove(key);
}

/// Sends an opened record; without room in the ring the entry remembers it.
#[inline(always)]
pub fn opened(entry: &mut Entry, time_ns: u64) {
    emit::seen(kind::OPENED);
    let sent = emit::send::<OpenedRecord>(kind::OPENED, |record| {
        emit::header(&mut record.header, kind::OPENED, time_ns);
        record.conn = entry.conn;
        Ok(())
    });
    if !sent {
        entry.conn.flags |= flag::OPEN_PENDING;
    }
}

/// Sends the last record of a connection; without room in the ring it waits in the ledger under its id.
#[inline(always)]
pub fn ended(kind: u8, entry: &mut Entry) {
    entry.end_ns = emit::now();
    // Volatile, or the compiler may keep it back until after the record is written, when it is of no use.
    // SAFETY: an integer in the entry.
    unsafe { core::ptr::write_volatile(&raw mut entry.conn.flags, entry.conn.flags | flag::ENDING) };
    emit::seen(kind);
    let sent = emit::send::<ClosedRecord>(kind, |record| {
        emit::header(&mut record.header, kind, entry.end_ns);
        record.conn = entry.conn;
        record.totals = entry.totals;
        Ok(())
    });
    if sent {
        return;
    }
    let flags = entry.conn.flags;
    entry.conn.flags = flags | if kind == kind::FAILED { flag::FAILED } else { flag::CLOSED };
    if CONNS.insert(&entry.conn.id, &*entry, u64::from(BPF_ANY)).is_err() {
        emit::count(|counters| &raw mut counters.ledger_full[kind as usize]);
    }
    entry.conn.flags = flags;
}

/// Remembers that the other end of this connection of convis must be left out.
#[inline(always)]
pub fn leave_out_peer(conn: &Conn) {
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
    OWN_PEERS.get_ptr(&tuple(conn)).is_some()
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
