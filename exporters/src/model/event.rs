//! Connection events: plain facts, turned into attributes only when a sink visits them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use convis_otel_config::EventKinds;
use serde::{Deserialize, Serialize};

use super::community_id;
use super::network::PeerNetwork;
use super::peer::Peer;
use super::resource::Resource;
use super::text::Text;
use super::value::Value;

/// Which event of a connection's life this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventName {
    /// Established (client) or accepted (server).
    Opened,
    /// Bytes moved since its last event.
    Updated,
    /// Final, with totals.
    Closed,
    /// An attempt ended without being established.
    Failed,
}

impl EventName {
    /// All names, in the order of a connection's life.
    pub const ALL: [Self; 4] = [Self::Opened, Self::Updated, Self::Closed, Self::Failed];

    /// The OTLP `event_name`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "convis.tcp.connection.opened",
            Self::Updated => "convis.tcp.connection.updated",
            Self::Closed => "convis.tcp.connection.closed",
            Self::Failed => "convis.tcp.connection.failed",
        }
    }

    /// Whether it is one of these kinds.
    pub const fn is_among(self, kinds: EventKinds) -> bool {
        match self {
            Self::Opened => kinds.opened,
            Self::Updated => kinds.updated,
            Self::Closed => kinds.closed,
            Self::Failed => kinds.failed,
        }
    }

    /// The last word of the name, as users type it and tables show it.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Closed => "closed",
            Self::Failed => "failed",
        }
    }
}

/// Which end of the connection the owner holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// It connected.
    Client,
    /// It accepted.
    Server,
}

impl Role {
    /// Value of `convis.connection.role`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// How sure the owner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Attribution {
    /// Taken in the owner's own context.
    Kernel,
    /// Found in a snapshot of `/proc`.
    Procfs,
    /// Taken over from the listener or the parent.
    Inherited,
    /// Not known.
    Unknown,
}

impl Attribution {
    /// Value of `convis.process.attribution`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Procfs => "procfs",
            Self::Inherited => "inherited",
            Self::Unknown => "unknown",
        }
    }
}

/// The first cause of a connection's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CloseReason {
    /// This end sent the first FIN.
    LocalClose,
    /// The peer sent the first FIN.
    PeerClose,
    /// This end reset the connection.
    LocalReset,
    /// The peer reset the connection.
    PeerReset,
    /// The peer stopped answering.
    Timeout,
    /// None of the above could be shown.
    Unknown,
}

impl CloseReason {
    /// Value of `convis.close.reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LocalClose => "local_close",
            Self::PeerClose => "peer_close",
            Self::LocalReset => "local_reset",
            Self::PeerReset => "peer_reset",
            Self::Timeout => "timeout",
            Self::Unknown => "unknown",
        }
    }
}

/// Why an attempt to connect failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConnectError {
    /// ECONNREFUSED.
    Refused,
    /// ECONNRESET.
    Reset,
    /// ETIMEDOUT.
    TimedOut,
    /// EHOSTUNREACH.
    HostUnreachable,
    /// ENETUNREACH.
    NetUnreachable,
    /// EADDRNOTAVAIL: no free local port.
    AddressNotAvailable,
    /// EACCES or EPERM.
    PermissionDenied,
    /// The application gave up before an answer came.
    Cancelled,
    /// Any other error.
    Other,
}

impl ConnectError {
    /// Value of `error.type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::TimedOut => "timed_out",
            Self::HostUnreachable => "host_unreachable",
            Self::NetUnreachable => "net_unreachable",
            Self::AddressNotAvailable => "address_not_available",
            Self::PermissionDenied => "permission_denied",
            Self::Cancelled => "cancelled",
            Self::Other => "_OTHER",
        }
    }
}

/// One end of a connection: what stays the same on all of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Equal on all events of this end, unique per boot of the host.
    pub id: u64,
    /// Which end the owner holds; `None` for a connection whose beginning was not seen.
    pub role: Option<Role>,
    /// This end's address; IPv4-mapped addresses are already IPv4.
    pub local: SocketAddr,
    /// The other end's address.
    pub peer: SocketAddr,
    /// What the network around the other end's address is called.
    pub peer_network: PeerNetwork,
    /// Inode of the network namespace.
    pub network_namespace: u32,
    /// How sure the owner is.
    pub attribution: Attribution,
    /// Open before convis attached.
    pub preexisting: bool,
    /// A server's end that ended without ever being accepted.
    pub never_accepted: bool,
    /// A socket of the kernel itself, such as of a network file system: no process owns it.
    pub kernel_owned: bool,
    /// It breaks what is expected of its owner.
    pub unexpected: bool,
    /// For how many connections it stands: 1 unless only a part of its like is told.
    pub sampling_weight: u32,
}

impl Connection {
    /// `ipv4` or `ipv6`.
    pub const fn network_type(&self) -> &'static str {
        match self.local {
            SocketAddr::V4(_) => "ipv4",
            SocketAddr::V6(_) => "ipv6",
        }
    }

    /// The address that was connected to, when the role is known.
    pub const fn server(&self) -> Option<SocketAddr> {
        match self.role {
            Some(Role::Client) => Some(self.peer),
            Some(Role::Server) => Some(self.local),
            None => None,
        }
    }

    /// The address that connected, when the role is known.
    pub const fn client(&self) -> Option<SocketAddr> {
        match self.role {
            Some(Role::Client) => Some(self.local),
            Some(Role::Server) => Some(self.peer),
            None => None,
        }
    }
}

/// TCP payload and quality figures of one end, from the connection's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Payload bytes that the peer's TCP acknowledged.
    pub bytes_sent: u64,
    /// Payload bytes that arrived in order.
    pub bytes_received: u64,
    /// Payload bytes in flight, at the end or as of now.
    pub bytes_unacked: u64,
    /// Segments sent, retransmissions included.
    pub segments_sent: u32,
    /// Segments received.
    pub segments_received: u32,
    /// Segments retransmitted.
    pub retransmits: u32,
    /// Smoothed round-trip time; `None` when it was never measured.
    pub rtt: Option<Duration>,
}

/// A process that closed an end which it does not own: the descriptor was handed on or inherited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closer {
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// Base name of its executable, when known.
    pub name: Option<String>,
}

/// What an event says beyond the connection itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Detail {
    /// The connection is usable.
    Opened {
        /// From the first segment to established; clients only.
        handshake: Option<Duration>,
    },
    /// Bytes moved.
    Updated {
        /// Totals so far.
        totals: Totals,
        /// Since established; `None` when the beginning was not seen.
        duration: Option<Duration>,
        /// Payload bytes sent since the connection's last event.
        sent_delta: u64,
        /// Payload bytes received since the connection's last event.
        received_delta: u64,
    },
    /// The connection ended.
    Closed {
        /// Its totals.
        totals: Totals,
        /// Established to closed; `None` when the beginning was not seen.
        duration: Option<Duration>,
        /// The first cause.
        reason: CloseReason,
        /// Who closed this end, if it was not the owner.
        closer: Option<Box<Closer>>,
    },
    /// The attempt ended without being established.
    Failed {
        /// Why.
        error: ConnectError,
        /// From the attempt to its end.
        duration: Duration,
    },
}

/// One event of one end of a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Who did it.
    pub resource: Arc<Resource>,
    /// When it happened, nanoseconds since the Unix epoch, from the kernel's clock.
    pub time_unix_nanos: u64,
    /// When convis read it, nanoseconds since the Unix epoch.
    pub observed_unix_nanos: u64,
    /// The connection.
    pub connection: Connection,
    /// Who holds the other end, if it is on this host and known.
    pub peer: Option<Arc<Peer>>,
    /// Where the other end really is, if network address translation shows another address.
    pub nat_peer: Option<SocketAddr>,
    /// What happened.
    pub detail: Detail,
}

/// Events of any number of Resources, in the order in which they were read.
#[derive(Debug, Clone, Default)]
pub struct EventBatch {
    /// Never empty when handed to a sink.
    pub events: Vec<Event>,
}

/// OTLP severity number of an ordinary event (INFO).
pub const SEVERITY_INFO: u8 = 9;
/// OTLP severity number of a failed attempt and of an unexpected connection (WARN).
pub const SEVERITY_WARN: u8 = 13;

impl Event {
    /// Which event this is.
    pub const fn name(&self) -> EventName {
        self.detail.name()
    }

    /// OTLP severity number. An application that gives up is no problem of the network.
    pub const fn severity(&self) -> u8 {
        match self.detail {
            _ if self.connection.unexpected => SEVERITY_WARN,
            Detail::Failed { error: ConnectError::Cancelled, .. }
            | Detail::Opened { .. }
            | Detail::Updated { .. }
            | Detail::Closed { .. } => SEVERITY_INFO,
            Detail::Failed { .. } => SEVERITY_WARN,
        }
    }

    /// Calls `visit` with each attribute, in a fixed order, each key once.
    pub fn visit(&self, mut visit: impl FnMut(&'static str, Value<'_>)) {
        let connection = &self.connection;
        visit("network.transport", Value::Str("tcp"));
        visit("network.type", Value::Str(connection.network_type()));
        visit("network.local.address", Value::Address(connection.local.ip()));
        visit("network.local.port", Value::Int(connection.local.port().into()));
        visit("network.peer.address", Value::Address(connection.peer.ip()));
        visit("network.peer.port", Value::Int(connection.peer.port().into()));
        if let (Some(client), Some(server), Some(role)) =
            (connection.client(), connection.server(), connection.role)
        {
            visit("client.address", Value::Address(client.ip()));
            visit("client.port", Value::Int(client.port().into()));
            visit("server.address", Value::Address(server.ip()));
            visit("server.port", Value::Int(server.port().into()));
            visit("convis.connection.role", Value::Str(role.as_str()));
        }
        visit("convis.connection.id", Value::Id(connection.id));
        visit("convis.flow.id", Value::Str(community_id::v1_tcp(connection.local, connection.peer).as_str()));
        visit("convis.network.namespace", Value::Int(connection.network_namespace.into()));
        visit("convis.peer.network", Value::Str(connection.peer_network.as_str()));
        visit("convis.process.attribution", Value::Str(connection.attribution.as_str()));
        if connection.preexisting {
            visit("convis.connection.preexisting", Value::Bool(true));
        }
        if connection.never_accepted {
            visit("convis.connection.accepted", Value::Bool(false));
        }
        if connection.kernel_owned {
            visit("convis.connection.kernel_owned", Value::Bool(true));
        }
        if connection.unexpected {
            visit("convis.unexpected", Value::Bool(true));
        }
        if connection.sampling_weight != 1 {
            visit("convis.sampling.weight", Value::Int(connection.sampling_weight.into()));
        }
        if let Some(address) = self.nat_peer {
            visit("convis.nat.peer.address", Value::Address(address.ip()));
            visit("convis.nat.peer.port", Value::Int(address.port().into()));
        }
        for (key, value) in self.peer.iter().flat_map(|peer| peer.attributes()) {
            visit(key, value);
        }
        self.detail.visit(visit);
    }

    /// Whether this may be a key that [`Event::visit`] calls with, of any event.
    pub(crate) fn may_have(key: &str) -> bool {
        const PREFIXES: [&str; 6] = ["network.", "client.", "server.", "convis.", "service.peer.", "error."];
        PREFIXES.iter().any(|prefix| key.starts_with(prefix))
    }

    /// Name of the owner for people: the executable, `kernel`, or `?`.
    pub(crate) fn owner_name(&self) -> &str {
        let unnamed = if self.connection.kernel_owned { "kernel" } else { "?" };
        self.resource.text("process.executable.name").unwrap_or(unnamed)
    }

    /// The one line that says this event to a person; the body of its log record.
    pub fn display_line(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| self.write_line(f))
    }

    /// Writes [`Event::display_line`].
    pub(crate) fn write_line(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let connection = &self.connection;
        out.write_str(self.owner_name())?;
        out.write_str(" ")?;
        out.write_str(Text::socket(connection.local).as_str())?;
        out.write_str(match connection.role {
            Some(Role::Client) => " -> ",
            Some(Role::Server) => " <- ",
            None => " - ",
        })?;
        out.write_str(Text::socket(connection.peer).as_str())?;
        match &self.detail {
            Detail::Opened { .. } => out.write_str(" opened")?,
            Detail::Updated { totals, .. } => {
                out.write_str(" open, ")?;
                totals.write_bytes(out)?;
                out.write_str(" so far")?;
            }
            Detail::Closed { totals, reason, .. } => {
                out.write_str(" closed (")?;
                out.write_str(reason.as_str())?;
                out.write_str(") ")?;
                totals.write_bytes(out)?;
            }
            Detail::Failed { error, .. } => {
                out.write_str(" failed (")?;
                out.write_str(error.as_str())?;
                out.write_str(")")?;
            }
        }
        out.write_str(if connection.unexpected { ", unexpected" } else { "" })
    }
}

impl Detail {
    /// Which event it belongs to.
    pub const fn name(&self) -> EventName {
        match self {
            Self::Opened { .. } => EventName::Opened,
            Self::Updated { .. } => EventName::Updated,
            Self::Closed { .. } => EventName::Closed,
            Self::Failed { .. } => EventName::Failed,
        }
    }

    fn visit(&self, mut visit: impl FnMut(&'static str, Value<'_>)) {
        match self {
            Self::Opened { handshake } => {
                if let Some(handshake) = handshake {
                    visit("convis.tcp.handshake.duration", seconds(*handshake));
                }
            }
            Self::Updated { totals, duration, sent_delta, received_delta } => {
                if let Some(duration) = duration {
                    visit("convis.connection.duration", seconds(*duration));
                }
                totals.visit(&mut visit);
                visit("convis.bytes.sent.delta", count(*sent_delta));
                visit("convis.bytes.received.delta", count(*received_delta));
            }
            Self::Closed { totals, duration, reason, closer } => {
                if let Some(duration) = duration {
                    visit("convis.connection.duration", seconds(*duration));
                }
                totals.visit(&mut visit);
                visit("convis.close.reason", Value::Str(reason.as_str()));
                if let Some(closer) = closer {
                    visit("convis.closing.process.pid", Value::Int(closer.pid.into()));
                    if let Some(name) = &closer.name {
                        visit("convis.closing.process.executable.name", Value::Str(name));
                    }
                }
            }
            Self::Failed { error, duration } => {
                visit("convis.connection.duration", seconds(*duration));
                visit("error.type", Value::Str(error.as_str()));
            }
        }
    }
}

impl Totals {
    fn write_bytes(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let mut digits = itoa::Buffer::new();
        out.write_str("sent ")?;
        out.write_str(digits.format(self.bytes_sent))?;
        out.write_str(" B received ")?;
        out.write_str(digits.format(self.bytes_received))?;
        out.write_str(" B")
    }

    #[inline]
    fn visit(&self, visit: &mut impl FnMut(&'static str, Value<'_>)) {
        visit("convis.bytes.sent", count(self.bytes_sent));
        visit("convis.bytes.received", count(self.bytes_received));
        if self.bytes_unacked != 0 {
            visit("convis.bytes.unacked", count(self.bytes_unacked));
        }
        visit("convis.tcp.segments.sent", Value::Int(self.segments_sent.into()));
        visit("convis.tcp.segments.received", Value::Int(self.segments_received.into()));
        visit("convis.tcp.retransmits", Value::Int(self.retransmits.into()));
        if let Some(rtt) = self.rtt {
            visit("convis.tcp.rtt", seconds(rtt));
        }
    }
}

fn seconds<'a>(duration: Duration) -> Value<'a> {
    Value::Double(duration.as_secs_f64())
}

/// OTLP integers are signed; a byte total beyond 2^63 is out of reach of any host.
fn count<'a>(number: u64) -> Value<'a> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
