//! Reading kernel memory at offsets that user space resolved, and the settings it made.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

use crate::emit;
use crate::layout::{Layout, Window};
use crate::wire::Settings;

#[unsafe(no_mangle)]
pub static LAYOUT: Layout = Layout::UNRESOLVED;
#[unsafe(no_mangle)]
pub static WINDOW: Window = Window { start: 0 };
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings { self_tgid: 0, wake_bytes: 0, state_copies: 1 };

/// Offset of a member. Volatile, or the compiler would fold the impossible default in; the verifier folds the real
/// value, so a branch on an absent member costs nothing.
macro_rules! offset {
    ($name:ident) => {
        // SAFETY: a plain integer in the object's read-only data.
        unsafe { core::ptr::read_volatile(&raw const $crate::kernel::LAYOUT.$name) }
    };
}

/// One of the settings.
macro_rules! setting {
    ($name:ident) => {
        // SAFETY: a plain integer in the object's read-only data.
        unsafe { core::ptr::read_volatile(&raw const $crate::kernel::SETTINGS.$name) }
    };
}

/// Reads `$type` at member `$name` of the structure at `$base`; `Err` is already counted.
macro_rules! read {
    ($base:expr, $name:ident, $type:ty) => {
        $crate::kernel::read_at::<$type>($base, $crate::kernel::offset!($name))
    };
}

pub(crate) use {offset, read, setting};

/// Where the window of a `tcp_sock` begins.
#[inline(always)]
pub fn window_start() -> u32 {
    // SAFETY: a plain integer in the object's read-only data.
    unsafe { core::ptr::read_volatile(&raw const WINDOW.start) }
}

/// A read failed and has been counted.
pub struct ReadFailed;

/// Reads a `T` of plain integers where it is no error that there is nothing to read.
#[inline(always)]
pub fn try_read<T: Copy>(base: u64, offset: u32) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    let from = base.wrapping_add(u64::from(offset));
    // SAFETY: the helper writes exactly the buffer's size or fails.
    let status =
        unsafe { bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from as *const _) };
    // SAFETY: filled by the helper; any bit pattern is a valid integer.
    (status == 0).then(|| unsafe { value.assume_init() })
}

/// Reads a `T` of plain integers.
#[inline(always)]
pub fn read_at<T: Copy>(base: u64, offset: u32) -> Result<T, ReadFailed> {
    let mut value = MaybeUninit::<T>::uninit();
    read_into(base, offset, &mut value)?;
    // SAFETY: filled by the helper; any bit pattern is a valid integer.
    Ok(unsafe { value.assume_init() })
}

/// Fills `value`, a `T` of plain integers.
#[inline(always)]
pub fn read_into<T: Copy>(base: u64, offset: u32, value: &mut MaybeUninit<T>) -> Result<(), ReadFailed> {
    let from = base.wrapping_add(u64::from(offset));
    // SAFETY: the helper writes exactly the buffer's size or fails.
    let status =
        unsafe { bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from as *const _) };
    if status == 0 {
        Ok(())
    } else {
        emit::count(|counters| &raw mut counters.read_failed);
        Err(ReadFailed)
    }
}

/// A part of a kernel structure, read at once. Words, so that every member in it is aligned.
pub struct Block<'a, const WORDS: usize> {
    words: &'a [u64; WORDS],
    base: u64,
    /// Bytes from the start of the structure at `base`.
    start: u32,
}

impl<'a, const WORDS: usize> Block<'a, WORDS> {
    /// Reads `WORDS` words from `start` bytes into the structure at `base`.
    #[inline(always)]
    pub fn read(words: &'a mut MaybeUninit<[u64; WORDS]>, base: u64, start: u32) -> Result<Self, ReadFailed> {
        read_into(base, start, words)?;
        // SAFETY: filled by the helper.
        Ok(Self { words: unsafe { words.assume_init_ref() }, base, start })
    }

    /// The member at `offset`, read on its own if it is not in the block. Both numbers are known to the verifier, which
    /// keeps only one of the two ways.
    #[inline(always)]
    pub fn get<T: Copy>(&self, offset: u32) -> Result<T, ReadFailed> {
        let at = offset.wrapping_sub(self.start) as usize;
        if at > WORDS * 8 - size_of::<T>() {
            return read_at(self.base, offset);
        }
        // SAFETY: within the block, aligned as in the kernel's structure, plain integers.
        Ok(unsafe { self.words.as_ptr().cast::<u8>().add(at).cast::<T>().read() })
    }
}
