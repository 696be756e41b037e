//! Who accepted: taken when the accept system call returns, in the accepting task.

use core::mem::MaybeUninit;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::programs::TracePointContext;

use crate::emit;
use crate::kernel::{Block, ReadFailed, offset, read, read_at, setting};
use crate::layout::ABSENT;
use crate::ledger;
use crate::sock;
use crate::task;
use crate::wire::{Entry, flag, role};

/// `trace_event_raw_sys_exit`: common fields, `__syscall_nr`, `ret`.
const RETURN_OFFSET: usize = 16;

/// The part of a `socket` that has its file and its `sock` on every kernel so far.
const SOCKET_WORDS: usize = 4;

/// An accept system call returns.
#[inline(always)]
pub fn returned(ctx: &TracePointContext) {
    // SAFETY: within the tracepoint's record.
    let fd = unsafe { ctx.as_ptr().cast::<u8>().add(RETURN_OFFSET).cast::<i64>().read() };
    if fd >= 0
        && let Ok(sk) = socket_of(fd as u64)
    {
        accepted(sk);
    }
}

/// The socket behind a descriptor of the running task; 0 when there is none.
#[inline(always)]
fn socket_of(fd: u64) -> Result<u64, ReadFailed> {
    let files = read!(task::current(), task_files, u64)?;
    let table = read!(files, files_fdt, u64)?;
    let slots = read!(table, fdtable_fd, u64)?;
    let file: u64 = read_at(slots.wrapping_add(fd * 8), 0)?;
    if file == 0 {
        return Ok(0);
    }
    let mut words = MaybeUninit::uninit();
    let socket = Block::<SOCKET_WORDS>::read(&mut words, read!(file, file_private_data, u64)?, 0)?;
    // Another thread may have put another file in the slot: only a socket points back at its file.
    if socket.get::<u64>(offset!(socket_file))? != file {
        return Ok(0);
    }
    socket.get(offset!(socket_sk))
}

/// The entry of an accepted socket, or of an MPTCP connection's first subflow.
#[inline(always)]
fn entry_of(sk: u64) -> Option<(u64, &'static mut Entry)> {
    if let Some(entry) = ledger::get(sk) {
        return Some((sk, entry));
    }
    if offset!(mptcp_first) == ABSENT || sk == 0 || !sock::is_mptcp(sk) {
        return None;
    }
    let first = read!(sk, mptcp_first, u64).ok()?;
    ledger::get(first).map(|entry| (first, entry))
}

/// The running task owns `sk` from now on. Only updates: what has no entry began before convis attached.
#[inline(always)]
fn accepted(sk: u64) {
    let Some((sk, entry)) = entry_of(sk) else {
        return;
    };
    if entry.conn.role != role::SERVER || entry.conn.flags & flag::ACCEPTED != 0 {
        return;
    }
    let _counted = task::current_owner(&mut entry.conn.owner);
    entry.conn.flags |= flag::ACCEPTED;
    if entry.conn.family == 0 {
        let _counted = sock::fill_tuple(sk, &mut entry.conn);
    }
    if u64::from(entry.conn.owner.tgid) == setting!(self_tgid) {
        entry.conn.flags |= flag::SELF;
    }
    let ended = entry.conn.flags & flag::CLOSED != 0;
    if entry.conn.flags & flag::SELF == 0 {
        ledger::opened(entry, emit::now());
    }
    if ended {
        ledger::remove(sk);
    }
}
