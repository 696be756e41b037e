//! A small host for the demonstration: a web server in a container, its database, a browser of the shell, and what goes wrong.

use convis::container::{Compose, Details, Runtime};
use convis::identity::Seen;
use convis::outside::{Question, Told};
use convis_ebpf::wire::{AF_INET, Conn, Owner, Totals, flag, kind, role};

use crate::scenes::{Scene, answer, exec, exit, fork, v4, with_conn, with_totals};

const MILLISECOND_NS: u64 = 1_000_000;
const TICK_NS: u64 = 10_000_000;
const WEB: &str = "1f4d7c2b9e6a05381f4d7c2b9e6a05381f4d7c2b9e6a05381f4d7c2b9e6a0538";
const DB: &str = "8b2e5a90c7d3f1468b2e5a90c7d3f1468b2e5a90c7d3f1468b2e5a90c7d3f146";
const HERE: [u8; 4] = [10, 0, 0, 5];
const WEB_ADDRESS: [u8; 4] = [172, 17, 0, 2];
const DB_ADDRESS: [u8; 4] = [172, 17, 0, 3];
const ELSEWHERE: [u8; 4] = [203, 0, 113, 80];

/// Cgroups: the host's shell, the containers.
const SHELL_GROUP: u64 = 100;
const WEB_GROUP: u64 = 200;
const DB_GROUP: u64 = 300;

/// The recording of the demonstration.
pub(crate) fn demo() -> Vec<u8> {
    let processes = [
        (700, "bash", "/usr/bin/bash"),
        (812, "nginx", "/usr/sbin/nginx"),
        (640, "postgres", "/usr/lib/postgresql/15/bin/postgres"),
    ];
    let seen = processes.map(|(pid, name, path)| Seen {
        pid,
        vpid: None,
        parent_pid: 1,
        start_ticks: 1000 + u64::from(pid),
        name: name.to_owned(),
        path: Some(path.to_owned()),
        command: Some(name.to_owned()),
    });
    let answers = [
        answer(Question::User(0), &Some("root")),
        answer(Question::User(1000), &Some("ada")),
        answer(Question::User(33), &Some("www-data")),
        answer(Question::User(999), &Some("postgres")),
        answer(Question::Cgroup(SHELL_GROUP), &Some("/user.slice/user-1000.slice/session-2.scope")),
        answer(Question::Cgroup(WEB_GROUP), &Some(format!("/system.slice/docker-{WEB}.scope"))),
        answer(Question::Cgroup(DB_GROUP), &Some(format!("/system.slice/docker-{DB}.scope"))),
        answer(Question::Container(WEB), &container("shop-web-1", "web", "nginx")),
        answer(Question::Container(DB), &container("shop-db-1", "db", "postgres")),
    ];
    let mut scene = Scene::new(seen.to_vec(), &answers);
    browse(&mut scene);
    query(&mut scene);
    fail(&mut scene);
    long(&mut scene);
    for _ in 0..8 {
        scene.drain(&[]);
    }
    scene.walk(true, false, &[]);
    scene.metrics();
    scene.finish()
}

/// curl of the shell asks the web server, and another one a host elsewhere, which resets it.
fn browse(scene: &mut Scene) {
    let now = scene.now_ns;
    let (curl, records) = started(now, 4711, "/usr/bin/curl", "curl");
    let ends = pair(10, now + 2 * MILLISECOND_NS, [(&curl, HERE, 41_000), (&nginx(), WEB_ADDRESS, 80)]);
    scene.drain(&[records, opened(&ends)].concat());
    let end = scene.now_ns + 3 * MILLISECOND_NS;
    let records = [closed(&ends, end, [84, 15_274]), vec![exit(end + MILLISECOND_NS, &curl)]].concat();
    scene.drain(&records);

    let now = scene.now_ns;
    let (curl, mut records) = started(now, 4712, "/usr/bin/curl", "curl");
    let [client, _] = pair(20, now + 2 * MILLISECOND_NS, [(&curl, HERE, 41_002), (&nginx(), ELSEWHERE, 443)]);
    records.push(with_conn(kind::OPENED, client.established_ns, &client));
    let reset = Totals { sk_err: 104, old_state: 1, ..totals(517, 0) };
    records.push(with_totals(kind::CLOSED, now + 30 * MILLISECOND_NS, &client, &reset));
    records.push(exit(now + 31 * MILLISECOND_NS, &curl));
    scene.drain(&records);
}

/// The web server asks its database.
fn query(scene: &mut Scene) {
    for number in 0..3 {
        let now = scene.now_ns + MILLISECOND_NS;
        let port = 52_000 + u16::try_from(number).unwrap_or_default();
        let ends =
            pair(30 + 10 * number, now, [(&nginx(), WEB_ADDRESS, port), (&postgres(), DB_ADDRESS, 5432)]);
        let records = [opened(&ends), closed(&ends, now + 7 * MILLISECOND_NS, [312, 4096 * (number + 1)])];
        scene.drain(&records.concat());
    }
}

/// A port where nobody listens, and a host that does not answer.
fn fail(scene: &mut Scene) {
    for (number, (port, error)) in (60..).zip([(8081, 111), (9200, 113)]) {
        let now = scene.now_ns + MILLISECOND_NS;
        let [client, _] = pair(number, now, [(&nginx(), WEB_ADDRESS, 53_000), (&nginx(), DB_ADDRESS, port)]);
        let failed = Totals { sk_err: error, old_state: 2, segs_in: 0, segs_out: 1, ..totals(0, 0) };
        scene.drain(&[with_totals(kind::FAILED, now + 20 * MILLISECOND_NS, &client, &failed)]);
    }
}

/// A connection that lives for a while: told as updated where that is wanted.
fn long(scene: &mut Scene) {
    let now = scene.now_ns + MILLISECOND_NS;
    let ends = pair(80, now, [(&nginx(), WEB_ADDRESS, 54_000), (&postgres(), DB_ADDRESS, 5432)]);
    scene.drain(&opened(&ends));
    for bytes in [100_000, 250_000] {
        (0..8).for_each(|_| scene.drain(&[]));
        let living = |sent, received| Totals { old_state: 1, ..totals(sent, received) };
        let figures = [(ends[0], living(bytes, 2 * bytes)), (ends[1], living(2 * bytes, bytes))];
        scene.walk(false, true, &figures);
    }
    let end = scene.now_ns + 3 * MILLISECOND_NS;
    scene.drain(&closed(&ends, end, [300_000, 600_000]));
}

fn container(name: &str, service: &str, image: &str) -> Told {
    Told::Known(Box::new(Details {
        name: Some(name.to_owned()),
        image_name: Some(image.to_owned()),
        image_tags: vec!["latest".to_owned()],
        runtime: Runtime { name: "docker".into(), version: None },
        compose: Some(Compose { project: Some("shop".to_owned()), service: service.to_owned() }),
        ..Details::default()
    }))
}

fn owner(tgid: u32, cgroup_id: u64, uid: u32) -> Owner {
    Owner { tgid, exec_seq: 1, start_ns: (1000 + u64::from(tgid)) * TICK_NS, cgroup_id, uid, vpid: 0 }
}

fn nginx() -> Owner {
    owner(812, WEB_GROUP, 33)
}

fn postgres() -> Owner {
    owner(640, DB_GROUP, 999)
}

/// A child of the shell that runs this.
fn started(now: u64, pid: u32, path: &str, argv0: &str) -> (Owner, Vec<Vec<u8>>) {
    let shell = owner(700, SHELL_GROUP, 1000);
    let child = Owner { tgid: pid, start_ns: now, vpid: pid, ..shell };
    let image = Owner { exec_seq: 2, vpid: 0, ..child };
    (image, vec![fork(now, &child, &shell), exec(now + MILLISECOND_NS, &image, shell.tgid, path, argv0)])
}

/// Both ends of a connection: of the client, and of the server.
fn pair(id: u64, at_ns: u64, ends: [(&Owner, [u8; 4], u16); 2]) -> [Conn; 2] {
    let [(client, client_address, client_port), (server, server_address, server_port)] = ends;
    let of_client = Conn {
        id,
        start_ns: at_ns,
        established_ns: at_ns + 180_000,
        owner: *client,
        local: v4(client_address),
        peer: v4(server_address),
        local_port_be: client_port.to_be(),
        peer_port_be: server_port.to_be(),
        netns: 4_026_531_840,
        family: AF_INET,
        flags: 0,
        role: role::CLIENT,
        reserved: [0; 3],
        closer: 0,
        transition: 0,
    };
    let of_server = Conn {
        id: id + 1,
        established_ns: at_ns + 210_000,
        owner: *server,
        local: of_client.peer,
        peer: of_client.local,
        local_port_be: of_client.peer_port_be,
        peer_port_be: of_client.local_port_be,
        netns: 4_026_532_000,
        flags: flag::ACCEPTED,
        role: role::SERVER,
        ..of_client
    };
    [of_client, of_server]
}

fn opened(ends: &[Conn; 2]) -> Vec<Vec<u8>> {
    ends.iter().map(|conn| with_conn(kind::OPENED, conn.established_ns, conn)).collect()
}

/// The client closes first, after it has sent and received so much.
fn closed([client, server]: &[Conn; 2], end_ns: u64, [sent, received]: [u64; 2]) -> Vec<Vec<u8>> {
    let last_ack = Totals { old_state: 9, ..totals(received, sent) };
    vec![
        with_totals(kind::CLOSED, end_ns, client, &totals(sent, received)),
        with_totals(kind::CLOSED, end_ns + 90_000, server, &last_ack),
    ]
}

/// Of an end that closed first, without the sequence numbers of SYN and FIN.
fn totals(sent: u64, received: u64) -> Totals {
    let segments = |bytes: u64| 3 + u32::try_from(bytes / 1448).unwrap_or_default();
    Totals {
        bytes_acked: sent + 2,
        bytes_received: received + 1,
        bytes_sent: 0,
        bytes_retrans: 0,
        snd_una: 5,
        snd_nxt: 5,
        write_seq: 5,
        segs_in: segments(received),
        segs_out: segments(sent),
        total_retrans: 0,
        srtt_us_8: 1440,
        sk_err: 0,
        sk_flags: 2,
        old_state: 5,
        shutdown: 3,
        reserved: [0; 2],
    }
}
