//! Events and metrics with every kind of value.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Attribution, CloseReason, Closer, ConnectError, Connection, Descriptor, Detail, Event, EventBatch,
    Histogram, Instrument, Metric, MetricBatch, MetricResource, OwnedValue, Peer, PeerNetwork, Point,
    PointValue, Resource, Role, Totals,
};

/// Number of [`events`].
pub(crate) const EVENTS: u64 = 8;
/// 2026-11-24T10:00:00.123456789Z
pub(crate) const TIME: u64 = 1_795_514_400_123_456_789;

pub(crate) fn process(name: &str, pid: u32) -> Arc<Resource> {
    let resource = Resource::builder()
        .with("host.name", "node-1")
        .with("process.executable.name", name)
        .with("process.pid", pid)
        .with("service.name", name);
    Arc::new(resource.build())
}

pub(crate) fn host() -> Arc<Resource> {
    Arc::new(Resource::builder().with("host.name", "node-1").with("service.name", "host").build())
}

pub(crate) fn in_pod(name: &str, pid: u32) -> Arc<Resource> {
    let resource = Resource::builder()
        .with("container.id", "a0c9f1e2".repeat(8))
        .with("container.image.tags", vec!["1.27".to_owned(), "latest".to_owned()])
        .with("k8s.namespace.name", "shop")
        .with("k8s.pod.name", "web-0")
        .with("process.executable.name", name)
        .with("process.pid", pid);
    Arc::new(resource.build())
}

pub(crate) fn event(resource: &Arc<Resource>, role: Option<Role>, ends: [&str; 2], detail: Detail) -> Event {
    let [local, peer] = ends.map(|end| end.parse::<SocketAddr>().unwrap());
    Event {
        resource: Arc::clone(resource),
        time_unix_nanos: TIME,
        observed_unix_nanos: TIME + 1000,
        connection: Connection {
            id: 0x0123_4567_89ab_cdef,
            role,
            local,
            peer,
            peer_network: PeerNetwork::of(peer.ip()),
            network_namespace: 4_026_531_840,
            attribution: Attribution::Kernel,
            preexisting: role.is_none(),
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

pub(crate) fn closed(bytes_sent: u64, bytes_received: u64) -> Detail {
    Detail::Closed {
        totals: Totals {
            bytes_sent,
            bytes_received,
            bytes_unacked: 3,
            segments_sent: 12,
            segments_received: 34,
            retransmits: 1,
            rtt: Some(Duration::from_micros(380)),
        },
        duration: Some(Duration::from_micros(12_345)),
        reason: CloseReason::PeerClose,
        closer: None,
    }
}

/// Totals so far are those of [`closed`] with these bytes; the last event was at nothing sent and 40 received.
pub(crate) fn updated(bytes_sent: u64, bytes_received: u64) -> Detail {
    let Detail::Closed { totals, .. } = closed(bytes_sent, bytes_received) else {
        unreachable!("a closed event is one");
    };
    Detail::Updated {
        totals,
        duration: Some(Duration::from_mins(1)),
        sent_delta: bytes_sent,
        received_delta: bytes_received - 40,
    }
}

/// A client, a server in a pod, a failure over IPv6 and an end of unknown beginning; one that is still open, one that
/// another process closed, one of the kernel, and one whose peer is behind a translated address. Those of one Resource are not in a row.
pub(crate) fn events() -> Arc<EventBatch> {
    let curl = process("curl", 4711);
    let nginx = in_pod("nginx", 812);
    let out = ["10.0.0.2:53412", "93.184.216.34:443"];
    let opened = Detail::Opened { handshake: Some(Duration::from_micros(412)) };
    let refused = Detail::Failed { error: ConnectError::Refused, duration: Duration::from_millis(2) };
    let unknown = Detail::Closed {
        totals: Totals::default(),
        duration: None,
        reason: CloseReason::Unknown,
        closer: None,
    };
    let mut handed_on = closed(7, 8);
    if let Detail::Closed { closer, .. } = &mut handed_on {
        *closer = Some(Box::new(Closer { pid: 99, name: Some("sh".to_owned()) }));
    }
    let mut in_kernel =
        event(&host(), Some(Role::Client), ["10.0.0.2:988", "10.0.0.9:2049"], updated(10, 50));
    in_kernel.connection.kernel_owned = true;
    in_kernel.connection.attribution = Attribution::Unknown;
    let mut translated = event(
        &curl,
        Some(Role::Client),
        ["10.0.0.2:53414", "10.96.0.1:80"],
        Detail::Opened { handshake: None },
    );
    translated.peer = Some(Arc::new(Peer::of(&nginx)));
    translated.nat_peer = Some(([10, 0, 0, 7], 8080).into());
    let events = vec![
        event(&curl, Some(Role::Client), out, opened),
        event(&nginx, Some(Role::Server), ["10.0.0.2:443", "10.0.0.7:51234"], closed(1_200_000, 340)),
        event(
            &curl,
            Some(Role::Client),
            ["[2001:db8::1]:40000", "[2001:db8:85a3:1:2:8a2e:370:7334]:65535"],
            refused,
        ),
        event(&nginx, None, ["127.0.0.1:9000", "127.0.0.1:40001"], unknown),
        event(&nginx, Some(Role::Server), ["10.0.0.2:443", "10.0.0.7:51235"], updated(1_200_000, 340)),
        event(&curl, Some(Role::Client), out, handed_on),
        in_kernel,
        translated,
    ];
    Arc::new(EventBatch { events })
}

/// Any number of small events of one process.
pub(crate) fn many_events(count: usize) -> Arc<EventBatch> {
    let resource = process("curl", 4711);
    let ends = ["10.0.0.2:53412", "93.184.216.34:443"];
    let event = event(&resource, Some(Role::Client), ends, Detail::Opened { handshake: None });
    Arc::new(EventBatch { events: vec![event; count] })
}

pub(crate) static IO: Descriptor = Descriptor {
    name: "convis.tcp.connection.io",
    unit: "By",
    description: "Payload bytes.",
    instrument: Instrument::Counter,
};
pub(crate) static ACTIVE: Descriptor = Descriptor {
    name: "convis.tcp.connection.active",
    unit: "{connection}",
    description: "Open connections.",
    instrument: Instrument::UpDownCounter,
};
pub(crate) static DURATION: Descriptor = Descriptor {
    name: "convis.tcp.connection.duration",
    unit: "s",
    description: "Duration of connections.",
    instrument: Instrument::Histogram { bounds: &[0.1, 1.0] },
};

pub(crate) fn point(direction: &str, start: u64, value: PointValue) -> Point {
    let attributes = vec![
        ("network.io.direction", OwnedValue::from(direction)),
        ("server.port", OwnedValue::from(443_u16)),
    ];
    Point { attributes: Arc::new(attributes), start_unix_nanos: start, value }
}

pub(crate) fn histogram(buckets: [u64; 3], sum: f64) -> PointValue {
    PointValue::Histogram(Histogram {
        count: buckets.iter().sum(),
        sum,
        min: 0.05,
        max: 2.0,
        buckets: buckets.to_vec(),
        exponential: None,
    })
}

/// One histogram with exponential buckets too, and the end of another series of it.
pub(crate) fn exponential(measured: &[f64]) -> Arc<MetricBatch> {
    exponential_at(measured, TIME)
}

/// As [`exponential`], read at this time.
pub(crate) fn exponential_at(measured: &[f64], time_unix_nanos: u64) -> Arc<MetricBatch> {
    let Instrument::Histogram { bounds } = DURATION.instrument else {
        unreachable!("durations are a histogram");
    };
    let mut histogram = Histogram::new(bounds, true);
    for measured in measured {
        histogram.record(bounds, *measured);
    }
    let start = TIME - 10_000_000_000;
    let points = vec![
        point("transmit", start, PointValue::Histogram(histogram)),
        point("receive", start, PointValue::NoRecordedValue),
    ];
    let metrics = vec![Metric { descriptor: &DURATION, points }];
    let resource = process("curl", 4711);
    Arc::new(MetricBatch { time_unix_nanos, resources: vec![MetricResource { resource, metrics }] })
}

/// Six points of two Resources: sums, a histogram, and the end of a series of each kind.
pub(crate) fn metrics() -> Arc<MetricBatch> {
    let start = TIME - 10_000_000_000;
    let web = vec![
        Metric {
            descriptor: &IO,
            points: vec![
                point("transmit", start, PointValue::Sum(1_200_000)),
                point("receive", start, PointValue::NoRecordedValue),
            ],
        },
        Metric { descriptor: &ACTIVE, points: vec![point("transmit", start, PointValue::Sum(0))] },
        Metric {
            descriptor: &DURATION,
            points: vec![
                point("transmit", start, histogram([1, 2, 3], 6.5)),
                point("receive", start, PointValue::NoRecordedValue),
            ],
        },
    ];
    let db = vec![Metric { descriptor: &IO, points: vec![point("receive", start, PointValue::Sum(7))] }];
    Arc::new(MetricBatch {
        time_unix_nanos: TIME,
        resources: vec![
            MetricResource { resource: in_pod("nginx", 812), metrics: web },
            MetricResource { resource: process("postgres", 99), metrics: db },
        ],
    })
}

/// Batches of so many events each, numbered in `time_unix_nanos` from [`TIME`] on in milliseconds; their Resources have names of these
/// lengths, in turn.
pub(crate) fn numbered_events(sizes: &[usize], names: &[usize]) -> Vec<Arc<EventBatch>> {
    let resources: Vec<_> =
        names.iter().zip(1..).map(|(length, pid)| process(&"n".repeat(*length), pid)).collect();
    let mut number = 0;
    let batch = |size: &usize| {
        let mut batch = EventBatch::clone(&many_events(*size));
        for event in &mut batch.events {
            event.time_unix_nanos = TIME + number * 1_000_000;
            event.resource = Arc::clone(&resources[usize::try_from(number).unwrap() % resources.len()]);
            number += 1;
        }
        Arc::new(batch)
    };
    sizes.iter().map(batch).collect()
}

/// A batch of numbered sums, each a series of its own, of Resources with so many each.
pub(crate) fn numbered_sums(sizes: &[usize]) -> Arc<MetricBatch> {
    let mut number = 0;
    let resources = sizes.iter().zip(1..).map(|(size, pid)| {
        let points = (0..*size).map(|_| {
            let mut point = point("transmit", TIME - 10_000_000_000, PointValue::Sum(number));
            Arc::make_mut(&mut point.attributes).push(("z.series", number.into()));
            number += 1;
            point
        });
        let metrics = vec![Metric { descriptor: &IO, points: points.collect() }];
        MetricResource { resource: process("curl", pid), metrics }
    });
    Arc::new(MetricBatch { time_unix_nanos: TIME, resources: resources.collect() })
}
