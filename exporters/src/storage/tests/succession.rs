use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const ROOM: u64 = 1 << 30;

impl Process {
    /// Ends as a lane does that another one follows: nobody offers to it any more, and its runner is told to stop.
    fn part(self, deadline: Instant) -> (JoinHandle<()>, JoinHandle<Result<(), SinkError>>) {
        self.stop_runner.send_replace(Some(deadline));
        (self.keeper, self.runner)
    }
}

/// Scenario: a receiver is down; a lane holds events on disk, in memory and between attempts. Another one to a receiver that
/// works takes over and is given more, with memory for all that waits and with none.
/// Guarantees: the first lane ends although its keeper goes on; every event arrives at the second receiver once, in order;
/// each is accepted once and none is dropped; nothing stays in the store.
#[tokio::test]
async fn another_lane_takes_over_what_waits() {
    for memory in [100_000, 0] {
        let folder = folder();
        let mut stores = Stores::default();
        let first = Process::start_in(&mut stores, folder.path(), ROOM, memory, Receiver::default()).await;
        first.offer(0, 10);
        first.stored(10).await;
        first.offer(10, 3000);
        until("attempts", || first.stats.snapshot().retries > 2).await;
        first.offer(3010, 10);
        let receiver = Receiver::up();
        let second = Process::start_in(&mut stores, folder.path(), ROOM, memory, receiver.clone()).await;
        assert!(Arc::ptr_eq(&first.stats, &second.stats));
        second.offer(3020, 80);
        let (keeper, runner) = first.part(Instant::now() + Duration::from_mins(1));
        tokio::time::timeout(Duration::from_secs(20), runner).await.unwrap().unwrap().unwrap();
        until("sent", || second.stats.snapshot().sent == 3100).await;
        assert_eq!(receiver.taken(), (0..3100).collect::<Vec<_>>());
        second.stored(0).await;
        let snapshot = second.stats.snapshot();
        assert_eq!((snapshot.accepted, snapshot.queued(), snapshot.dropped_total()), (3100, 0, 0));
        assert!(!keeper.is_finished());
        second.stop(Instant::now()).await;
        keeper.await.unwrap();
    }
}

/// Takes the first request and never answers; says how often it was asked.
#[derive(Clone, Default)]
struct Deaf(Arc<AtomicUsize>);

impl Exporter for Deaf {
    type Batch = EventBatch;

    fn encode(&mut self, slices: &[Slice<EventBatch>]) -> Payload {
        Receiver::default().encode(slices)
    }

    async fn send(&mut self, _: &Payload) -> Outcome {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
}

/// Scenario: an attempt hangs while its lane is followed by a second and that one by a third.
/// Guarantees: events wait for the attempt's end, at the deadline, so that none is sent twice while it may still be taken;
/// the second lane never sends; then the third sends all, in order.
#[tokio::test]
async fn takers_come_one_after_the_other() {
    let folder = folder();
    let mut stores = Stores::default();
    let deaf = Deaf::default();
    let first = Process::start_in(&mut stores, folder.path(), ROOM, 1000, deaf.clone()).await;
    first.offer(0, 10);
    until("an attempt", || deaf.0.load(Ordering::SeqCst) == 1).await;
    let between = Receiver::up();
    let second = Process::start_in(&mut stores, folder.path(), ROOM, 1000, between.clone()).await;
    let (keeper, hanging) = first.part(Instant::now() + Duration::from_millis(300));
    second.offer(10, 10);
    let receiver = Receiver::up();
    let third = Process::start_in(&mut stores, folder.path(), ROOM, 1000, receiver.clone()).await;
    let (_, runner) = second.part(Instant::now() + Duration::from_mins(1));
    runner.await.unwrap().unwrap();
    third.offer(20, 10);
    third.stored(30).await;
    assert!(!hanging.is_finished() && receiver.taken().is_empty());
    hanging.await.unwrap().unwrap();
    until("sent", || third.stats.snapshot().sent == 30).await;
    assert_eq!((between.taken(), receiver.taken()), (Vec::new(), (0..30).collect()));
    third.stored(0).await;
    assert_eq!(third.stats.snapshot().accepted, 30);
    third.stop(Instant::now()).await;
    keeper.await.unwrap();
}

/// Scenario: a lane without anyone who offers still has events that it cannot send when another one follows; later that one
/// is gone for good, and a third one opens what it left.
/// Guarantees: what waits is taken over from a lane that is ending too; what a lane of this process left on disk is not
/// accepted a second time.
#[tokio::test]
async fn a_lane_that_ends_can_be_followed() {
    let folder = folder();
    let mut stores = Stores::default();
    let first = Process::start_in(&mut stores, folder.path(), ROOM, 1000, Receiver::default()).await;
    first.offer(0, 10);
    first.stored(10).await;
    let Process { entrance, stats, stop, stop_runner, store, keeper, runner } = first;
    drop((entrance, store));
    until("attempts", || stats.snapshot().retries > 2).await;
    let second = Process::start_in(&mut stores, folder.path(), ROOM, 1000, Receiver::default()).await;
    stop_runner.send_replace(Some(Instant::now()));
    runner.await.unwrap().unwrap();
    second.offer(10, 10);
    second.stored(20).await;
    drop(stop);
    second.stop(Instant::now()).await;
    keeper.await.unwrap();

    let receiver = Receiver::up();
    let third = Process::start_in(&mut stores, folder.path(), ROOM, 1000, receiver.clone()).await;
    assert!(Arc::ptr_eq(&stats, &third.stats));
    third.offer(20, 1);
    until("sent", || third.stats.snapshot().sent == 21).await;
    assert_eq!(receiver.taken(), (0..21).collect::<Vec<_>>());
    assert_eq!((third.stats.snapshot().accepted, third.stats.queued()), (21, 0));
}

/// Scenario: a store of this process is open in a sink of another name, by a link in the file system.
/// Guarantees: it is refused like that of another process.
#[tokio::test]
async fn a_store_is_for_one_name() {
    let folder = folder();
    let mut stores = Stores::default();
    let _first = Process::start_in(&mut stores, folder.path(), ROOM, 1000, Receiver::default()).await;
    std::os::unix::fs::symlink(file_name(SINK), folder.path().join("other")).unwrap();
    let storage = Storage { directory: folder.path().to_owned(), max_bytes: ROOM };
    let error = stores.place(&storage, "other").err().unwrap();
    assert!(error.ends_with("another convis uses it; give each its own `storage` directory"), "{error}");
}
