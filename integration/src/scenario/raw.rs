//! The few system calls that no safe interface offers.
#![expect(unsafe_code, reason = "socket options by number, TCP_INFO and unshare have no safe interface")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::thread::UnshareFlags;

/// Sets an integer option.
pub(super) fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<i32>()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads four bytes from a live integer.
    let outcome =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the kernel says of a TCP socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TcpInfo {
    /// Microseconds.
    pub(super) rtt: u64,
    pub(super) retransmits: u64,
    pub(super) bytes_acked: u64,
    pub(super) bytes_received: u64,
    pub(super) segments_out: u64,
    pub(super) segments_in: u64,
    /// One of the kernel's numbers of TCP states.
    pub(super) state: u64,
}

/// Reads `TCP_INFO`.
pub(super) fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<TcpInfo> {
    let mut bytes = [0_u8; 256];
    let mut size = libc::socklen_t::try_from(bytes.len()).map_err(io::Error::other)?;
    let into = bytes.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `size` bytes into a live buffer of that size.
    let outcome = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, into, &raw mut size)
    };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    let four = |at: usize| u64::from(bytes[at..at + 4].try_into().map_or(0, u32::from_ne_bytes));
    let eight = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
    // The offsets are those of `struct tcp_info` in linux/tcp.h.
    Ok(TcpInfo {
        rtt: four(68),
        retransmits: four(100),
        bytes_acked: eight(120),
        bytes_received: eight(128),
        segments_out: four(136),
        segments_in: four(140),
        state: u64::from(bytes[0]),
    })
}

/// Gives this thread namespaces of its own.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: CLONE_FILES, which could leave threads with stale descriptors, is never among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}
