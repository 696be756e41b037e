//! The ledger: one entry for each connection from its first transition to its delivered end.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, LruHashMap};

use crate::emit;
use crate::wire::{
    AF_INET, ClosedRecord, Conn, Entry, OpenedRecord, Owner, SOCKET_KEY, Totals, Tuple, flag, kind,
};

#[map(name = "CONNS")]
static CONNS: HashMap<u64, Entry> = HashMap::with_max_entries(1, 0);

/// Ends whose peer is convis. Small: convis has a handful of connections.
#[map(name = "OWN_PEERS")]
static OWN_PEERS: LruHashMap<Tuple, u8> = LruHashMap::with_max_entries(1024, 0);

/// Every entry begins as a copy of this: the stack has no room to build one, and scratch room of a CPU is not safe from
/// programs that interrupt each other on older kernels.
static BLANK: Entry = Entry {
    conn: Conn {
        id: 0,
        start_ns: 0,
        established_ns: 0,
        owner: Owner { tgid: 0, exec_seq: 0, start_ns: 0, cgroup_id: 0, uid: 0, reserved: 0 },
        local: [0; 2],
        peer: [0; 2],
        local_port_be: 0,
        peer_port_be: 0,
        netns: 0,
        family: 0,
        flags: 0,
        role: 0,
        reserved: [0; 3],
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
        reserved: [0; 3],
    },
    end_ns: 0,
};

/// Makes the entry of a connection without addresses under `key`; a full ledger is counted.
#[inline(always)]
pub fn begin(key: u64, role: u8) -> Option<&'static mut Entry> {
    if CONNS.insert(key, &BLANK, u64::from(BPF_ANY)).is_err() {
        emit::count(|counters| &raw mut counters.untracked);
        return None;
    }
    let entry = get(key)?;
    entry.conn.role = role;
    entry.conn.start_ns = emit::now();
    entry.conn.id = id_at(entry.conn.start_ns);
    Some(entry)
}

/// Makes `conn` one of which nothing is known.
#[inline(always)]
pub fn clear(conn: &mut Conn) {
    *conn = BLANK.conn;
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
