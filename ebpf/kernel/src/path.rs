//! The path of a file, name by name from the file up to the root, across mounts.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;

use crate::kernel::{ReadFailed, offset, read};
use crate::wire::{NAME_BYTES, PATH_BYTES};

/// Names and mount crossings that are followed; deeper paths are marked incomplete.
const MAX_STEPS: u32 = 40;

/// Writes the names of `file`'s path to `out`, the file's own first, each ended by NUL.
///
/// Returns the bytes written and whether the root was reached.
#[inline(always)]
pub fn walk(file: u64, out: &mut [u8; PATH_BYTES + NAME_BYTES]) -> Result<(u16, bool), ReadFailed> {
    let mut dentry = read!(file, file_dentry, u64)?;
    let mut vfsmount = read!(file, file_mnt, u64)?;
    let mut length: u32 = 0;
    for _ in 0..MAX_STEPS {
        let parent = read!(dentry, dentry_parent, u64)?;
        if dentry == read!(vfsmount, mnt_root, u64)? || dentry == parent {
            let mount = vfsmount.wrapping_sub(u64::from(offset!(mount_mnt)));
            let above = read!(mount, mount_parent, u64)?;
            if above == mount || above == 0 {
                return Ok((length as u16, true));
            }
            dentry = read!(mount, mount_mountpoint, u64)?;
            vfsmount = above.wrapping_add(u64::from(offset!(mount_mnt)));
            continue;
        }
        let name = read!(dentry, dentry_name, u64)?;
        // The comparison below keeps it true already, but the verifier sees only the mask, and only a volatile read
        // keeps the compiler from removing it.
        // SAFETY: a local integer.
        let at = (unsafe { core::ptr::read_volatile(&raw const length) } & (PATH_BYTES as u32 - 1)) as usize;
        // SAFETY: at most NAME_BYTES after an offset below PATH_BYTES stay within `out`.
        let written = unsafe {
            bpf_probe_read_kernel_str(out.as_mut_ptr().add(at).cast(), NAME_BYTES as u32, name as *const _)
        };
        if written <= 0 {
            return Ok((length as u16, false));
        }
        length += written as u32;
        if length >= PATH_BYTES as u32 {
            return Ok((length as u16, false));
        }
        dentry = parent;
    }
    Ok((length as u16, false))
}
