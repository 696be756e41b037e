//! Where the programs are attached: one table of hooks, each with its alternatives, the best first.

use aya::Ebpf;
use aya::programs::{Program, ProgramError, RawTracePoint, TracePoint};

use super::LoadError;

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// To a raw tracepoint: no tracefs, no perf event.
    RawTracepoint(&'static str),
    /// To a tracepoint by category and name; needs tracefs.
    Tracepoint(&'static str, &'static str),
}

/// A program and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The program's name in the object.
    pub program: &'static str,
    /// Where it goes.
    pub attach: Attach,
}

/// Something convis must see, and the ways to see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// What it shows, in a few words.
    pub what: &'static str,
    /// Each alternative is a set of programs that belong together; the first that this kernel takes is used.
    pub alternatives: &'static [&'static [Probe]],
}

const fn raw(program: &'static str, tracepoint: &'static str) -> Probe {
    Probe { program, attach: Attach::RawTracepoint(tracepoint) }
}

const fn syscall(program: &'static str, name: &'static str) -> Probe {
    Probe { program, attach: Attach::Tracepoint("syscalls", name) }
}

/// Every hook, in the order of attachment. Processes come first, so that no connection's owner is older than its cache.
pub const HOOKS: &[Hook] = &[
    Hook {
        what: "process life",
        alternatives: &[&[
            raw("process_fork", "sched_process_fork"),
            raw("process_exec", "sched_process_exec"),
            raw("process_exit", "sched_process_exit"),
        ]],
    },
    Hook {
        what: "who accepts",
        alternatives: &[&[
            syscall("accept_return", "sys_exit_accept"),
            syscall("accept4_return", "sys_exit_accept4"),
        ]],
    },
    Hook { what: "connection states", alternatives: &[&[raw("state_change", "inet_sock_set_state")]] },
];

/// Attaches the first alternative of `hook` that the kernel takes.
///
/// # Errors
/// Every alternative was refused; the last refusal is named.
pub fn attach(ebpf: &mut Ebpf, hook: &Hook) -> Result<(), LoadError> {
    let mut refusal = LoadError::NoAlternative { hook: hook.what };
    for probes in hook.alternatives {
        match attach_all(ebpf, hook, probes) {
            Ok(()) => return Ok(()),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

fn attach_all(ebpf: &mut Ebpf, hook: &Hook, probes: &[Probe]) -> Result<(), LoadError> {
    for probe in probes {
        let refused =
            |source| LoadError::Attach { hook: hook.what, program: probe.program, source: Box::new(source) };
        let program =
            ebpf.program_mut(probe.program).ok_or(LoadError::BrokenObject { missing: probe.program })?;
        attach_one(program, probe.attach).map_err(refused)?;
    }
    Ok(())
}

fn attach_one(program: &mut Program, attach: Attach) -> Result<(), ProgramError> {
    match attach {
        Attach::RawTracepoint(name) => {
            let program: &mut RawTracePoint = program.try_into()?;
            program.load()?;
            program.attach(name).map(drop)
        }
        Attach::Tracepoint(category, name) => {
            let program: &mut TracePoint = program.try_into()?;
            program.load()?;
            program.attach(category, name).map(drop)
        }
    }
}
