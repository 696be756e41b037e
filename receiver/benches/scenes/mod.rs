//! Recordings made up from the kernel's own record types: always the same, for benches and for the demonstration.

use convis::identity::Seen;
use convis::outside::Question;
use convis::recording::{Header, HostFacts, Instant, Item, Raw, Step, file, words};
use convis_ebpf::wire::{
    ARGV0_BYTES, Address, COUNTER_WORDS, Conn, Counters, NAME_BYTES, Owner, PATH_BYTES, Totals, VERSION, kind,
};
use serde::Serialize;

/// 2026-11-24T10:00:00Z at the beginning of the kernel's clock.
const AHEAD_NS: i128 = 1_795_514_400_000_000_000;
const MILLISECOND_NS: u64 = 1_000_000;
/// Time between two drains, as convis has it.
const DRAIN_NS: u64 = 50 * MILLISECOND_NS;

/// A recording that is being made up.
pub(crate) struct Scene {
    payloads: Vec<Vec<u8>>,
    payload: Vec<u8>,
    counters: Counters,
    /// What is answered in each drain, as items.
    answers: Vec<u8>,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub(crate) now_ns: u64,
}

impl Scene {
    /// On a host with these processes and answers.
    pub(crate) fn new(processes: Vec<Seen>, answers: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let mut scene = Self {
            payloads: Vec::new(),
            payload: Vec::new(),
            counters: Counters::sum([[0; COUNTER_WORDS]]),
            answers: Vec::new(),
            now_ns: 100_000 * MILLISECOND_NS,
        };
        scene.begin(Step::Start);
        for (question, answer) in [
            answer(Question::Processes, &Some(processes)),
            answer(Question::MayFind, &true),
            answer(Question::HasV1, &false),
        ] {
            scene.put(&Item::Answer { question: &question, answer: &answer });
        }
        scene.end();
        for (question, answer) in answers {
            scene.answers = Item::Answer { question, answer }.append_to(std::mem::take(&mut scene.answers));
        }
        scene
    }

    /// A drain of the ring that gives these records.
    pub(crate) fn drain(&mut self, records: &[Vec<u8>]) {
        self.take(Step::Drain, records);
        self.now_ns += DRAIN_NS;
    }

    /// A walk that shows these living connections.
    pub(crate) fn walk(&mut self, samples: bool, updates: bool, living: &[(Conn, Totals)]) {
        self.begin(Step::Walk { samples, updates });
        self.put(&Item::Counters(words(&self.counters)));
        for (conn, totals) in living {
            let record = [
                header(kind::LIVE, self.now_ns),
                conn.id.to_ne_bytes().to_vec(),
                conn_bytes(conn),
                totals_bytes(totals),
            ]
            .concat();
            self.put(&Item::Live(Raw::of(&record)));
        }
        self.put(&Item::Walked);
        self.end();
    }

    /// Metrics are read.
    pub(crate) fn metrics(&mut self) {
        self.begin(Step::Metrics);
        self.end();
    }

    /// The end of the run, and the recording.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.take(Step::DrainLast, &[]);
        for step in [Step::Release, Step::Settle, Step::Last, Step::Metrics] {
            self.begin(step);
            self.end();
        }
        let at = Instant { ahead_ns: AHEAD_NS, boot_ns: 99_000 * MILLISECOND_NS };
        let host = HostFacts { name: "demo".to_owned(), arch: "amd64".to_owned(), ..HostFacts::default() };
        let header = Header { version: "0.1.0".to_owned(), host, attached: at, seed: 1, own_listener: None };
        file(&header, self.payloads.iter().map(Vec::as_slice))
    }

    fn take(&mut self, step: Step, records: &[Vec<u8>]) {
        self.begin(step);
        if !records.is_empty() {
            self.payload.extend_from_slice(&self.answers);
        }
        for record in records {
            self.counters.seen[usize::from(record[1])] += 1;
            self.put(&Item::Ring(Raw::of(record)));
        }
        self.put(&Item::Drained);
        self.put(&Item::Counters(words(&self.counters)));
        self.end();
    }

    fn begin(&mut self, step: Step) {
        self.put(&Item::Step(step, Instant { ahead_ns: AHEAD_NS, boot_ns: self.now_ns }));
    }

    fn put(&mut self, item: &Item<'_>) {
        self.payload = item.append_to(std::mem::take(&mut self.payload));
    }

    fn end(&mut self) {
        self.put(&Item::End);
        self.payloads.push(std::mem::take(&mut self.payload));
    }
}

/// A question with its answer.
pub(crate) fn answer(question: Question<'_>, answer: &impl Serialize) -> (Vec<u8>, Vec<u8>) {
    let bytes = |encoded: Result<Vec<u8>, postcard::Error>| encoded.unwrap_or_default();
    (bytes(postcard::to_allocvec(&question)), bytes(postcard::to_allocvec(answer)))
}

fn header(kind: u8, time_ns: u64) -> Vec<u8> {
    [&[VERSION, kind, 0, 0, 0, 0, 0, 0][..], &time_ns.to_ne_bytes()].concat()
}

/// A record of kind `OPENED` or `LISTENING`.
pub(crate) fn with_conn(kind: u8, time_ns: u64, conn: &Conn) -> Vec<u8> {
    [header(kind, time_ns), conn_bytes(conn)].concat()
}

/// A record of kind `CLOSED` or `FAILED`.
pub(crate) fn with_totals(kind: u8, time_ns: u64, conn: &Conn, totals: &Totals) -> Vec<u8> {
    [header(kind, time_ns), conn_bytes(conn), totals_bytes(totals)].concat()
}

/// A process runs the executable at this absolute path.
pub(crate) fn exec(time_ns: u64, owner: &Owner, parent: u32, path: &str, argv0: &str) -> Vec<u8> {
    let names: Vec<u8> = path
        .rsplit('/')
        .filter(|name| !name.is_empty())
        .flat_map(|name| [name.as_bytes(), &[0]].concat())
        .collect();
    let len = |bytes: usize| u16::try_from(bytes).unwrap_or_default().to_ne_bytes();
    let argv0 = [argv0.as_bytes(), &[0]].concat();
    let mut record =
        [header(kind::EXEC, time_ns), owner_bytes(owner), parent.to_ne_bytes().to_vec()].concat();
    record.extend([len(names.len()), len(argv0.len())].concat());
    record.extend([1_u32.to_ne_bytes(), [0; 4]].concat());
    let end = record.len() + ARGV0_BYTES;
    record.extend(argv0);
    record.resize(end, 0);
    record.extend(names);
    record.resize(end + PATH_BYTES + NAME_BYTES, 0);
    record
}

/// A process has a child with its image.
pub(crate) fn fork(time_ns: u64, child: &Owner, parent: &Owner) -> Vec<u8> {
    let tail = [parent.tgid.to_ne_bytes(), [0; 4]].concat();
    [header(kind::FORK, time_ns), owner_bytes(child), owner_bytes(parent), tail].concat()
}

/// A process ended.
pub(crate) fn exit(time_ns: u64, owner: &Owner) -> Vec<u8> {
    [header(kind::EXIT, time_ns), owner_bytes(owner)].concat()
}

/// An IPv4 address as the kernel has it.
pub(crate) fn v4(address: [u8; 4]) -> Address {
    let [a, b, c, d] = address;
    [u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]), 0]
}

fn owner_bytes(owner: &Owner) -> Vec<u8> {
    let Owner { tgid, exec_seq, start_ns, cgroup_id, uid, vpid } = *owner;
    let ids = [tgid.to_ne_bytes(), exec_seq.to_ne_bytes()].concat();
    let places = [start_ns.to_ne_bytes(), cgroup_id.to_ne_bytes()].concat();
    [ids, places, [uid.to_ne_bytes(), vpid.to_ne_bytes()].concat()].concat()
}

fn conn_bytes(conn: &Conn) -> Vec<u8> {
    let mut bytes = [conn.id, conn.start_ns, conn.established_ns].map(u64::to_ne_bytes).concat();
    bytes.extend(owner_bytes(&conn.owner));
    bytes.extend([conn.local, conn.peer].as_flattened().iter().flat_map(|word| word.to_ne_bytes()));
    bytes.extend([conn.local_port_be, conn.peer_port_be].map(u16::to_ne_bytes).concat());
    bytes.extend(conn.netns.to_ne_bytes());
    bytes.extend([conn.family, conn.flags].map(u16::to_ne_bytes).concat());
    bytes.extend([&[conn.role][..], &conn.reserved].concat());
    bytes.extend([conn.closer, conn.transition].map(u32::to_ne_bytes).concat());
    assert_eq!(bytes.len(), size_of::<Conn>());
    bytes
}

fn totals_bytes(totals: &Totals) -> Vec<u8> {
    let longs = [totals.bytes_acked, totals.bytes_received, totals.bytes_sent, totals.bytes_retrans];
    let ints = [
        totals.snd_una,
        totals.snd_nxt,
        totals.write_seq,
        totals.segs_in,
        totals.segs_out,
        totals.total_retrans,
        totals.srtt_us_8,
        totals.sk_err,
        totals.sk_flags,
    ];
    let mut bytes = longs.map(u64::to_ne_bytes).concat();
    bytes.extend(ints.map(u32::to_ne_bytes).concat());
    bytes.extend([&[totals.old_state, totals.shutdown][..], &totals.reserved].concat());
    assert_eq!(bytes.len(), size_of::<Totals>());
    bytes
}
