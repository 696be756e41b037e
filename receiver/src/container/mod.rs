//! Who a container is: names from Docker, Podman and the runtimes of Kubernetes.
//!
//! ```text
//! capture task: Directory (cache) --questions--> endpoint per runtime (docker or cri session) --> its socket
//!                               <----news-------
//! ```
//! [`Directory::ask`] answers from memory and never waits; [`Directory::drain`] takes in what has come since. A runtime
//! that is down, hangs or talks nonsense costs names and nothing else.

mod address;
mod cache;
mod counters;
mod cri;
mod details;
mod directory;
mod docker;
#[doc(hidden)]
pub mod doors;
mod endpoint;
mod find;
mod id;
mod image;
mod labels;
mod port;
mod settings;
#[cfg(test)]
pub(crate) mod testing;

pub use address::Address;
pub use cache::{Answer, CacheLimits};
pub use counters::{Counted, Counters, Failure};
pub use details::{Compose, Details, K8sContainer, Pod, Recommended, Runtime, Service, Swarm};
pub use directory::Directory;
pub use find::runtimes;
pub use id::ContainerId;
pub use image::Reference;
pub use settings::{Choice, Limits, Settings, root_of_host};
