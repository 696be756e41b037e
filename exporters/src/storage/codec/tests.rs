use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use convis_otel_config::policy::NetworkName;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::model::{Attribution, CloseReason, Closer, ConnectError, OwnedValue, PeerNetwork, Role, Totals};
use crate::testing::{assert_golden, samples};

/// Scenario: events of every form are written.
/// Guarantees: the bytes are those of this version: whoever changes them has to raise it.
#[test]
fn the_layout_belongs_to_the_version() {
    let mut text = format!("version {VERSION}\n");
    for line in encode(&samples::events().events).chunks(32) {
        let _infallible =
            writeln!(text, "{}", line.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")));
    }
    assert_golden("stored_events.txt", &text);
}

/// Scenario: many events of two processes.
/// Guarantees: each Resource is written once, and is shared again once read.
#[test]
fn resources_are_written_once() {
    let events = samples::many_events(1000);
    let bytes = encode(&events.events);
    let one = encode(&events.events[..1]).len();
    assert!(bytes.len() < one + 1000 * 60, "{} bytes", bytes.len());
    let decoded = decode(&bytes).unwrap();
    assert_eq!(decoded.events, events.events);
    assert!(Arc::ptr_eq(&decoded.events[0].resource, &decoded.events[999].resource));
}

/// Scenario: each bit of a record is turned, it is cut anywhere, something follows it, or it is of another version.
/// Guarantees: it is refused.
#[test]
fn what_is_damaged_is_refused() {
    let bytes = encode(&samples::events().events[..2]);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut turned = bytes.clone();
            turned[at] ^= 1 << bit;
            assert_eq!(decode(&turned).err(), Some(Unreadable), "bit {bit} of byte {at}");
        }
        assert!(decode(&bytes[..at]).is_err(), "{at} bytes");
    }
    assert!(decode(&[bytes.as_slice(), &[0]].concat()).is_err());
}

fn owned_value() -> impl Strategy<Value = OwnedValue> {
    prop_oneof![
        any::<String>().prop_map(OwnedValue::Str),
        any::<i64>().prop_map(OwnedValue::Int),
        any::<bool>().prop_map(OwnedValue::Bool),
        vec(any::<String>(), 0..3).prop_map(OwnedValue::List),
    ]
}

fn resource() -> impl Strategy<Value = Arc<Resource>> {
    let keys = ["process.pid", "service.name", "container.name", "k8s.pod.name", "host.name", "x.y"];
    vec((proptest::sample::select(keys.to_vec()), owned_value()), 0..6).prop_map(|attributes| {
        let builder = Resource::builder();
        Arc::new(
            attributes.into_iter().fold(builder, |builder, (key, value)| builder.with(key, value)).build(),
        )
    })
}

fn address() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
}

fn duration() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_nanos)
}

fn connection() -> impl Strategy<Value = Connection> {
    let role = proptest::sample::select(vec![None, Some(Role::Client), Some(Role::Server)]);
    let attributions =
        [Attribution::Kernel, Attribution::Procfs, Attribution::Inherited, Attribution::Unknown];
    let attribution = proptest::sample::select(attributions.to_vec());
    let flags = any::<(bool, bool, bool, bool)>();
    let networks =
        PeerNetwork::BUILT_IN.into_iter().chain(NetworkName::new("office").map(PeerNetwork::named));
    let said = (proptest::sample::select(networks.collect::<Vec<_>>()), any::<u32>());
    (any::<u64>(), role, address(), address(), any::<u32>(), attribution, flags, said).prop_map(
        |(id, role, local, peer, network_namespace, attribution, flags, said)| Connection {
            id,
            role,
            local,
            peer,
            peer_network: said.0,
            network_namespace,
            attribution,
            preexisting: flags.0,
            never_accepted: flags.1,
            kernel_owned: flags.2,
            unexpected: flags.3,
            sampling_weight: said.1,
        },
    )
}

fn totals() -> impl Strategy<Value = Totals> {
    let bytes = any::<(u64, u64, u64)>();
    (bytes, any::<(u32, u32, u32)>(), option::of(duration())).prop_map(|(bytes, segments, rtt)| Totals {
        bytes_sent: bytes.0,
        bytes_received: bytes.1,
        bytes_unacked: bytes.2,
        segments_sent: segments.0,
        segments_received: segments.1,
        retransmits: segments.2,
        rtt,
    })
}

fn detail() -> impl Strategy<Value = Detail> {
    let reasons = [
        CloseReason::LocalClose,
        CloseReason::PeerClose,
        CloseReason::LocalReset,
        CloseReason::PeerReset,
        CloseReason::Timeout,
        CloseReason::Unknown,
    ];
    let errors = [
        ConnectError::Refused,
        ConnectError::Reset,
        ConnectError::TimedOut,
        ConnectError::HostUnreachable,
        ConnectError::NetUnreachable,
        ConnectError::AddressNotAvailable,
        ConnectError::PermissionDenied,
        ConnectError::Cancelled,
        ConnectError::Other,
    ];
    let other = any::<(u32, Option<String>)>().prop_map(|(pid, name)| Box::new(Closer { pid, name }));
    let ended =
        (totals(), option::of(duration()), proptest::sample::select(reasons.to_vec()), option::of(other));
    let updated = (totals(), option::of(duration()), any::<(u64, u64)>());
    prop_oneof![
        option::of(duration()).prop_map(|handshake| Detail::Opened { handshake }),
        updated.prop_map(|(totals, duration, (sent_delta, received_delta))| Detail::Updated {
            totals,
            duration,
            sent_delta,
            received_delta,
        }),
        ended.prop_map(|(totals, duration, reason, closer)| Detail::Closed {
            totals,
            duration,
            reason,
            closer
        }),
        (proptest::sample::select(errors.to_vec()), duration())
            .prop_map(|(error, duration)| Detail::Failed { error, duration }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let peer = option::of(resource().prop_map(|resource| Arc::new(Peer::of(&resource))));
    (resource(), any::<(u64, u64)>(), connection(), peer, option::of(address()), detail()).prop_map(
        |(resource, times, connection, peer, nat_peer, detail)| Event {
            resource,
            time_unix_nanos: times.0,
            observed_unix_nanos: times.1,
            connection,
            peer,
            nat_peer,
            detail,
        },
    )
}

proptest! {
    /// Scenario: any events, some of which share a Resource.
    /// Guarantees: what is read is what was written, field by field.
    #[test]
    fn any_event_comes_back(events in vec(event(), 0..8), shares in any::<bool>()) {
        let mut events = events;
        if let (true, Some(first)) = (shares, events.first().cloned()) {
            for event in &mut events {
                event.resource = Arc::clone(&first.resource);
            }
        }
        let decoded = decode(&encode(&events)).unwrap();
        prop_assert_eq!(decoded.events, events);
    }

    /// Scenario: any bytes, also with the right checksum.
    /// Guarantees: no panic.
    #[test]
    fn any_bytes_are_safe(body in vec(any::<u8>(), 0..200)) {
        let _refused = decode(&body);
        let checksum = checksum(&body).to_le_bytes();
        let _maybe = decode(&[&[VERSION][..], &checksum, &body].concat());
    }
}
