//! The programs' counters, mapped into this process: to read them takes no system call, and a system call on a map keeps
//! probes from running on its CPU meanwhile.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use convis_ebpf::wire::{COUNTER_WORDS, Counters};
use rustix::mm::{MapFlags, ProtFlags};

/// The counters of all CPUs.
pub(super) struct CounterMap {
    start: NonNull<AtomicU64>,
    cpus: usize,
}

#[expect(unsafe_code, reason = "memory that the kernel shares has no owner to borrow from")]
// SAFETY: only atomic reads of memory that stays mapped while this lives.
unsafe impl Send for CounterMap {}

impl CounterMap {
    /// Maps an array of one [`Counters`] for each of `cpus`.
    pub(super) fn map(fd: BorrowedFd<'_>, cpus: usize) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "there is no safe way to map a file")]
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), bytes(cpus), ProtFlags::READ, MapFlags::SHARED, fd, 0)
        }?;
        let start = NonNull::new(start.cast());
        let start = start.ok_or_else(|| io::Error::other("they were mapped to address 0"))?;
        Ok(Self { start, cpus })
    }

    /// The sum over all CPUs.
    pub(super) fn sum(&self) -> Counters {
        #[expect(unsafe_code, reason = "memory that the kernel shares")]
        // SAFETY: the mapping has this many words, aligned by pages, and the kernel only adds to them atomically.
        let words = unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.cpus * COUNTER_WORDS) };
        let per_cpu = words.chunks_exact(COUNTER_WORDS).map(|cpu| {
            std::array::from_fn(|word| cpu.get(word).map_or(0, |word| word.load(Ordering::Relaxed)))
        });
        Counters::sum(per_cpu)
    }
}

impl Drop for CounterMap {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "there is no safe way to unmap")]
        // SAFETY: mapped with this size, and nobody has a reference any more.
        let _unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), bytes(self.cpus)) };
    }
}

const fn bytes(cpus: usize) -> usize {
    (cpus * COUNTER_WORDS * size_of::<u64>()).next_multiple_of(4096)
}
