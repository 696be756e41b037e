//! Who is behind a connection: processes, their users, and the host.

pub mod cgroup;
pub mod host;
mod instance;
pub mod process;
mod procfs;
pub mod service;
mod table;
pub mod users;

pub use host::Host;
pub use instance::instance_id;
pub use process::{Image, Process};
pub use service::Service;
pub use table::ProcessTable;
