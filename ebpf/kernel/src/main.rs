//! Kernel programs of convis: they follow each TCP connection and each process, and send a record where it matters.
//!
//! `state` is the spine: one program on every state change of every TCP socket. `accept` adds the owner of a server's end,
//! `failed` the attempts that never change a state, `process` the life of processes, `cgroup` that of cgroups, `walk` answers
//! user space. All of them only read kernel memory.
//!
//! Everything is inlined: a local function's symbol does not survive stripping, and calls cost.

#![no_std]
#![feature(core_intrinsics, stmt_expr_attributes)]
#![allow(internal_features, reason = "the target offers no other atomic addition")]
#![no_main]

mod accept;
mod cgroup;
mod descriptor;
mod emit;
mod failed;
mod kernel;
mod ledger;
mod once;
mod path;
mod process;
mod sock;
mod state;
mod task;
mod walk;

#[path = "../../src/layout.rs"]
#[allow(dead_code, reason = "the table of members is for user space")]
mod layout;
#[path = "../../src/wire.rs"]
#[allow(dead_code, reason = "user space uses the rest")]
mod wire;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::{fentry, fexit, kprobe, kretprobe, map, raw_tracepoint, tracepoint};
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::{
    FEntryContext, FExitContext, ProbeContext, RawTracePointContext, RetProbeContext, TracePointContext,
};

/// Every state change of a TCP socket: `(sk, old, new)`. Several copies, see `once`.
macro_rules! state_change {
    ($($name:ident = $copy:literal;)*) => {
        $(#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
        #[inline(always)]
        pub fn $name(ctx: RawTracePointContext) -> i32 {
            let old = ctx.arg::<u64>(1) as u32;
            let new = ctx.arg::<u64>(2) as u32;
            state::changed::<$copy>(ctx.arg::<u64>(0), old, new);
            0
        })*
    };
}

state_change! {
    state_change_0 = 0;
    state_change_1 = 1;
    state_change_2 = 2;
    state_change_3 = 3;
    state_change_4 = 4;
    state_change_5 = 5;
}

/// The life of processes. Two copies of each, see `once`.
macro_rules! process_life {
    ($($fork:ident, $exec:ident, $exit:ident = $copy:literal;)*) => {
        $(/// A process was forked: `(parent, child)`.
        #[raw_tracepoint(tracepoint = "sched_process_fork")]
        #[inline(always)]
        pub fn $fork(ctx: RawTracePointContext) -> i32 {
            process::forked::<$copy>(ctx.arg::<u64>(0), ctx.arg::<u64>(1));
            0
        }

        /// A process runs a new image: `(task, ..)`.
        #[raw_tracepoint(tracepoint = "sched_process_exec")]
        #[inline(always)]
        pub fn $exec(ctx: RawTracePointContext) -> i32 {
            process::executed::<$copy>(ctx.arg::<u64>(0));
            0
        }

        /// A thread ends: `(task, ..)`.
        #[raw_tracepoint(tracepoint = "sched_process_exit")]
        #[inline(always)]
        pub fn $exit(ctx: RawTracePointContext) -> i32 {
            process::exited::<$copy>(ctx.arg::<u64>(0));
            0
        })*
    };
}

process_life! {
    process_fork, process_exec, process_exit = 0;
    process_fork_1, process_exec_1, process_exit_1 = 1;
}

/// A cgroup was made: `(cgroup, path)`.
#[raw_tracepoint(tracepoint = "cgroup_mkdir")]
#[inline(always)]
pub fn cgroup_made(ctx: RawTracePointContext) -> i32 {
    cgroup::made(ctx.arg::<u64>(0), ctx.arg::<u64>(1));
    0
}

/// A cgroup was removed: `(cgroup, path)`.
#[raw_tracepoint(tracepoint = "cgroup_rmdir")]
#[inline(always)]
pub fn cgroup_removed(ctx: RawTracePointContext) -> i32 {
    cgroup::removed(ctx.arg::<u64>(0));
    0
}

/// `accept` and `accept4` return. Several copies, see `once`: since Linux 7.2 a task can be preempted in the middle of one.
macro_rules! accept_return {
    ($($name:ident = $copy:literal;)*) => {
        $(#[tracepoint]
        #[inline(always)]
        pub fn $name(ctx: TracePointContext) -> u32 {
            accept::returned::<$copy>(accept::result(&ctx));
            0
        })*
    };
}

accept_return! {
    accept_return_0 = 0;
    accept_return_1 = 1;
    accept_return_2 = 2;
    accept_return_3 = 3;
}

/// `security_sock_graft(sk, ..)`: an accepted socket gets its descriptor, in the accepting task, after any sleep.
#[fentry]
#[inline(always)]
pub fn accept_fentry(ctx: FEntryContext) -> i32 {
    accept::accepted(ctx.arg::<u64>(0));
    0
}

/// A second copy of it, see `once`: on preemptible kernels a task can be interrupted by another in the middle of the first.
#[fentry]
#[inline(always)]
pub fn accept_fentry_1(ctx: FEntryContext) -> i32 {
    accept::accepted(ctx.arg::<u64>(0));
    0
}

/// The same by a kprobe.
#[kprobe]
#[inline(always)]
pub fn accept_kprobe(ctx: ProbeContext) -> u32 {
    accept::accepted(argument(ctx.as_ptr() as u64, 0));
    0
}

/// `inet_csk_accept` returns a socket.
#[kretprobe]
#[inline(always)]
pub fn accept_kretprobe(ctx: RetProbeContext) -> u32 {
    accept::accepted(returned(ctx.as_ptr() as u64));
    0
}

/// `connect` returns.
#[tracepoint]
#[inline(always)]
pub fn connect_return(ctx: TracePointContext) -> u32 {
    failed::syscall_returned(accept::result(&ctx));
    0
}

/// `__inet_stream_connect(sock, address, length, flags, is_sendmsg)` returns.
#[fexit]
#[inline(always)]
pub fn connect_fexit(ctx: FExitContext) -> i32 {
    let result = i64::from(ctx.arg::<i32>(5));
    if failed::is_failure(result)
        && let Ok(sk) = kernel::read!(ctx.arg::<u64>(0), socket_sk, u64)
    {
        failed::returned(sk, result, failed::Asked::Kernel(ctx.arg::<u64>(1)));
    }
    0
}

/// Attempts between entry and return of `tcp_v4_connect` and `tcp_v6_connect`, which do not sleep, by task: the socket and
/// the address. An IPv4 attempt of an IPv6 socket passes through both, and the inner return takes it.
#[map(name = "CONNECTING")]
static CONNECTING: LruHashMap<u64, [u64; 2]> = LruHashMap::with_max_entries(1024, 0);

/// `tcp_v4_connect(sk, address, ..)` and `tcp_v6_connect` are called.
#[kprobe]
#[inline(always)]
pub fn connect_kprobe(ctx: ProbeContext) -> u32 {
    let registers = ctx.as_ptr() as u64;
    let attempt = [argument(registers, 0), argument(registers, 1)];
    let _full = CONNECTING.insert(aya_ebpf::helpers::bpf_get_current_pid_tgid(), attempt, 0);
    0
}

/// They return.
#[kretprobe]
#[inline(always)]
pub fn connect_kretprobe(ctx: RetProbeContext) -> u32 {
    let task = aya_ebpf::helpers::bpf_get_current_pid_tgid();
    let Some(attempt) = CONNECTING.get_ptr(task) else {
        return 0;
    };
    // SAFETY: a value of the map.
    let [sk, address] = unsafe { *attempt };
    let _gone = CONNECTING.remove(task);
    let result = i64::from(returned(ctx.as_ptr() as u64) as i32);
    if failed::is_failure(result) {
        failed::returned(sk, result, failed::Asked::Kernel(address));
    }
    0
}

/// Argument `number`, 0 or 1, of the function whose registers are at `registers`.
#[inline(always)]
fn argument(registers: u64, number: u32) -> u64 {
    let x86 = if number == 0 { kernel::offset!(x86_di) } else { kernel::offset!(x86_si) };
    let at = if x86 == layout::ABSENT { kernel::offset!(arm64_regs).wrapping_add(number * 8) } else { x86 };
    kernel::read_at(registers, at).unwrap_or(0)
}

/// What the function whose registers are at `registers` returns.
#[inline(always)]
fn returned(registers: u64) -> u64 {
    let x86 = kernel::offset!(x86_ax);
    let at = if x86 == layout::ABSENT { kernel::offset!(arm64_regs) } else { x86 };
    kernel::read_at(registers, at).unwrap_or(0)
}

/// Every file of every task, once at start.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn walk_files(ctx: &walk::TaskFile) -> i32 {
    walk::held(ctx);
    0
}

/// Every element of the ledger, at each interval.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map_elem")]
pub extern "C" fn walk_ledger(ctx: &walk::MapElement) -> i32 {
    walk::element(ctx);
    0
}

/// The kernel lets only GPL-compatible programs read its memory.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
