//! The life of processes: enough to name one that is gone before user space looked. Two copies of each program, see `once`: where
//! tracepoints can be preempted, a fork can come in the middle of another one on its CPU.

use aya_ebpf::helpers::generated::bpf_probe_read_user_str;

use crate::emit;
use crate::kernel::{ReadFailed, read};
use crate::once;
use crate::path;
use crate::task;
use crate::wire::{ARGV0_BYTES, Exec, Exit, Fork, kind};

/// `parent`, the running task, made `child`: a process or only a thread.
#[inline(always)]
pub fn forked<const COPY: u64>(parent: u64, child: u64) {
    if matches!(is_process(child), Ok(true)) {
        once::to_task::<COPY>(
            kind::FORK,
            child,
            #[inline(always)]
            || tell_fork(parent, child),
        );
    }
}

#[inline(always)]
fn tell_fork(parent: u64, child: u64) {
    emit::seen(kind::FORK);
    emit::send::<Fork>(
        kind::FORK,
        #[inline(always)]
        |record| {
            emit::header(&mut record.header, kind::FORK, emit::now());
            task::owner_of(child, &mut record.child)?;
            record.child.vpid = task::vpid(child)?;
            task::owner_of(parent, &mut record.image)?;
            record.parent_tgid = task::parent_tgid(child)?;
            record.reserved = 0;
            Ok(())
        },
    );
}

#[inline(always)]
fn is_process(task: u64) -> Result<bool, ReadFailed> {
    Ok(read!(task, task_pid, u32)? == read!(task, task_tgid, u32)?)
}

/// The running task has a new image.
#[inline(always)]
pub fn executed<const COPY: u64>(task: u64) {
    once::to_task::<COPY>(
        kind::EXEC,
        task,
        #[inline(always)]
        || {
            emit::seen(kind::EXEC);
            emit::send::<Exec>(
                kind::EXEC,
                #[inline(always)]
                |record| fill_exec(record, task),
            );
        },
    );
}

#[inline(always)]
fn fill_exec(record: &mut Exec, task: u64) -> Result<(), ReadFailed> {
    emit::header(&mut record.header, kind::EXEC, emit::now());
    task::current_owner(&mut record.owner)?;
    record.parent_tgid = task::parent_tgid(task)?;
    record.reserved = 0;
    let mm = read!(task, task_mm, u64)?;
    let file = read!(mm, mm_exe_file, u64)?;
    let (length, complete) = path::walk(file, &mut record.path)?;
    record.path_len = length;
    record.path_complete = u32::from(complete);
    let arguments = read!(mm, mm_arg_start, u64)?;
    // SAFETY: the helper writes at most the buffer's size.
    let length = unsafe {
        bpf_probe_read_user_str(record.argv0.as_mut_ptr().cast(), ARGV0_BYTES as u32, arguments as *const _)
    };
    record.argv0_len = if length > 0 { length as u16 } else { 0 };
    Ok(())
}

/// A thread ends; only the last one ends its process.
#[inline(always)]
pub fn exited<const COPY: u64>(task: u64) {
    if matches!(is_last_thread(task), Ok(true)) {
        once::to_task::<COPY>(
            kind::EXIT,
            task,
            #[inline(always)]
            || tell_exit(task),
        );
    }
}

#[inline(always)]
fn tell_exit(task: u64) {
    emit::seen(kind::EXIT);
    emit::send::<Exit>(
        kind::EXIT,
        #[inline(always)]
        |record| {
            emit::header(&mut record.header, kind::EXIT, emit::now());
            task::owner_of(task, &mut record.owner)
        },
    );
}

#[inline(always)]
fn is_last_thread(task: u64) -> Result<bool, ReadFailed> {
    let signal = read!(task, task_signal, u64)?;
    Ok(read!(signal, signal_live, u32)? == 0)
}
