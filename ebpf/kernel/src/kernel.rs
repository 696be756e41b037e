//! Reading kernel memory at offsets that user space resolved, and the settings it made.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

use crate::emit;
use crate::layout::Layout;
use crate::wire::Settings;

#[unsafe(no_mangle)]
pub static LAYOUT: Layout = Layout::UNRESOLVED;
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings { self_tgid: 0, id_base: 0, wake_bytes: 0 };

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

/// A read failed and has been counted.
pub struct ReadFailed;

/// Reads a `T` of plain integers.
#[inline(always)]
pub fn read_at<T: Copy>(base: u64, offset: u32) -> Result<T, ReadFailed> {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    let from = base.wrapping_add(u64::from(offset));
    // SAFETY: the helper writes exactly the buffer's size or fails; any bit pattern is a valid integer.
    let status =
        unsafe { bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from as *const _) };
    if status == 0 {
        // SAFETY: filled by the helper.
        Ok(unsafe { value.assume_init() })
    } else {
        emit::count(|counters| &raw mut counters.read_failed);
        Err(ReadFailed)
    }
}
