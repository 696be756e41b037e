//! What takes a mount: packet steering, and a network file system of the kernel.

use std::ffi::CString;
use std::io;
use std::thread;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::UnshareFlags;

use super::raw;

/// Lets every processor receive what a link of this network namespace gets. The link's files are in a mount of their own,
/// in a thread of its own, which leaves nothing behind.
pub(super) fn steer(link: &str) -> io::Result<()> {
    let processors = thread::available_parallelism()?.get().min(32);
    let mask = format!("{:x}", u32::MAX >> (32 - processors));
    let file = format!("/sys/class/net/{link}/queues/rx-0/rps_cpus");
    let write = move || {
        raw::unshare(UnshareFlags::NEWNS)?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        mount("sysfs", "/sys", "sysfs", MountFlags::empty(), None)?;
        std::fs::write(&file, mask)
    };
    thread::spawn(write).join().map_err(|_| io::Error::other("the thread panicked"))?
}

/// Mounts what a server on loopback has at this port; without an answer it waits until the process is gone.
pub(super) fn nfs(port: u16) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let options = format!("addr=127.0.0.1,clientaddr=127.0.0.1,vers=4.1,proto=tcp,port={port},timeo=600");
    let options = CString::new(options)?;
    mount("127.0.0.1:/", folder.path(), "nfs4", MountFlags::empty(), Some(options.as_c_str()))?;
    Err(io::Error::other("it is mounted"))
}
