//! What one record costs user space, from the ring's bytes to an event ready to be queued.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends")]

use std::time::Duration;

use convis::clock::Clock;
use convis::identity::process::Describer;
use convis::identity::users::Users;
use convis::identity::{Host, ProcessTable, Workloads};
use convis::metrics::{Aggregator, Limits, ResourceMode};
use convis::track::{Purpose, Tracker, Translator};
use convis_ebpf::record::{Image, Record};
use convis_ebpf::wire::{AF_INET, ClosedRecord, Conn, Owner, Totals, VERSION, kind, role};
use divan::counter::ItemsCount;

const CONNECTIONS: u64 = 512;
const PROCESSES: u32 = 8;

fn main() {
    divan::main();
}

fn owner(process: u32) -> Owner {
    Owner { tgid: 1000 + process, exec_seq: 1, start_ns: 70_000_000, cgroup_id: 1, uid: 0, vpid: 0 }
}

fn tracker() -> Tracker {
    let clock = Clock::ahead(1_000_000);
    let describer = Describer {
        host: Host { name: "bench".into(), ..Host::default() },
        users: Users::from_file("/nonexistent"),
        k8s_labels: false,
        clock,
    };
    let limits = Limits { resources: 10_000, cardinality: 2000, series_ttl: Duration::from_mins(5) };
    let metrics = Aggregator::new(ResourceMode::Executable, limits, 1);
    let mut tracker = Tracker::new(
        ProcessTable::new("/nonexistent"),
        Workloads::none(),
        Translator::none(),
        metrics,
        describer,
        None,
    );
    for process in 0..PROCESSES {
        let image = Image {
            owner: owner(process),
            parent_tgid: 1,
            name: format!("app{process}"),
            path: Some(format!("/usr/bin/app{process}")),
            command: None,
        };
        tracker.apply(Record::Exec(Box::new(image)), clock, 0);
    }
    tracker
}

/// Opened and closed records of connections of a few processes.
fn records(conn: fn(u64) -> Conn) -> Vec<Record> {
    let opened = (0..CONNECTIONS).map(|id| Record::Opened { time_ns: 2_000, conn: conn(id) });
    let closed =
        (0..CONNECTIONS).map(|id| Record::Closed { time_ns: 9_000, conn: conn(id), totals: totals() });
    opened.chain(closed).collect()
}

/// One end of a connection whose other end is on this host as well.
fn local(id: u64) -> Conn {
    let [client, server] = [[10, 0, 0, 1], [10, 0, 0, 2]]
        .map(|[a, b, c, d]: [u8; 4]| [u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]), 0]);
    let ports = (10_000 + u16::try_from(id / 2).unwrap(), 443);
    let is_client = id.is_multiple_of(2);
    let (local, peer) = if is_client { (client, server) } else { (server, client) };
    let (local_port, peer_port) = if is_client { ports } else { (ports.1, ports.0) };
    let role = if is_client { role::CLIENT } else { role::SERVER };
    let (local_port_be, peer_port_be) = (local_port.to_be(), peer_port.to_be());
    Conn { local, peer, local_port_be, peer_port_be, role, ..conn(id) }
}

fn conn(id: u64) -> Conn {
    Conn {
        id,
        start_ns: 1_000,
        established_ns: 2_000,
        owner: owner(u32::try_from(id).unwrap() % PROCESSES),
        local: [u64::from_ne_bytes([10, 0, 0, 1, 0, 0, 0, 0]), 0],
        peer: [u64::from_ne_bytes([93, 184, 216, 34, 0, 0, 0, 0]), 0],
        local_port_be: (10_000 + u16::try_from(id).unwrap()).to_be(),
        peer_port_be: 443_u16.to_be(),
        netns: 1,
        family: AF_INET,
        flags: 0,
        role: role::CLIENT,
        reserved: [0; 3],
        closer: 0,
        transition: 0,
    }
}

fn totals() -> Totals {
    Totals {
        bytes_acked: 1002,
        bytes_received: 2001,
        bytes_sent: 1000,
        bytes_retrans: 0,
        snd_una: 5,
        snd_nxt: 5,
        write_seq: 5,
        segs_in: 3,
        segs_out: 4,
        total_retrans: 0,
        srtt_us_8: 800,
        sk_err: 0,
        sk_flags: 2,
        old_state: 5,
        shutdown: 0,
        reserved: [0; 2],
    }
}

/// The figures in the middle of a life.
fn living() -> Totals {
    Totals { old_state: 1, ..totals() }
}

/// Identity, metrics and the event of each record, with the peer on another host or on this one.
#[divan::bench(args = ["peer elsewhere", "peer here"])]
fn apply(bencher: divan::Bencher<'_, '_>, peer: &str) {
    let clock = Clock::ahead(1_000_000);
    let setup = || (tracker(), records(if peer == "peer here" { local } else { conn }));
    bencher.counter(ItemsCount::new(2 * CONNECTIONS)).with_inputs(setup).bench_values(
        |(mut tracker, records)| {
            for record in records {
                tracker.apply(record, clock, 0);
            }
            tracker.settle(clock, 0);
            let events = tracker.take_events();
            (tracker, events)
        },
    );
}

/// A walk over living connections, all of which moved.
#[divan::bench]
fn walk(bencher: divan::Bencher<'_, '_>) {
    let clock = Clock::ahead(1_000_000);
    let setup = || {
        let mut tracker = tracker();
        for id in 0..CONNECTIONS {
            tracker.apply(Record::Opened { time_ns: 2_000, conn: conn(id) }, clock, 0);
        }
        let live = |id| Record::Live { time_ns: 9_000, key: id, conn: conn(id), totals: living() };
        (tracker, (0..CONNECTIONS).map(live).collect::<Vec<_>>())
    };
    bencher.counter(ItemsCount::new(CONNECTIONS)).with_inputs(setup).bench_values(
        |(mut tracker, records)| {
            tracker.begin_walk(Purpose { samples: true, updates: false });
            for record in records {
                tracker.apply(record, clock, 0);
            }
            let doubts = tracker.end_walk();
            (tracker, doubts)
        },
    );
}

/// A closed record from its bytes.
#[divan::bench]
fn parse(bencher: divan::Bencher<'_, '_>) {
    let mut bytes = [0; size_of::<ClosedRecord>()];
    (bytes[0], bytes[1]) = (VERSION, kind::CLOSED);
    bencher.bench(|| Record::parse(divan::black_box(&bytes)));
}
