//! An actor process: its hands, which are threads, do with sockets what the director's packets say.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::str::{FromStr, SplitWhitespace};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::{control, deeds, landlock, mounts, netlink, raw, stampede, uring};

/// A program of one actor.
pub(super) const ACT: &str = "act";
/// A process that connects, writes [`DASH_BYTES`] and is gone.
pub(super) const DASH: &str = "dash";
/// What a dashing process writes.
pub(super) const DASH_BYTES: u64 = b"short".len() as u64;

/// The sockets of this process by the director's numbers.
#[derive(Clone, Default)]
struct Sockets(Arc<Mutex<BTreeMap<u32, Arc<OwnedFd>>>>);

impl Sockets {
    fn table(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<OwnedFd>>> {
        self.0.lock().expect("no hand panics with the table")
    }

    fn get(&self, number: u32) -> io::Result<Arc<OwnedFd>> {
        self.table().get(&number).cloned().ok_or_else(|| io::Error::other(format!("no socket {number}")))
    }

    fn put(&self, number: u32, socket: OwnedFd) {
        self.table().insert(number, Arc::new(socket));
    }

    fn close(&self, number: u32) -> io::Result<()> {
        let socket = self.table().remove(&number);
        let socket = socket.ok_or_else(|| io::Error::other(format!("no socket {number}")))?;
        // Were another hand still in a call on it, the close would come later than told.
        Arc::try_unwrap(socket).map(drop).map_err(|_| io::Error::other("the socket is in use"))
    }
}

/// `dash ADDRESS`
pub(super) fn dash(to: &str) -> io::Result<()> {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(to)?;
    stream.write_all(b"short")?;
    std::process::exit(0)
}

/// `act here`, `act net`, `act join PID`, `act nested`: plays until the director hangs up.
pub(super) fn act(arguments: &[String]) -> io::Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["here"] => {}
        ["net"] => {
            raw::unshare(UnshareFlags::NEWNET)?;
            netlink::set_up("lo", true)?;
        }
        ["join", process] => {
            let space = std::fs::File::open(format!("/proc/{process}/ns/net"))?;
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?;
        }
        ["nested"] => return nest(),
        _ => return Err(io::Error::other(format!("{arguments:?} is no place to act"))),
    }
    let sockets = Sockets::default();
    let line = io::stdin().as_fd().try_clone_to_owned()?;
    // What is inherited lies on stdout; the copy must not keep it open.
    sockets.put(0, io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdout(std::fs::File::options().write(true).open("/dev/null")?)?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    leave_with(line.try_clone()?)?;
    control::send(line.as_fd(), &hello()?, None)?;
    serve(&line, &sockets)?;
    // Other hands may be blocked for good.
    std::process::exit(0)
}

/// Ends the process when the director hangs up, even if the hand of that line is blocked.
fn leave_with(line: OwnedFd) -> io::Result<()> {
    let wait = move || {
        // Asked for nothing, poll tells of the hang-up alone.
        while poll(&mut [PollFd::new(&line, PollFlags::empty())], None).is_err() {}
        std::process::exit(0)
    };
    thread::Builder::new().stack_size(64 * 1024).spawn(wait).map(drop)
}

/// The number under which an actor finds what it inherited.
pub(super) const INHERITED: u32 = 0;

/// Plays in new user, process id and network namespaces.
fn nest() -> io::Result<()> {
    raw::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWPID | UnshareFlags::NEWNET)?;
    std::fs::write("/proc/self/uid_map", "0 0 1")?;
    netlink::set_up("lo", true)?;
    let mut inner = Command::new("/proc/self/exe").args([ACT, "here"]).spawn()?;
    // The copies of its line would hide its end.
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    inner.wait().map(drop)
}

/// Host's process id, own process id, parent's, inode of the network namespace, executable.
fn hello() -> io::Result<String> {
    let own = std::process::id();
    // /proc shows the process ids of the namespace it was mounted in, the host's.
    let host = std::fs::read_link("/proc/self")?;
    let space = std::fs::metadata("/proc/self/ns/net")?.ino();
    Ok(format!("ok {} {own} {space}", host.display()))
}

fn serve(line: &OwnedFd, sockets: &Sockets) -> io::Result<()> {
    while let Some((words, descriptor)) = control::receive(line.as_fd())? {
        let mut given = None;
        let answer = match obey(&mut Words(words.split_whitespace()), descriptor, sockets, &mut given) {
            Ok(answer) => format!("ok {answer}"),
            Err(error) => format!("err {} {error}", error.raw_os_error().unwrap_or(0)),
        };
        control::send(line.as_fd(), &answer, given.as_ref().map(AsFd::as_fd))?;
    }
    Ok(())
}

struct Words<'a>(SplitWhitespace<'a>);

impl<'a> Words<'a> {
    fn word(&mut self) -> io::Result<&'a str> {
        self.0.next().ok_or_else(|| io::Error::other("a word is missing"))
    }

    fn next<T: FromStr>(&mut self) -> io::Result<T> {
        let word = self.word()?;
        word.parse().map_err(|_| io::Error::other(format!("{word:?} is not understood")))
    }

    /// All that are left.
    fn rest<T: FromStr>(&mut self) -> io::Result<Vec<T>> {
        let mut all = Vec::new();
        while self.0.clone().next().is_some() {
            all.push(self.next()?);
        }
        Ok(all)
    }
}

fn obey(
    words: &mut Words<'_>,
    descriptor: Option<OwnedFd>,
    sockets: &Sockets,
    given: &mut Option<OwnedFd>,
) -> io::Result<String> {
    let deed = words.word()?;
    match deed {
        "hand" => new_hand(descriptor, sockets),
        "give" => {
            *given = Some(sockets.get(words.next()?)?.try_clone()?);
            Ok(String::new())
        }
        "take" => {
            let socket = descriptor.ok_or_else(|| io::Error::other("nothing to take"))?;
            sockets.put(words.next()?, socket);
            Ok(String::new())
        }
        "flood_connect" => {
            let (count, seed) = (words.next()?, words.next()?);
            let to: Vec<SocketAddr> = words.rest()?;
            *given = Some(stampede::connect(count, seed, &to)?.into());
            Ok(String::new())
        }
        "flood_accept" => {
            let (count, seed) = (words.next()?, words.next()?);
            let at = words.rest()?.into_iter().map(|number| sockets.get(number));
            *given = Some(stampede::accept(count, seed, &at.collect::<io::Result<Vec<_>>>()?)?.into());
            Ok(String::new())
        }
        "child" => new_child(descriptor, sockets, words.next()?),
        "close" => sockets.close(words.next()?).map(|()| String::new()),
        "exit" => std::process::exit(0),
        "sleep" => {
            thread::sleep(std::time::Duration::from_millis(words.next()?));
            Ok(String::new())
        }
        "net" => network(words),
        "sysctl" => {
            let (path, value) = (words.word()?, words.word()?);
            std::fs::write(format!("/proc/sys/{path}"), value.replace('_', " ")).map(|()| String::new())
        }
        "deny_connect" => landlock::deny_connect().map(|()| String::new()),
        "mount_nfs" => mounts::nfs(words.next()?).map(|()| String::new()),
        "destroy" => netlink::destroy(words.next()?, words.next()?).map(|()| String::new()),
        "socket" => {
            let number = words.next()?;
            sockets.put(number, deeds::new_socket(words.word()? == "6")?);
            Ok(String::new())
        }
        "mptcp_socket" => {
            let number = words.next()?;
            sockets.put(number, deeds::new_mptcp_socket(words.word()? == "6")?);
            Ok(String::new())
        }
        "listen" => {
            let (number, address, backlog) = (words.next()?, words.next::<SocketAddr>()?, words.next()?);
            let listener = deeds::listen(address, backlog)?;
            let told = deeds::own_address(&listener)?.to_string();
            sockets.put(number, listener);
            Ok(told)
        }
        "accept" | "uring_accept" => {
            let (number, listener) = (words.next()?, sockets.get(words.next()?)?);
            let socket = match deed {
                "accept" => rustix::net::accept_with(&*listener, rustix::net::SocketFlags::CLOEXEC)?,
                _ => uring::own(uring::accept(listener.as_fd())?),
            };
            let told = format!("{} {}", deeds::own_address(&socket)?, deeds::peer_address(&socket)?);
            sockets.put(number, socket);
            Ok(told)
        }
        _ => {
            let socket = sockets.get(words.next()?)?;
            with_socket(deed, &socket, words)
        }
    }
}

fn with_socket(deed: &str, socket: &OwnedFd, words: &mut Words<'_>) -> io::Result<String> {
    let nothing = |()| String::new();
    match deed {
        "connect" => {
            deeds::connect(socket, |socket| Ok(rustix::net::connect(socket, &words.next::<SocketAddr>()?)?))
        }
        "uring_connect" => deeds::connect(socket, |socket| uring::connect(socket.as_fd(), words.next()?)),
        "fast_connect" => {
            let to: SocketAddr = words.next()?;
            let bytes = words.next()?;
            deeds::connect(socket, |socket| deeds::send_with_syn(socket, to, bytes))
        }
        "unspec" => rustix::net::connect_unspec(socket).map(nothing).map_err(io::Error::from),
        "bind" => {
            rustix::net::bind(socket, &words.next::<SocketAddr>()?).map(nothing).map_err(io::Error::from)
        }
        "relisten" => rustix::net::listen(socket, 128).map(nothing).map_err(io::Error::from),
        "name" => deeds::own_address(socket).map(|address| address.to_string()),
        "option" => raw::set_option(socket.as_fd(), words.next()?, words.next()?, words.next()?).map(nothing),
        "nonblocking" => {
            rustix::io::ioctl_fionbio(socket, words.word()? == "1").map(nothing).map_err(io::Error::from)
        }
        "linger0" => {
            let linger = Some(std::time::Duration::ZERO);
            rustix::net::sockopt::set_socket_linger(socket, linger).map(nothing).map_err(io::Error::from)
        }
        "error" => {
            let error = rustix::net::sockopt::socket_error(socket)?;
            Ok(error.err().map_or(0, rustix::io::Errno::raw_os_error).to_string())
        }
        "wait" => deeds::wait(socket, words.word()? == "out", words.next()?).map(|found| found.to_string()),
        "pending" => Ok(rustix::io::ioctl_fionread(socket)?.to_string()),
        "shutdown" => {
            rustix::net::shutdown(socket, rustix::net::Shutdown::Write).map(nothing).map_err(io::Error::from)
        }
        "info" => raw::tcp_info(socket.as_fd()).map(|info| {
            format!(
                "{} {} {} {} {} {} {}",
                info.rtt,
                info.retransmits,
                info.bytes_acked,
                info.bytes_received,
                info.segments_out,
                info.segments_in,
                info.state
            )
        }),
        "mptcp_info" => {
            raw::mptcp_info(socket.as_fd()).map(|info| format!("{} {}", info.is_acked, info.bytes_again))
        }
        "write" => {
            let bytes = words.next()?;
            deeds::write(socket, bytes, words.word()?)
        }
        "read" => Ok(deeds::read(socket, words.next()?)),
        "drain" => Ok(deeds::read(socket, u64::MAX)),
        other => Err(io::Error::other(format!("{other:?} is no deed"))),
    }
}

fn new_hand(line: Option<OwnedFd>, sockets: &Sockets) -> io::Result<String> {
    let line = line.ok_or_else(|| io::Error::other("a hand needs a line"))?;
    let sockets = sockets.clone();
    thread::Builder::new().stack_size(256 * 1024).spawn(move || serve(&line, &sockets))?;
    Ok(String::new())
}

fn new_child(line: Option<OwnedFd>, sockets: &Sockets, inherited: u32) -> io::Result<String> {
    let line = line.ok_or_else(|| io::Error::other("a child needs a line"))?;
    let socket = sockets.get(inherited)?.try_clone()?;
    let mut command = Command::new("/proc/self/exe");
    command.args([ACT, "here"]).stdin(Stdio::from(line)).stdout(Stdio::from(socket));
    let mut child = command.spawn()?;
    let pid = child.id();
    // `command` holds a copy of what the child inherits.
    drop(command);
    thread::Builder::new().stack_size(64 * 1024).spawn(move || child.wait())?;
    Ok(pid.to_string())
}

fn network(words: &mut Words<'_>) -> io::Result<String> {
    match words.word()? {
        "up" => netlink::set_up(words.word()?, true),
        "down" => netlink::set_up(words.word()?, false),
        "pair" => netlink::make_pair(words.word()?, words.word()?, words.next()?),
        "address" => netlink::add_address(words.word()?, words.next()?, words.next()?),
        "unreachable" => netlink::add_nowhere(words.next()?, netlink::Nowhere::Unreachable),
        "prohibit" => netlink::add_nowhere(words.next()?, netlink::Nowhere::Prohibit),
        "silent" => netlink::add_silent_neighbour(words.word()?, words.next()?),
        "bucket" => netlink::add_bucket(words.word()?, words.next()?, words.next()?, words.next()?),
        "steer" => mounts::steer(words.word()?),
        "block" => netlink::block_all(words.next()?),
        "delay" => netlink::add_delay(words.word()?, words.next()?, words.next()?),
        other => return Err(io::Error::other(format!("{other:?} is no network deed"))),
    }
    .map(|()| String::new())
}

/// A file of so many bytes that no directory shows any more.
pub(super) fn file_of(bytes: u64) -> io::Result<std::fs::File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut io::repeat(b'f').take(bytes), &mut file)?;
    file.rewind()?;
    Ok(file)
}
