//! The director's side: actor processes and their hands.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Seek;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::control;
use super::hands::ACT;

const PATIENCE_SECONDS: i64 = 60;

/// Where an actor plays.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// In the director's namespaces.
    Here,
    /// In a new network namespace with its loopback link up.
    NewNetwork,
    /// In the network namespace of this process.
    NetworkOf(u32),
    /// In new user, process id and network namespaces.
    Nested,
}

/// Who an actor is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    /// Its process id on the host.
    pub(super) pid: u32,
    /// Its process id as it knows it.
    pub(super) own_pid: u32,
    /// Inode of its network namespace.
    pub(super) network: u64,
}

/// A process that plays until dropped.
pub(super) struct Actor {
    hand: Hand,
    child: Option<Child>,
}

/// A thread of an actor, on a line of its own.
#[derive(Clone)]
pub(super) struct Hand(Arc<Inner>);

struct Inner {
    line: OwnedFd,
    who: Identity,
}

/// What a deed gave, or the error number that ended it and its text.
pub(super) type Answer = Result<Vec<String>, (i32, String)>;

/// A number no other socket of any actor has.
pub(super) fn new_number() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// Held while this process starts another, and while it has a descriptor that it passes on: a new process has a copy of it until
/// it executes, and would be the one that closes the socket if all others have done so by then.
static STARTING: Mutex<()> = Mutex::new(());

/// Starts a process, which executes when this returns.
pub(super) fn start(command: &mut Command) -> std::io::Result<Child> {
    let _nothing_is_passed = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

impl Actor {
    /// Starts one; fails where the kernel does not give it the place.
    pub(super) fn try_start(place: Place) -> Result<Self, String> {
        let (line, theirs) = control::line().map_err(|error| error.to_string())?;
        let mut command = Command::new("/proc/self/exe");
        command.arg(ACT).args(place.words()).stdin(Stdio::from(theirs)).stdout(Stdio::null());
        let child = start(&mut command).map_err(|error| format!("an actor does not start: {error}"))?;
        drop(command);
        let hand = Hand::greet(line).ok_or_else(|| format!("an actor cannot play {place:?}"))?;
        Ok(Self { hand, child: Some(child) })
    }

    /// Its main thread.
    pub(super) fn hand(&self) -> Hand {
        self.hand.clone()
    }

    /// Who it is.
    pub(super) fn who(&self) -> Identity {
        self.hand.who()
    }

    /// A new thread of it.
    pub(super) fn new_hand(&self) -> Hand {
        let (line, theirs) = control::line().expect("a line");
        self.hand.send("hand", Some(&theirs));
        drop(theirs);
        self.hand.wait().expect("a thread");
        Hand(Arc::new(Inner { line, who: self.who() }))
    }

    /// A child process of it that inherits one socket, under the number [`super::hands::INHERITED`].
    pub(super) fn new_child(&self, inherited: u32) -> Self {
        let (line, theirs) = control::line().expect("a line");
        self.hand.send(format!("child {inherited}"), Some(&theirs));
        drop(theirs);
        self.hand.wait().expect("a child");
        Self { hand: Hand::greet(line).expect("the child plays"), child: None }
    }

    /// Ends the process without closing anything before.
    pub(super) fn exit(mut self) {
        self.hand.send("exit", None);
        if let Some(child) = &mut self.child {
            child.wait().expect("the actor's end");
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let hang_up = rustix::net::shutdown(&self.hand.0.line, rustix::net::Shutdown::Both);
        if let (Ok(()), Some(child)) = (hang_up, &mut self.child) {
            drop(child.wait());
        }
    }
}

impl Hand {
    fn greet(line: OwnedFd) -> Option<Self> {
        let (words, _) = control::receive(line.as_fd()).ok()??;
        let numbers: Vec<u64> = words.split(' ').skip(1).filter_map(|word| word.parse().ok()).collect();
        let [pid, own_pid, network] = numbers[..] else { return None };
        let who = Identity { pid: pid.try_into().ok()?, own_pid: own_pid.try_into().ok()?, network };
        Some(Self(Arc::new(Inner { line, who })))
    }

    /// Whose hand it is.
    pub(super) fn who(&self) -> Identity {
        self.0.who
    }

    /// Whether both are the same thread.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Lets it begin; [`Hand::wait`] takes the answer.
    pub(super) fn begin(&self, deed: impl Display) {
        self.send(deed, None);
    }

    fn send(&self, deed: impl Display, descriptor: Option<&OwnedFd>) {
        let words = deed.to_string();
        let sent = control::send(self.0.line.as_fd(), &words, descriptor.map(AsFd::as_fd));
        sent.unwrap_or_else(|error| panic!("{:?} is gone before {words:?}: {error}", self.who()));
    }

    /// Whether an answer is there.
    pub(super) fn is_done(&self) -> bool {
        self.answers_within(0)
    }

    fn answers_within(&self, seconds: i64) -> bool {
        let limit = Timespec { tv_sec: seconds, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.0.line, PollFlags::IN)], Some(&limit)).is_ok_and(|ready| ready > 0)
    }

    /// The answer to what was begun.
    pub(super) fn wait(&self) -> Answer {
        self.wait_with_descriptor().map(|(words, _)| words)
    }

    fn wait_with_descriptor(&self) -> Result<(Vec<String>, Option<OwnedFd>), (i32, String)> {
        assert!(self.answers_within(PATIENCE_SECONDS), "{:?} does not answer", self.who());
        let packet = control::receive(self.0.line.as_fd()).expect("the line works");
        let (words, descriptor) = packet.unwrap_or_else(|| panic!("{:?} is gone", self.who()));
        let (word, rest) = words.split_once(' ').unwrap_or((&words, ""));
        if word == "ok" {
            return Ok((rest.split_whitespace().map(str::to_owned).collect(), descriptor));
        }
        let (code, text) = rest.split_once(' ').unwrap_or((rest, ""));
        Err((code.parse().unwrap_or(0), text.to_owned()))
    }

    /// The text of the file that a deed gives.
    pub(super) fn file(&self, deed: impl Display) -> String {
        self.begin(deed);
        self.file_begun()
    }

    /// As [`Hand::file`], of a deed that was begun.
    pub(super) fn file_begun(&self) -> String {
        let (_, file) = self.wait_with_descriptor().unwrap_or_else(|(_, error)| panic!("a file: {error}"));
        let mut file = std::fs::File::from(file.expect("a descriptor"));
        file.rewind().expect("a file");
        std::io::read_to_string(file).expect("a text")
    }

    /// Lets it do something that can fail.
    pub(super) fn try_do(&self, deed: impl Display) -> Answer {
        self.begin(deed);
        self.wait()
    }

    /// Lets it do something that must not fail.
    pub(super) fn act(&self, deed: impl Display) -> Vec<String> {
        let deed = deed.to_string();
        self.try_do(&deed).unwrap_or_else(|(_, error)| panic!("{deed:?} by {:?}: {error}", self.who()))
    }

    /// As [`Hand::act`], for deeds that give a number first.
    pub(super) fn number(&self, deed: impl Display) -> u64 {
        self.act(deed)[0].parse().expect("a number")
    }

    /// Passes a socket to another process under a new number.
    pub(super) fn pass(&self, socket: u32, to: &Self) -> u32 {
        let _nothing_starts = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin(format!("give {socket}"));
        let (_, descriptor) = self.wait_with_descriptor().expect("a descriptor");
        let number = new_number();
        to.send(format!("take {number}"), Some(&descriptor.expect("a descriptor")));
        to.wait().expect("the descriptor is taken");
        number
    }
}

impl Place {
    fn words(self) -> Vec<String> {
        match self {
            Self::Here => vec!["here".to_owned()],
            Self::NewNetwork => vec!["net".to_owned()],
            Self::NetworkOf(process) => vec!["join".to_owned(), process.to_string()],
            Self::Nested => vec!["nested".to_owned()],
        }
    }
}

/// The hand that is done first of those that have begun something.
pub(super) fn first_done<'a>(hands: &BTreeMap<u32, &'a Hand>) -> &'a Hand {
    for _ in 0..PATIENCE_SECONDS * 1000 {
        if let Some(hand) = hands.values().find(|hand| hand.is_done()) {
            return hand;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("nobody is done")
}
