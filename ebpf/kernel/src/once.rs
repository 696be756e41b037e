//! Several copies of one program on one hook, of which one does the work.
//!
//! The kernel skips a program that is already running on the CPU: a packet's interrupt while a task is in the middle of
//! it, on kernels with preemptible tracepoints also another task. Each copy is skipped on its own, so the next one still
//! runs. The copies of one hit run one after the other on one CPU, which is what tells them that the work is done; where an
//! interruption came between them, the entry in the ledger does.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;

/// CPUs share a slot only where there are more; then one hides from the other that the work is done, no more.
const SLOTS: usize = 128;

/// Written at every hit, so no two CPUs share a cache line.
#[repr(C, align(64))]
struct Slot(u64);

/// The last hit on each CPU on which the work was done, and not yet seen by the last copy.
#[unsafe(no_mangle)]
static mut DONE: [Slot; SLOTS] = [const { Slot(0) }; SLOTS];

/// The same for what happens to tasks.
#[unsafe(no_mangle)]
static mut DONE_TO_TASK: [Slot; SLOTS] = [const { Slot(0) }; SLOTS];

/// Bit of a mark that says [`Left::Stays`]; addresses of sockets are aligned.
const STAYS: u64 = 1;

/// What becomes of the ledger's entry after the hit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It lives on, or waits for something.
    Stays,
    /// It can go, if there is one.
    Goes,
}

/// One hit: the socket, and its change of state.
#[inline(always)]
pub fn hit(sk: u64, transition: u32) -> u64 {
    // The top byte of a kernel address says nothing.
    sk ^ u64::from(transition >> 8 << 4 | transition & 0xf) << 56
}

/// Does `work`, what happens to `task` by a program of `kind`, unless the copy before this one has done it just now. Where an
/// interruption hides that, it is done twice, and told twice in a row.
#[inline(always)]
pub fn to_task<const COPY: u64>(kind: u8, task: u64, work: impl FnOnce()) {
    let hit = task ^ u64::from(kind) << 56;
    let slot = slot(&raw mut DONE_TO_TASK);
    // SAFETY: an aligned word; at worst it is of another hit.
    if COPY != 0 && unsafe { slot.read_volatile() } == hit {
        // SAFETY: an aligned word.
        unsafe { slot.write_volatile(0) };
        return;
    }
    work();
    if COPY == 0 {
        // SAFETY: an aligned word.
        unsafe { slot.write_volatile(hit) };
    }
}

#[inline(always)]
fn slot(marks: *mut [Slot; SLOTS]) -> *mut u64 {
    // SAFETY: takes no argument.
    let cpu = unsafe { bpf_get_smp_processor_id() } as usize & (SLOTS - 1);
    // SAFETY: within the array.
    unsafe { marks.cast::<Slot>().add(cpu).cast() }
}

/// An earlier copy has done the work of this hit, and left this.
#[inline(always)]
pub fn is_done(hit: u64) -> Option<Left> {
    // SAFETY: an aligned word; at worst it is of another hit.
    match unsafe { slot(&raw mut DONE).read_volatile() } ^ hit {
        0 => Some(Left::Goes),
        STAYS => Some(Left::Stays),
        _ => None,
    }
}

/// Tells the later copies.
#[inline(always)]
pub fn done(hit: u64, left: Left) {
    let mark = if left == Left::Stays { hit | STAYS } else { hit };
    // SAFETY: an aligned word.
    unsafe { slot(&raw mut DONE).write_volatile(mark) }
}

/// Tells the last copy of a later hit that looks the same.
#[inline(always)]
pub fn forget() {
    // SAFETY: an aligned word.
    unsafe { slot(&raw mut DONE).write_volatile(0) }
}
