//! The ring, its counters, and when the reader is woken.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, RingBuf};

use crate::kernel::{ReadFailed, setting};
use crate::wire::{Counters, Header, VERSION};

#[map(name = "RING")]
static RING: RingBuf = RingBuf::with_byte_size(4096, 0);

/// One for each CPU. User space maps it: system calls on maps would keep probes from running meanwhile.
#[map(name = "COUNTERS")]
static COUNTERS: Array<Counters> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Adds one to the counter that `select` picks.
#[inline(always)]
pub fn count(select: impl FnOnce(&mut Counters) -> *mut u64) {
    add(1, select);
}

/// Adds to the counter that `select` picks. Atomic, since another program may interrupt this one on its CPU.
#[inline(always)]
pub fn add(number: u64, select: impl FnOnce(&mut Counters) -> *mut u64) {
    // SAFETY: takes no argument.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    if let Some(counters) = COUNTERS.get_ptr_mut(cpu) {
        // The target has no `AtomicU64`: the kernel of 5.10 cannot fetch. Without its result, the addition is all it does.
        // SAFETY: an aligned word of a map's value.
        let _previous =
            unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(select(&mut *counters), number) };
    }
}

/// Counts one of `kind` as having happened.
#[inline(always)]
pub fn seen(kind: u8) {
    count(|counters| &raw mut counters.seen[kind as usize]);
}

/// `CLOCK_BOOTTIME`, nanoseconds: the one clock of all records.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: takes no argument.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// The start of a record, empty.
#[inline(always)]
pub fn blank_header() -> Header {
    Header { version: VERSION, kind: 0, reserved: 0, reserved2: 0, time_ns: 0 }
}

/// Writes the start of a record.
#[inline(always)]
pub fn header(header: &mut Header, kind: u8, time_ns: u64) {
    header.version = VERSION;
    header.kind = kind;
    header.reserved = 0;
    header.reserved2 = 0;
    header.time_ns = time_ns;
}

/// Sends the record that `fill` writes in place; `false` when the ring is full.
///
/// `fill` must write every field. When it fails the record is dropped and counted as unreadable.
#[inline(always)]
pub fn send<T: 'static>(kind: u8, fill: impl FnOnce(&mut T) -> Result<(), ReadFailed>) -> bool {
    let filled = RING.query(u64::from(BPF_RB_AVAIL_DATA));
    let Some(mut entry) = RING.reserve::<T>(0) else {
        count(|counters| &raw mut counters.ring_full[kind as usize]);
        return false;
    };
    // SAFETY: reserved room of the record's size, plain integers.
    if unsafe { fill(&mut *entry.as_mut_ptr()) }.is_err() {
        entry.discard(u64::from(BPF_RB_NO_WAKEUP));
        count(|counters| &raw mut counters.unreadable[kind as usize]);
        return true;
    }
    let wake = setting!(wake_bytes);
    let crosses = filled < wake && filled + size_of::<T>() as u64 >= wake;
    entry.submit(u64::from(if crosses { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP }));
    true
}
