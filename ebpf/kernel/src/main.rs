//! Kernel programs of convis: they follow each TCP connection and each process, and send a record where it matters.
//!
//! `state` is the spine: one program on every state change of every TCP socket. `accept` adds the owner of a
//! server's end, `process` the life of processes. All of them only read kernel memory.
//!
//! Everything is inlined: a local function's symbol does not survive stripping, and calls cost.

#![no_std]
#![feature(core_intrinsics)]
#![allow(internal_features, reason = "the target offers no other atomic addition")]
#![no_main]

mod accept;
mod emit;
mod kernel;
mod ledger;
mod path;
mod process;
mod sock;
mod state;
mod task;

#[path = "../../src/layout.rs"]
#[allow(dead_code, reason = "the table of members is for user space")]
mod layout;
#[path = "../../src/wire.rs"]
#[allow(dead_code, reason = "user space uses the rest")]
mod wire;

use aya_ebpf::macros::{raw_tracepoint, tracepoint};
use aya_ebpf::programs::{RawTracePointContext, TracePointContext};

/// Every state change of a TCP socket: `(sk, old, new)`.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
#[inline(always)]
pub fn state_change(ctx: RawTracePointContext) -> i32 {
    let old = ctx.arg::<u64>(1) as u32;
    let new = ctx.arg::<u64>(2) as u32;
    state::changed(ctx.arg::<u64>(0), old, new);
    0
}

/// A process was forked: `(parent, child)`.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
#[inline(always)]
pub fn process_fork(ctx: RawTracePointContext) -> i32 {
    process::forked(ctx.arg::<u64>(0), ctx.arg::<u64>(1));
    0
}

/// A process runs a new image: `(task, ..)`.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
#[inline(always)]
pub fn process_exec(ctx: RawTracePointContext) -> i32 {
    process::executed(ctx.arg::<u64>(0));
    0
}

/// A thread ends: `(task, ..)`.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
#[inline(always)]
pub fn process_exit(ctx: RawTracePointContext) -> i32 {
    process::exited(ctx.arg::<u64>(0));
    0
}

/// `accept` returns.
#[tracepoint(category = "syscalls", name = "sys_exit_accept")]
#[inline(always)]
pub fn accept_return(ctx: TracePointContext) -> u32 {
    accept::returned(&ctx);
    0
}

/// `accept4` returns.
#[tracepoint(category = "syscalls", name = "sys_exit_accept4")]
#[inline(always)]
pub fn accept4_return(ctx: TracePointContext) -> u32 {
    accept::returned(&ctx);
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
