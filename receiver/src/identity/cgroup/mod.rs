//! Where a process runs: container, pod, machine or unit, from the path of its cgroup.
//!
//! ```text
//! /proc/<pid>/cgroup -> procfs::place -> Place
//! cgroup id (of the kernel's records) -> CgroupIndex -> path -> Place::of
//! ```

mod id;
mod index;
mod mount;
mod path;
pub mod procfs;
mod scan;
mod unit;

pub use index::CgroupIndex;
pub use mount::Mount;
pub use path::{Place, Runtime};
