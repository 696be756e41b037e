//! Reads what the programs write: the ring, the ledger of connections, the counters.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use super::counters::CounterMap;
use super::hooks::Attached;
use super::iterate::Iterator;
use super::skipped::Programs;
use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData, MapError, RingBuf};
use convis_ebpf::wire::{Counters, Entry, SOCKET_KEY};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const ENTRY_BYTES: usize = size_of::<Entry>();

type Ledger<'a> = HashMap<&'a MapData, u64, [u8; ENTRY_BYTES]>;
type LedgerMut<'a> = HashMap<&'a mut MapData, u64, [u8; ENTRY_BYTES]>;

/// Why the maps cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The object lacks a map.
    #[error("the eBPF object has no map {0}")]
    NoMap(&'static str),
    /// The kernel refused an access.
    #[error("cannot read the eBPF map {map}: {source}")]
    Map {
        /// Which.
        map: &'static str,
        /// Why.
        source: MapError,
    },
    /// The counters cannot be shared with this process.
    #[error("cannot map the programs' counters: {0}")]
    Counters(io::Error),
    /// The ledger cannot be walked.
    #[error("cannot walk the ledger of connections: {0}")]
    Walk(io::Error),
    /// The ring cannot be waited for.
    #[error("cannot wait for the ring: {0}")]
    Poll(io::Error),
}

/// The programs, attached while this lives.
pub struct Source {
    ring: AsyncFd<RingBuf<MapData>>,
    /// Kept as it is, since only so its descriptor can be had.
    ledger: Map,
    counters: CounterMap,
    /// Programs that are still to be loaded name its descriptor.
    _counters_map: Map,
    links: Vec<Attached>,
    live: Option<Iterator>,
    programs: Option<Ebpf>,
    skippable: Programs,
    /// As of the last look before the programs were detached.
    skipped: u64,
}

impl Source {
    /// Nothing attached yet. Must be called within a tokio runtime.
    pub(super) fn open(mut ebpf: Ebpf, cpus: usize) -> Result<Self, SourceError> {
        let mut take = |name| ebpf.take_map(name).ok_or(SourceError::NoMap(name));
        let refused = |map| move |source| SourceError::Map { map, source };
        let ring = RingBuf::try_from(take("RING")?).map_err(refused("RING"))?;
        let ledger = take("CONNS")?;
        Ledger::try_from(&ledger).map_err(refused("CONNS"))?;
        let counters_map = take("COUNTERS")?;
        let counters =
            CounterMap::map(descriptor(&counters_map, "COUNTERS")?, cpus).map_err(SourceError::Counters)?;
        #[expect(unsafe_code, reason = "tokio has no safe way to wait for a descriptor of another's type")]
        // SAFETY: the ring owns its descriptor, always gives the same one, and is owned by the AsyncFd from here on.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .map_err(|error| SourceError::Poll(error.into()))?;
        Ok(Self {
            ring,
            ledger,
            counters,
            _counters_map: counters_map,
            links: Vec::new(),
            live: None,
            programs: Some(ebpf),
            skippable: Programs::default(),
            skipped: 0,
        })
    }

    /// The programs, to attach them.
    pub(super) fn programs(&mut self) -> Option<&mut Ebpf> {
        self.programs.as_mut()
    }

    /// Keeps what is attached.
    pub(super) fn keep(&mut self, attached: Attached) {
        self.links.push(attached);
    }

    /// The ledger, as iterators want it.
    ///
    /// # Errors
    /// It is no hash map.
    pub(super) fn ledger_fd(&self) -> Result<BorrowedFd<'_>, SourceError> {
        descriptor(&self.ledger, "CONNS")
    }

    /// Everything is attached; `live` walks the ledger, where the kernel can.
    pub(super) fn started(&mut self, live: Option<Iterator>) {
        self.live = live;
        self.skippable = self.programs.as_ref().map(Programs::of).unwrap_or_default();
    }

    /// Completes when the kernel says that the ring fills up.
    ///
    /// # Errors
    /// The reactor is gone.
    pub async fn filling(&self) -> io::Result<()> {
        self.ring.readable().await.map(|mut ready| ready.clear_ready())
    }

    /// Hands the bytes of each record that is in the ring to `take`.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8])) {
        let ring = self.ring.get_mut();
        while let Some(bytes) = ring.next() {
            take(&bytes);
        }
    }

    /// The counters, summed over all CPUs.
    pub fn counters(&self) -> Counters {
        self.counters.sum()
    }

    /// Hands each entry of the ledger to `take`, with its key.
    pub fn sweep(&self, mut take: impl FnMut(LedgerKey, Entry)) {
        self.sweep_bytes(|key, _, entry| take(key, entry));
    }

    /// As [`Self::sweep`], with the bytes of each entry.
    pub fn sweep_bytes(&self, mut take: impl FnMut(LedgerKey, &[u8], Entry)) {
        // A key that vanishes while we walk restarts the walk in the kernel: entries may come twice, never not at all.
        let Ok(ledger) = Ledger::try_from(&self.ledger) else { return };
        for (key, value) in ledger.iter().flatten() {
            if let Ok(entry) = Entry::parse(&value) {
                take(LedgerKey(key), &value, entry);
            }
        }
    }

    /// Hands each living entry to `take`, with its figures as of now: the bytes of a
    /// [`Record::Live`](convis_ebpf::record::Record::Live). An entry that appears or vanishes
    /// meanwhile may be left out.
    ///
    /// # Errors
    /// The kernel refused to walk the ledger.
    pub fn live(&mut self, take: impl FnMut(&[u8])) -> Result<(), SourceError> {
        self.live.as_mut().map_or(Ok(()), |live| live.run(take)).map_err(SourceError::Walk)
    }

    /// Deletes an ended connection after its delivery.
    pub fn forget(&mut self, key: LedgerKey) {
        // It can only be gone already, which is what is wanted.
        if let Ok(mut ledger) = LedgerMut::try_from(&mut self.ledger) {
            let _gone = ledger.remove(&key.0);
        }
    }

    /// Deletes the entry at `key` of a living socket if it still is the one of connection `id`: a new connection may have
    /// taken its place. Returns whether it was.
    pub fn forget_if(&mut self, key: LedgerKey, id: u64) -> bool {
        let value = Ledger::try_from(&self.ledger).and_then(|ledger| ledger.get(&key.0, 0));
        let entry = value.ok().and_then(|value| Entry::parse(&value).ok());
        let is_its = entry.is_some_and(|entry| entry.conn.id == id);
        if is_its {
            self.forget(key);
        }
        is_its
    }

    /// Looks up how often the kernel skipped a program.
    pub fn skipped(&mut self) -> u64 {
        if self.programs.is_some() {
            self.skipped = self.skippable.skipped();
        }
        self.skipped
    }

    /// Whether nothing is captured any more.
    pub fn is_detached(&self) -> bool {
        self.programs.is_none()
    }

    /// Detaches every program; ring, ledger and counters stay readable.
    pub fn detach(&mut self) {
        self.skipped();
        self.links.clear();
        self.live = None;
        self.programs = None;
    }
}

/// The descriptor of an array or a hash map.
fn descriptor<'a>(map: &'a Map, name: &'static str) -> Result<BorrowedFd<'a>, SourceError> {
    let (Map::Array(data) | Map::HashMap(data)) = map else {
        return Err(SourceError::NoMap(name));
    };
    Ok(data.fd().as_fd())
}

/// Where an entry is in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerKey(u64);

impl LedgerKey {
    /// The place with this number.
    pub const fn new(key: u64) -> Self {
        Self(key)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Whether the entry belongs to a socket that still exists.
    pub fn is_socket(self) -> bool {
        self.0 & SOCKET_KEY != 0
    }
}
