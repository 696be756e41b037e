//! The task that stores what comes, before anything is sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::hub::{Hub, Lane, Successor};
use super::store::{Record, Size, Store};
use super::taker::Stored;
use super::{Entry, Held, Settled, codec};
use crate::accounting::{DropReason, ErrorType, SinkStats};
use crate::model::EventBatch;
use crate::notice::Notices;
use crate::outcome::ExportError;
use crate::queue::{self, Arrivals, Queued, Shelf};
use crate::runner::{Stop, stopped};

/// Least time between two transactions, which bounds what they cost: each waits for the disk.
const PACE: Duration = Duration::from_millis(50);
/// Between a transaction that failed and the next try.
const REST: Duration = Duration::from_secs(30);
/// Events in one record at most: what is read back at once.
const RECORD_EVENTS: usize = 2048;

/// Looks after the events of a lane.
pub(crate) struct Keeper {
    /// Of the lane, after those of lanes before it that are not empty yet.
    arrivals: VecDeque<Arrivals<EventBatch>>,
    /// While something may come.
    hub: Option<Arc<Hub>>,
    successors: UnboundedReceiver<Successor>,
    shelf: Arc<Shelf<Entry>>,
    store: Arc<Store>,
    settled: UnboundedReceiver<Settled>,
    stats: Arc<SinkStats>,
    stop: Stop,
    notices: Notices,
    /// Places for stored events that are in memory as well.
    memory: Arc<Semaphore>,
    max_bytes: u64,
    /// What the store holds, also of what is on its way.
    held: Total,
    next: u64,
    /// To be deleted with the next transaction.
    remove: Vec<Settled>,
    /// When the store failed, until it works again.
    failed: Option<Instant>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Total {
    records: u64,
    bytes: u64,
}

/// What looks after the events of a lane, and where they are taken from. Everything that the store held is accepted first,
/// unless `stats` know it from a lane before.
pub(super) fn keep(
    store: Store,
    held: Vec<(u64, Size)>,
    lane: Lane,
    stats: Arc<SinkStats>,
    name: Arc<str>,
) -> (Keeper, Stored) {
    let (settle, settled) = unbounded_channel();
    let (succeed, successors) = unbounded_channel();
    let (shelf, store) = (Arc::new(Shelf::new()), Arc::new(store));
    let hub = Arc::new(Hub {
        shelf: Arc::clone(&shelf),
        store: Arc::clone(&store),
        stats: Arc::clone(&stats),
        settled: settle,
        successors: succeed,
        turns: Arc::new(Semaphore::new(1)),
        newest: watch::Sender::new(0),
    });
    let mut keeper = Keeper {
        arrivals: VecDeque::from([lane.arrivals]),
        hub: Some(Arc::clone(&hub)),
        successors,
        shelf,
        store,
        settled,
        stats,
        stop: lane.stop,
        notices: Notices::new(name),
        memory: memory(lane.memory_records),
        max_bytes: lane.max_bytes,
        held: Total::default(),
        next: held.last().map_or(0, |(number, _)| number + 1),
        remove: Vec::new(),
        failed: None,
    };
    keeper.find(held);
    (keeper, hub.taker(None))
}

fn memory(records: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(records.min(Semaphore::MAX_PERMITS)))
}

impl Keeper {
    /// Runs until nothing more comes and the runner is gone. What then waits stays in the store.
    pub(crate) async fn run(mut self) {
        loop {
            while let Some(first) = self.next_arrival().await {
                self.store_arrivals(first).await;
                self.pause().await;
            }
            self.shelf.complete();
            self.hub = None;
            if !self.linger().await {
                return self.leave();
            }
        }
    }

    /// Puts down what the store held.
    fn find(&mut self, held: Vec<(u64, Size)>) {
        for (number, size) in held {
            let settled = Settled { number, size };
            self.held.add(settled);
            self.shelf.update(|waiting| waiting.push_back(Entry { stored: Some(settled), batch: None }));
        }
        let (found, known) = (self.held.records, self.stats.queued());
        self.stats.accept(found.saturating_sub(known));
        self.stats.drop_records(DropReason::Unreadable, known.saturating_sub(found));
        self.stats.store(found);
    }

    /// Waits for a batch, or for something to delete (`Some(None)`); `None` once nothing more will come.
    async fn next_arrival(&mut self) -> Option<Option<Queued<EventBatch>>> {
        let mut stopping = self.stop.borrow().is_some();
        loop {
            if stopping {
                self.arrivals.iter_mut().for_each(Arrivals::close);
            }
            tokio::select! {
                biased;
                Some(successor) = self.successors.recv() => {
                    self.adopt(successor);
                    stopping = self.stop.borrow().is_some();
                }
                queued = queue::first(&mut self.arrivals) => return queued.map(Some),
                Some(settled) = self.settled.recv() => {
                    self.remove.push(settled);
                    return Some(None);
                }
                () = stopped(&mut self.stop), if !stopping => stopping = true,
            }
        }
    }

    /// Deletes what gets an outcome until the runner is gone (`false`), unless another lane follows.
    async fn linger(&mut self) -> bool {
        loop {
            tokio::select! {
                biased;
                Some(successor) = self.successors.recv() => {
                    self.adopt(successor);
                    return true;
                }
                Some(settled) = self.settled.recv() => {
                    self.remove.push(settled);
                    self.store_arrivals(None).await;
                }
                else => return false,
            }
        }
    }

    /// Works for another lane from now on. What the last one was given comes first.
    fn adopt(&mut self, successor: Successor) {
        let Successor { lane, hub, adopted } = successor;
        self.arrivals.push_back(lane.arrivals);
        self.memory = memory(lane.memory_records);
        self.max_bytes = lane.max_bytes;
        self.stop = lane.stop;
        self.hub = Some(hub);
        self.shelf.resume();
        // A lane that has ended already does not wait.
        let _ended = adopted.send(());
    }

    /// One transaction for everything that has come and everything that can go.
    async fn store_arrivals(&mut self, first: Option<Queued<EventBatch>>) {
        let mut new = VecDeque::new();
        let mut next = first;
        while let Some(queued) = next.or_else(|| self.arrivals.iter_mut().find_map(Arrivals::try_take)) {
            self.encode(queued, &mut new);
            next = None;
        }
        while let Ok(settled) = self.settled.try_recv() {
            self.remove.push(settled);
        }
        self.make_room(&mut new);
        let (entries, records): (Vec<_>, Vec<_>) = new.into_iter().unzip();
        let stored = self.commit(records).await;
        for entry in entries {
            let entry = if stored { self.on_disk(entry) } else { Entry { stored: None, ..entry } };
            self.shelf.update(|waiting| waiting.push_back(entry));
        }
        self.stats.store(self.held.records);
    }

    /// Cuts a batch into records and numbers them.
    fn encode(&mut self, queued: Queued<EventBatch>, new: &mut VecDeque<(Entry, Record)>) {
        let (batch, offered, mut room, _) = queued.into_parts();
        let whole = batch.events.len() <= RECORD_EVENTS;
        for events in batch.events.chunks(RECORD_EVENTS) {
            let bytes = codec::encode(events);
            let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
            let size = Size { records: count(events.len()), bytes: count(bytes.len()) };
            let settled = Settled { number: self.next, size };
            self.next += 1;
            let batch =
                if whole { Arc::clone(&batch) } else { Arc::new(EventBatch { events: events.to_vec() }) };
            // The places of a batch that is cut go with its first part.
            let held = Held { batch, offered, room: room.take() };
            let entry = Entry { stored: Some(settled), batch: Some(held) };
            new.push_back((entry, Record { number: settled.number, size, bytes }));
        }
    }

    /// Drops the oldest, but for what is being sent just now, until the new ones fit.
    fn make_room(&mut self, new: &mut VecDeque<(Entry, Record)>) {
        let freed: u64 = self.remove.iter().map(|settled| u64::from(settled.size.bytes)).sum();
        let mut bytes = self.held.bytes - freed.min(self.held.bytes);
        bytes += new.iter().map(|(_, record)| u64::from(record.size.bytes)).sum::<u64>();
        while bytes > self.max_bytes {
            let oldest = self.shelf.look(|waiting| {
                let oldest = waiting.iter().position(|entry| entry.stored.is_some());
                oldest.and_then(|oldest| waiting.remove(oldest))
            });
            let size = match oldest.and_then(|entry| entry.stored) {
                Some(settled) => {
                    self.remove.push(settled);
                    settled.size
                }
                None => match new.pop_front() {
                    Some((_, record)) => record.size,
                    None => return,
                },
            };
            bytes -= u64::from(size.bytes).min(bytes);
            self.stats.drop_records(DropReason::QueueFull, size.records.into());
        }
    }

    /// Whether what was to be written is on disk now.
    async fn commit(&mut self, records: Vec<Record>) -> bool {
        if records.is_empty() && self.remove.is_empty() {
            return true;
        }
        if self.failed.is_some_and(|failed| Instant::now() < failed + REST) {
            return false;
        }
        let store = Arc::clone(&self.store);
        let remove: Vec<_> = self.remove.iter().map(|settled| settled.number).collect();
        let sizes: Vec<_> = records.iter().map(|record| record.size).collect();
        let work = move || store.commit(&records, &remove).map_err(|error| error.to_string());
        match tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(()) => {
                for settled in self.remove.drain(..) {
                    self.held.subtract(settled.size);
                }
                for size in sizes {
                    self.held.add_size(size);
                }
                self.failed = None;
                true
            }
            Err(why) => {
                self.failed = Some(Instant::now());
                self.stats.fail(ErrorType::Storage);
                let error = ExportError::new(ErrorType::Storage, format!("cannot write to storage: {why}"));
                self.notices.failed(&error, "events wait in memory until it works again; check the disk");
                false
            }
        }
    }

    /// What is stored stays in memory only while there is room, and gives its place in the queue back.
    fn on_disk(&self, entry: Entry) -> Entry {
        let room = |held: &Held| {
            let records = u32::try_from(held.batch.events.len()).ok()?;
            Arc::clone(&self.memory).try_acquire_many_owned(records).ok()
        };
        let batch = entry.batch.and_then(|held| Some(Held { room: Some(room(&held)?), ..held }));
        Entry { batch, ..entry }
    }

    /// Waits until the next transaction may begin; a stop ends the wait.
    async fn pause(&mut self) {
        tokio::select! {
            () = sleep_until(Instant::now() + PACE) => {}
            () = stopped(&mut self.stop) => {}
        }
    }

    /// Counts what is in memory alone; the rest waits for the next process.
    fn leave(self) {
        let lost = self.shelf.look(|waiting| {
            let lost = waiting.iter().filter(|entry| entry.stored.is_none());
            lost.filter_map(|entry| entry.batch.as_ref()).map(|held| held.batch.events.len() as u64).sum()
        });
        self.stats.drop_records(DropReason::Shutdown, lost);
    }
}

impl Total {
    fn add(&mut self, settled: Settled) {
        self.add_size(settled.size);
    }

    fn add_size(&mut self, size: Size) {
        self.records += u64::from(size.records);
        self.bytes += u64::from(size.bytes);
    }

    fn subtract(&mut self, size: Size) {
        self.records -= u64::from(size.records).min(self.records);
        self.bytes -= u64::from(size.bytes).min(self.bytes);
    }
}
