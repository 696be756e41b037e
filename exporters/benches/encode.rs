//! Encoding events as OTLP log records, in protobuf and in JSON, bytes included: 512 events of 8 Resources, the worst case of one
//! attribute set each. Divide by 512 for the cost of an event.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use convis_exporters::Slice;
use convis_exporters::model::{
    Attribution, CloseReason, Connection, Detail, Event, EventBatch, PeerNetwork, Resource, Role, Totals,
};
use convis_exporters::otlp::{encode_logs, encode_logs_json};
use divan::counter::ItemsCount;

const EVENTS: usize = 512;
const RESOURCES: u32 = 8;

fn main() {
    divan::main();
}

#[divan::bench]
fn otlp_logs(bencher: divan::Bencher<'_, '_>) {
    let slices = [Slice::whole(batch())];
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| encode_logs(divan::black_box(&slices)));
}

#[divan::bench]
fn otlp_logs_json(bencher: divan::Bencher<'_, '_>) {
    let slices = [Slice::whole(batch())];
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| encode_logs_json(divan::black_box(&slices)));
}

/// The part of the cost that the model has by itself.
#[divan::bench]
fn visit_only(bencher: divan::Bencher<'_, '_>) {
    let batch = batch();
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| {
        for event in &divan::black_box(&batch).events {
            event.visit(|key, value| {
                divan::black_box((key, value));
            });
        }
    });
}

fn batch() -> Arc<EventBatch> {
    let resources: Vec<_> = (0..RESOURCES).map(|pid| Arc::new(resource(1000 + pid))).collect();
    let events = (0..EVENTS).map(|index| event(index, &resources[index % resources.len()]));
    Arc::new(EventBatch { events: events.collect() })
}

fn resource(pid: u32) -> Resource {
    Resource::builder()
        .with("host.name", "node-1.example.com")
        .with("host.id", "fdbf79e8af94cb7f9e8df36789187052")
        .with("host.arch", "amd64")
        .with("os.type", "linux")
        .with("process.pid", pid)
        .with("process.parent_pid", 1_u32)
        .with("process.creation.time", "2026-11-24T08:41:03.120Z")
        .with("process.executable.name", "nginx")
        .with("process.executable.path", "/usr/sbin/nginx")
        .with("process.command", "nginx")
        .with("process.owner", "www-data")
        .with("container.id", "a0c9f1e2".repeat(8))
        .with("container.name", "web")
        .with("service.name", "web")
        .with("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09")
        .build()
}

fn event(index: usize, resource: &Arc<Resource>) -> Event {
    let port = 1024 + u16::try_from(index).unwrap_or_default();
    let local: SocketAddr = ([10, 1, 2, 3], port).into();
    let peer: SocketAddr = ([93, 184, 216, 34], 443).into();
    let detail = if index.is_multiple_of(2) {
        Detail::Opened { handshake: Some(Duration::from_micros(412)) }
    } else {
        Detail::Closed {
            totals: Totals {
                bytes_sent: 1_234,
                bytes_received: 56_789,
                segments_sent: 12,
                segments_received: 44,
                rtt: Some(Duration::from_micros(380)),
                ..Totals::default()
            },
            duration: Some(Duration::from_millis(120)),
            reason: CloseReason::PeerClose,
            closer: None,
        }
    };
    Event {
        resource: Arc::clone(resource),
        time_unix_nanos: 1_795_000_000_000_000_000,
        observed_unix_nanos: 1_795_000_000_000_100_000,
        connection: Connection {
            id: 0x1234_5678_9abc_def0 + index as u64,
            role: Some(Role::Client),
            local,
            peer,
            peer_network: PeerNetwork::of(peer.ip()),
            network_namespace: 4_026_531_840,
            attribution: Attribution::Kernel,
            preexisting: false,
            never_accepted: false,
            kernel_owned: false,
            unexpected: false,
            sampling_weight: 1,
        },
        peer: None,
        nat_peer: None,
        detail,
    }
}
