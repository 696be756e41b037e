//! One end of a connection: what convis said of it against what its own process reported.

use crate::actors::canonical;
use crate::clock;
use crate::event::{CLOSED, Event, OPENED};
use crate::flow::community_id;
use crate::truth::{Report, Side};

/// Between a process' own clock readings and the kernel's lie a system call and perhaps a descheduling.
const SLACK_NANOS: u64 = 250_000_000;
/// The kernel's clock is converted to wall-clock time once; both are read some microseconds apart.
const CONVERSION_NANOS: u64 = 5_000_000;

/// The two events of one end.
#[derive(Clone, Debug)]
pub struct End {
    /// `convis.tcp.connection.opened`
    pub opened: Event,
    /// `convis.tcp.connection.closed`
    pub closed: Event,
}

/// Finds the end that `report` is about; panics unless there is exactly one opened and one closed event and
/// nothing else.
pub fn find(events: &[Event], report: &Report) -> End {
    let role = report.side.to_string();
    let mine: Vec<&Event> = events.iter().filter(|event| is_about(event, report, &role)).collect();
    let names: Vec<&str> = mine.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, [OPENED, CLOSED], "events of the {role} end {report:?} among {events:#?}");
    End { opened: mine[0].clone(), closed: mine[1].clone() }
}

fn is_about(event: &Event, report: &Report, role: &str) -> bool {
    event.local() == canonical(report.local)
        && event.peer() == canonical(report.peer)
        && event.text("convis.connection.role") == role
}

/// Everything that must hold for any end whose connection ended in an orderly way.
pub fn check(end: &End, report: &Report, other: &Report) {
    for event in [&end.opened, &end.closed] {
        check_owner(event, report);
        check_addresses(event, report);
        assert!(event.is_info(), "{event:#?}");
    }
    check_identity(end, report);
    check_bytes(&end.closed, report);
    check_times(end, report, other);
    let first = report.closed_first.expect("an orderly end knows who closed first");
    let reason = if first { "local_close" } else { "peer_close" };
    assert_eq!(end.closed.text("convis.close.reason"), reason, "{report:?}");
}

/// The process that connected or accepted, as Resource attributes.
pub fn check_owner(event: &Event, report: &Report) {
    let resource = |key: &str| event.resource.get(key).cloned().unwrap_or_default();
    assert_eq!(resource("process.pid"), report.pid, "{report:?}: {event:#?}");
    assert_eq!(resource("process.parent_pid"), report.parent_pid, "{report:?}: {event:#?}");
    assert_eq!(resource("process.executable.path"), report.executable, "{report:?}: {event:#?}");
    assert_eq!(resource("process.executable.name"), report.executable_name(), "{report:?}: {event:#?}");
    assert_eq!(event.text("convis.process.attribution"), "kernel", "{report:?}: {event:#?}");
}

/// Both ends' addresses under all their names.
pub fn check_addresses(event: &Event, report: &Report) {
    let client = canonical(report.client());
    let server = canonical(report.server());
    assert_eq!(event.local(), canonical(report.local));
    assert_eq!(event.peer(), canonical(report.peer));
    assert_eq!(event.address("client"), client);
    assert_eq!(event.address("server"), server);
    assert_eq!(event.text("network.transport"), "tcp");
    assert_eq!(event.text("network.type"), if client.is_ipv4() { "ipv4" } else { "ipv6" });
    assert_eq!(event.text("convis.connection.role"), report.side.to_string());
    assert_eq!(event.text("convis.flow.id"), community_id(client, server));
}

fn check_identity(end: &End, report: &Report) {
    let id = end.opened.text("convis.connection.id");
    assert_eq!(id, end.closed.text("convis.connection.id"), "{report:?}");
    let namespace = end.opened.number("convis.network.namespace");
    assert_eq!(namespace, end.closed.number("convis.network.namespace"), "{report:?}");
    let handshake = end.opened.try_get("convis.tcp.handshake.duration");
    assert_eq!(handshake.is_some(), report.side == Side::Client, "only a client has waited: {handshake:?}");
}

fn check_bytes(closed: &Event, report: &Report) {
    assert_eq!(closed.number("convis.bytes.sent"), report.written, "{report:?}");
    assert_eq!(closed.number("convis.bytes.received"), report.read, "{report:?}");
    assert_eq!(closed.try_get("convis.bytes.unacked"), None, "all was acknowledged: {report:?}");
}

fn check_times(end: &End, report: &Report, other: &Report) {
    let earliest = report.started.min(other.started);
    let latest = report.ended.max(other.ended);
    for event in [&end.opened, &end.closed] {
        let window = earliest - CONVERSION_NANOS..=latest + SLACK_NANOS;
        assert!(window.contains(&event.timestamp), "{} outside of {window:?}: {report:?}", event.timestamp);
    }
    let seconds = end.closed.seconds("convis.connection.duration");
    // This end was open at least from its own open until its own close.
    let least = clock::seconds(report.closing - report.opened) - clock::seconds(CONVERSION_NANOS);
    let most = clock::seconds(latest - earliest + SLACK_NANOS);
    assert!((least..=most).contains(&seconds), "{seconds} s outside of {least} to {most}: {report:?}");
}
