//! One end's events against what is expected of them.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::compare::Story;
use super::expect::{Closed, Expected, Fate, Quality};
use crate::event::{CLOSED, Event, FAILED, OPENED};
use crate::flow::community_id;
use crate::truth::Side;

/// What says how much has moved since.
pub(super) const UPDATED: &str = "convis.tcp.connection.updated";

/// The part of an event's name that tells it from others.
pub(super) fn short(event: &Event) -> &str {
    event.name.rsplit('.').next().unwrap_or(&event.name)
}

/// The address and port under a prefix, if both are there.
pub(super) fn address(event: &Event, prefix: &str) -> Option<SocketAddr> {
    let address: IpAddr = event.attributes.get(&format!("{prefix}.address"))?.as_str()?.parse().ok()?;
    let port = event.attributes.get(&format!("{prefix}.port"))?.as_u64()?;
    Some(SocketAddr::new(address, u16::try_from(port).ok()?))
}

/// The problems of all events of one end; its processes run this executable.
pub(super) fn story(end: &Expected, story: &Story<'_>, executable: &str) -> Vec<String> {
    let mut problems = Problems::default();
    problems.names(end, story);
    for event in &story.events {
        problems.addresses(end, event);
        problems.owner(end, event, executable);
    }
    let find = |name: &str| story.events.iter().find(|event| event.name == name);
    match &end.fate {
        Fate::Failed(error) => {
            if let Some(event) = find(FAILED) {
                problems.failed(event, error);
            }
        }
        Fate::Closed(closed) => {
            if let Some(event) = find(CLOSED) {
                problems.closed(event, closed, executable);
                problems.updates(story, event);
            }
            if let Some(event) = find(OPENED) {
                problems.opened(event, end.side, closed);
            }
        }
    }
    problems.0
}

/// The law between the two ends of one connection: what one sent, the other has, or it was on its way.
pub(super) fn transfer(from: &Story<'_>, to: &Story<'_>) -> Vec<String> {
    let closed = |story: &Story<'_>| story.events.iter().find(|event| event.name == CLOSED).copied().cloned();
    let (Some(from), Some(to)) = (closed(from), closed(to)) else { return Vec::new() };
    let number = |event: &Event, key: &str| event.attributes.get(key).and_then(Value::as_u64).unwrap_or(0);
    let sent = number(&from, "convis.bytes.sent");
    let unacked = number(&from, "convis.bytes.unacked");
    let received = number(&to, "convis.bytes.received");
    if sent <= received && received <= sent + unacked {
        return Vec::new();
    }
    vec![format!("sent {sent} and {unacked} unacknowledged, but the other end received {received}")]
}

#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn same(&mut self, event: &Event, key: &str, wanted: impl Into<Value>) {
        let wanted = wanted.into();
        let found = event.try_get(key).cloned().unwrap_or(Value::Null);
        if found != wanted {
            self.0.push(format!("{} {key} is {found}, not {wanted}", short(event)));
        }
    }

    fn within(&mut self, event: &Event, key: &str, range: std::ops::RangeInclusive<f64>) {
        let found = event.try_get(key).and_then(Value::as_f64);
        if !found.is_some_and(|found| range.contains(&found)) {
            self.0.push(format!("{} {key} is {found:?}, not in {range:?}", short(event)));
        }
    }

    fn names(&mut self, end: &Expected, story: &Story<'_>) {
        let names: Vec<&str> = story.events.iter().map(|event| short(event)).collect();
        let others: Vec<&str> = names.iter().copied().filter(|name| *name != "updated").collect();
        let wanted: &[&str] = match &end.fate {
            Fate::Failed(_) => &["failed"],
            Fate::Closed(Closed { opened: true, .. }) => &["opened", "closed"],
            Fate::Closed(_) => &["closed"],
        };
        if others != wanted {
            self.0.push(format!("events are {names:?}, not {wanted:?}"));
        }
        let updates = names.len() - others.len();
        let (least, most) = match &end.fate {
            Fate::Closed(closed) => closed.updates,
            Fate::Failed(_) => (0, 0),
        };
        if updates < least || updates > most {
            self.0.push(format!("{updates} updated events, not {least} to {most}"));
        }
        let late = matches!(&end.fate, Fate::Closed(closed) if closed.accepted_late);
        if !late && !story.events.is_sorted_by_key(|event| event.timestamp) {
            let times: Vec<u64> = story.events.iter().map(|event| event.timestamp).collect();
            self.0.push(format!("the events {names:?} are not in the order of time: {times:?}"));
        }
    }

    fn addresses(&mut self, end: &Expected, event: &Event) {
        self.same(event, "network.transport", "tcp");
        self.same(event, "network.type", if end.peer.is_ipv4() { "ipv4" } else { "ipv6" });
        self.same(event, "convis.network.namespace", end.network);
        self.address(event, "network.peer", end.peer);
        if let Some(local) = end.local {
            self.address(event, "network.local", local);
            self.same(event, "convis.flow.id", community_id(local, end.peer));
        }
        let unknown = matches!(&end.fate, Fate::Closed(closed) if closed.role_may_be_unknown);
        if unknown && event.try_get("convis.connection.role").is_none() {
            return;
        }
        self.same(event, "convis.connection.role", end.side.to_string());
        let (own, other) = match end.side {
            Side::Client => ("client", "server"),
            Side::Server => ("server", "client"),
        };
        self.address(event, other, end.peer);
        if let Some(local) = end.local {
            self.address(event, own, local);
        }
    }

    fn address(&mut self, event: &Event, prefix: &str, wanted: SocketAddr) {
        let found = address(event, prefix);
        if found != Some(wanted) {
            self.0.push(format!("{} {prefix} is {found:?}, not {wanted}", short(event)));
        }
    }

    fn owner(&mut self, end: &Expected, event: &Event, executable: &str) {
        let attribution = event.try_get("convis.process.attribution").and_then(Value::as_str);
        if !attribution.is_some_and(|found| end.attributions.contains(&found)) {
            let wanted = end.attributions;
            self.0.push(format!("{} attribution is {attribution:?}, not {wanted:?}", short(event)));
        }
        let may_be_unknown = end.attributions.contains(&"unknown");
        let owner = end.owner.filter(|_| !(may_be_unknown && attribution == Some("unknown")));
        self.same(event, "process.pid", owner.map(|owner| owner.pid));
        let own = owner.filter(|owner| owner.own_pid != owner.pid).map(|owner| owner.own_pid);
        self.same(event, "process.vpid", own);
        self.same(event, "process.executable.path", owner.map(|_| executable));
        self.same(event, "convis.connection.kernel_owned", end.kernel_owned.then_some(true));
    }

    fn failed(&mut self, event: &Event, error: &str) {
        self.same(event, "error.type", error);
        let (right, wanted) =
            if error == "cancelled" { (event.is_info(), "INFO") } else { (event.is_warning(), "WARN") };
        if !right {
            self.0.push(format!("severity is {}, not {wanted}", event.severity));
        }
    }

    fn opened(&mut self, event: &Event, side: Side, closed: &Closed) {
        if !event.is_info() {
            self.0.push(format!("severity is {}, not INFO", event.severity));
        }
        let key = "convis.tcp.handshake.duration";
        match (side, closed.handshake_at_most) {
            (Side::Client, most) => {
                self.within(event, key, closed.handshake_at_least..=most.unwrap_or(f64::MAX));
            }
            (Side::Server, _) => self.same(event, key, Value::Null),
        }
    }

    fn closed(&mut self, event: &Event, closed: &Closed, executable: &str) {
        if !event.is_info() {
            self.0.push(format!("severity is {}, not INFO", event.severity));
        }
        let reason = event.try_get("convis.close.reason").and_then(Value::as_str);
        let either = closed.subflow.is_some() && matches!(reason, Some("local_close" | "peer_close"));
        if !either {
            self.same(event, "convis.close.reason", closed.reason);
        }
        self.same(event, "convis.closing.process.pid", closed.closing_pid);
        let name = executable.rsplit('/').next().filter(|_| closed.closing_pid.is_some());
        self.same(event, "convis.closing.process.executable.name", name);
        self.same(event, "convis.connection.preexisting", closed.preexisting.then_some(true));
        self.same(event, "convis.connection.accepted", (!closed.accepted).then_some(false));
        if closed.preexisting {
            self.same(event, "convis.connection.duration", Value::Null);
        } else {
            self.within(event, "convis.connection.duration", 0.0..=3600.0);
        }
        self.bytes(event, closed);
        if let Some(quality) = &closed.quality {
            self.quality(event, quality);
        }
    }

    fn bytes(&mut self, event: &Event, closed: &Closed) {
        if let Some(again) = closed.subflow {
            self.bytes_of_subflow(event, closed, again);
            return;
        }
        if let Some(received) = closed.received {
            self.same(event, "convis.bytes.received", received);
        }
        if closed.all_sent {
            self.same(event, "convis.bytes.sent", closed.written);
            self.same(event, "convis.bytes.unacked", Value::Null);
            return;
        }
        let number = |key: &str| event.try_get(key).and_then(Value::as_u64);
        let unacked = number("convis.bytes.unacked");
        if unacked == Some(0) {
            self.0.push("convis.bytes.unacked is 0 instead of left out".to_owned());
        }
        match number("convis.bytes.sent") {
            Some(sent) if sent + unacked.unwrap_or(0) <= closed.written => {}
            sent => {
                self.0.push(format!("{sent:?} sent and {unacked:?} unacked of {} written", closed.written));
            }
        }
    }

    /// Each direction has at least what was written, and at most what MPTCP says that it sent again and one probe more: that
    /// both ends say the same is the law of [`transfer`].
    fn bytes_of_subflow(&mut self, event: &Event, closed: &Closed, [again, peers]: [u64; 2]) {
        const PROBE: u64 = 1;
        for (key, bytes, again) in
            [("sent", Some(closed.written), again), ("received", closed.received, peers)]
        {
            if let Some(bytes) = bytes {
                let most = bytes + again + PROBE;
                self.within(event, &format!("convis.bytes.{key}"), bytes as f64..=most as f64);
            }
        }
        self.same(event, "convis.bytes.unacked", Value::Null);
    }

    fn updates(&mut self, story: &Story<'_>, closed: &Event) {
        if !story.events.iter().any(|event| event.name == UPDATED) {
            return;
        }
        for direction in ["sent", "received"] {
            let key = format!("convis.bytes.{direction}");
            let delta = format!("{key}.delta");
            let number = |event: &Event, key: &str| event.try_get(key).and_then(Value::as_u64);
            let mut sum = 0;
            for event in &story.events {
                if event.name != UPDATED {
                    continue;
                }
                sum += number(event, &delta).unwrap_or(0);
                if number(event, &key) != Some(sum) {
                    self.0.push(format!(
                        "updated {key} is {:?} where the deltas sum to {sum}",
                        number(event, &key)
                    ));
                }
            }
            // What moved since the last of them is in the total alone.
            let total = number(closed, &key).unwrap_or(0);
            if number(closed, &delta).is_some() || sum > total {
                self.0.push(format!(
                    "the deltas of {key} sum to {sum}, the total is {total}, with no delta of its own"
                ));
            }
        }
    }

    fn quality(&mut self, event: &Event, quality: &Quality) {
        const MICROSECOND: f64 = 1e-6;
        const ROUNDING: f64 = MICROSECOND / 100.0;
        let rtt = quality.rtt as f64 * MICROSECOND;
        self.within(event, "convis.tcp.rtt", rtt - ROUNDING..=rtt + ROUNDING);
        self.same(event, "convis.tcp.retransmits", quality.retransmits);
        self.same(event, "convis.tcp.segments.sent", quality.segments_out);
        self.same(event, "convis.tcp.segments.received", quality.segments_in);
    }
}
