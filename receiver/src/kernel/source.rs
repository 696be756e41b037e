//! Reads what the programs write: the ring, the ledger of connections, the counters.

use std::io;

use super::skipped::Programs;
use aya::Ebpf;
use aya::maps::{HashMap, MapData, MapError, PerCpuArray, RingBuf};
use convis_ebpf::record::{Record, RecordError};
use convis_ebpf::wire::{COUNTER_WORDS, Counters, Entry, SOCKET_KEY};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const ENTRY_BYTES: usize = size_of::<Entry>();

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
    /// The ring cannot be waited for.
    #[error("cannot wait for the ring: {0}")]
    Poll(io::Error),
}

/// The programs, attached while this lives.
pub struct Source {
    ring: AsyncFd<RingBuf<MapData>>,
    ledger: HashMap<MapData, u64, [u8; ENTRY_BYTES]>,
    counters: PerCpuArray<MapData, [u64; COUNTER_WORDS]>,
    programs: Option<Ebpf>,
    skippable: Programs,
    /// As of the last look before the programs were detached.
    skipped: u64,
}

impl Source {
    /// Must be called within a tokio runtime.
    pub(super) fn open(mut ebpf: Ebpf) -> Result<Self, SourceError> {
        let mut take = |name| ebpf.take_map(name).ok_or(SourceError::NoMap(name));
        let refused = |map| move |source| SourceError::Map { map, source };
        let ring = RingBuf::try_from(take("RING")?).map_err(refused("RING"))?;
        let ledger = HashMap::try_from(take("CONNS")?).map_err(refused("CONNS"))?;
        let counters = PerCpuArray::try_from(take("COUNTERS")?).map_err(refused("COUNTERS"))?;
        #[expect(unsafe_code, reason = "tokio has no safe way to wait for a descriptor of another's type")]
        // SAFETY: the ring owns its descriptor, always gives the same one, and is owned by the AsyncFd from here on.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .map_err(|error| SourceError::Poll(error.into()))?;
        let skippable = Programs::of(&ebpf);
        Ok(Self { ring, ledger, counters, programs: Some(ebpf), skippable, skipped: 0 })
    }

    /// Completes when the kernel says that the ring fills up.
    ///
    /// # Errors
    /// The reactor is gone.
    pub async fn filling(&self) -> io::Result<()> {
        self.ring.readable().await.map(|mut ready| ready.clear_ready())
    }

    /// Hands each record that is in the ring to `take`.
    pub fn drain(&mut self, mut take: impl FnMut(Result<Record, RecordError>)) {
        let ring = self.ring.get_mut();
        while let Some(bytes) = ring.next() {
            take(Record::parse(&bytes));
        }
    }

    /// The counters, summed over all CPUs.
    ///
    /// # Errors
    /// The kernel refused the access.
    pub fn counters(&self) -> Result<Counters, SourceError> {
        let per_cpu =
            self.counters.get(&0, 0).map_err(|source| SourceError::Map { map: "COUNTERS", source })?;
        Ok(Counters::sum(per_cpu.iter().copied()))
    }

    /// Hands each entry of the ledger to `take`, with its key.
    pub fn sweep(&self, mut take: impl FnMut(LedgerKey, Entry)) {
        // A key that vanishes while we walk restarts the walk in the kernel: entries may come twice, never not at all.
        for (key, value) in self.ledger.iter().flatten() {
            if let Ok(entry) = Entry::parse(&value) {
                take(LedgerKey(key), entry);
            }
        }
    }

    /// Deletes an ended connection after its delivery.
    pub fn forget(&mut self, key: LedgerKey) {
        // It can only be gone already, which is what is wanted.
        let _gone = self.ledger.remove(&key.0);
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
        self.programs = None;
    }
}

/// Where an entry is in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerKey(u64);

impl LedgerKey {
    /// Whether the entry belongs to a socket that still exists.
    pub fn is_socket(self) -> bool {
        self.0 & SOCKET_KEY != 0
    }
}
