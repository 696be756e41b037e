//! Several copies of one program on one hook, of which one does the work.
//!
//! The kernel skips a program that is already running on the CPU: a packet's interrupt while a task is in the middle of
//! it, on kernels with preemptible tracepoints also another task. Each copy is skipped on its own, so the next one still
//! runs. The copies of one hit run one after the other on one CPU, which is what tells them that the work is done; where an
//! interruption came between them, the entry in the ledger does.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;

/// CPUs share a slot only where there are more; then one hides from the other that the work is done, no more.
const SLOTS: usize = 128;

/// The last hit on each CPU on which the work was done, and not yet seen by the last copy.
#[unsafe(no_mangle)]
static mut DONE: [u64; SLOTS] = [0; SLOTS];

/// One hit: the socket, and its change of state.
#[inline(always)]
pub fn hit(sk: u64, transition: u32) -> u64 {
    // The top byte of a kernel address says nothing.
    sk ^ u64::from(transition >> 8 << 4 | transition & 0xf) << 56
}

#[inline(always)]
fn slot() -> *mut u64 {
    // SAFETY: takes no argument.
    let cpu = unsafe { bpf_get_smp_processor_id() } as usize & (SLOTS - 1);
    // SAFETY: within the array.
    unsafe { (&raw mut DONE).cast::<u64>().add(cpu) }
}

/// An earlier copy has done the work of this hit.
#[inline(always)]
pub fn is_done(hit: u64) -> bool {
    // SAFETY: an aligned word; at worst it is of another hit.
    unsafe { slot().read_volatile() == hit }
}

/// Tells the later copies.
#[inline(always)]
pub fn done(hit: u64) {
    // SAFETY: an aligned word.
    unsafe { slot().write_volatile(hit) }
}
