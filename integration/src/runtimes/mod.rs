//! Real container runtimes of a test's own: their data, sockets and processes are in a temporary folder and gone after it.

mod asker;
mod broken;
mod containerd;
mod docker;
mod gate;
mod messages;
mod rootfs;
mod scratch;

pub use asker::Asker;
pub use broken::{Broken, Fault};
pub use containerd::{Containerd, PodSpec};
pub use docker::{Docker, Kind};
pub use gate::Gate;
