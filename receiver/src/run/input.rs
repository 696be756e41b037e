//! Where the capture task has its records from: the kernel, written down or not, or a recording.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use convis_ebpf::record::{Record, RecordError};
use convis_ebpf::wire::{Counters, Entry};

use crate::clock::{Clock, boot_now};
use crate::kernel::{LedgerKey, Source, SourceError};
use crate::outside::Outside;
use crate::recording::{self, Instant, Item, Outcome, Player, Raw, ReplayError, Step, Tape};

/// Records, and the time of each step.
pub(super) struct Input {
    from: From,
    clock: Clock,
    boot_ns: u64,
    /// Those that were written down last.
    last_counters: Option<Counters>,
}

enum From {
    Kernel(Box<Source>, Option<Rc<RefCell<Tape>>>),
    Recording(Box<Player>),
}

impl Input {
    /// From the kernel, onto a tape if there is one.
    pub(super) fn kernel(source: Source, tape: Option<Tape>, clock: Clock) -> Self {
        Self {
            from: From::Kernel(Box::new(source), tape.map(|tape| Rc::new(RefCell::new(tape)))),
            clock,
            boot_ns: 0,
            last_counters: None,
        }
    }

    /// From a recording.
    pub(super) fn recording(player: Player) -> Self {
        let at = player.start();
        Self {
            clock: at.clock(),
            boot_ns: at.boot_ns,
            from: From::Recording(Box::new(player)),
            last_counters: None,
        }
    }

    /// Who answers what the capture task asks beside.
    pub(super) fn outside(&self) -> Outside {
        match &self.from {
            From::Kernel(_, None) => Outside::Host,
            From::Kernel(_, Some(tape)) => Outside::Recorded(Rc::clone(tape)),
            From::Recording(player) => Outside::Replayed(player.answers()),
        }
    }

    /// Begins a step: its clock, after a look whether the wall clock was set, and its time by the kernel's.
    pub(super) fn begin(&mut self, step: Step) -> (Clock, u64) {
        if let From::Kernel(_, tape) = &self.from {
            self.clock = self.clock.followed();
            self.boot_ns = boot_now();
            if let Some(tape) = tape {
                let at = Instant { ahead_ns: self.clock.ahead_ns(), boot_ns: self.boot_ns };
                tape.borrow_mut().begin(step, at);
            }
        }
        self.now()
    }

    /// The time of the present step.
    pub(super) const fn now(&self) -> (Clock, u64) {
        (self.clock, self.boot_ns)
    }

    /// Goes on to what a recording has next; `None` at its end.
    pub(super) fn next_step(&mut self) -> Result<Option<Step>, ReplayError> {
        let From::Recording(player) = &mut self.from else {
            return Ok(None);
        };
        let Some((step, at)) = player.next_step()? else {
            return Ok(None);
        };
        (self.clock, self.boot_ns) = (at.clock(), at.boot_ns);
        Ok(Some(step))
    }

    /// Completes when the kernel says that the ring fills up.
    pub(super) async fn filling(&self) -> io::Result<()> {
        match &self.from {
            From::Kernel(source, _) => source.filling().await,
            From::Recording(_) => std::future::pending().await,
        }
    }

    /// Hands each record that is in the ring to `hand`.
    pub(super) fn drain(&mut self, mut hand: impl FnMut(Result<&Record, &RecordError>)) {
        match &mut self.from {
            From::Kernel(source, None) => source.drain(|bytes| hand(Record::parse(bytes).as_ref())),
            From::Kernel(source, Some(tape)) => {
                source.drain(|bytes| {
                    tape.borrow_mut().put(&Item::Ring(Raw::of(bytes)));
                    // Whoever takes it may ask the host, whose answer is written down as well.
                    hand(Record::parse(bytes).as_ref());
                });
                tape.borrow_mut().put(&Item::Drained);
            }
            From::Recording(player) => player.ring(|bytes| hand(Record::parse(bytes).as_ref())),
        }
    }

    /// The counters, summed over all CPUs.
    pub(super) fn counters(&mut self) -> Counters {
        match &mut self.from {
            From::Kernel(source, tape) => {
                let counters = source.counters();
                if let Some(tape) = tape {
                    let is_same = self.last_counters.replace(counters) == Some(counters);
                    let item = if is_same {
                        Item::SameCounters
                    } else {
                        Item::Counters(recording::words(&counters))
                    };
                    tape.borrow_mut().put(&item);
                }
                counters
            }
            From::Recording(player) => player.counters(),
        }
    }

    /// Hands each wanted entry of the ledger to `hand`, with its key.
    pub(super) fn sweep(
        &mut self,
        wanted: impl Fn(LedgerKey, &Entry) -> bool,
        mut hand: impl FnMut(LedgerKey, Entry),
    ) {
        let mut wanted = |key, entry: Entry| {
            if wanted(key, &entry) {
                hand(key, entry);
                return true;
            }
            false
        };
        match &mut self.from {
            From::Kernel(source, tape) => {
                let mut tape = tape.as_ref().map(|tape| tape.borrow_mut());
                source.sweep_bytes(|key, bytes, entry| {
                    if wanted(key, entry)
                        && let Some(tape) = &mut tape
                    {
                        tape.put(&Item::Entry(key.number(), Raw::of(bytes)));
                    }
                });
                if let Some(tape) = &mut tape {
                    tape.put(&Item::Swept);
                }
            }
            From::Recording(player) => player.ledger(|key, bytes| {
                if let Ok(entry) = Entry::parse(bytes) {
                    wanted(LedgerKey::new(key), entry);
                }
            }),
        }
    }

    /// Hands each living entry to `hand`, see [`Source::live`].
    pub(super) fn live(&mut self, mut hand: impl FnMut(&Record)) -> Result<(), SourceError> {
        let mut parsed = |bytes: &[u8]| {
            if let Ok(record) = &Record::parse(bytes) {
                hand(record);
            }
        };
        match &mut self.from {
            From::Kernel(source, None) => source.live(parsed),
            From::Kernel(source, Some(tape)) => {
                source.live(|bytes| {
                    tape.borrow_mut().put(&Item::Live(Raw::of(bytes)));
                    parsed(bytes);
                })?;
                tape.borrow_mut().put(&Item::Walked);
                Ok(())
            }
            From::Recording(player) => {
                player.live(parsed);
                Ok(())
            }
        }
    }

    /// Deletes an ended connection after its delivery.
    pub(super) fn forget(&mut self, key: LedgerKey) {
        if let From::Kernel(source, _) = &mut self.from {
            source.forget(key);
        }
    }

    /// See [`Source::forget_if`]; a recording has the entries that were there.
    pub(super) fn forget_if(&mut self, key: LedgerKey, id: u64) -> bool {
        match &mut self.from {
            From::Kernel(source, _) => source.forget_if(key, id),
            From::Recording(_) => true,
        }
    }

    /// Looks up how often the kernel skipped a program.
    pub(super) fn skipped(&mut self) -> u64 {
        match &mut self.from {
            From::Kernel(source, tape) => {
                let skipped = source.skipped();
                if let Some(tape) = tape {
                    tape.borrow_mut().put(&Item::Skipped(skipped));
                }
                skipped
            }
            From::Recording(player) => player.skipped(),
        }
    }

    /// Whether nothing is captured any more.
    pub(super) fn is_detached(&self) -> bool {
        match &self.from {
            From::Kernel(source, _) => source.is_detached(),
            From::Recording(_) => true,
        }
    }

    /// Detaches every program; what is in ring and ledger can still be taken.
    pub(super) fn detach(&mut self) {
        if let From::Kernel(source, _) = &mut self.from {
            source.detach();
        }
    }

    /// Ends the recording that is made, if there is one; waits at most so long for the disk.
    pub(super) fn finish(&mut self, patience: Duration) -> Option<Outcome> {
        let From::Kernel(_, Some(tape)) = &self.from else {
            return None;
        };
        Some(tape.borrow_mut().finish(patience))
    }
}
