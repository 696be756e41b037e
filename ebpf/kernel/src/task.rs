//! Who a task is.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::bpf_get_current_uid_gid;
use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_get_current_task};

use crate::kernel::{ReadFailed, offset, read};
use crate::layout::ABSENT;
use crate::wire::Owner;

/// The running task.
#[inline(always)]
pub fn current() -> u64 {
    // SAFETY: takes no argument.
    unsafe { bpf_get_current_task() }
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
    owner.reserved = 0;
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
    owner.reserved = 0;
    Ok(())
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
    let cgroup = read!(set, css_set_dfl_cgrp, u64)?;
    let node = read!(cgroup, cgroup_kn, u64)?;
    read!(node, kernfs_node_id, u64)
}
