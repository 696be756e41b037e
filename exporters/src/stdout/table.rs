//! Events as aligned lines for people.
//!
//! ```text
//! TIME          EVENT    PROCESS                     DIRECTION         PEER                                BYTES OUT / IN  ...
//! 14:03:07.123  opened   curl[4711]                  -> connect        93.184.216.34:443
//! 14:03:07.124  opened   shop/nginx[812]             <- accept :443    10.0.0.7:51234 front
//! ```
//! A process in a container has the container's name before its own. A client's peer is what it connected to; a server's
//! line has its own port before the peer that came to it. A peer on this host is named.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::text::{bytes, cell, duration, elided, endpoint, printable};
use crate::model::{CloseReason, Closer, ConnectError, Detail, Event, PeerNetwork, Resource, Role, Value};
use crate::settings::OutputStyle;

/// Titles and widths; the last column is as wide as it needs.
const COLUMNS: [(&str, usize); 8] = [
    ("TIME", 12),
    ("EVENT", 7),
    ("PROCESS", 26),
    ("DIRECTION", 16),
    ("PEER", 34),
    ("BYTES OUT / IN", 19),
    ("DURATION", 8),
    ("ENDING", 0),
];
/// The column that is coloured.
const EVENT: usize = 1;
/// The columns whose content is cut to their width.
const PROCESS_WIDTH: usize = COLUMNS[2].1;
const PEER_WIDTH: usize = COLUMNS[4].1;
/// Less of a peer's name says nothing.
const SHORTEST_NAME: usize = 3;
const GAP: &str = "  ";
/// On a terminal the titles come again after so many lines, about a screen.
const LINES_PER_TITLE: usize = 40;

const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const MAGENTA: &str = "\x1b[35m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Writes lines and remembers when titles are due.
pub(super) struct Table {
    zone: TimeZone,
    style: OutputStyle,
    lines_since_titles: Option<usize>,
}

impl Table {
    /// Times are shown in `zone`.
    pub(super) fn new(zone: TimeZone, style: OutputStyle) -> Self {
        Self { zone, style, lines_since_titles: None }
    }

    /// Appends an event's line, and titles before it when they are due.
    pub(super) fn write(&mut self, event: &Event, text: &mut String) {
        let due = match self.lines_since_titles {
            None => true,
            Some(lines) => self.style.terminal && lines >= LINES_PER_TITLE,
        };
        if due {
            Self::titles(text);
            self.lines_since_titles = Some(0);
        }
        self.lines_since_titles = self.lines_since_titles.map(|lines| lines + 1);
        self.line(event, text);
    }

    fn titles(text: &mut String) {
        row(COLUMNS.map(|(title, _)| title), None, text);
    }

    fn line(&self, event: &Event, text: &mut String) {
        let (moved, lasted, mut ending) = outcome(&event.detail);
        if event.connection.unexpected {
            ending.insert_str(0, if ending.is_empty() { "unexpected" } else { "unexpected, " });
        }
        let cells = [
            &self.time(event.time_unix_nanos),
            event.name().short(),
            &process(event),
            &direction(event),
            &peer(event),
            &moved,
            &lasted,
            &ending,
        ];
        row(cells, self.style.colour.then(|| colour(event)), text);
    }

    fn time(&self, unix_nanos: u64) -> String {
        let timestamp = Timestamp::from_nanosecond(unix_nanos.into()).unwrap_or(Timestamp::MAX);
        let time = self.zone.to_datetime(timestamp);
        format!("{:02}:{:02}:{:02}.{:03}", time.hour(), time.minute(), time.second(), time.millisecond())
    }
}

/// Appends a line of cells, without the blanks of empty cells at its end.
fn row(cells: [&str; COLUMNS.len()], event_colour: Option<&str>, text: &mut String) {
    let start = text.len();
    for (column, (content, (_, width))) in cells.into_iter().zip(COLUMNS).enumerate() {
        let colour = event_colour.filter(|_| column == EVENT);
        text.push_str(colour.unwrap_or_default());
        cell(content, width, text);
        text.push_str(colour.map(|_| PLAIN).unwrap_or_default());
        text.push_str(GAP);
    }
    let end = start + text[start..].trim_end_matches(' ').len();
    text.truncate(end);
    text.push('\n');
}

const fn colour(event: &Event) -> &'static str {
    match event.detail {
        _ if event.connection.unexpected => MAGENTA,
        Detail::Opened { .. } => GREEN,
        Detail::Updated { .. } => PLAIN,
        Detail::Closed { .. } => DIM,
        Detail::Failed { error: ConnectError::Cancelled, .. } => YELLOW,
        Detail::Failed { .. } => RED,
    }
}

/// What was moved, how long it lasted, and how it ended or goes on.
fn outcome(detail: &Detail) -> (String, String, String) {
    let moved = |sent, received| format!("{} / {}", bytes(sent), bytes(received));
    match detail {
        Detail::Opened { .. } => Default::default(),
        Detail::Updated { totals, duration: lasted, sent_delta, received_delta } => (
            moved(totals.bytes_sent, totals.bytes_received),
            lasted.map(duration).unwrap_or_default(),
            format!("open, +{}", moved(*sent_delta, *received_delta)),
        ),
        Detail::Closed { totals, duration: lasted, reason, closer } => (
            moved(totals.bytes_sent, totals.bytes_received),
            lasted.map(duration).unwrap_or_default(),
            ending(*reason, closer.as_deref()),
        ),
        Detail::Failed { error, duration: lasted } => {
            (String::new(), duration(*lasted), failure(*error).to_owned())
        }
    }
}

/// The reason, and who closed this end if it was not the owner.
fn ending(reason: CloseReason, closer: Option<&Closer>) -> String {
    let Some(closer) = closer else {
        return close_reason(reason).to_owned();
    };
    let here =
        if matches!(reason, CloseReason::LocalClose | CloseReason::LocalReset) { "" } else { ", here" };
    let name = printable(closer.name.as_deref().unwrap_or("?"));
    format!("{}{here} by {name}[{}]", close_reason(reason), closer.pid)
}

/// `name[pid]`, after the name of its container; a long name loses its middle, never the pid.
fn process(event: &Event) -> String {
    let name = event.owner_name();
    let name = match container(&event.resource) {
        Some(container) => printable(&format!("{container}/{name}")),
        None => printable(name),
    };
    let pid = match event.resource.get("process.pid") {
        Some(Value::Int(pid)) => format!("[{pid}]"),
        _ => String::new(),
    };
    format!("{}{pid}", elided(&name, PROCESS_WIDTH.saturating_sub(pid.len())))
}

/// What people know a container by.
fn container(resource: &Resource) -> Option<&str> {
    /// As runtimes shorten ids.
    const SHORT_ID: usize = 12;
    let id = || resource.text("container.id").map(|id| id.get(..SHORT_ID).unwrap_or(id));
    resource.text("k8s.pod.name").or_else(|| resource.text("container.name")).or_else(id)
}

/// Its address, and its name if it is on this host, or what the user calls its network.
fn peer(event: &Event) -> String {
    let mut text = endpoint(event.connection.peer, PEER_WIDTH);
    let room = PEER_WIDTH.saturating_sub(text.chars().count() + 1);
    let network = match event.connection.peer_network {
        PeerNetwork::Named(network) => Some(network.as_str()),
        _ => None,
    };
    if let Some(name) = event.peer.as_ref().and_then(|peer| peer.display_name()).or(network)
        && room >= SHORTEST_NAME
    {
        text.push(' ');
        text.push_str(&elided(&printable(name), room));
    }
    text
}

fn direction(event: &Event) -> String {
    match event.connection.role {
        Some(Role::Client) => "-> connect".to_owned(),
        Some(Role::Server) => format!("<- accept :{}", event.connection.local.port()),
        None => format!("-- open :{}", event.connection.local.port()),
    }
}

const fn close_reason(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::LocalClose => "closed here",
        CloseReason::PeerClose => "closed by peer",
        CloseReason::LocalReset => "reset here",
        CloseReason::PeerReset => "reset by peer",
        CloseReason::Timeout => "peer stopped answering",
        CloseReason::Unknown => "unknown",
    }
}

const fn failure(error: ConnectError) -> &'static str {
    match error {
        ConnectError::Refused => "refused",
        ConnectError::Reset => "reset by peer",
        ConnectError::TimedOut => "timed out",
        ConnectError::HostUnreachable => "host unreachable",
        ConnectError::NetUnreachable => "network unreachable",
        ConnectError::AddressNotAvailable => "no local address",
        ConnectError::PermissionDenied => "not permitted",
        ConnectError::Cancelled => "given up",
        ConnectError::Other => "other error",
    }
}

#[cfg(test)]
mod tests;
