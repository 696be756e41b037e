//! Who a task is.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::bpf_get_current_uid_gid;
use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_get_current_task};

use crate::cgroup;
use crate::kernel::{ReadFailed, offset, read};
use crate::layout::ABSENT;
use crate::wire::Owner;

/// The running task.
#[inline(always)]
pub fn current() -> u64 {
    // SAFETY: takes no argument.
    unsafe { bpf_get_current_task() }
}

/// Process id of the running task.
#[inline(always)]
pub fn current_tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// Whether the running task is a thread of the kernel, which acts for no process.
#[inline(always)]
pub fn is_kernels() -> bool {
    const PF_KTHREAD: u32 = 0x0020_0000;
    matches!(read!(current(), task_flags, u32), Ok(flags) if flags & PF_KTHREAD != 0)
}

/// Writes the image that the running task executes.
#[inline(always)]
pub fn current_owner(owner: &mut Owner) -> Result<(), ReadFailed> {
    let task = current();
    let both = bpf_get_current_pid_tgid();
    let (tgid, pid) = ((both >> 32) as u32, both as u32);
    // A thread has its own start; the process's is its first thread's.
    let leader = if pid == tgid { task } else { read!(task, task_group_leader, u64)? };
    owner.tgid = tgid;
    owner.exec_seq = read!(task, task_self_exec_id, u32)?;
    owner.start_ns = read!(leader, task_start_boottime, u64)?;
    // SAFETY: takes no argument.
    owner.cgroup_id = unsafe { bpf_get_current_cgroup_id() };
    owner.uid = bpf_get_current_uid_gid() as u32;
    owner.vpid = 0;
    Ok(())
}

/// Writes the image that another task executes; it has the running task's user.
#[inline(always)]
pub fn owner_of(task: u64, owner: &mut Owner) -> Result<(), ReadFailed> {
    let leader = read!(task, task_group_leader, u64)?;
    owner.tgid = read!(task, task_tgid, u32)?;
    owner.exec_seq = read!(task, task_self_exec_id, u32)?;
    owner.start_ns = read!(leader, task_start_boottime, u64)?;
    owner.cgroup_id = cgroup_id(task)?;
    owner.uid = bpf_get_current_uid_gid() as u32;
    owner.vpid = 0;
    Ok(())
}

/// Writes the image that any task executes, with its own user.
#[inline(always)]
pub fn holder_of(task: u64, owner: &mut Owner) -> Result<(), ReadFailed> {
    owner_of(task, owner)?;
    owner.uid = read!(read!(task, task_cred, u64)?, cred_uid, u32)?;
    Ok(())
}

/// Process id of a task in its own pid namespace; 0 where that is not told.
#[inline(always)]
pub fn vpid(task: u64) -> Result<u32, ReadFailed> {
    /// Bytes of a `upid`, and how deep pid namespaces nest at most.
    const UPID_BYTES: u64 = 16;
    const MAX_LEVEL: u32 = 32;
    if offset!(task_thread_pid) == ABSENT || offset!(pid_level) == ABSENT || offset!(pid_numbers) == ABSENT {
        return Ok(0);
    }
    let pid = read!(task, task_thread_pid, u64)?;
    let level = read!(pid, pid_level, u32)?;
    if level > MAX_LEVEL {
        return Ok(0);
    }
    read!(pid.wrapping_add(u64::from(level) * UPID_BYTES), pid_numbers, u32)
}

/// Process id of a task's parent.
#[inline(always)]
pub fn parent_tgid(task: u64) -> Result<u32, ReadFailed> {
    let parent = read!(task, task_real_parent, u64)?;
    read!(parent, task_tgid, u32)
}

#[inline(always)]
fn cgroup_id(task: u64) -> Result<u64, ReadFailed> {
    if offset!(task_cgroups) == ABSENT || offset!(css_set_dfl_cgrp) == ABSENT || offset!(cgroup_kn) == ABSENT
    {
        return Ok(0);
    }
    let set = read!(task, task_cgroups, u64)?;
    cgroup::id(read!(set, css_set_dfl_cgrp, u64)?)
}
