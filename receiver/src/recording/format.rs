//! The file: a fixed start, then frames of items, each frame with its length and checksum.
//!
//! ```text
//! file  = MAGIC format:u16 zero:u16 layout:u32 frame(header) frame(items)...
//! frame = length:u32 crc32:u32 payload           all little-endian; payload is postcard
//! ```
//! A frame holds whole items, a step is any number of items from [`Item::Step`] to [`Item::End`]. Bytes from the kernel
//! stay as they are, without the zeros at their end.

use std::mem::offset_of;

use convis_ebpf::wire::{
    self, ARGV0_BYTES, CGROUP_PATH_BYTES, Conn, Counters, Entry, Exec, Exit, Fork, NAME_BYTES, Owner,
    PATH_BYTES, Totals, kind, map_error,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Clock;
use crate::identity::Host;
use crate::own::OwnListener;

/// Start of every recording.
pub(super) const MAGIC: [u8; 8] = *b"CNVSREC\n";
/// Changes with the items, the header, and what answers look like.
pub(super) const FORMAT: u16 = 1;
/// Bytes before the first frame.
pub(super) const START_BYTES: usize = MAGIC.len() + 8;
/// Bytes before the payload of a frame.
pub(super) const FRAME_HEAD_BYTES: usize = 8;
/// Longest payload of a frame: a list of very many processes.
pub(super) const MOST_FRAME_BYTES: usize = 32 << 20;
/// Longer than any record or entry.
const MOST_RAW_BYTES: u32 = 4 << 10;
/// Numbers in [`Counters`] that are not by kind.
const OTHER_WORDS: usize = 6 + map_error::COUNT;

/// Changes when records of the kernel do, or the order of their bytes; not with further kinds of them.
pub(super) const LAYOUT: u32 = {
    let parts = [
        u32::from_ne_bytes([1, 2, 3, 4]) as usize,
        wire::VERSION as usize,
        size_of::<wire::Header>(),
        size_of::<Owner>(),
        size_of::<Conn>(),
        size_of::<Totals>(),
        size_of::<Entry>(),
        size_of::<Fork>(),
        size_of::<Exit>(),
        size_of::<wire::LiveHead>(),
        offset_of!(Conn, owner),
        offset_of!(Conn, peer),
        offset_of!(Conn, flags),
        offset_of!(Conn, closer),
        offset_of!(Totals, snd_una),
        offset_of!(Totals, old_state),
        offset_of!(Exec, argv0),
        ARGV0_BYTES,
        PATH_BYTES + NAME_BYTES,
        CGROUP_PATH_BYTES,
    ];
    // FNV-1a.
    let mut hash = 0x811c_9dc5_u32;
    let mut at = 0;
    while at < parts.len() {
        #[expect(clippy::cast_possible_truncation, reason = "all parts are small but the first, of 4 bytes")]
        let part = parts[at] as u32;
        hash = (hash ^ part).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash
};

/// What holds for a whole recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the convis that recorded.
    pub version: String,
    /// Whose records these are.
    pub host: HostFacts,
    /// When the programs were attached.
    pub attached: Instant,
    /// Decides which connections are told of those that are sampled.
    pub seed: u64,
    /// convis's own listener: address, and inode of its network namespace.
    pub own_listener: Option<(std::net::SocketAddr, u32)>,
}

/// The host, but for what its user wants to say of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostFacts {
    /// `host.name`
    pub name: String,
    /// `host.id`
    pub id: Option<String>,
    /// `host.arch`
    pub arch: String,
    /// `k8s.node.name`
    pub node: Option<String>,
    /// `k8s.cluster.name`
    pub cluster: Option<String>,
}

/// An instant by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instant {
    /// By how much the wall clock was ahead, nanoseconds.
    pub ahead_ns: i128,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub boot_ns: u64,
}

/// What the capture task did, in the order of its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// It was made.
    Start,
    /// It took what was in the ring, and in the ledger for want of room there.
    Drain,
    /// It read the living connections.
    Walk {
        /// See [`crate::track::Purpose`].
        samples: bool,
        /// See [`crate::track::Purpose`].
        updates: bool,
    },
    /// Metrics were read.
    Metrics,
    /// The last drain, after the programs were detached.
    DrainLast,
    /// It gave up waiting for accepts and other ends: nothing more will come.
    Release,
    /// It looked whether names have come.
    Settle,
    /// It let go of everything.
    Last,
}

/// Bytes from the kernel, without the zeros at their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raw<'a> {
    /// Bytes with the zeros.
    len: u32,
    #[serde(borrow, serialize_with = "as_bytes")]
    head: &'a [u8],
}

impl<'a> Raw<'a> {
    /// These bytes.
    pub fn of(bytes: &'a [u8]) -> Self {
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Self { len: u32::try_from(bytes.len()).unwrap_or(u32::MAX), head: &bytes[..used] }
    }

    /// Appends all of them to `to`.
    #[inline]
    pub fn append_to(self, to: &mut Vec<u8>) {
        const ZEROS: [u8; 256] = [0; 256];
        let end = to.len() + self.len as usize;
        to.reserve(self.len as usize);
        to.extend_from_slice(self.head);
        match ZEROS.get(..end.saturating_sub(to.len())) {
            Some(zeros) => to.extend_from_slice(zeros),
            None => to.resize(end, 0),
        }
    }

    /// How many they are, with the zeros.
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Whether the kernel could have written so many.
    pub const fn is_possible(self) -> bool {
        self.len <= MOST_RAW_BYTES && self.head.len() <= self.len as usize
    }
}

/// A word of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item<'a> {
    /// A step begins.
    Step(Step, Instant),
    /// A record of the ring.
    #[serde(borrow)]
    Ring(Raw<'a>),
    /// That was all there was in the ring.
    Drained,
    /// An entry of the ledger, with its key.
    Entry(u64, Raw<'a>),
    /// That was all there was in the ledger, as far as it matters.
    Swept,
    /// A record of a walk.
    Live(Raw<'a>),
    /// That was all the walk showed.
    Walked,
    /// The kernel's counters: those by kind, then the others.
    Counters(#[serde(deserialize_with = "few")] Vec<u64>),
    /// How often the kernel skipped a program.
    Skipped(u64),
    /// What the host answered to a question.
    Answer {
        /// A [`crate::outside::Question`].
        #[serde(borrow, serialize_with = "as_bytes")]
        question: &'a [u8],
        /// As the question wants it.
        #[serde(borrow, serialize_with = "as_bytes")]
        answer: &'a [u8],
    },
    /// The step is over.
    End,
    /// The kernel's counters are as they were.
    SameCounters,
}

fn as_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Words of counters: no more than there could be.
fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    let words = Vec::deserialize(deserializer)?;
    let is_possible = (OTHER_WORDS..=OTHER_WORDS + 4 * 256).contains(&words.len());
    is_possible.then_some(words).ok_or_else(|| serde::de::Error::custom("counters"))
}

impl Item<'_> {
    /// Appends it to `to`.
    pub fn append_to(&self, to: Vec<u8>) -> Vec<u8> {
        // Only types without a fixed form, or a full slice, could fail.
        postcard::to_extend(self, to).unwrap_or_default()
    }
}

/// Takes the next item of a payload; `None` if the bytes are none.
pub(super) fn take_item<'a>(payload: &mut &'a [u8]) -> Option<Item<'a>> {
    let (item, rest) = postcard::take_from_bytes(payload).ok()?;
    *payload = rest;
    match item {
        Item::Ring(raw) | Item::Entry(_, raw) | Item::Live(raw) if !raw.is_possible() => None,
        item => Some(item),
    }
}

/// Takes the next item if it is a record of the ring, as most are; `None` says nothing of what it is.
#[inline]
pub(super) fn take_ring<'a>(payload: &mut &'a [u8]) -> Option<Raw<'a>> {
    const RING: u8 = 1;
    let (kind, mut rest) = payload.split_first()?;
    if *kind != RING {
        return None;
    }
    let len = take_small(&mut rest)?;
    let used = take_small(&mut rest)?;
    let (head, rest) = rest.split_at_checked(used as usize)?;
    let raw = Raw { len, head };
    if !raw.is_possible() {
        return None;
    }
    *payload = rest;
    Some(raw)
}

/// A number of one byte or two.
#[inline]
fn take_small(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = match **bytes {
        [low, ref rest @ ..] if low < 0x80 => (u32::from(low), rest),
        [low, high, ref rest @ ..] if high < 0x80 => (u32::from(low & 0x7f) | u32::from(high) << 7, rest),
        _ => return None,
    };
    *bytes = rest;
    Some(number)
}

/// What a recording begins with.
pub(super) fn start() -> [u8; START_BYTES] {
    let mut start = [0; START_BYTES];
    start[..8].copy_from_slice(&MAGIC);
    start[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    start[12..].copy_from_slice(&LAYOUT.to_le_bytes());
    start
}

/// A frame around a payload.
pub(super) fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME_HEAD_BYTES + payload.len());
    frame.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend(crc32fast::hash(payload).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A recording with these payloads.
pub fn file<'a>(header: &Header, payloads: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let header = postcard::to_extend(header, Vec::new()).unwrap_or_default();
    let mut file = [&start()[..], &frame(&header)].concat();
    for payload in payloads {
        file.extend(frame(payload));
    }
    file
}

/// Counters as words.
pub fn words(counters: &Counters) -> Vec<u64> {
    let by_kind = [&counters.seen, &counters.ring_full, &counters.ledger_full, &counters.unreadable];
    let others = [
        counters.untracked,
        counters.own_ends,
        counters.read_failed,
        counters.lost_sent,
        counters.lost_received,
        counters.own_unsent,
    ];
    by_kind.into_iter().flatten().copied().chain(others).chain(counters.map_errors).collect()
}

/// Counters from words; of kinds that this version does not have nothing is known.
pub(super) fn counters(words: &[u64]) -> Counters {
    let (by_kind, others) = words.split_at(words.len().saturating_sub(OTHER_WORDS));
    let kinds = by_kind.len() / 4;
    let of = |group: usize| -> [u64; kind::COUNT] {
        let group = by_kind.get(group * kinds..(group + 1) * kinds).unwrap_or_default();
        std::array::from_fn(|kind| group.get(kind).copied().unwrap_or_default())
    };
    let other = |at: usize| others.get(at).copied().unwrap_or_default();
    Counters {
        seen: of(0),
        ring_full: of(1),
        ledger_full: of(2),
        unreadable: of(3),
        untracked: other(0),
        own_ends: other(1),
        read_failed: other(2),
        lost_sent: other(3),
        lost_received: other(4),
        own_unsent: other(5),
        map_errors: std::array::from_fn(|error| other(6 + error)),
        reserved: [0; 2],
    }
}

impl Instant {
    /// As the capture task has it.
    pub const fn clock(&self) -> Clock {
        Clock::ahead(self.ahead_ns)
    }

    /// Nanoseconds since the Unix epoch.
    pub fn unix_nanos(&self) -> u64 {
        self.clock().unix_nanos(self.boot_ns)
    }
}

impl Header {
    /// The host, with what this user wants to say of it.
    pub fn host(&self, extra: Vec<(String, String)>) -> Host {
        let HostFacts { name, id, arch, node, cluster } = self.host.clone();
        Host { name, id, node, cluster, extra, arch: Some(arch) }
    }

    /// convis's own listener.
    pub fn own_listener(&self) -> Option<OwnListener> {
        self.own_listener.map(|(address, network_namespace)| OwnListener { address, network_namespace })
    }
}

impl From<&Host> for HostFacts {
    fn from(host: &Host) -> Self {
        Self {
            name: host.name.clone(),
            id: host.id.clone(),
            arch: host.arch().to_owned(),
            node: host.node.clone(),
            cluster: host.cluster.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Scenario: any bytes of a record, with any number of zeros at the end.
        /// Guarantees: they come back as they were.
        #[test]
        fn raw_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..300), zeros in 0_usize..900) {
            let bytes = [bytes, vec![0; zeros]].concat();
            let items = Item::Entry(7, Raw::of(&bytes)).append_to(Item::Ring(Raw::of(&bytes)).append_to(Vec::new()));
            prop_assert!(items.len() <= 2 * (bytes.len() - zeros) + 16);
            let mut payload = &items[..];
            for _ in 0..2 {
                let Some(Item::Ring(raw) | Item::Entry(7, raw)) = take_item(&mut payload) else {
                    panic!("another item")
                };
                let mut back = vec![9];
                raw.append_to(&mut back);
                prop_assert_eq!(&back[1..], &bytes[..]);
            }
            prop_assert!(payload.is_empty());
        }

        /// Scenario: any bytes behind those that say that a record of the ring follows.
        /// Guarantees: they are taken for what postcard takes them for.
        #[test]
        fn records_are_as_postcard_has_them(
            len in prop_oneof![any::<u8>().prop_map(u32::from), any::<u32>()],
            head in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0_usize..320,
            other in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let mut ring = Item::Ring(Raw { len, head: &head }).append_to(Vec::new());
            ring.truncate(cut);
            for bytes in [ring, [&[1], &other[..]].concat()] {
                let mut rest = &bytes[..];
                if let Some(raw) = take_ring(&mut rest) {
                    prop_assert_eq!(postcard::take_from_bytes(&bytes), Ok((Item::Ring(raw), rest)));
                    prop_assert!(take_item(&mut &bytes[..]).is_some());
                } else {
                    prop_assert_eq!(rest, &bytes[..]);
                }
            }
            let whole = Raw { len: 300 + len % 0x800, head: &head };
            let bytes = Item::Ring(whole).append_to(Vec::new());
            prop_assert_eq!(take_ring(&mut &bytes[..]), Some(whole));
        }

        /// Scenario: any counters.
        /// Guarantees: they come back; those of a version with fewer kinds are zero where they are missing.
        #[test]
        fn counters_come_back(seen: [u64; kind::COUNT], lost: [u64; kind::COUNT], other: u64) {
            let mut some = counters(&[]);
            (some.seen, some.unreadable) = (seen, lost);
            (some.untracked, some.map_errors[map_error::COUNT - 1]) = (other, other);
            prop_assert_eq!(counters(&words(&some)), some);
            let fewer: Vec<u64> = [[1, 2], [3, 4], [5, 6], [7, 8]].into_iter().flatten().chain([9; OTHER_WORDS]).collect();
            let read = counters(&fewer);
            prop_assert_eq!((read.seen[1], read.unreadable[0], read.unreadable[2]), (2, 7, 0));
            prop_assert_eq!((read.untracked, read.map_errors), (9, [9; map_error::COUNT]));
        }
    }

    /// Scenario: a record that claims more bytes than the kernel writes, or fewer than it has; counters without end.
    /// Guarantees: none is an item.
    #[test]
    fn impossible_items_are_none() {
        for raw in [Raw { len: u32::MAX, head: b"x" }, Raw { len: 1, head: b"xx" }] {
            let items = Item::Ring(raw).append_to(Vec::new());
            assert_eq!(take_item(&mut &items[..]), None);
        }
        let items = Item::Counters(vec![0; 2000]).append_to(Vec::new());
        assert_eq!(take_item(&mut &items[..]), None);
    }
}
