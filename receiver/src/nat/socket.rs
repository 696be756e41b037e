//! A socket to the kernel's connection tracking. Requests are carried out within `send`, so the answer is there at once.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{connect, recv, send, socket_with};

use super::Table;
use super::conntrack::{self, Tuple};
use super::counters::Failure;
use super::netlink::{self, Answer, Attributes, Request};

/// The kernel's buffers for an answer are smaller.
const ROOM: usize = 8192;
/// Answers to earlier requests that are passed over, at most.
const MOST_STALE: usize = 16;

/// A socket in the network namespace of this thread. Only the kernel can send to it.
pub(super) fn open() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(NETFILTER))?;
    connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    Ok(socket)
}

/// The connection tracking of the network namespace that the socket is of.
pub(super) struct Conntrack {
    socket: OwnedFd,
    sequence: u32,
    request: Request,
    room: Box<[u8; ROOM]>,
    /// A file that is there once the kernel can track.
    sign: Option<PathBuf>,
}

impl Conntrack {
    /// `proc_root` is where procfs is mounted.
    pub(super) fn new(socket: OwnedFd, proc_root: &Path) -> Self {
        Self {
            socket,
            sequence: 0,
            request: Request::default(),
            room: Box::new([0; ROOM]),
            sign: Some(proc_root.join("sys/net/netfilter/nf_conntrack_max")),
        }
    }

    /// Asking would make the kernel load what is not there.
    fn can_track(&mut self) -> bool {
        if self.sign.as_ref().is_some_and(|sign| sign.exists()) {
            self.sign = None;
        }
        self.sign.is_none()
    }

    fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends the request that was written; the answer's type and attributes, or the error number it consists of.
    fn ask(&mut self) -> Result<Result<(u16, Attributes<'_>), Errno>, Failure> {
        send(&self.socket, self.request.finish(), SendFlags::DONTWAIT).map_err(|_| Failure::Send)?;
        let length = receive(&self.socket, &mut self.room, self.sequence)?;
        match netlink::read(&self.room[..length], self.sequence)? {
            Some(Answer::Message(kind, attributes)) => Ok(Ok((kind, attributes))),
            Some(Answer::Error(errno)) => Ok(Err(errno)),
            None => Err(Failure::NoAnswer),
        }
    }
}

/// Receives until there is something that does not answer an earlier request; its length.
fn receive(socket: &OwnedFd, room: &mut [u8; ROOM], sequence: u32) -> Result<usize, Failure> {
    for _ in 0..MOST_STALE {
        let (length, _) = recv(socket, &mut room[..], RecvFlags::DONTWAIT).map_err(|_| Failure::NoAnswer)?;
        if netlink::read(&room[..length], sequence)?.is_some() {
            return Ok(length);
        }
    }
    Err(Failure::NoAnswer)
}

impl Table for Conntrack {
    fn entries(&mut self) -> Result<u32, Failure> {
        if !self.can_track() {
            return Ok(0);
        }
        let sequence = self.next();
        conntrack::ask_stats(&mut self.request, sequence);
        match self.ask()? {
            Ok((conntrack::STATS, attributes)) => {
                conntrack::read_stats(&attributes).ok_or(Failure::Malformed)
            }
            Ok(_) => Err(Failure::Malformed),
            Err(errno) => Err(Failure::of(errno)),
        }
    }

    fn reply(&mut self, original: Tuple) -> Result<Option<Tuple>, Failure> {
        let sequence = self.next();
        conntrack::ask_entry(&mut self.request, sequence, original);
        match self.ask()? {
            Ok((conntrack::ENTRY, attributes)) => {
                let (found, reply) = conntrack::read_entry(&attributes).ok_or(Failure::Malformed)?;
                // The kernel looks among the replies too: that is somebody else's connection.
                Ok((found == original).then_some(reply))
            }
            Ok(_) => Err(Failure::Malformed),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Failure::of(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::super::netlink::message;
    use super::*;

    /// The other end of a socket: a kernel of the test's own, whose answers wait already.
    fn conntrack(answers: &[Vec<u8>]) -> (Conntrack, UnixDatagram) {
        let (socket, kernel) = UnixDatagram::pair().unwrap();
        for answer in answers {
            kernel.send(answer).unwrap();
        }
        let sign = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(sign.path().join("sys/net/netfilter")).unwrap();
        std::fs::write(sign.path().join("sys/net/netfilter/nf_conntrack_max"), "1").unwrap();
        let mut conntrack = Conntrack::new(socket.into(), sign.path());
        assert!(conntrack.can_track());
        (conntrack, kernel)
    }

    fn tuple(from: &str, to: &str) -> Tuple {
        Tuple::new(from.parse().unwrap(), to.parse().unwrap()).unwrap()
    }

    fn original() -> Tuple {
        tuple("10.0.0.1:40000", "10.96.0.1:80")
    }

    fn entry(sequence: u32, original: Tuple, reply: Tuple) -> Vec<u8> {
        let mut request = Request::default();
        conntrack::write_entry(&mut request, sequence, original, reply);
        request.finish().to_vec()
    }

    fn error(sequence: u32, errno: Errno) -> Vec<u8> {
        message(2, sequence, &(-errno.raw_os_error()).to_ne_bytes())
    }

    /// Scenario: answers to earlier requests before the one that counts; nothing but such; nobody to ask.
    /// Guarantees: only the right answer counts, and looking for it ends.
    #[test]
    fn passes_over_stale_answers() {
        let reply = tuple("10.0.0.7:8080", "10.0.0.1:40000");
        let stale = || entry(0, original(), original());
        let right = entry(1, original(), reply);
        let (mut table, _kernel) = conntrack(&[stale(), error(0, Errno::PERM), right]);
        assert_eq!(table.reply(original()), Ok(Some(reply)));
        assert_eq!(table.reply(original()), Err(Failure::NoAnswer));
        let (mut table, kernel) = conntrack(&[stale()]);
        assert_eq!(table.reply(original()), Err(Failure::NoAnswer));
        drop(kernel);
        assert_eq!(table.reply(original()), Err(Failure::Send));
    }

    /// Scenario: the kernel finds the connection among the replies of another one.
    /// Guarantees: it is not taken for the one that was asked for.
    #[test]
    fn tells_somebody_elses_connection_apart() {
        let other = original().reversed();
        let (mut table, _kernel) = conntrack(&[entry(1, other, original())]);
        assert_eq!(table.reply(original()), Ok(None));
    }

    /// Scenario: errors and answers of other kinds, to both requests.
    /// Guarantees: not tracked is no failure; everything else is one, of its kind.
    #[test]
    fn knows_failures() {
        for (errno, expected) in [
            (Errno::NOENT, Ok(None)),
            (Errno::PERM, Err(Failure::NotPermitted)),
            (Errno::INVAL, Err(Failure::Unknown)),
            (Errno::NOBUFS, Err(Failure::Refused)),
        ] {
            let (mut table, _kernel) = conntrack(&[error(1, errno)]);
            assert_eq!(table.reply(original()), expected);
            let (mut table, _kernel) = conntrack(&[error(1, errno)]);
            assert_eq!(table.entries(), Err(Failure::of(errno)));
        }
        for answer in [message(conntrack::STATS, 1, &[0; 4]), message(3, 1, &[0; 4]), vec![1, 2, 3]] {
            let (mut table, _kernel) = conntrack(std::slice::from_ref(&answer));
            assert_eq!(table.reply(original()), Err(Failure::Malformed));
            let (mut table, _kernel) = conntrack(&[answer]);
            assert_eq!(table.entries(), Err(Failure::Malformed));
        }
    }
}
