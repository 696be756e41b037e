//! Short connections as fast as a few threads of two processes make them.

use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::{Shutdown, SocketFlags, acceptfrom_with, shutdown, sockopt};

use super::deeds;
use super::dice::Dice;

/// How a connection goes: each has a listener of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Course {
    /// The client writes and ends its direction; the server answers and closes.
    ClientFirst,
    /// The server writes and ends its direction; the client answers and closes.
    ServerFirst,
    /// Both write [`FIXED`] bytes and read them; then the client resets.
    Reset,
    /// The client writes [`FIXED`] bytes and resets. The server accepts in bursts, so that most are over by then.
    Gone,
}

/// In the order of their listeners.
pub(super) const COURSES: [Course; 4] =
    [Course::ClientFirst, Course::ServerFirst, Course::Reset, Course::Gone];
/// What each end of a connection writes that is reset.
pub(super) const FIXED: u64 = 700;
/// On each side of each course.
const THREADS: usize = 2;
/// Bytes that an end writes at most.
const LARGEST: u64 = 2000;
/// Connections that one thread accepts in a row, on average, where they come in bursts; between them it waits for more.
const BURST: u64 = 32;
const PAUSE: Duration = Duration::from_millis(30);

/// What one end did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Line {
    /// The place of the course in [`COURSES`].
    pub(super) course: usize,
    /// The end's place among all of its process; ends of the same port are in their order in time.
    pub(super) turn: u64,
    /// The client's port.
    pub(super) port: u16,
    /// Bytes.
    pub(super) written: u64,
    /// Bytes.
    pub(super) read: u64,
}

/// Connects so many times to each listener and plays the client.
pub(super) fn connect(count: u64, seed: u64, to: &[SocketAddr]) -> io::Result<std::fs::File> {
    let play = |course: usize, dice: &mut Dice, turns: &AtomicU64| {
        let socket = deeds::new_socket(to[course].is_ipv6())?;
        rustix::net::connect(&socket, &to[course])?;
        let port = deeds::own_address(&socket)?.port();
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        let (written, read) = client(COURSES[course], &socket, dice)?;
        Ok(Line { course, turn, port, written, read })
    };
    all(count, seed, play)
}

/// Accepts so many at each listener and plays the server.
pub(super) fn accept(count: u64, seed: u64, at: &[Arc<OwnedFd>]) -> io::Result<std::fs::File> {
    let play = |course: usize, dice: &mut Dice, turns: &AtomicU64| {
        if COURSES[course] == Course::Gone && dice.below(BURST) == 0 {
            thread::sleep(PAUSE);
        }
        // A socket that was reset no longer tells its peer.
        let (socket, peer) = acceptfrom_with(&*at[course], SocketFlags::CLOEXEC)?;
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        let port = peer.ok_or_else(|| io::Error::other("a peer without an address"))?.port();
        let (written, read) = server(COURSES[course], &socket, dice)?;
        Ok(Line { course, turn, port, written, read })
    };
    all(count, seed, play)
}

/// The lines of a file that [`connect`] or [`accept`] gave, in their order in time.
pub(super) fn read(text: &str) -> Vec<Line> {
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok()).expect("a number");
    let line = |line: &str| {
        let mut words = line.split(' ');
        let mut next = || number(words.next());
        Line {
            course: usize::try_from(next()).expect("a course"),
            turn: next(),
            port: u16::try_from(next()).expect("a port"),
            written: next(),
            read: next(),
        }
    };
    let mut lines: Vec<Line> = text.lines().map(line).collect();
    lines.sort_by_key(|line| line.turn);
    lines
}

fn all(
    count: u64,
    seed: u64,
    play: impl Fn(usize, &mut Dice, &AtomicU64) -> io::Result<Line> + Sync,
) -> io::Result<std::fs::File> {
    let turns = AtomicU64::new(0);
    let tickets = COURSES.map(|_| AtomicU64::new(count));
    let (play, turns) = (&play, &turns);
    let begin = |place: usize| {
        let tickets = &tickets[place % COURSES.len()];
        let mut dice = Dice(seed.wrapping_add(place as u64));
        move || -> io::Result<Vec<Line>> {
            let mut lines = Vec::new();
            while take(tickets) {
                lines.push(play(place % COURSES.len(), &mut dice, turns)?);
            }
            Ok(lines)
        }
    };
    let lines: io::Result<Vec<Vec<Line>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..COURSES.len() * THREADS).map(|place| scope.spawn(begin(place))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("no thread panics");
        threads.into_iter().map(join).collect()
    });
    let mut out = BufWriter::new(tempfile::tempfile()?);
    for Line { course, turn, port, written, read } in lines?.into_iter().flatten() {
        writeln!(out, "{course} {turn} {port} {written} {read}")?;
    }
    Ok(out.into_inner()?)
}

fn take(tickets: &AtomicU64) -> bool {
    tickets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn client(course: Course, socket: &OwnedFd, dice: &mut Dice) -> io::Result<(u64, u64)> {
    match course {
        Course::ClientFirst => first(socket, dice),
        Course::ServerFirst => second(socket, dice),
        Course::Reset => {
            whole(&deeds::write(socket, FIXED, "write")?)?;
            let read = whole(&deeds::read(socket, FIXED))?;
            sockopt::set_socket_linger(socket, Some(Duration::ZERO))?;
            Ok((FIXED, read))
        }
        Course::Gone => {
            let written = whole(&deeds::write(socket, FIXED, "write")?)?;
            sockopt::set_socket_linger(socket, Some(Duration::ZERO))?;
            Ok((written, 0))
        }
    }
}

fn server(course: Course, socket: &OwnedFd, dice: &mut Dice) -> io::Result<(u64, u64)> {
    match course {
        Course::ClientFirst => second(socket, dice),
        Course::ServerFirst => first(socket, dice),
        Course::Reset => {
            let read = whole(&deeds::read(socket, FIXED))?;
            whole(&deeds::write(socket, FIXED, "write")?)?;
            // Ends with the reset.
            deeds::read(socket, 1);
            Ok((FIXED, read))
        }
        Course::Gone => {
            let told = deeds::read(socket, u64::MAX);
            let read = told.split(' ').next().and_then(|count| count.parse().ok());
            Ok((0, read.ok_or_else(|| io::Error::other(format!("{told:?} is no count")))?))
        }
    }
}

fn first(socket: &OwnedFd, dice: &mut Dice) -> io::Result<(u64, u64)> {
    let written = whole(&deeds::write(socket, dice.below(LARGEST), "write")?)?;
    shutdown(socket, Shutdown::Write)?;
    Ok((written, whole(&deeds::read(socket, u64::MAX))?))
}

fn second(socket: &OwnedFd, dice: &mut Dice) -> io::Result<(u64, u64)> {
    let read = whole(&deeds::read(socket, u64::MAX))?;
    Ok((whole(&deeds::write(socket, dice.below(LARGEST), "write")?)?, read))
}

/// The count of a deed that no error ended.
fn whole(told: &str) -> io::Result<u64> {
    let mut words = told.split(' ').map(|word| word.parse::<i64>().ok());
    match (words.next().flatten(), words.next().flatten()) {
        (Some(count), Some(0)) => u64::try_from(count).map_err(io::Error::other),
        (_, Some(code)) => Err(io::Error::from_raw_os_error(i32::try_from(code).unwrap_or(0))),
        _ => Err(io::Error::other(format!("{told:?} is no count"))),
    }
}
