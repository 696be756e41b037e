//! Who accepted: taken when the accept system call returns, in the accepting task.

use aya_ebpf::programs::TracePointContext;

use crate::emit;
use crate::kernel::{ReadFailed, offset, read, read_at, setting};
use crate::layout::ABSENT;
use crate::ledger;
use crate::sock;
use crate::task;
use crate::wire::{flag, role};

/// `trace_event_raw_sys_exit`: common fields, `__syscall_nr`, `ret`.
const RETURN_OFFSET: usize = 16;

/// An accept system call returns.
#[inline(always)]
pub fn returned(ctx: &TracePointContext) {
    // SAFETY: within the tracepoint's record.
    let Ok(fd) = (unsafe { ctx.read_at::<i64>(RETURN_OFFSET) }) else {
        return;
    };
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
    if fd >= u64::from(read!(table, fdtable_max_fds, u32)?) {
        return Ok(0);
    }
    let slots = read!(table, fdtable_fd, u64)?;
    let file: u64 = read_at(slots.wrapping_add(fd * 8), 0)?;
    if file == 0 {
        return Ok(0);
    }
    let socket = read!(file, file_private_data, u64)?;
    // Another thread may have put another file in the slot: only a socket points back at its file.
    if read!(socket, socket_file, u64)? != file {
        return Ok(0);
    }
    let sk = read!(socket, socket_sk, u64)?;
    if offset!(mptcp_first) != ABSENT && sk != 0 && sock::is_mptcp(sk) {
        return read!(sk, mptcp_first, u64);
    }
    Ok(sk)
}

/// The running task owns `sk` from now on. Only updates: what has no entry began before convis attached.
#[inline(always)]
fn accepted(sk: u64) {
    let Some(entry) = ledger::get(sk) else {
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
