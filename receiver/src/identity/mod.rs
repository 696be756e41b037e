//! Who is behind a connection: processes, their users, and the host.

pub mod cgroup;
pub mod host;
mod instance;
pub mod process;
mod procfs;
mod table;
pub mod users;
mod workload;
mod workloads;

pub use host::Host;
pub use instance::instance_id;
pub use process::{Image, Process, Seen};
pub use table::ProcessTable;
pub use workload::Workload;
pub use workloads::Workloads;
