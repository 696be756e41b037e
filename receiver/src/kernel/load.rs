//! Loads the programs: layout from BTF first, then maps, then each hook.

use std::io;

use aya::programs::ProgramError;
use aya::{EbpfError, EbpfLoader};
use convis_ebpf::btf::{Btf, BtfError, KERNEL_BTF};
use convis_ebpf::offsets::{self, LayoutError};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::source::{Source, SourceError};
use super::{hooks, tracefs};

/// What the kernel side is loaded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes of the ring: a power of two, at least a page.
    pub ring_bytes: u32,
    /// Connections that the ledger has room for.
    pub max_connections: u32,
    /// Process whose connections are left out, with both their ends; `None` shows everything.
    pub leave_out: Option<u32>,
}

/// Why convis cannot capture here.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel does not describe its types.
    #[error("cannot read {KERNEL_BTF}: {source}; convis needs a kernel with CONFIG_DEBUG_INFO_BTF")]
    NoBtf {
        /// Why.
        source: io::Error,
    },
    /// The description is not understood.
    #[error("cannot read the types in {KERNEL_BTF}: {source}")]
    Btf {
        /// Why.
        source: BtfError,
    },
    /// A structure is not as the programs need it.
    #[error("{source}")]
    Layout {
        /// Which.
        source: LayoutError,
    },
    /// The kernel refused a map or the object.
    #[error("the kernel refused the eBPF object: {}", chain(source))]
    Object {
        /// Why.
        source: Box<EbpfError>,
    },
    /// The kernel refused a program.
    #[error("cannot see {hook} (program {program}): {}", chain(source))]
    Attach {
        /// What would not be seen.
        hook: &'static str,
        /// Which program.
        program: &'static str,
        /// Why.
        source: Box<ProgramError>,
    },
    /// A hook without any way to see it.
    #[error("there is no way to see {hook} on this kernel")]
    NoAlternative {
        /// What would not be seen.
        hook: &'static str,
    },
    /// The object lacks a part.
    #[error("the eBPF object has no {missing}")]
    BrokenObject {
        /// Which.
        missing: &'static str,
    },
    /// Tracefs is neither there nor mountable.
    #[error(
        "cannot use /sys/kernel/tracing: {source}; mount it: mount -t tracefs tracefs /sys/kernel/tracing"
    )]
    Tracefs {
        /// Why.
        source: io::Error,
    },
    /// The maps cannot be opened.
    #[error("{0}")]
    Source(#[from] SourceError),
}

impl LoadError {
    /// What helps against a refusal for want of permission.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Object { .. } => {
                "kernels before 5.11 also need CAP_SYS_RESOURCE, for the locked memory of the maps; run it with sudo"
            }
            Self::Attach { .. } => {
                "with kernel.perf_event_paranoid above 2, Debian's default, CAP_SYS_ADMIN is needed as well; \
                 run it with sudo"
            }
            _ => "run it with sudo",
        }
    }

    /// Whether the kernel said that the process may not, rather than that it cannot.
    pub fn is_permission(&self) -> bool {
        let error: &dyn std::error::Error = match self {
            Self::NoBtf { source } | Self::Tracefs { source } => source,
            Self::Object { source } => source,
            // The verifier says EACCES for a program that it does not accept.
            Self::Attach { source, .. } if matches!(**source, ProgramError::LoadError { .. }) => {
                return false;
            }
            Self::Attach { source, .. } => source,
            _ => return false,
        };
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return error.kind() == io::ErrorKind::PermissionDenied;
            }
            cause = error.source();
        }
        false
    }
}

/// Loads and attaches everything; the returned source keeps it attached until it is dropped.
///
/// # Errors
/// The kernel lacks something or refuses something; named in the error.
pub fn load(options: &Options) -> Result<Source, LoadError> {
    let layout = kernel_layout()?;
    tracefs::make_available().map_err(|source| LoadError::Tracefs { source })?;
    raise_memlock();
    let window = [offsets::window_start(&layout)];
    let settings = [options.leave_out.map_or(u64::MAX, u64::from), u64::from(options.ring_bytes / 4)];
    let mut ebpf = EbpfLoader::new()
        .override_global("LAYOUT", layout.as_slice(), true)
        .override_global("WINDOW", window.as_slice(), true)
        .override_global("SETTINGS", settings.as_slice(), true)
        .map_max_entries("RING", options.ring_bytes)
        .map_max_entries("CONNS", options.max_connections)
        .load(convis_ebpf::object())
        .map_err(|source| LoadError::Object { source: Box::new(source) })?;
    for hook in hooks::HOOKS {
        hooks::attach(&mut ebpf, hook)?;
    }
    give_back_memory();
    Ok(Source::open(ebpf)?)
}

/// The loader has parsed all types of the kernel into many small pieces, which the allocator would keep for good.
fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "no dependency offers it")]
    // SAFETY: takes no pointer and only returns free memory to the kernel.
    let _returned = unsafe { libc::malloc_trim(0) };
}

fn kernel_layout() -> Result<[u32; convis_ebpf::layout::FIELDS], LoadError> {
    let bytes = std::fs::read(KERNEL_BTF).map_err(|source| LoadError::NoBtf { source })?;
    let btf = Btf::parse(&bytes).map_err(|source| LoadError::Btf { source })?;
    offsets::resolve(&btf).map_err(|source| LoadError::Layout { source })
}

/// Kernels before 5.11 count maps against this limit. Where it cannot be raised, a map that does not fit says so itself.
fn raise_memlock() {
    let unlimited = Rlimit { current: None, maximum: None };
    let _refused = setrlimit(Resource::Memlock, unlimited);
}

/// An error and its causes on one line; the verifier's log is many, so only its last line is kept.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = last_line(&error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        let line = last_line(&cause.to_string());
        if !text.contains(&line) {
            text = format!("{text}: {line}");
        }
        source = cause.source();
    }
    text
}

fn last_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    match lines.next_back() {
        Some(last) => format!("{first} ... {last}"),
        None => first.to_owned(),
    }
}
