//! What each probe plan of convis can see.
//!
//! Everything not named here is seen by every plan.
//!
//! | what | fentry, kprobe | tracepoint |
//! |---|---|---|
//! | who accepted through `io_uring` | the accepting task, `kernel` | the closing task, `inherited`, opened told at the close at the latest |
//! | the same, ended by the peer's reset | the accepting task | nobody |
//! | connect through `io_uring` without a SYN | yes | no |
//! | connect denied by a security module | no | yes; no scenario loads one |

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

    /// The owner of a connection accepted through `io_uring`. Without a probe in the accept itself, it is the task that
    /// closes the connection.
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
