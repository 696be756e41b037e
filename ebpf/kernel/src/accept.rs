//! Who accepted, in the accepting task: when the kernel gives the connection a descriptor, or when the system call returns.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::programs::TracePointContext;

use crate::descriptor;
use crate::emit;
use crate::kernel::{offset, read, setting};
use crate::layout::ABSENT;
use crate::ledger;
use crate::sock::{self, state};
use crate::task;
use crate::wire::{Entry, flag, role};

/// `trace_event_raw_sys_exit`: common fields, `__syscall_nr`, `ret`.
const RETURN_OFFSET: usize = 16;

/// What a system call returns, at its exit tracepoint.
#[inline(always)]
pub fn result(ctx: &TracePointContext) -> i64 {
    // SAFETY: within the tracepoint's record.
    unsafe { ctx.as_ptr().cast::<u8>().add(RETURN_OFFSET).cast::<i64>().read() }
}

/// An accept system call returns; this is copy number `COPY` of the program. A later one does what the first was kept from, for
/// what has an entry: one without may have ended by then.
#[inline(always)]
pub fn returned<const COPY: u64>(fd: i64) {
    if fd >= 0
        && let Ok(sk) = descriptor::socket(fd as u64)
    {
        match entry_of(sk) {
            Some((sk, entry)) => accepted_known(sk, entry),
            None if COPY == 0 => accepted_unseen(sk),
            None => {}
        }
    }
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

/// The running task owns `sk` from now on.
#[inline(always)]
pub fn accepted(sk: u64) {
    match entry_of(sk) {
        Some((sk, entry)) => accepted_known(sk, entry),
        None => accepted_unseen(sk),
    }
}

#[inline(always)]
fn accepted_known(sk: u64, entry: &mut Entry) {
    if entry.conn.role != role::SERVER || entry.conn.flags & flag::ACCEPTED != 0 {
        return;
    }
    let mut marks = take_over(sk, entry);
    if marks & flag::SELF == 0 && !ledger::send_opened(entry, emit::now(), marks) {
        marks |= flag::OPEN_PENDING;
    }
    // Not before all is said: an end that its peer brings about meanwhile leaves the entry to this.
    entry.conn.flags |= marks;
    if entry.conn.flags & flag::CLOSED != 0 {
        // While the task still has the socket: whoever did it later could find the next connection's entry.
        ledger::set_aside(entry);
        ledger::remove(sk);
    }
}

/// Makes the running task the owner. Returns the flags that say so.
#[inline(always)]
fn take_over(sk: u64, entry: &mut Entry) -> u16 {
    let _counted = task::current_owner(&mut entry.conn.owner);
    if entry.conn.family == 0 {
        let _counted = sock::fill_tuple(sk, &mut entry.conn);
    }
    let is_self = u64::from(entry.conn.owner.tgid) == setting!(self_tgid);
    if is_self { flag::ACCEPTED | flag::SELF } else { flag::ACCEPTED }
}

/// A child that nobody saw begin: it waited in its listener's queue when convis started, or its beginning was missed. One
/// that has ended already stays unknown.
#[inline(always)]
fn accepted_unseen(sk: u64) {
    if sock::tcp(sk) != Some(false) || !matches!(sock::state(sk), Ok(state) if is_connected(state)) {
        return;
    }
    let Some(entry) = ledger::begin(sk, role::SERVER) else {
        return;
    };
    entry.conn.established_ns = entry.conn.start_ns;
    entry.conn.flags |= take_over(sk, entry);
    if ledger::peer_is_self(&entry.conn) {
        entry.conn.flags |= flag::SELF;
    }
    if entry.conn.flags & flag::SELF == 0 {
        ledger::opened(entry);
    }
    if matches!(sock::state(sk), Ok(state::CLOSE)) {
        ledger::remove(sk);
    }
}

#[inline(always)]
fn is_connected(state: u32) -> bool {
    !matches!(state, state::CLOSE | state::LISTEN | state::SYN_SENT)
}
