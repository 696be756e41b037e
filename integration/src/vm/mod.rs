//! Other kernels than the running one: Debian's, each in a small virtual machine, of either architecture.
//!
//! [`kernels`] says which there are, [`kept`] gets one into the cache, [`image`] packs what the machine runs, [`boot`]
//! runs it, and [`matrix`] puts the scenario suite through all ways to see connections. Nothing but QEMU without
//! hardware virtualization is asked of the host, so this works inside containers and other virtual machines.

pub(crate) mod apt;
pub mod arch;
pub mod boot;
pub mod guest;
pub mod image;
pub mod kept;
pub mod kernels;
pub mod matrix;

mod mirror;
mod modules;
mod slot;
mod tool;
mod vmlinux;
