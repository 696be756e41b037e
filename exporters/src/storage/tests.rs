mod succession;

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use convis_otel_config::Storage;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::store::{Record, Store};
use super::*;
use crate::accounting::{DropReason, ErrorType, SinkStats};
use crate::batch::Slice;
use crate::model::EventBatch;
use crate::notice::Notices;
use crate::outcome::{ExportError, Exporter, Outcome, Payload};
use crate::queue::{Entrance, Exit, bounded};
use crate::retry::RetryPolicy;
use crate::runner::{Pace, Runner};
use crate::sink::SinkError;
use crate::testing::samples::many_events;

/// Where events go: the ids of those that were taken, and whether it takes any.
#[derive(Clone, Default)]
struct Receiver {
    taken: Arc<Mutex<Vec<u64>>>,
    is_up: Arc<std::sync::atomic::AtomicBool>,
}

impl Receiver {
    fn up() -> Self {
        let receiver = Self::default();
        receiver.set_up(true);
        receiver
    }

    fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, std::sync::atomic::Ordering::SeqCst);
    }

    fn taken(&self) -> Vec<u64> {
        self.taken.lock().unwrap().clone()
    }
}

impl Exporter for Receiver {
    type Batch = EventBatch;

    fn encode(&mut self, slices: &[Slice<EventBatch>]) -> Payload {
        let events = slices.iter().flat_map(|slice| &slice.batch.events[slice.from..slice.to]);
        let body: Vec<u8> = events.flat_map(|event| event.connection.id.to_le_bytes()).collect();
        Payload { uncompressed: body.len(), body: Bytes::from(body) }
    }

    async fn send(&mut self, payload: &Payload) -> Outcome {
        if !self.is_up.load(std::sync::atomic::Ordering::SeqCst) {
            let error = ExportError::new(ErrorType::Unreachable, "down");
            return Outcome::Retry { after: None, error };
        }
        let ids = payload.body.chunks(8).map(|id| u64::from_le_bytes(id.try_into().unwrap()));
        self.taken.lock().unwrap().extend(ids);
        Outcome::SENT
    }
}

const PACE: Pace = Pace {
    delay: Duration::ZERO,
    max_records: 100,
    max_bytes: 1_000_000,
    timeout: None,
    retry: RetryPolicy {
        enabled: true,
        initial: Duration::from_millis(5),
        max: Duration::from_millis(5),
        max_elapsed: None,
    },
};

const SINK: &str = "otlp/2";

/// A lane as one process has it.
struct Process {
    entrance: Entrance<EventBatch>,
    stats: Arc<SinkStats>,
    stop: watch::Sender<Option<Instant>>,
    stop_runner: watch::Sender<Option<Instant>>,
    store: Arc<Store>,
    keeper: JoinHandle<()>,
    runner: JoinHandle<Result<(), SinkError>>,
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

/// A place for a lane. A transaction of a killed process may be under way still.
async fn placed(stores: &Stores, directory: &Path, max_bytes: u64) -> Place {
    let storage = Storage { directory: directory.to_owned(), max_bytes };
    for _ in 0..1000 {
        if let Ok(place) = stores.place(&storage, SINK) {
            return place;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", stores.place(&storage, SINK).err());
}

/// The store of a process that is gone.
fn left(directory: &Path) -> (Store, Vec<(u64, Size)>) {
    Store::open(&file(&directory.join(file_name(SINK)))).unwrap()
}

impl Process {
    async fn start(directory: &Path, max_bytes: u64, memory: usize, receiver: &Receiver) -> Self {
        Self::start_in(&mut Stores::default(), directory, max_bytes, memory, receiver.clone()).await
    }

    /// As a process does that has these stores already.
    async fn start_in(
        stores: &mut Stores,
        directory: &Path,
        max_bytes: u64,
        memory_records: usize,
        exporter: impl Exporter<Batch = EventBatch>,
    ) -> Self {
        let place = placed(stores, directory, max_bytes).await;
        let stats = place.stats.clone().unwrap_or_default();
        let (entrance, arrivals) = bounded(100_000, Arc::clone(&stats));
        let (stop, stopped) = watch::channel(None);
        let (stop_runner, runner_stopped) = watch::channel(None);
        let lane = Lane { arrivals, memory_records, max_bytes, stop: stopped };
        let name: Arc<str> = "test".into();
        let (keeper, taker) = stores.start(place, &SINK.into(), lane, &stats, Arc::clone(&name));
        let store = Arc::clone(&taker.hub.store);
        let runner = Runner {
            exporter,
            queue: Exit::Kept(Box::new(taker)),
            stats: Arc::clone(&stats),
            pace: PACE,
            stop: runner_stopped,
            random: fastrand::Rng::with_seed(1),
            notices: Notices::new(name),
            hold_until: Instant::now(),
            waits: None,
            bytes_per_record: 0,
        };
        let keeper = tokio::spawn(async {
            if let Some(keeper) = keeper {
                keeper.run().await;
            }
        });
        let runner = tokio::spawn(runner.run());
        Self { entrance, stats, stop, stop_runner, store, keeper, runner }
    }

    /// Offers so many events with ids from `first`.
    fn offer(&self, first: u64, count: u64) {
        let mut events = many_events(usize::try_from(count).unwrap()).events.clone();
        for (event, id) in events.iter_mut().zip(first..) {
            event.connection.id = id;
        }
        self.entrance.offer(&Arc::new(EventBatch { events }));
    }

    async fn stored(&self, records: u64) {
        until("stored", || self.stats.snapshot().stored == records).await;
    }

    /// Ends it as SIGKILL does: nothing is said, nothing is written.
    async fn kill(self) {
        self.keeper.abort();
        self.runner.abort();
        drop((self.keeper.await, self.runner.await, self.store));
    }

    async fn stop(self, deadline: Instant) -> Arc<SinkStats> {
        self.stop.send_replace(Some(deadline));
        self.stop_runner.send_replace(Some(deadline));
        drop(self.store);
        self.keeper.await.unwrap();
        self.runner.await.unwrap().unwrap();
        self.stats
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Scenario: two processes in a row are killed while the receiver is down, then one meets a receiver that works; once with
/// memory for all that waits, once with none.
/// Guarantees: every event arrives once, in order; each process accepts what it finds; what was acknowledged is deleted.
#[tokio::test]
async fn what_was_stored_outlives_kills() {
    for memory in [100_000, 0] {
        let folder = folder();
        let receiver = Receiver::default();
        let first = Process::start(folder.path(), 1 << 30, memory, &receiver).await;
        first.offer(0, 10);
        first.stored(10).await;
        first.offer(10, 5000);
        first.stored(5010).await;
        first.kill().await;

        let second = Process::start(folder.path(), 1 << 30, memory, &receiver).await;
        assert_eq!(second.stats.snapshot().accepted, 5010);
        second.offer(5010, 7);
        second.stored(5017).await;
        second.kill().await;

        receiver.set_up(true);
        let third = Process::start(folder.path(), 1 << 30, memory, &receiver).await;
        third.offer(5017, 3);
        until("sent", || third.stats.snapshot().sent == 5020).await;
        assert_eq!(receiver.taken(), (0..5020).collect::<Vec<_>>());
        third.stored(0).await;
        let snapshot = third.stats.snapshot();
        assert_eq!((snapshot.accepted, snapshot.queued(), snapshot.dropped_total()), (5020, 0, 0));
        third.kill().await;
        until("closed", || Store::open(&file(&folder.path().join(file_name(SINK)))).is_ok()).await;
        assert!(left(folder.path()).1.is_empty());
    }
}

/// Scenario: a stop while the receiver is down, then another process and a receiver that works.
/// Guarantees: one attempt, nothing is dropped, what remains is queued and stored, and it arrives in order.
#[tokio::test]
async fn a_stop_keeps_what_is_not_sent() {
    let folder = folder();
    let receiver = Receiver::default();
    let first = Process::start(folder.path(), 1 << 30, 100_000, &receiver).await;
    for id in 0..5 {
        first.offer(id * 10, 10);
    }
    let begin = Instant::now();
    let stats = first.stop(begin + Duration::from_mins(1)).await;
    assert!(begin.elapsed() < Duration::from_secs(20));
    let snapshot = stats.snapshot();
    assert_eq!((snapshot.accepted, snapshot.sent, snapshot.dropped_total()), (50, 0, 0));
    assert_eq!((snapshot.queued(), snapshot.stored), (50, 50));

    let second = Process::start(folder.path(), 1 << 30, 100_000, &Receiver::default()).await;
    let snapshot = second.stop(Instant::now()).await.snapshot();
    assert_eq!((snapshot.queued(), snapshot.stored, snapshot.dropped_total()), (50, 50, 0));

    receiver.set_up(true);
    let third = Process::start(folder.path(), 1 << 30, 100_000, &receiver).await;
    let snapshot = third.stop(Instant::now() + Duration::from_mins(1)).await.snapshot();
    assert_eq!((snapshot.sent, snapshot.queued(), snapshot.stored), (50, 0, 0));
    assert_eq!(receiver.taken(), (0..50).collect::<Vec<_>>());
}

/// Scenario: more comes than the store may hold while the receiver is down; then it works.
/// Guarantees: the oldest are dropped, also those that were tried, counted exactly, as is a batch larger than the whole;
/// the newest arrive, in order.
#[tokio::test]
async fn the_oldest_make_room() {
    let folder = folder();
    let receiver = Receiver::default();
    let room = 3 * codec::encode(&many_events(10).events).len() as u64 + 100;
    let process = Process::start(folder.path(), room, 100_000, &receiver).await;
    for id in 0..8 {
        process.offer(id * 10, 10);
        // Each in a transaction of its own, and tried before the next one comes.
        until("stored", || {
            let snapshot = process.stats.snapshot();
            snapshot.stored + snapshot.dropped_for(DropReason::QueueFull) == (id + 1) * 10
                && snapshot.requests > 0
        })
        .await;
    }
    let snapshot = process.stats.snapshot();
    assert_eq!((snapshot.dropped_for(DropReason::QueueFull), snapshot.stored), (50, 30));
    receiver.set_up(true);
    until("sent", || process.stats.snapshot().sent == 30).await;
    assert_eq!(receiver.taken(), (50..80).collect::<Vec<_>>());
    process.stored(0).await;

    process.offer(100, 1000);
    until("dropped", || process.stats.snapshot().dropped_for(DropReason::QueueFull) == 1050).await;
    assert_eq!(process.stats.snapshot().queued(), 0);
}

/// Scenario: among what an earlier process left is a record that cannot be read, and one that lies about its number.
/// Guarantees: both are skipped and counted with the number that was noted; what is around them arrives in order.
#[tokio::test]
async fn what_cannot_be_read_is_skipped_and_counted() {
    let folder = folder();
    let directory = folder.path().join(file_name(SINK));
    std::fs::create_dir(&directory).unwrap();
    let (left, _) = left(folder.path());
    let record = |number: u64, count: u32, bytes: Vec<u8>| {
        let size = Size { records: count, bytes: u32::try_from(bytes.len()).unwrap() };
        left.commit(&[Record { number, size, bytes }], &[]).unwrap();
    };
    let events = |count| codec::encode(&many_events(count).events);
    record(1, 2, events(2));
    record(2, 7, b"foreign".to_vec());
    record(3, 4, events(3));
    record(4, 1, events(1));
    drop(left);
    let receiver = Receiver::up();
    let process = Process::start(folder.path(), 1 << 20, 0, &receiver).await;
    until("settled", || process.stats.queued() == 0).await;
    let snapshot = process.stats.snapshot();
    assert_eq!((snapshot.accepted, snapshot.sent), (14, 3));
    assert_eq!(snapshot.dropped_for(DropReason::Unreadable), 11);
    process.stored(0).await;
}

/// Scenario: the disk fails under a running process.
/// Guarantees: it is counted, what comes then waits in memory and arrives; what is left at the end counts as dropped.
#[tokio::test]
async fn memory_stands_in_for_a_store_that_fails() {
    let folder = folder();
    let receiver = Receiver::up();
    let directory = folder.path().join("x");
    let process = Process::start(&directory, 1 << 30, 100_000, &receiver).await;
    process.offer(0, 5);
    until("sent", || process.stats.snapshot().sent == 5).await;
    process.stored(0).await;
    let opened = directory.join(file_name(SINK));
    std::fs::remove_dir_all(&opened).unwrap();
    // A file where the directory was: the store can be opened no more.
    std::fs::write(&opened, "").unwrap();
    process.store.fail();
    process.offer(5, 5);
    until("sent", || process.stats.snapshot().sent == 10).await;
    receiver.set_up(false);
    process.offer(10, 5);
    let snapshot = process.stop(Instant::now() + Duration::from_secs(5)).await.snapshot();
    assert_eq!(receiver.taken(), (0..10).collect::<Vec<_>>());
    assert_eq!((snapshot.failures_of(ErrorType::Storage), snapshot.stored), (1, 0));
    assert_eq!((snapshot.dropped_for(DropReason::Shutdown), snapshot.queued()), (5, 0));
}

/// Scenario: names of sinks, also such as would lead out of the directory.
/// Guarantees: one plain file name each, never the same for two.
#[test]
fn sinks_have_directories_of_their_own() {
    let names = ["otlp", "otlp/2", "otlp_2", "otlp_2f2", "../x", ".", "newrelic/a b"];
    let files = names.map(file_name);
    assert_eq!(files[..2], ["otlp".to_owned(), "otlp_2f2".to_owned()]);
    let distinct: std::collections::BTreeSet<_> = files.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{files:?}");
    assert!(files.iter().all(|file| file.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))));
}
