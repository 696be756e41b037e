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

/// What the kernel says of MPTCP above the subflows of a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MptcpInfo {
    /// Whether everything that was written has arrived: nothing of it is sent any more.
    pub(super) is_acked: bool,
    /// What was sent once more, by MPTCP itself. Kernels before 6.5 do not say, and it is 0.
    pub(super) bytes_again: u64,
}

/// Reads `MPTCP_INFO`.
pub(super) fn mptcp_info(socket: BorrowedFd<'_>) -> io::Result<MptcpInfo> {
    const SOL_MPTCP: i32 = 284;
    const MPTCP_INFO: i32 = 1;
    let info = Info::read(socket, SOL_MPTCP, MPTCP_INFO)?;
    // The offsets are those of `struct mptcp_info` in linux/mptcp.h: write_seq, snd_una, bytes_retrans.
    Ok(MptcpInfo { is_acked: info.eight(16) == info.eight(24), bytes_again: info.eight(48) })
}

/// A structure that the kernel fills as far as it knows it; zeros are behind that.
struct Info([u8; 256]);

impl Info {
    fn read(socket: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<Self> {
        let mut bytes = [0_u8; 256];
        let mut size = libc::socklen_t::try_from(bytes.len()).map_err(io::Error::other)?;
        let into = bytes.as_mut_ptr().cast();
        // SAFETY: the kernel writes at most `size` bytes into a live buffer of that size.
        let outcome = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, into, &raw mut size) };
        if outcome == 0 { Ok(Self(bytes)) } else { Err(io::Error::last_os_error()) }
    }

    fn four(&self, at: usize) -> u64 {
        u64::from(self.0[at..at + 4].try_into().map_or(0, u32::from_ne_bytes))
    }

    fn eight(&self, at: usize) -> u64 {
        self.0[at..at + 8].try_into().map_or(0, u64::from_ne_bytes)
    }
}

/// Reads `TCP_INFO`.
pub(super) fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<TcpInfo> {
    let info = Info::read(socket, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    // The offsets are those of `struct tcp_info` in linux/tcp.h.
    Ok(TcpInfo {
        rtt: info.four(68),
        retransmits: info.four(100),
        bytes_acked: info.eight(120),
        bytes_received: info.eight(128),
        segments_out: info.four(136),
        segments_in: info.four(140),
        state: u64::from(info.0[0]),
    })
}

/// Gives this thread namespaces of its own.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: CLONE_FILES, which could leave threads with stale descriptors, is never among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}
