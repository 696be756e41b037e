//! What each probe plan of convis can see.
//!
//! Everything not named here is seen by every plan.
//!
//! | what | fentry, kprobe | tracepoint |
//! |---|---|---|
//! | who accepted through `io_uring` | the accepting task, `kernel` | the closing task, `inherited`, opened told at the close at the latest |
//! | the same, ended by the peer's reset | the accepting task | the listener's owner, `inherited` |
//! | who accepted by a system call, from 7.0 on | the accepting task, `kernel`; by kprobe as by tracepoint | of the few that the kernel skipped, and counted, as through `io_uring` |
//! | connect through `io_uring` without a SYN | yes | no |
//! | connect denied by a security module | no | yes |

use std::str::FromStr;

/// `--probes` of convis.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Plan {
    /// convis chooses what the kernel offers.
    Auto,
    /// Trampolines.
    Fentry,
    /// Kprobes.
    Kprobe,
    /// Tracepoints alone.
    Tracepoint,
}

/// How an owner may be known.
pub(super) type Attributions = &'static [&'static str];

impl Plan {
    /// The argument for convis; none for its own choice.
    pub(super) fn argument(self) -> Option<&'static str> {
        match self {
            Self::Auto => None,
            Self::Fentry => Some("fentry"),
            Self::Kprobe => Some("kprobe"),
            Self::Tracepoint => Some("tracepoint"),
        }
    }

    /// Whether the kernel may skip the program that sees an accept by a system call: on kernels from 7.0 on, kprobes and
    /// the programs of a system call's tracepoints can be interrupted by another task that hits one.
    pub(super) fn may_miss_accepts(self) -> bool {
        matches!(self, Self::Kprobe | Self::Tracepoint) && is_preemptible()
    }

    /// How the owner of a connection accepted through `io_uring` is known. Without a probe in the accept itself, it is the task
    /// that closes the connection or, where the peer ends it, the listener's owner.
    pub(super) fn uring_accept(self) -> Attributions {
        match self {
            Self::Fentry | Self::Kprobe => &["kernel"],
            Self::Tracepoint => &["inherited"],
            Self::Auto => &["kernel", "inherited"],
        }
    }

    /// Whether a connect through `io_uring` is seen that fails before it reaches `SYN_SENT`; unknown for convis's own choice.
    pub(super) fn uring_connect_without_syn(self) -> Option<bool> {
        match self {
            Self::Fentry | Self::Kprobe => Some(true),
            Self::Tracepoint => Some(false),
            Self::Auto => None,
        }
    }

    /// Whether a connect is seen that a security module denies; unknown for convis's own choice.
    pub(super) fn denied_by_module(self) -> Option<bool> {
        match self {
            Self::Fentry | Self::Kprobe => Some(false),
            Self::Tracepoint => Some(true),
            Self::Auto => None,
        }
    }
}

fn is_preemptible() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a kernel tells its release");
    release.split('.').next().and_then(|major| major.parse::<u32>().ok()) >= Some(7)
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "fentry" => Ok(Self::Fentry),
            "kprobe" => Ok(Self::Kprobe),
            "tracepoint" => Ok(Self::Tracepoint),
            other => Err(format!("{other:?} is no probe plan: auto, fentry, kprobe, tracepoint")),
        }
    }
}
