//! A busy host: services that talk to each other, to other hosts, and short-lived processes that connect once.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;

use convis::cli::{self, Asked, Run};
use convis::identity::Seen;
use convis::outside::Question;
use convis::recording::Player;
use convis::run::Rehearsal;
use convis_ebpf::wire::{AF_INET, Conn, Owner, Totals, flag, kind, role};

use crate::scenes::{Scene, answer, exec, exit, fork, v4, with_conn, with_totals};

const SERVICES: u32 = 8;
/// Connections that begin between two drains.
const PER_DRAIN: u64 = 256;
const TICK_NS: u64 = 10_000_000;

thread_local!(static PIDS: Cell<u32> = const { Cell::new(5_000) });

/// A recording of so many connections, most of them with both ends on the host: at least two events for each end.
pub(crate) fn busy(connections: u64) -> Vec<u8> {
    let processes = (0..SERVICES).map(|service| Seen {
        pid: 1000 + service,
        vpid: None,
        parent_pid: 1,
        start_ticks: 500,
        name: format!("service{service}"),
        path: Some(format!("/usr/local/bin/service{service}")),
        command: Some(format!("service{service}")),
    });
    let answers = [
        answer(Question::User(0), &Some("root")),
        answer(Question::User(33), &Some("www-data")),
        answer(Question::Cgroup(1), &Some("/system.slice/app.service")),
        answer(Question::Cgroup(2), &Some("/user.slice")),
    ];
    let mut scene = Scene::new(processes.collect(), &answers);
    PIDS.set(5_000);
    let mut number = 0;
    while number < connections {
        let (mut records, now) = (Vec::new(), scene.now_ns);
        let last = connections.min(number + PER_DRAIN);
        for number in number..last {
            connection(number, now + number % PER_DRAIN * 1_000, &mut records);
        }
        number = last;
        scene.drain(&records);
        if number.is_multiple_of(20 * PER_DRAIN) {
            scene.walk(true, false, &[]);
            scene.metrics();
        }
    }
    // What waits for other ends is let go.
    for _ in 0..8 {
        scene.drain(&[]);
    }
    scene.finish()
}

/// The life of one connection: one of four is to another host, one of sixteen is made by a process of its own, one of
/// thirty-two fails.
fn connection(number: u64, at_ns: u64, records: &mut Vec<Vec<u8>>) {
    let service = u32::try_from(number).unwrap_or_default() % SERVICES;
    let is_local = !number.is_multiple_of(4);
    let once = number % 16 == 1;
    let mut client = owner(1000 + service, 500 * TICK_NS, 1);
    if once {
        let parent = client;
        PIDS.set(PIDS.get() + 1);
        client = owner(PIDS.get(), at_ns - at_ns % TICK_NS, 2);
        records.push(fork(at_ns, &Owner { vpid: client.tgid, ..client }, &parent));
        client.exec_seq = 2;
        records.push(exec(at_ns + 10, &client, parent.tgid, "/usr/bin/curl", "curl"));
    }
    let port = 20_000 + u16::try_from(number % 40_000).unwrap_or_default();
    let (here, other) = (v4([10, 0, 0, 1]), v4([93, 184, 216, 34]));
    let conn = Conn {
        id: 2 * number + 2,
        start_ns: at_ns + 20,
        established_ns: at_ns + 400,
        owner: client,
        local: here,
        peer: if is_local { here } else { other },
        local_port_be: port.to_be(),
        peer_port_be: (8000 + u16::try_from((service + 1) % SERVICES).unwrap_or_default()).to_be(),
        netns: 4_026_531_840,
        family: AF_INET,
        flags: 0,
        role: role::CLIENT,
        reserved: [0; 3],
        closer: 0,
        transition: 0,
    };
    if number % 32 == 5 {
        records.push(with_totals(
            kind::FAILED,
            at_ns + 500,
            &conn,
            &Totals { old_state: 2, sk_err: 111, ..totals() },
        ));
        return;
    }
    let server = Conn {
        id: 2 * number + 3,
        owner: owner(1000 + (service + 1) % SERVICES, 500 * TICK_NS, 1),
        local: conn.peer,
        peer: conn.local,
        local_port_be: conn.peer_port_be,
        peer_port_be: conn.local_port_be,
        role: role::SERVER,
        flags: flag::ACCEPTED,
        ..conn
    };
    records.push(with_conn(kind::OPENED, at_ns + 400, &conn));
    if is_local {
        records.push(with_conn(kind::OPENED, at_ns + 420, &server));
    }
    records.push(with_totals(kind::CLOSED, at_ns + 900, &conn, &totals()));
    if is_local {
        records.push(with_totals(kind::CLOSED, at_ns + 950, &server, &Totals { old_state: 8, ..totals() }));
    }
    if once {
        records.push(exit(at_ns + 960, &client));
    }
}

fn owner(pid: u32, start_ns: u64, cgroup_id: u64) -> Owner {
    Owner { tgid: pid, exec_seq: 1, start_ns, cgroup_id, uid: if cgroup_id == 1 { 33 } else { 0 }, vpid: 0 }
}

fn totals() -> Totals {
    Totals {
        bytes_acked: 1002,
        bytes_received: 2001,
        bytes_sent: 0,
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

/// What no option changes.
pub(crate) fn options() -> Run {
    let Ok(Asked::Run(options)) = cli::parse(["convis".into()]) else { panic!("no options") };
    *options
}

/// Goes through the recording; how many events there were.
pub(crate) fn replay(recording: &Arc<[u8]>, options: &Run) -> usize {
    let mut rehearsal = Rehearsal::new(Player::of_bytes(Arc::clone(recording)).unwrap(), options).unwrap();
    let mut events = 0;
    while let Some(outcome) = rehearsal.step().unwrap() {
        events += black_box(outcome).events.len();
    }
    events
}
