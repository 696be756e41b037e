//! Whether the attached programs see what they should: convis makes connections of its own and looks at what they recorded.
//!
//! That a program loads and attaches does not show that it works: on some kernels one never runs, or reads the wrong
//! arguments.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use convis_ebpf::wire::{AF_INET, Conn, flag, role};

use super::source::Source;

/// What a test showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It saw exactly what happened.
    Right,
    /// It did not.
    Wrong(&'static str),
    /// Nothing could be tried here, such as without a loopback interface.
    Untried(String),
}

impl Verdict {
    /// Whether the program is known not to work.
    pub fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong(_))
    }
}

/// What one connection to itself shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdicts {
    pub(super) states: Verdict,
    pub(super) accepts: Verdict,
    pub(super) unsent: Verdict,
}

/// Connects, accepts, closes and is refused, all on loopback.
pub(super) fn run(source: &Source) -> Verdicts {
    match connection(source) {
        Ok((states, accepts)) => Verdicts { states, accepts, unsent: unsent(source) },
        Err(error) => {
            let untried = Verdict::Untried(format!("no connection over loopback: {error}"));
            Verdicts { states: untried.clone(), accepts: untried, unsent: unsent(source) }
        }
    }
}

fn connection(source: &Source) -> io::Result<(Verdict, Verdict)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let server = listener.local_addr()?;
    let stream = TcpStream::connect(server)?;
    let (accepted, client) = listener.accept()?;
    let open = ends(source, client, server);
    let (states, accepts) = (client_verdict(open.client.as_ref()), server_verdict(open.server.as_ref()));
    drop((stream, accepted));
    let states = if states == Verdict::Right && !ends_vanish(source, client, server) {
        Verdict::Wrong("the end of a connection was not seen")
    } else {
        states
    };
    Ok((states, accepts))
}

/// The last packets may be handled by another CPU, a little later.
fn ends_vanish(source: &Source, client: SocketAddr, server: SocketAddr) -> bool {
    const LOOKS: u32 = 200;
    const PAUSE: Duration = Duration::from_millis(1);
    (0..LOOKS).any(|look| {
        if look > 0 {
            std::thread::sleep(PAUSE);
        }
        let ends = ends(source, client, server);
        ends.client.is_none() && ends.server.is_none()
    })
}

#[derive(Default)]
struct Ends {
    client: Option<Conn>,
    server: Option<Conn>,
}

/// Living entries of both ends.
fn ends(source: &Source, client: SocketAddr, server: SocketAddr) -> Ends {
    let mut found = Ends::default();
    source.sweep(|key, entry| {
        let conn = entry.conn;
        let ports = (u16::from_be(conn.local_port_be), u16::from_be(conn.peer_port_be));
        if !key.is_socket() || conn.flags & flag::ENDING != 0 || conn.family != AF_INET {
            return;
        }
        if conn.role == role::CLIENT && ports == (client.port(), server.port()) {
            found.client = Some(conn);
        } else if conn.role == role::SERVER && ports == (server.port(), client.port()) {
            found.server = Some(conn);
        }
    });
    found
}

fn client_verdict(client: Option<&Conn>) -> Verdict {
    let loopback = u64::from(u32::from_ne_bytes(Ipv4Addr::LOCALHOST.octets()));
    match client {
        None => Verdict::Wrong("a connection was not seen"),
        Some(conn) if conn.local[0] != loopback || conn.peer[0] != loopback => {
            Verdict::Wrong("a connection has the wrong addresses")
        }
        Some(conn) if conn.owner.tgid != std::process::id() => {
            Verdict::Wrong("a connection has the wrong owner")
        }
        Some(_) => Verdict::Right,
    }
}

fn server_verdict(server: Option<&Conn>) -> Verdict {
    match server {
        None => Verdict::Wrong("a child was not seen"),
        Some(conn) if conn.flags & flag::ACCEPTED == 0 => Verdict::Wrong("an accept was not seen"),
        Some(conn) if conn.owner.tgid != std::process::id() => {
            Verdict::Wrong("an accept has the wrong owner")
        }
        Some(_) => Verdict::Right,
    }
}

/// An attempt that the kernel refuses before it sends anything: TCP has no broadcast.
fn unsent(source: &Source) -> Verdict {
    let before = source.counters().own_unsent;
    if let Ok(_stream) = TcpStream::connect((Ipv4Addr::BROADCAST, 9)) {
        return Verdict::Untried("255.255.255.255 answers".to_owned());
    }
    match source.counters().own_unsent - before {
        0 => Verdict::Wrong("a refused attempt was not seen"),
        1 => Verdict::Right,
        _ => Verdict::Wrong("a refused attempt was seen more than once"),
    }
}
