//! A thread that may not connect.
#![expect(unsafe_code, reason = "Landlock has no safe interface")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Forbids this thread, and what it starts, every TCP connect. Needs Linux 6.7.
pub(super) fn deny_connect() -> io::Result<()> {
    const CREATE_RULESET: libc::c_long = 444;
    const RESTRICT_SELF: libc::c_long = 446;
    const CONNECT_TCP: u64 = 2;
    // Access to files: none; to the network: connect.
    let handled = [0_u64, CONNECT_TCP];
    // SAFETY: the kernel reads sixteen bytes from a live array.
    let ruleset = unsafe { libc::syscall(CREATE_RULESET, handled.as_ptr(), size_of_val(&handled), 0_u32) };
    let ruleset =
        i32::try_from(ruleset).ok().filter(|number| *number >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel just made it for this caller alone.
    let ruleset = unsafe { OwnedFd::from_raw_fd(ruleset) };
    rustix::thread::set_no_new_privs(true)?;
    // SAFETY: numbers alone.
    let outcome = unsafe { libc::syscall(RESTRICT_SELF, ruleset.as_raw_fd(), 0_u32) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
