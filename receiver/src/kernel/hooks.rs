//! Where the programs are attached: one table of hooks, each with its ways, the best first.

use std::any::Any;

use aya::programs::{FEntry, FExit, KProbe, Program, ProgramError, RawTracePoint, TracePoint};
use aya::{Btf, Ebpf};

use super::LoadError;

/// `--probes`: which ways are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Probes {
    /// The best that this kernel offers, hook by hook.
    #[default]
    Auto,
    /// Trampolines at the entry and exit of kernel functions.
    Fentry,
    /// Breakpoints at the entry and exit of kernel functions.
    Kprobe,
    /// Tracepoints only.
    Tracepoint,
}

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// To a raw tracepoint: no tracefs, no perf event.
    RawTracepoint(&'static str),
    /// To a tracepoint by category and name; needs tracefs.
    Tracepoint(&'static str, &'static str),
    /// To the entry of a kernel function.
    Fentry(&'static str),
    /// To the exit of a kernel function.
    Fexit(&'static str),
    /// To the entry or, by the program's kind, the return of a kernel function.
    Kprobe(&'static str),
}

/// A program and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The program's name in the object.
    pub program: &'static str,
    /// Where it goes.
    pub attach: Attach,
}

/// A set of programs that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The plan that it belongs to; `None` belongs to every plan.
    pub plan: Option<Probes>,
    /// What it is, in a few words.
    pub name: &'static str,
    /// All of them are attached, in this order.
    pub probes: &'static [Probe],
}

impl Way {
    /// Whether it is tried under `probes`.
    pub fn is_of(&self, probes: Probes) -> bool {
        probes == Probes::Auto || self.plan.is_none_or(|plan| plan == probes)
    }
}

/// Something convis must see, and the ways to see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// Which.
    pub what: What,
    /// The best first.
    pub ways: &'static [Way],
}

/// What hooks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// Fork, exec, exit.
    Processes,
    /// Every change of a connection's state.
    States,
    /// Who accepts.
    Accepts,
    /// Attempts that fail without a segment.
    Unsent,
    /// Cgroups that are made and removed.
    Cgroups,
}

impl What {
    /// In a few words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processes => "process life",
            Self::States => "connection states",
            Self::Accepts => "who accepts",
            Self::Unsent => "attempts without a segment",
            Self::Cgroups => "cgroups come and go",
        }
    }
}

const fn raw(program: &'static str, tracepoint: &'static str) -> Probe {
    Probe { program, attach: Attach::RawTracepoint(tracepoint) }
}

const fn syscall(program: &'static str, name: &'static str) -> Probe {
    Probe { program, attach: Attach::Tracepoint("syscalls", name) }
}

const fn kprobe(program: &'static str, function: &'static str) -> Probe {
    Probe { program, attach: Attach::Kprobe(function) }
}

const fn fentry(program: &'static str, function: &'static str) -> Probe {
    Probe { program, attach: Attach::Fentry(function) }
}

const fn state(program: &'static str) -> Probe {
    raw(program, "inet_sock_set_state")
}

/// Copies of the state program, in the order in which they must run.
const STATES: [Probe; 6] = [
    state("state_change_0"),
    state("state_change_1"),
    state("state_change_2"),
    state("state_change_3"),
    state("state_change_4"),
    state("state_change_5"),
];

/// Two copies: a packet's interrupt can come while a task runs the first, and interrupts do not nest.
const TWO_STATES: &[Probe] = STATES.split_at(2).0;

/// Fork, exec and exit, processes first, so that no connection's owner is older than its cache.
pub const PROCESSES: Hook = Hook {
    what: What::Processes,
    ways: &[Way {
        plan: None,
        name: "raw tracepoints sched_process_fork, sched_process_exec, sched_process_exit",
        probes: &[
            raw("process_fork", "sched_process_fork"),
            raw("process_exec", "sched_process_exec"),
            raw("process_exit", "sched_process_exit"),
        ],
    }],
};

/// The same where tracepoints are preemptible, so that a task in the middle of it can be interrupted by another one.
pub const PROCESSES_PREEMPTIBLE: Hook = Hook {
    what: What::Processes,
    ways: &[Way {
        plan: None,
        name: "raw tracepoints sched_process_fork, sched_process_exec, sched_process_exit, 2 copies",
        probes: &[
            raw("process_fork", "sched_process_fork"),
            raw("process_fork_1", "sched_process_fork"),
            raw("process_exec", "sched_process_exec"),
            raw("process_exec_1", "sched_process_exec"),
            raw("process_exit", "sched_process_exit"),
            raw("process_exit_1", "sched_process_exit"),
        ],
    }],
};

const ACCEPT_BY_FENTRY: Way = Way {
    plan: Some(Probes::Fentry),
    name: "fentry security_sock_graft",
    probes: &[
        fentry("accept_fentry", "security_sock_graft"),
        fentry("accept_fentry_1", "security_sock_graft"),
    ],
};

const ACCEPT_BY_KPROBE: Way = Way {
    plan: Some(Probes::Kprobe),
    name: "kprobe security_sock_graft",
    probes: &[kprobe("accept_kprobe", "security_sock_graft")],
};

const ACCEPT_BY_KRETPROBE: Way = Way {
    plan: Some(Probes::Kprobe),
    name: "kretprobe inet_csk_accept",
    probes: &[kprobe("accept_kretprobe", "inet_csk_accept")],
};

/// Who accepts. The exit of the system call is the last resort: it slows every system call of the host a little.
pub const ACCEPTS: Hook = Hook {
    what: What::Accepts,
    ways: &[
        ACCEPT_BY_FENTRY,
        ACCEPT_BY_KPROBE,
        ACCEPT_BY_KRETPROBE,
        Way {
            plan: Some(Probes::Tracepoint),
            name: "tracepoints sys_exit_accept, sys_exit_accept4",
            probes: &[
                syscall("accept_return_0", "sys_exit_accept"),
                syscall("accept_return_0", "sys_exit_accept4"),
            ],
        },
    ],
};

/// The same where a task can be preempted in the middle of a system call's tracepoint.
pub const ACCEPTS_PREEMPTIBLE: Hook = Hook {
    what: What::Accepts,
    ways: &[
        ACCEPT_BY_FENTRY,
        ACCEPT_BY_KPROBE,
        ACCEPT_BY_KRETPROBE,
        Way {
            plan: Some(Probes::Tracepoint),
            name: "tracepoints sys_exit_accept, sys_exit_accept4, 4 copies",
            probes: &[
                syscall("accept_return_0", "sys_exit_accept"),
                syscall("accept_return_1", "sys_exit_accept"),
                syscall("accept_return_2", "sys_exit_accept"),
                syscall("accept_return_3", "sys_exit_accept"),
                syscall("accept_return_0", "sys_exit_accept4"),
                syscall("accept_return_1", "sys_exit_accept4"),
                syscall("accept_return_2", "sys_exit_accept4"),
                syscall("accept_return_3", "sys_exit_accept4"),
            ],
        },
    ],
};

/// Attempts that never leave CLOSE.
pub const UNSENT: Hook = Hook {
    what: What::Unsent,
    ways: &[
        Way {
            plan: Some(Probes::Fentry),
            name: "fexit __inet_stream_connect",
            probes: &[Probe { program: "connect_fexit", attach: Attach::Fexit("__inet_stream_connect") }],
        },
        Way {
            plan: Some(Probes::Kprobe),
            name: "kprobes and kretprobes tcp_v4_connect, tcp_v6_connect",
            probes: &[
                kprobe("connect_kretprobe", "tcp_v4_connect"),
                kprobe("connect_kretprobe", "tcp_v6_connect"),
                kprobe("connect_kprobe", "tcp_v4_connect"),
                kprobe("connect_kprobe", "tcp_v6_connect"),
            ],
        },
        Way {
            plan: Some(Probes::Tracepoint),
            name: "tracepoint sys_exit_connect",
            probes: &[syscall("connect_return", "sys_exit_connect")],
        },
    ],
};

/// What the programs of [`CGROUPS`] read, absent on kernels without cgroups.
pub const CGROUP_MEMBERS: [(&str, &str); 3] =
    [("cgroup", "kn"), ("cgroup", "root"), ("cgroup_root", "hierarchy_id")];

/// Paths of cgroups by id, also of those that are gone before user space looked.
pub const CGROUPS: Hook = Hook {
    what: What::Cgroups,
    ways: &[Way {
        plan: None,
        name: "raw tracepoints cgroup_mkdir, cgroup_rmdir",
        probes: &[raw("cgroup_made", "cgroup_mkdir"), raw("cgroup_removed", "cgroup_rmdir")],
    }],
};

/// The spine: every change of a connection's state.
pub const STATES_TWICE: Hook = Hook {
    what: What::States,
    ways: &[Way { plan: None, name: "raw tracepoint inet_sock_set_state, 2 copies", probes: TWO_STATES }],
};

/// The spine where tracepoints are preemptible, so that a task can also be interrupted by other tasks.
pub const STATES_PREEMPTIBLE: Hook = Hook {
    what: What::States,
    ways: &[Way { plan: None, name: "raw tracepoint inet_sock_set_state, 6 copies", probes: &STATES }],
};

/// A set of programs, attached while this lives.
pub struct Attached(#[expect(dead_code, reason = "dropping it detaches")] Vec<Box<dyn Any + Send>>);

/// Attaches all programs of `way`.
///
/// # Errors
/// The kernel refused one; those before it are detached.
pub fn attach(ebpf: &mut Ebpf, btf: &Btf, what: What, way: &Way) -> Result<Attached, LoadError> {
    let mut links = Vec::with_capacity(way.probes.len());
    for probe in way.probes {
        let refused =
            |source| LoadError::Attach { hook: what.as_str(), program: way.name, source: Box::new(source) };
        let program =
            ebpf.program_mut(probe.program).ok_or(LoadError::BrokenObject { missing: probe.program })?;
        links.push(attach_one(program, probe.attach, btf).map_err(refused)?);
    }
    Ok(Attached(links))
}

/// Loads a program for its place, unless it is loaded: one that goes to two places is loaded once.
pub(super) fn load(program: &mut Program, attach: Attach, btf: &Btf) -> Result<(), ProgramError> {
    if program.fd().is_ok() {
        return Ok(());
    }
    match attach {
        Attach::RawTracepoint(_) => <&mut RawTracePoint>::try_from(program)?.load(),
        Attach::Tracepoint(..) => <&mut TracePoint>::try_from(program)?.load(),
        Attach::Fentry(function) => <&mut FEntry>::try_from(program)?.load(function, btf),
        Attach::Fexit(function) => <&mut FExit>::try_from(program)?.load(function, btf),
        Attach::Kprobe(_) => <&mut KProbe>::try_from(program)?.load(),
    }
}

fn attach_one(program: &mut Program, attach: Attach, btf: &Btf) -> Result<Box<dyn Any + Send>, ProgramError> {
    // Each kind of program is a type of its own, without a trait for what they share.
    macro_rules! attached {
        ($kind:ty, attach($($attach:expr),*)) => {{
            let program: &mut $kind = program.try_into()?;
            let link = program.attach($($attach),*)?;
            Ok(Box::new(program.take_link(link)?))
        }};
    }
    load(program, attach, btf)?;
    match attach {
        Attach::RawTracepoint(name) => attached!(RawTracePoint, attach(name)),
        Attach::Tracepoint(category, name) => attached!(TracePoint, attach(category, name)),
        Attach::Fentry(_) => attached!(FEntry, attach()),
        Attach::Fexit(_) => attached!(FExit, attach()),
        Attach::Kprobe(function) => attached!(KProbe, attach(function, 0)),
    }
}

/// The kernel functions that trampolines go to.
pub(super) fn functions() -> impl Iterator<Item = &'static str> {
    let probes = [ACCEPTS, UNSENT].into_iter().flat_map(|hook| hook.ways).flat_map(|way| way.probes);
    probes.filter_map(|probe| match probe.attach {
        Attach::Fentry(function) | Attach::Fexit(function) => Some(function),
        _ => None,
    })
}
