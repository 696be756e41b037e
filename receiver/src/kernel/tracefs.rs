//! Makes tracefs available, which system call tracepoints are looked up in.

use std::io;
use std::path::Path;

use rustix::mount::MountFlags;

const MOUNT_POINT: &str = "/sys/kernel/tracing";
const PROOF: &str = "events/syscalls";

/// Mounts tracefs at its usual place if nothing has done so yet, as systemd does at boot.
///
/// # Errors
/// It is not mounted and cannot be.
pub(super) fn make_available() -> io::Result<()> {
    let mounted =
        [MOUNT_POINT, "/sys/kernel/debug/tracing"].iter().any(|root| Path::new(root).join(PROOF).exists());
    if mounted { Ok(()) } else { mount() }
}

fn mount() -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(rustix::mount::mount("tracefs", MOUNT_POINT, "tracefs", flags, None)?)
}
