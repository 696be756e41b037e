//! Which runtimes are asked, and within which limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use convis_exporters::RetryPolicy;

use super::address::Address;
use super::cache::CacheLimits;

/// `--container-runtime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Choice {
    /// Every runtime there is
    #[default]
    Auto,
    /// Docker and Podman
    Docker,
    /// containerd, CRI-O and others that Kubernetes uses
    Cri,
    /// None
    None,
}

impl Choice {
    pub(super) const fn docker(self) -> bool {
        matches!(self, Self::Auto | Self::Docker)
    }

    pub(super) const fn cri(self) -> bool {
        matches!(self, Self::Auto | Self::Cri)
    }
}

/// What a [`super::Directory`] is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which kinds of runtimes.
    pub choice: Choice,
    /// Where Docker or Podman is; empty: wherever their sockets are found.
    pub docker_hosts: Vec<Address>,
    /// Where a CRI runtime is; empty: wherever one is found.
    pub cri_endpoints: Vec<Address>,
    /// The root of the host's file system.
    pub root: PathBuf,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
    /// Keys of labels that are kept beside those which convis reads itself.
    pub labels: Vec<String>,
    /// Sizes and times of what is kept.
    pub cache: CacheLimits,
    /// Times and sizes of asking.
    pub limits: Limits,
    /// For jitter.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            choice: Choice::Auto,
            docker_hosts: Vec::new(),
            cri_endpoints: Vec::new(),
            root: PathBuf::from("/"),
            runtime_dir: None,
            labels: Vec::new(),
            cache: CacheLimits::default(),
            limits: Limits::default(),
            seed: 0,
        }
    }
}

/// The root of the host's file system: convis's own or, from inside a container, pid 1's, if convis may look there.
pub fn root_of_host(proc_root: &Path) -> PathBuf {
    use std::os::unix::fs::MetadataExt as _;
    let file = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let (own, first) = (PathBuf::from("/"), proc_root.join("1/root"));
    if first.join("run").is_dir() && file(&first) != file(&own) { first } else { own }
}

/// Times and sizes of asking.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A request takes no longer.
    pub timeout: Duration,
    /// Bytes of one answer; of an event, from one to the next.
    pub answer_bytes: usize,
    /// Least time between two lists from one CRI runtime.
    pub list_interval: Duration,
    /// Time between two looks for sockets.
    pub find_interval: Duration,
    /// Waits after failures.
    pub retry: RetryPolicy,
    /// So long it is taken for granted that nobody listens where nobody did.
    pub look_again: Duration,
    /// A session that lasted so long is followed by the next one at once.
    pub lasting: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            answer_bytes: 16 << 20,
            list_interval: Duration::from_secs(1),
            find_interval: Duration::from_secs(15),
            retry: RetryPolicy { max: Duration::from_mins(1), ..RetryPolicy::default() },
            look_again: Duration::from_millis(200),
            lasting: Duration::from_secs(10),
        }
    }
}
