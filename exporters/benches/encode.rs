//! What encoding costs, bytes included: events as OTLP log records in protobuf and JSON, for New Relic and as JSON lines; metric
//! points as series of remote write. Batches of different sizes, of 8 Resources; the worst case of one attribute set each.
//! Divan's items per second say what an event or a point costs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use convis_exporters::Slice;
use convis_exporters::doors::{self, RemoteWrite};
use convis_exporters::model::{
    Attribution, CloseReason, Connection, Descriptor, Detail, Event, EventBatch, Instrument, Metric,
    MetricBatch, MetricResource, PeerNetwork, Point, PointValue, Resource, Role, Totals,
};
use convis_exporters::otlp::{encode_logs, encode_logs_json};
use divan::counter::ItemsCount;

const SIZES: [usize; 4] = [1, 64, 512, 4096];
const RESOURCES: u32 = 8;
/// Time of all events, nanoseconds since the Unix epoch.
const TIME: u64 = 1_795_000_000_000_000_000;

fn main() {
    divan::main();
}

#[divan::bench(args = SIZES)]
fn otlp_logs(bencher: divan::Bencher<'_, '_>, size: usize) {
    let slices = [Slice::whole(batch(size))];
    bencher.counter(ItemsCount::new(size)).bench(|| encode_logs(divan::black_box(&slices)));
}

#[divan::bench(args = SIZES)]
fn otlp_logs_json(bencher: divan::Bencher<'_, '_>, size: usize) {
    let slices = [Slice::whole(batch(size))];
    bencher.counter(ItemsCount::new(size)).bench(|| encode_logs_json(divan::black_box(&slices)));
}

#[divan::bench(args = SIZES)]
fn newrelic(bencher: divan::Bencher<'_, '_>, size: usize) {
    let slices = [Slice::whole(batch(size))];
    bencher.counter(ItemsCount::new(size)).bench(|| doors::newrelic(divan::black_box(&slices), TIME));
}

#[divan::bench(args = SIZES)]
fn json_lines(bencher: divan::Bencher<'_, '_>, size: usize) {
    let slices = [Slice::whole(batch(size))];
    bencher.counter(ItemsCount::new(size)).bench(|| doors::json_lines(divan::black_box(&slices)));
}

#[divan::bench(args = SIZES)]
fn remote_write_1(bencher: divan::Bencher<'_, '_>, size: usize) {
    remote_write(bencher, size, false);
}

#[divan::bench(args = SIZES)]
fn remote_write_2(bencher: divan::Bencher<'_, '_>, size: usize) {
    remote_write(bencher, size, true);
}

/// Series that go on, each collection later than the one before.
fn remote_write(bencher: divan::Bencher<'_, '_>, size: usize, v2: bool) {
    let mut writer = RemoteWrite::new();
    let mut time = TIME;
    bencher
        .counter(ItemsCount::new(size))
        .with_inputs(|| {
            time += 10_000_000_000;
            [Slice::whole(points(size, time))]
        })
        .bench_local_refs(|slices| writer.encode(slices, v2));
}

/// The part of the cost that the model has by itself.
#[divan::bench]
fn visit_only(bencher: divan::Bencher<'_, '_>) {
    let batch = batch(512);
    bencher.counter(ItemsCount::new(512_usize)).bench(|| {
        for event in &divan::black_box(&batch).events {
            event.visit(|key, value| {
                divan::black_box((key, value));
            });
        }
    });
}

/// Counters of so many series.
fn points(size: usize, time_unix_nanos: u64) -> Arc<MetricBatch> {
    static IO: Descriptor = Descriptor {
        name: "convis.tcp.connection.io",
        unit: "By",
        description: "TCP payload bytes.",
        instrument: Instrument::Counter,
    };
    let resource = |pid: u32| {
        let mine = (0..size).filter(|index| index % RESOURCES as usize == (pid - 1000) as usize);
        let points = mine.map(|index| Point {
            attributes: Arc::new(vec![
                ("convis.connection.role", "client".into()),
                ("convis.peer.network", "private".into()),
                ("network.io.direction", "transmit".into()),
                ("network.transport", "tcp".into()),
                ("network.type", "ipv4".into()),
                ("server.port", u16::try_from(index).unwrap_or_default().into()),
            ]),
            start_unix_nanos: TIME,
            value: PointValue::Sum(i64::try_from(index).unwrap_or_default()),
        });
        let metrics = vec![Metric { descriptor: &IO, points: points.collect() }];
        MetricResource { resource: Arc::new(resource(pid)), metrics }
    };
    let resources = (1000..1000 + RESOURCES).map(resource).filter(|of| !of.metrics[0].points.is_empty());
    Arc::new(MetricBatch { time_unix_nanos, resources: resources.collect() })
}

fn batch(size: usize) -> Arc<EventBatch> {
    let resources: Vec<_> = (0..RESOURCES).map(|pid| Arc::new(resource(1000 + pid))).collect();
    let events = (0..size).map(|index| event(index, &resources[index % resources.len()]));
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
        time_unix_nanos: TIME,
        observed_unix_nanos: TIME + 100_000,
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
