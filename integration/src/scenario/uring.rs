//! connect and accept through `io_uring`, which no system call tracepoint sees.
#![expect(unsafe_code, reason = "a submission holds plain pointers")]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{IoUring, opcode, squeue, types};
use socket2::SockAddr;

/// Connects and waits for the outcome.
pub(super) fn connect(socket: BorrowedFd<'_>, to: SocketAddr) -> io::Result<()> {
    let to = SockAddr::from(to);
    let entry = opcode::Connect::new(types::Fd(socket.as_raw_fd()), to.as_ptr().cast(), to.len());
    // `to` outlives the wait in `submit`.
    submit(&entry.build()).map(drop)
}

/// Accepts; gives the number of the new descriptor.
pub(super) fn accept(listener: BorrowedFd<'_>) -> io::Result<i32> {
    let fd = types::Fd(listener.as_raw_fd());
    submit(&opcode::Accept::new(fd, std::ptr::null_mut(), std::ptr::null_mut()).build())
}

fn submit(entry: &squeue::Entry) -> io::Result<i32> {
    let mut ring = IoUring::new(2)?;
    // SAFETY: whatever the entry points to lives in the caller's frame until the wait below is over.
    unsafe { ring.submission().push(entry) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let done = ring.completion().next().ok_or_else(|| io::Error::other("no completion"))?;
    if done.result() < 0 { Err(io::Error::from_raw_os_error(-done.result())) } else { Ok(done.result()) }
}

/// Owns a descriptor that the kernel just made for this process.
pub(super) fn own(number: i32) -> std::os::fd::OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: `accept` returned it to this caller alone.
    unsafe { std::os::fd::OwnedFd::from_raw_fd(number) }
}
