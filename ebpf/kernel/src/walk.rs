//! What user space asks for: the sockets that processes hold at start, and the figures of living connections.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_seq_write;

use crate::descriptor;
use crate::emit;
use crate::kernel::{offset, read, setting};
use crate::layout::ABSENT;
use crate::ledger;
use crate::sock::{self, state};
use crate::task;
use crate::wire::{Conn, Entry, LiveHead, SOCKET_KEY, flag, kind, role};

/// Arguments of an iterator over the files of tasks: `bpf_iter__task_file`.
#[repr(C)]
pub struct TaskFile {
    _meta: *const c_void,
    task: *const c_void,
    _fd: u64,
    file: *const c_void,
}

/// Arguments of an iterator over the elements of a map: `bpf_iter__bpf_map_elem`.
#[repr(C)]
pub struct MapElement {
    meta: *const Meta,
    _map: *const c_void,
    key: *const u64,
    value: *const Entry,
}

/// The start of `bpf_iter_meta`.
#[repr(C)]
pub struct Meta {
    seq: *mut c_void,
}

/// A process holds a file: if that is a TCP socket with a connection or a listener, it is entered in the ledger.
#[inline(always)]
pub fn held(args: &TaskFile) {
    let (task, file) = (args.task as u64, args.file as u64);
    if task == 0 || file == 0 {
        return;
    }
    let mut sk = descriptor::socket_of_file(file);
    if sk == 0 {
        return;
    }
    if offset!(mptcp_first) != ABSENT && sock::is_mptcp(sk) {
        sk = read!(sk, mptcp_first, u64).unwrap_or(0);
    }
    let (Some(is_kernels), Ok(state)) = (sock::tcp(sk), sock::state(sk)) else {
        return;
    };
    if state == state::CLOSE {
        return;
    }
    ledger::enter(sk, |conn| {
        conn.role = match state {
            state::LISTEN => role::LISTENER,
            state::SYN_SENT => role::CLIENT,
            _ => role::UNKNOWN,
        };
        conn.flags = flag::PREEXISTING | flag::FOUND;
        if is_kernels {
            conn.flags |= flag::KERNEL;
        } else {
            task::holder_of(task, &mut conn.owner)?;
            if u64::from(conn.owner.tgid) == setting!(self_tgid) {
                conn.flags |= flag::SELF;
            }
        }
        if state != state::SYN_SENT {
            conn.established_ns = conn.start_ns;
        }
        sock::fill_tuple(sk, conn)
    });
    // It may have ended between the two looks, unseen for want of an entry.
    if matches!(sock::state(sk), Ok(state::CLOSE)) {
        ledger::remove(sk);
    }
}

/// Writes what user space asks of one element of the ledger: the entry, and the socket's figures as of now.
#[inline(always)]
pub fn element(element: &MapElement) {
    let (key, entry) = (element.key, element.value);
    if key.is_null() || entry.is_null() {
        return;
    }
    // SAFETY: the kernel hands out whole elements.
    let (sk, entry) = unsafe { (*key, &*entry) };
    let conn = &entry.conn;
    if sk & SOCKET_KEY == 0 || conn.flags & flag::SELF != 0 || !is_told(conn) {
        return;
    }
    let id = conn.id;
    let mut totals = ledger::no_totals();
    if sock::fill_totals(sk, state::ESTABLISHED, &mut totals).is_err() {
        return;
    }
    if conn.flags & flag::PREEXISTING != 0 {
        let _counted = sock::fill_role_hints(sk, &mut totals);
    }
    // The state comes last: a FIN that is taken for payload would stay counted, one that is left out is made up for later.
    let ends = conn.flags & (flag::ENDING | flag::CLOSED) != 0;
    totals.old_state = match sock::state(sk) {
        Ok(state) if !ends && sock::is_still(sk, conn) => state as u8,
        _ => state::CLOSE as u8,
    };
    // The kernel uses the element for another connection as soon as this one is forgotten.
    // SAFETY: an integer of the element.
    if unsafe { (&raw const conn.id).read_volatile() } != id {
        return;
    }
    let mut head = LiveHead { header: emit::blank_header(), key: sk };
    emit::header(&mut head.header, kind::LIVE, emit::now());
    // SAFETY: the first member of the kernel's structure.
    let seq = unsafe { (*element.meta).seq };
    write(seq, (&raw const head).cast(), size_of_val(&head));
    write(seq, (&raw const *conn).cast(), size_of_val(conn));
    write(seq, (&raw const totals).cast(), size_of_val(&totals));
}

/// Whether user space knows of it or should: a listener, or what is established and has an owner.
#[inline(always)]
fn is_told(conn: &Conn) -> bool {
    const OWNED: u16 = flag::ACCEPTED | flag::PREEXISTING;
    conn.role == role::LISTENER
        || conn.established_ns != 0 && (conn.role == role::CLIENT || conn.flags & OWNED != 0)
        || conn.flags & (flag::ENDING | flag::CLOSED) != 0
}

/// The kernel takes an element back as a whole when its buffer is full, and offers it again.
#[inline(always)]
fn write(seq: *mut c_void, from: *const c_void, bytes: usize) {
    // SAFETY: the helper reads `bytes` at `from`.
    let _again = unsafe { bpf_seq_write(seq.cast(), from, bytes as u32) };
}
