//! Records in any order, from the ring to what is sent.

use std::sync::Arc;
use std::time::Duration;

use convis::clock::Clock;
use convis::identity::process::Describer;
use convis::identity::users::Users;
use convis::identity::{Host, ProcessTable, Workloads};
use convis::metrics::{Aggregator, Limits, ResourceMode};
use convis::track::{Purpose, Tracker, Translator};
use convis_ebpf::record::Record;
use convis_ebpf::wire::{
    CgroupMade, CgroupRemoved, ClosedRecord, Conn, Exec, Exit, Fork, LiveHead, OpenedRecord, Owner, Totals,
    VERSION, kind,
};
use convis_exporters::Slice;
use convis_exporters::model::{Event, EventBatch, EventName};
use convis_exporters::otlp::encode_logs;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message as _;

const KINDS: u8 = kind::CGROUP_REMOVED + 1;
const _: () = assert!(KINDS as usize == kind::COUNT);

/// Records one after another, each as long as its kind is, of few connections and processes: no event without a record
/// that it is about, nothing left waiting, and every event is a log record.
pub fn tracker(bytes: &[u8]) {
    let clock = Clock::ahead(1_000_000);
    let mut tracker = new(clock);
    let mut told = [0_usize; kind::COUNT];
    let mut rest = bytes;
    let mut now_ns = 0_u64;
    while let [_, of, ..] = rest {
        let of = of % KINDS;
        let length = length(of);
        let mut record = rest[..rest.len().min(length)].to_vec();
        rest = &rest[record.len()..];
        record.resize(length, 0);
        (record[0], record[1]) = (VERSION, of);
        let Ok(record) = Record::parse(&record) else { panic!("kind {of} is {length} bytes") };
        told[usize::from(of)] += 1;
        now_ns = now_ns.saturating_add(100_000_000);
        let record = of_few(record);
        let is_live = matches!(record, Record::Live { .. });
        if is_live {
            tracker.begin_walk(Purpose { samples: true, updates: false });
        }
        tracker.apply(record, clock, now_ns);
        if is_live {
            let _doubts = tracker.end_walk();
        }
        tracker.settle(clock, now_ns);
    }
    tracker.release_unaccepted(clock, now_ns);
    tracker.settle_all(clock, now_ns);
    assert_eq!(tracker.waiting(), 0);
    let events = tracker.take_events();
    assert!(tracker.take_events().is_empty());
    let count = |name| events.iter().filter(|event| event.name() == name).count();
    assert!(count(EventName::Opened) <= told[usize::from(kind::OPENED)] + told[usize::from(kind::CLOSED)]);
    assert!(count(EventName::Closed) <= told[usize::from(kind::CLOSED)]);
    assert!(count(EventName::Failed) <= told[usize::from(kind::FAILED)]);
    assert_eq!(count(EventName::Updated), 0);
    encoded(events);
    let points = tracker.metrics.collect(now_ns).points();
    assert_eq!(tracker.metrics.collect(now_ns).points() > 0, points > 0);
}

fn new(clock: Clock) -> Tracker {
    let describer = Describer {
        host: Host { name: "fuzz".into(), ..Host::default() },
        users: Users::from_file("/nonexistent"),
        k8s_labels: false,
        clock,
    };
    let limits = Limits { resources: 8, cardinality: 8, series_ttl: Duration::from_mins(5) };
    Tracker::new(
        ProcessTable::new("/nonexistent"),
        Workloads::none(),
        Translator::none(),
        Aggregator::new(ResourceMode::Executable, limits, 1),
        describer,
        None,
    )
}

fn length(of: u8) -> usize {
    match of {
        kind::CLOSED | kind::FAILED => size_of::<ClosedRecord>(),
        kind::EXEC => size_of::<Exec>(),
        kind::FORK => size_of::<Fork>(),
        kind::EXIT => size_of::<Exit>(),
        kind::LIVE => size_of::<LiveHead>() + size_of::<Conn>() + size_of::<Totals>(),
        kind::CGROUP_MADE => size_of::<CgroupMade>(),
        kind::CGROUP_REMOVED => size_of::<CgroupRemoved>(),
        _ => size_of::<OpenedRecord>(),
    }
}

/// The same record about one of a few connections, processes and cgroups, so that records meet.
fn of_few(mut record: Record) -> Record {
    let few = |owner: &mut Owner| {
        owner.tgid %= 4;
        owner.exec_seq %= 2;
        owner.cgroup_id %= 4;
    };
    match &mut record {
        Record::Opened { conn, .. }
        | Record::Closed { conn, .. }
        | Record::Failed { conn, .. }
        | Record::ListenerClosed { conn }
        | Record::Listening { conn }
        | Record::Live { conn, .. } => {
            conn.id %= 4;
            conn.netns %= 2;
            few(&mut conn.owner);
        }
        Record::Exec(image) => few(&mut image.owner),
        Record::Fork { child, image, .. } => {
            few(child);
            few(image);
        }
        Record::Exit { owner, .. } => few(owner),
        Record::CgroupMade { id, .. } | Record::CgroupRemoved { id, .. } => *id %= 4,
    }
    record
}

fn encoded(events: Vec<Event>) {
    let count = events.len();
    let batch = Arc::new(EventBatch { events });
    let bytes = encode_logs(&[Slice::whole(batch)]);
    let request = ExportLogsServiceRequest::decode(&bytes[..]).expect("a request");
    let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
    assert_eq!(scopes.map(|scope| scope.log_records.len()).sum::<usize>(), count);
}
