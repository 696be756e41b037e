//! What a hand can do with one socket, by system calls of its own.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RawProtocol, SendFlags, SocketFlags, SocketType, getpeername, getsockname, send,
    sendto, socket_with,
};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

use super::hands::file_of;
use super::raw;
use crate::clock::now;

const CHUNK: usize = 64 * 1024;
static PAYLOAD: [u8; CHUNK] = [b's'; CHUNK];
const MSG_FASTOPEN: u32 = 0x2000_0000;
const MSG_ZEROCOPY: u32 = 0x0400_0000;

pub(super) fn new_socket(ipv6: bool) -> io::Result<OwnedFd> {
    let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
    Ok(socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

pub(super) fn new_mptcp_socket(ipv6: bool) -> io::Result<OwnedFd> {
    let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let protocol = Protocol::from_raw(RawProtocol::new(262).expect("not zero"));
    Ok(socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, Some(protocol))?)
}

pub(super) fn listen(address: SocketAddr, backlog: i32) -> io::Result<OwnedFd> {
    let listener = new_socket(address.is_ipv6())?;
    if address.is_ipv6() {
        // The wildcard address then takes IPv4 too, which arrives as mapped addresses.
        rustix::net::sockopt::set_ipv6_v6only(&listener, false)?;
    }
    rustix::net::sockopt::set_socket_reuseaddr(&listener, true)?;
    rustix::net::bind(&listener, &address)?;
    rustix::net::listen(&listener, backlog)?;
    Ok(listener)
}

pub(super) fn own_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    Ok(SocketAddr::try_from(getsockname(socket)?)?)
}

/// The unspecified address where the kernel no longer tells: the peer has reset.
pub(super) fn peer_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let unknown = SocketAddr::from(([0; 4], 0));
    match getpeername(socket) {
        Ok(Some(address)) => Ok(SocketAddr::try_from(address)?),
        Ok(None) | Err(Errno::NOTCONN) => Ok(unknown),
        Err(error) => Err(error.into()),
    }
}

/// Tells the outcome (0 or an error number), how many nanoseconds it took, and the socket's address after it.
pub(super) fn connect(
    socket: &OwnedFd,
    attempt: impl FnOnce(&OwnedFd) -> io::Result<()>,
) -> io::Result<String> {
    let before = now();
    let outcome = attempt(socket);
    let took = before.elapsed().as_nanos();
    let code = match outcome {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().ok_or(error)?,
    };
    Ok(format!("{code} {took} {}", own_address(socket)?))
}

pub(super) fn send_with_syn(socket: &OwnedFd, to: SocketAddr, bytes: usize) -> io::Result<()> {
    let sent = sendto(socket, &PAYLOAD[..bytes], SendFlags::from_bits_retain(MSG_FASTOPEN), &to)?;
    if sent == bytes {
        Ok(())
    } else {
        Err(io::Error::other(format!("{sent} of {bytes} bytes with the SYN")))
    }
}

/// Waits until it can be read or written, at most so many milliseconds.
pub(super) fn wait(socket: &OwnedFd, to_write: bool, millis: i64) -> io::Result<bool> {
    let wanted = if to_write { PollFlags::OUT } else { PollFlags::IN };
    let limit = Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 };
    Ok(poll(&mut [PollFd::new(socket, wanted)], Some(&limit))? > 0)
}

/// Writes so many bytes; tells how many the kernel took and the error number that ended it, or 0.
pub(super) fn write(socket: &OwnedFd, bytes: u64, how: &str) -> io::Result<String> {
    let mut writer = Writer::new(how, bytes, socket)?;
    let mut written = 0;
    while written < bytes {
        let chunk = usize::try_from(bytes - written).map_or(CHUNK, |rest| rest.min(CHUNK));
        match writer.step(socket, chunk) {
            Ok(0) => return Err(io::Error::other("nothing was written")),
            Ok(count) => written += count as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(format!("{written} {}", error.raw_os_error().unwrap_or(-1))),
        }
    }
    Ok(format!("{written} 0"))
}

enum Writer {
    Plain,
    Vector,
    ZeroCopy,
    Sendfile(std::fs::File),
    Splice(std::fs::File, OwnedFd, OwnedFd),
}

impl Writer {
    fn new(how: &str, bytes: u64, socket: &OwnedFd) -> io::Result<Self> {
        Ok(match how {
            "write" => Self::Plain,
            "writev" => Self::Vector,
            "zerocopy" => {
                raw::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)?;
                Self::ZeroCopy
            }
            "sendfile" => Self::Sendfile(file_of(bytes)?),
            "splice" => {
                let (out, into) = pipe_with(PipeFlags::CLOEXEC)?;
                Self::Splice(file_of(bytes)?, out, into)
            }
            other => return Err(io::Error::other(format!("{other:?} is no way to write"))),
        })
    }

    fn step(&mut self, socket: &OwnedFd, chunk: usize) -> io::Result<usize> {
        let payload = &PAYLOAD[..chunk];
        Ok(match self {
            Self::Plain => send(socket, payload, SendFlags::NOSIGNAL)?,
            Self::Vector => {
                let (head, tail) = payload.split_at(chunk / 3);
                let (middle, tail) = tail.split_at(tail.len() / 2);
                rustix::io::writev(socket, &[IoSlice::new(head), IoSlice::new(middle), IoSlice::new(tail)])?
            }
            Self::ZeroCopy => {
                send(socket, payload, SendFlags::NOSIGNAL | SendFlags::from_bits_retain(MSG_ZEROCOPY))?
            }
            Self::Sendfile(file) => rustix::fs::sendfile(socket, &*file, None, chunk)?,
            Self::Splice(file, out, into) => {
                let taken = splice(&*file, None, &*into, None, chunk, SpliceFlags::empty())?;
                let mut left = taken;
                while left > 0 {
                    left -= splice(&*out, None, socket, None, left, SpliceFlags::empty())?;
                }
                taken
            }
        })
    }
}

/// Reads so many bytes or to the end; tells how many came and what ended it: 0, or an error number.
pub(super) fn read(socket: &OwnedFd, bytes: u64) -> String {
    let mut buffer = vec![0_u8; CHUNK];
    let mut count = 0;
    while count < bytes {
        let most = usize::try_from(bytes - count).map_or(CHUNK, |rest| rest.min(CHUNK));
        match rustix::io::read(socket, &mut buffer[..most]) {
            Ok(0) => return format!("{count} 0 end"),
            Ok(got) => count += got as u64,
            Err(Errno::INTR) => {}
            Err(error) => return format!("{count} {} error", error.raw_os_error()),
        }
    }
    format!("{count} 0 enough")
}
