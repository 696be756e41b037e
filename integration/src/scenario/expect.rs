//! What convis must say of one end of a connection, or of one attempt.

use std::net::SocketAddr;

use super::actor::Identity;
use super::plan::Attributions;
use crate::truth::Side;

/// One end or attempt, as its own sockets lived it.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// The scenario it belongs to.
    pub(super) scenario: String,
    /// Inode of the network namespace.
    pub(super) network: u64,
    /// Which end.
    pub(super) side: Side,
    /// Its address; `None` where the kernel never told.
    pub(super) local: Option<SocketAddr>,
    /// The other end's address.
    pub(super) peer: SocketAddr,
    /// Who owns it; `None` where nobody can know.
    pub(super) owner: Option<Owner>,
    /// How the owner may be known.
    pub(super) attributions: Attributions,
    /// Whether the kernel may skip the program that would see the accept.
    pub(super) accept_may_be_missed: bool,
    /// Who listens where it came.
    pub(super) listener: Option<Owner>,
    /// Whether the socket is one of the kernel itself.
    pub(super) kernel_owned: bool,
    /// What became of it.
    pub(super) fate: Fate,
}

/// The owning process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Owner {
    /// On the host.
    pub(super) pid: u32,
    /// In its own process id namespace.
    pub(super) own_pid: u32,
}

/// What became of a connection or an attempt.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It was never established, for this `error.type`.
    Failed(&'static str),
    /// It was, and is over.
    Closed(Closed),
}

/// The end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Closed {
    /// Whether it was also told when it opened.
    pub(super) opened: bool,
    /// `convis.close.reason`
    pub(super) reason: &'static str,
    /// Of a subflow of MPTCP, which agrees on the end above TCP, so that either FIN may be the first: the bytes of what was
    /// written that it sent once more, and those that its peer did.
    pub(super) subflow: Option<[u64; 2]>,
    /// Bytes that the application wrote.
    pub(super) written: u64,
    /// Whether everything written was acknowledged, `sent` being the same.
    pub(super) all_sent: bool,
    /// `convis.bytes.received`, where known.
    pub(super) received: Option<u64>,
    /// `convis.closing.process.pid`
    pub(super) closing_pid: Option<u32>,
    /// Open before convis.
    pub(super) preexisting: bool,
    /// Whether anybody accepted it.
    pub(super) accepted: bool,
    /// Whether it was accepted only after it had ended.
    pub(super) accepted_late: bool,
    /// Least seconds that the handshake took; only for a client.
    pub(super) handshake_at_least: f64,
    /// Most seconds that the handshake took; only for a client.
    pub(super) handshake_at_most: Option<f64>,
    /// Whether the role may be left out: nothing in the kernel tells it any more.
    pub(super) role_may_be_unknown: bool,
    /// How many updated events it has, at least and at most.
    pub(super) updates: (usize, usize),
    /// What the kernel said of the socket at its end.
    pub(super) quality: Option<Quality>,
    /// The place of the other end among all that is expected, where it is observed too.
    pub(super) twin: Option<usize>,
}

/// `TCP_INFO` of a socket that has ended but is not closed yet: nothing changes any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quality {
    /// Microseconds.
    pub(super) rtt: u64,
    /// Segments.
    pub(super) segments_out: u64,
    /// Segments.
    pub(super) segments_in: u64,
    /// Segments.
    pub(super) retransmits: u64,
}

impl Closed {
    /// An orderly end told from its opening on.
    pub(super) fn orderly(reason: &'static str, written: u64, read: u64) -> Self {
        Self {
            opened: true,
            reason,
            subflow: None,
            written,
            all_sent: true,
            received: Some(read),
            closing_pid: None,
            preexisting: false,
            accepted: true,
            accepted_late: false,
            handshake_at_least: f64::MIN_POSITIVE,
            handshake_at_most: None,
            role_may_be_unknown: false,
            updates: (0, 0),
            quality: None,
            twin: None,
        }
    }
}

impl From<Identity> for Owner {
    fn from(who: Identity) -> Self {
        Self { pid: who.pid, own_pid: who.own_pid }
    }
}

impl Expected {
    /// What is expected instead where the accept was missed: the owner is who closed it or, where the peer ended it, its listener's.
    pub(super) fn with_accept_missed(&self) -> Option<Self> {
        if !self.accept_may_be_missed {
            return None;
        }
        let mut other = Self { attributions: &["inherited"], ..self.clone() };
        let Fate::Closed(closed) = &mut other.fate else { return None };
        let by = closed.closing_pid.take();
        if matches!(closed.reason, "peer_reset" | "timeout") {
            other.owner = self.listener;
        } else if let Some(pid) = by {
            other.owner = Some(Owner { pid, own_pid: pid });
        }
        Some(other)
    }

    /// The closed end this is.
    pub(super) fn closed(&mut self) -> &mut Closed {
        match &mut self.fate {
            Fate::Closed(closed) => closed,
            Fate::Failed(_) => panic!("a failed attempt was never closed"),
        }
    }
}

impl Expected {
    /// Moves the place of the other end, as all places move.
    pub(super) fn move_twin(&mut self, by: usize) {
        if let Fate::Closed(closed) = &mut self.fate {
            closed.twin = closed.twin.map(|twin| twin + by);
        }
    }
}
