//! The life of cgroups: enough to name the container of a process when both are gone before user space looked.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;

use crate::emit;
use crate::kernel::{ReadFailed, read};
use crate::wire::{CGROUP_PATH_BYTES, CgroupMade, CgroupRemoved, kind};

/// `cgroup` was made; the kernel has written its path to `path`.
#[inline(always)]
pub fn made(cgroup: u64, path: u64) {
    if !is_unified(cgroup) {
        return;
    }
    emit::seen(kind::CGROUP_MADE);
    emit::send::<CgroupMade>(kind::CGROUP_MADE, |record| {
        emit::header(&mut record.header, kind::CGROUP_MADE, emit::now());
        record.id = id(cgroup)?;
        // SAFETY: the helper writes at most the buffer's size.
        let written = unsafe {
            bpf_probe_read_kernel_str(
                record.path.as_mut_ptr().cast(),
                CGROUP_PATH_BYTES as u32,
                path as *const _,
            )
        };
        if written <= 0 {
            emit::count(|counters| &raw mut counters.read_failed);
            return Err(ReadFailed);
        }
        record.path_len = written as u32 - 1;
        // The kernel's own buffer is as long, so a path that fills it may have been longer.
        record.path_complete = u32::from((written as usize) < CGROUP_PATH_BYTES);
        Ok(())
    });
}

/// `cgroup` was removed.
#[inline(always)]
pub fn removed(cgroup: u64) {
    if !is_unified(cgroup) {
        return;
    }
    emit::seen(kind::CGROUP_REMOVED);
    emit::send::<CgroupRemoved>(kind::CGROUP_REMOVED, |record| {
        emit::header(&mut record.header, kind::CGROUP_REMOVED, emit::now());
        record.id = id(cgroup)?;
        Ok(())
    });
}

/// Whether it is of the hierarchy whose ids owners carry; ids of version 1 hierarchies are numbers of their own.
#[inline(always)]
fn is_unified(cgroup: u64) -> bool {
    matches!(hierarchy(cgroup), Ok(0))
}

#[inline(always)]
fn hierarchy(cgroup: u64) -> Result<u32, ReadFailed> {
    read!(read!(cgroup, cgroup_root, u64)?, cgroup_hierarchy, u32)
}

/// As `bpf_get_current_cgroup_id` gives it.
#[inline(always)]
pub fn id(cgroup: u64) -> Result<u64, ReadFailed> {
    read!(read!(cgroup, cgroup_kn, u64)?, kernfs_node_id, u64)
}
