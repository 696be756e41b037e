//! Attempts that fail before a segment is sent: no route, not allowed. Their socket never leaves CLOSE, so only what connect
//! returns shows them.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use core::mem::MaybeUninit;

use crate::descriptor;
use crate::emit;
use crate::kernel::{ReadFailed, offset, read, read_at, setting, try_read};
use crate::layout::ABSENT;
use crate::ledger;
use crate::sock::{self, state};
use crate::task;
use crate::wire::{AF_INET, AF_INET6, Conn, Totals, flag, kind, role};

/// Attempts whose end the state program has told, by socket, until connect returns it: 1 if a segment was sent.
#[map(name = "TOLD")]
static TOLD: LruHashMap<u64, u8> = LruHashMap::with_max_entries(1024, 0);

/// Where the address that connect was asked for is.
#[derive(Clone, Copy)]
pub enum Asked {
    /// In the memory of the process.
    User(u64),
    /// In the kernel's.
    Kernel(u64),
}

mod errno {
    pub const EPERM: i64 = 1;
    pub const EACCES: i64 = 13;
    pub const ENETDOWN: i64 = 100;
    pub const ENETUNREACH: i64 = 101;
    pub const ENOBUFS: i64 = 105;
    pub const EADDRNOTAVAIL: i64 = 99;
    pub const EHOSTUNREACH: i64 = 113;
    pub const EINPROGRESS: i64 = 115;
    pub const EALREADY: i64 = 114;
}

/// The state program tells this attempt's end.
#[inline(always)]
pub fn told(sk: u64, totals: &Totals) {
    let _full = TOLD.insert(sk, u8::from(totals.write_seq != 0), 0);
}

/// The system call connect returns `result` in the running task.
#[inline(always)]
pub fn syscall_returned(result: i64) {
    if !is_failure(result) {
        return;
    }
    if let Some((fd, address)) = arguments(result)
        && let Ok(sk) = descriptor::socket(fd)
        && sk != 0
    {
        returned(sk, result, Asked::User(address));
    }
}

/// The first two arguments of the system call that the running task is in, from its registers at entry.
#[inline(always)]
fn arguments(result: i64) -> Option<(u64, u64)> {
    const STACK_BYTES: u64 = 16 << 10;
    const SYS_CONNECT: u64 = 42;
    if offset!(x86_sp) == ABSENT || offset!(task_stack) == ABSENT {
        return None;
    }
    let stack = read!(task::current(), task_stack, u64).ok()?;
    // `sp` is the last but one of the registers.
    let registers = stack.wrapping_add(STACK_BYTES - 16).wrapping_sub(u64::from(offset!(x86_sp)));
    // Kernels with FRED leave 16 bytes free at the top. The number of the call and its result show which it is.
    let is_there = |base: u64| {
        try_read(base, offset!(x86_orig_ax)) == Some(SYS_CONNECT)
            && try_read(base, offset!(x86_ax)) == Some(result as u64)
    };
    let base = if is_there(registers) {
        registers
    } else if is_there(registers.wrapping_sub(16)) {
        registers.wrapping_sub(16)
    } else {
        return None;
    };
    Some((read!(base, x86_di, u64).ok()?, read!(base, x86_si, u64).ok()?))
}

/// Whether connect came to an end, and to a bad one.
#[inline(always)]
pub fn is_failure(result: i64) -> bool {
    // From 512 on are the kernel's own, for calls that go on after a signal.
    (-511..0).contains(&result) && result != -errno::EINPROGRESS && result != -errno::EALREADY
}

/// Connecting `sk` failed with `result`.
#[inline(always)]
pub fn returned(sk: u64, result: i64, asked: Asked) {
    let sk = if offset!(mptcp_first) != ABSENT && sock::is_mptcp(sk) {
        read!(sk, mptcp_first, u64).unwrap_or(0)
    } else {
        sk
    };
    if !matches!(sock::state(sk), Ok(state::CLOSE)) {
        return;
    }
    let Some(is_kernels) = sock::tcp(sk) else {
        return;
    };
    if was_told(sk) || !is_refusal(-result) {
        return;
    }
    let is_own = !is_kernels && u64::from(task::current_tgid()) == setting!(self_tgid);
    if is_own {
        emit::count(|counters| &raw mut counters.own_unsent);
        return;
    }
    let Some(entry) = ledger::begin_alone(role::CLIENT) else {
        emit::seen(kind::FAILED);
        ledger::lost(kind::FAILED, role::CLIENT, &ledger::no_totals());
        return;
    };
    if is_kernels {
        entry.conn.flags = flag::KERNEL;
    } else {
        let _counted = task::current_owner(&mut entry.conn.owner);
    }
    let _counted = sock::fill_tuple(sk, &mut entry.conn);
    let _counted = fill_peer(&mut entry.conn, asked);
    entry.totals.sk_err = -result as u32;
    entry.totals.old_state = state::CLOSE as u8;
    ledger::ended_alone(kind::FAILED, entry);
}

/// Errors that connect gives without a segment on the wire. Wrong arguments are no attempts.
#[inline(always)]
fn is_refusal(error: i64) -> bool {
    matches!(
        error,
        errno::EPERM
            | errno::EACCES
            | errno::EADDRNOTAVAIL
            | errno::ENETDOWN
            | errno::ENETUNREACH
            | errno::EHOSTUNREACH
            | errno::ENOBUFS
    )
}

/// Whether this is the end of an attempt that moved the socket's state: blocking, or fetched by a later connect.
#[inline(always)]
fn was_told(sk: u64) -> bool {
    let Some(sent) = TOLD.get_ptr(sk) else {
        return false;
    };
    // SAFETY: a value of the map.
    let sent = unsafe { *sent } != 0;
    // A mark that another socket left at this address is of one that sent something, which this one has not.
    let is_of_this_socket = !sent || !matches!(read!(sk, write_seq, u32), Ok(0));
    let _gone = TOLD.remove(sk);
    is_of_this_socket
}

/// Fills in the address that was asked for: the socket does not have it.
#[inline(always)]
fn fill_peer(conn: &mut Conn, asked: Asked) -> Result<(), ReadFailed> {
    let [head, middle, tail] = read_address(asked)?;
    let family = head as u16;
    conn.peer_port_be = (head >> 16) as u16;
    if family == AF_INET {
        conn.family = AF_INET;
        conn.peer = sock::v4((head >> 32) as u32);
    } else if family == AF_INET6 {
        let peer = [middle as u32, (middle >> 32) as u32, tail as u32, (tail >> 32) as u32];
        if sock::is_mapped(&peer) {
            conn.family = AF_INET;
            conn.peer = sock::v4(peer[3]);
        } else {
            conn.peer = sock::v6(&peer);
        }
    }
    Ok(())
}

/// As much of a `sockaddr_in6` as holds family, port and address. A `sockaddr_in` is shorter; what follows it is not used.
type AddressWords = [u64; 3];

#[inline(always)]
fn read_address(asked: Asked) -> Result<AddressWords, ReadFailed> {
    let from = match asked {
        Asked::Kernel(from) => return read_at(from, 0),
        Asked::User(from) => from,
    };
    const SOCKADDR_IN_BYTES: u32 = 16;
    let mut address = MaybeUninit::<AddressWords>::uninit();
    let to = address.as_mut_ptr().cast();
    // SAFETY: the helper writes at most the buffer's size, all of it also when it fails.
    let mut status = unsafe { bpf_probe_read_user(to, size_of::<AddressWords>() as u32, from as *const _) };
    if status != 0 {
        // At the end of the process's memory only the shorter one can be read.
        // SAFETY: likewise.
        status = unsafe { bpf_probe_read_user(to, SOCKADDR_IN_BYTES, from as *const _) };
    }
    if status != 0 {
        emit::count(|counters| &raw mut counters.read_failed);
        return Err(ReadFailed);
    }
    // SAFETY: written by the helper.
    Ok(unsafe { address.assume_init() })
}
