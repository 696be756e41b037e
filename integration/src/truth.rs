//! What one end of a connection reports about itself.

use std::fmt::{self, Display};
use std::net::SocketAddr;

use serde_json::{Value, json};

/// Which end of a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Side {
    /// The end that connects.
    Client,
    /// The end that accepts.
    Server,
}

/// One connection as its own process lived it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// Which end speaks.
    pub side: Side,
    /// The speaking process.
    pub pid: u32,
    /// Its parent.
    pub parent_pid: u32,
    /// Its `/proc/self/exe`.
    pub executable: String,
    /// `getsockname`, with IPv4-mapped addresses as the socket has them.
    pub local: SocketAddr,
    /// `getpeername`.
    pub peer: SocketAddr,
    /// Bytes that `write` took.
    pub written: u64,
    /// Bytes that `read` gave.
    pub read: u64,
    /// Whether this end closed first; unknown where the connection failed.
    pub closed_first: Option<bool>,
    /// Before `connect`, after `accept`.
    pub started: u64,
    /// After `connect`, after `accept`.
    pub opened: u64,
    /// Before the first `shutdown` or `close` of this end.
    pub closing: u64,
    /// After `close`.
    pub ended: u64,
    /// `ok` or the name of the first error.
    pub result: String,
}

impl Report {
    /// The line a traffic process prints.
    pub fn to_json(&self) -> Value {
        json!({
            "side": self.side.to_string(),
            "pid": self.pid,
            "parentPid": self.parent_pid,
            "executable": self.executable,
            "local": self.local.to_string(),
            "peer": self.peer.to_string(),
            "written": self.written,
            "read": self.read,
            "closedFirst": self.closed_first,
            "startedUnixNano": self.started,
            "openedUnixNano": self.opened,
            "closingUnixNano": self.closing,
            "endedUnixNano": self.ended,
            "result": self.result,
        })
    }

    /// Reads back a line of [`Report::to_json`]; `None` for any other line.
    pub fn from_json(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let number = |key: &str| value[key].as_u64();
        let text = |key: &str| value[key].as_str();
        Some(Self {
            side: text("side")?.parse().ok()?,
            pid: number("pid")?.try_into().ok()?,
            parent_pid: number("parentPid")?.try_into().ok()?,
            executable: text("executable")?.to_owned(),
            local: text("local")?.parse().ok()?,
            peer: text("peer")?.parse().ok()?,
            written: number("written")?,
            read: number("read")?,
            closed_first: value["closedFirst"].as_bool(),
            started: number("startedUnixNano")?,
            opened: number("openedUnixNano")?,
            closing: number("closingUnixNano")?,
            ended: number("endedUnixNano")?,
            result: text("result")?.to_owned(),
        })
    }

    /// The address of the end that connected.
    pub fn client(&self) -> SocketAddr {
        match self.side {
            Side::Client => self.local,
            Side::Server => self.peer,
        }
    }

    /// The address of the end that accepted.
    pub fn server(&self) -> SocketAddr {
        match self.side {
            Side::Client => self.peer,
            Side::Server => self.local,
        }
    }

    /// The executable's last path component.
    pub fn executable_name(&self) -> &str {
        self.executable.rsplit('/').next().unwrap_or_default()
    }
}

impl Display for Side {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

impl std::str::FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "client" => Ok(Self::Client),
            "server" => Ok(Self::Server),
            other => Err(format!("{other:?} is neither client nor server")),
        }
    }
}
