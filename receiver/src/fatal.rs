//! Errors that end the process, each with its exit code and one line.

use std::io;

use convis_exporters::{BuildError, SinkFailure};
use convis_otel_config::ConfigError;

use crate::kernel::{LoadError, SourceError};
use crate::recording::{RecordError, ReplayError};

/// Why convis ends.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// A setting is wrong.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The configuration file is wrong: each line says where and how.
    #[error("{}", .0.join("\n"))]
    ConfigFile(Vec<String>),
    /// A setting cannot work.
    #[error("{0}")]
    Sink(#[from] BuildError),
    /// The process may not do what capturing needs.
    #[error(
        "not permitted to capture: {missing} missing; run it with sudo, or grant them once: \
         sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search,cap_net_admin+ep $(command -v convis)"
    )]
    NotPermitted {
        /// The capabilities, joined by `and`.
        missing: String,
    },
    /// The kernel refuses although the capabilities are there.
    #[error("not permitted to capture: {error}; {}", error.remedy())]
    Refused {
        /// What was refused.
        error: LoadError,
    },
    /// The kernel lacks something.
    #[error("this kernel cannot be captured: {0}")]
    Kernel(LoadError),
    /// The admin address cannot be used.
    #[error("cannot listen on {address} for --admin: {source}; choose another address or `--admin off`")]
    Admin {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A recording cannot be made.
    #[error("{0}")]
    Record(#[from] RecordError),
    /// A file cannot be replayed.
    #[error("cannot replay {path}: {source}")]
    Replay {
        /// Which.
        path: String,
        /// Why.
        source: ReplayError,
    },
    /// Something that must not happen.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

impl Fatal {
    /// The exit code of sysexits(3) that fits.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Config(_)
            | Self::ConfigFile(_)
            | Self::Sink(_)
            | Self::Admin { .. }
            | Self::Record(_)
            | Self::Replay { .. } => 64,
            Self::Kernel(_) => 69,
            Self::Internal(_) => 70,
            Self::NotPermitted { .. } | Self::Refused { .. } => 77,
        }
    }
}

impl From<LoadError> for Fatal {
    fn from(error: LoadError) -> Self {
        if error.is_permission() { Self::Refused { error } } else { Self::Kernel(error) }
    }
}

impl From<SourceError> for Fatal {
    fn from(error: SourceError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<SinkFailure> for Fatal {
    fn from(failure: SinkFailure) -> Self {
        Self::Internal(failure.to_string())
    }
}
