use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{Pace, Runner};
use crate::accounting::{DropReason, ErrorType, SinkStats, StatsSnapshot};
use crate::batch::{self, Slice};
use crate::model::EventBatch;
use crate::notice::Notices;
use crate::outcome::{ExportError, Exporter, Outcome, Payload};
use crate::queue::{self, Entrance, Exit};
use crate::retry::RetryPolicy;
use crate::sink::SinkError;
use crate::testing::samples::many_events;

/// What an attempt comes to.
enum Step {
    Sent,
    Partial(u64),
    Retry(Option<u64>),
    TooLarge,
    Drop,
    Hang,
    Fatal,
}

/// Answers in turn, then always takes everything. A record is ten bytes.
#[derive(Clone, Default)]
struct Script {
    steps: Arc<Mutex<VecDeque<Step>>>,
    attempts: Arc<Mutex<Vec<(Duration, usize)>>>,
    settled: Arc<Mutex<Vec<bool>>>,
    encoded: Arc<Mutex<usize>>,
    begin: Option<Instant>,
}

impl Exporter for Script {
    type Batch = EventBatch;

    fn encode(&mut self, slices: &[Slice<EventBatch>]) -> Payload {
        let size = batch::records(slices) * 10;
        *self.encoded.lock().unwrap() += size / 10;
        Payload { body: Bytes::from(vec![0; size]), uncompressed: size }
    }

    async fn send(&mut self, payload: &Payload) -> Outcome {
        let at = self.begin.map(|begin| begin.elapsed()).unwrap_or_default();
        self.attempts.lock().unwrap().push((at, payload.uncompressed / 10));
        let error = ExportError::new(ErrorType::Unavailable, "told so");
        let step = self.steps.lock().unwrap().pop_front();
        match step.unwrap_or(Step::Sent) {
            Step::Sent => Outcome::SENT,
            Step::Partial(rejected) => Outcome::Sent { rejected, message: "some".to_owned() },
            Step::Retry(after) => Outcome::Retry { after: after.map(Duration::from_secs), error },
            Step::TooLarge => Outcome::TooLarge(error),
            Step::Drop => Outcome::Drop(error),
            Step::Hang => std::future::pending().await,
            Step::Fatal => Outcome::Fatal(SinkError::OutputClosed),
        }
    }

    fn settled(&mut self, acknowledged: bool) {
        self.settled.lock().unwrap().push(acknowledged);
    }
}

struct Lane {
    script: Script,
    entrance: Entrance<EventBatch>,
    stats: Arc<SinkStats>,
    stop: watch::Sender<Option<Instant>>,
    task: JoinHandle<Result<(), SinkError>>,
}

const PACE: Pace = Pace {
    delay: Duration::ZERO,
    max_records: 100,
    max_bytes: 1000,
    timeout: Some(Duration::from_secs(10)),
    retry: RetryPolicy {
        enabled: true,
        initial: Duration::from_secs(1),
        max: Duration::from_secs(30),
        max_elapsed: Some(Duration::from_mins(5)),
    },
};

fn lane(pace: Pace, steps: Vec<Step>) -> Lane {
    let script = Script {
        steps: Arc::new(Mutex::new(steps.into())),
        begin: Some(Instant::now()),
        ..Script::default()
    };
    let stats = Arc::new(SinkStats::default());
    let (entrance, queue) = queue::bounded(1000, Arc::clone(&stats));
    let (stop, stopped) = watch::channel(None);
    let runner = Runner {
        exporter: script.clone(),
        queue: Exit::Direct(queue),
        stats: Arc::clone(&stats),
        pace,
        stop: stopped,
        random: fastrand::Rng::with_seed(1),
        notices: Notices::new("test".into()),
        hold_until: Instant::now(),
        waits: None,
        bytes_per_record: 0,
    };
    let task = tokio::spawn(runner.run());
    Lane { script, entrance, stats, stop, task }
}

impl Lane {
    fn offer(&self, records: usize) {
        self.entrance.offer(&many_events(records));
    }

    /// Times of attempts, in whole seconds, and their records.
    fn attempts(&self) -> Vec<(u64, usize)> {
        let attempts = self.script.attempts.lock().unwrap();
        attempts.iter().map(|(at, records)| (at.as_secs(), *records)).collect()
    }

    /// Checks that the counters add up, against the queue's own count of taken places.
    fn settled(&self) -> StatsSnapshot {
        let snapshot = self.stats.snapshot();
        assert_eq!(snapshot.queued(), self.entrance.occupied() as u64);
        assert_eq!(snapshot.accepted, snapshot.sent + snapshot.queued() + snapshot.dropped_total());
        snapshot
    }

    /// Stops with so many seconds, waits, and checks that nothing is left.
    async fn stop(&mut self, seconds: u64) -> StatsSnapshot {
        self.stop.send_replace(Some(Instant::now() + Duration::from_secs(seconds)));
        (&mut self.task).await.unwrap().unwrap();
        let snapshot = self.settled();
        assert_eq!(snapshot.queued(), 0);
        snapshot
    }
}

/// Scenario: batches arrive one by one, then all at once.
/// Guarantees: they share a request within the delay of the oldest, and a full request does not wait.
#[tokio::test(start_paused = true)]
async fn batches_share_a_request() {
    let mut lane = lane(Pace { delay: Duration::from_secs(2), ..PACE }, Vec::new());
    lane.offer(1);
    sleep(Duration::from_secs(1)).await;
    lane.offer(2);
    sleep(Duration::from_secs(5)).await;
    lane.offer(60);
    lane.offer(40);
    lane.offer(5);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(lane.attempts(), [(2, 3), (6, 100)]);
    assert_eq!(lane.stop(5).await.sent, 108);
}

/// Scenario: the receiver fails, asks for a time, then works.
/// Guarantees: the first wait is at most 1.5 s, the time asked for is honoured, order stays, nothing is lost.
#[tokio::test(start_paused = true)]
async fn failures_that_may_pass_are_retried() {
    let mut lane = lane(PACE, vec![Step::Retry(None), Step::Retry(Some(40))]);
    lane.offer(3);
    sleep(Duration::from_secs(10)).await;
    lane.offer(4);
    assert_eq!(lane.settled().queued(), 7);
    sleep(Duration::from_secs(50)).await;
    let attempts = lane.attempts();
    assert!((0..2).contains(&attempts[1].0), "{attempts:?}");
    assert!((40..43).contains(&attempts[2].0), "{attempts:?}");
    assert_eq!(attempts[3].1, 4);
    let snapshot = lane.stop(5).await;
    assert_eq!((snapshot.sent, snapshot.requests, snapshot.retries), (7, 4, 2));
    assert_eq!(snapshot.failures_of(ErrorType::Unavailable), 2);
    assert_eq!(*lane.script.settled.lock().unwrap(), [true, true]);
}

/// Scenario: the receiver is down for longer than records may wait.
/// Guarantees: they expire, are counted, and the next request still observes the wait.
#[tokio::test(start_paused = true)]
async fn records_expire() {
    let steps = std::iter::repeat_with(|| Step::Retry(None)).take(40).collect();
    let mut lane = lane(PACE, steps);
    lane.offer(3);
    sleep(Duration::from_mins(5) + Duration::from_secs(46)).await;
    let snapshot = lane.settled();
    assert_eq!(snapshot.dropped_for(DropReason::Expired), 3);
    let last = lane.attempts().last().unwrap().0;
    assert!((240..300).contains(&last), "{last}");
    assert_eq!(*lane.script.settled.lock().unwrap(), [false]);
    lane.offer(1);
    assert_eq!(lane.stop(0).await.dropped_for(DropReason::Shutdown), 1);
}

/// Scenario: retrying has no end, and the receiver is down for two hours.
/// Guarantees: nothing expires, waits stay bounded, and everything arrives.
#[tokio::test(start_paused = true)]
async fn records_need_not_expire() {
    let steps = std::iter::repeat_with(|| Step::Retry(None)).take(240).collect();
    let retry = RetryPolicy { max_elapsed: None, ..PACE.retry };
    let mut lane = lane(Pace { retry, ..PACE }, steps);
    lane.offer(3);
    sleep(Duration::from_hours(1)).await;
    assert_eq!(lane.settled().queued(), 3);
    sleep(Duration::from_hours(2)).await;
    let snapshot = lane.stop(5).await;
    assert_eq!((snapshot.sent, snapshot.dropped_total(), snapshot.retries), (3, 0, 240));
}

/// Scenario: no retry is wanted; the receiver fails once, then asks for a time.
/// Guarantees: one attempt for each request, counted as expired; what the receiver asked for holds for the next one.
#[tokio::test(start_paused = true)]
async fn without_retry_there_is_one_attempt() {
    let retry = RetryPolicy { enabled: false, ..PACE.retry };
    let mut lane = lane(Pace { retry, ..PACE }, vec![Step::Retry(None), Step::Retry(Some(40))]);
    for records in [3, 4, 5] {
        lane.offer(records);
        sleep(Duration::from_secs(20)).await;
    }
    sleep(Duration::from_mins(1)).await;
    let attempts = lane.attempts();
    assert_eq!(attempts.iter().map(|(_, records)| *records).collect::<Vec<_>>(), [3, 4, 5]);
    assert!((60..63).contains(&attempts[2].0), "{attempts:?}");
    let snapshot = lane.stop(5).await;
    assert_eq!((snapshot.sent, snapshot.retries), (5, 0));
    assert_eq!(snapshot.dropped_for(DropReason::Expired), 7);
}

/// Scenario: an answer never comes.
/// Guarantees: the attempt ends at its timeout and is retried.
#[tokio::test(start_paused = true)]
async fn attempts_are_bounded() {
    let mut lane = lane(PACE, vec![Step::Hang]);
    lane.offer(3);
    sleep(Duration::from_secs(20)).await;
    let attempts = lane.attempts();
    assert!((10..12).contains(&attempts[1].0), "{attempts:?}");
    let snapshot = lane.stop(5).await;
    assert_eq!((snapshot.sent, snapshot.failures_of(ErrorType::Timeout)), (3, 1));
}

/// Scenario: refusals for good, in whole and in part.
/// Guarantees: no retry, exact counts.
#[tokio::test(start_paused = true)]
async fn refusals_are_not_retried() {
    let mut lane = lane(PACE, vec![Step::Drop, Step::Partial(2)]);
    lane.offer(3);
    sleep(Duration::from_secs(1)).await;
    lane.offer(5);
    sleep(Duration::from_secs(1)).await;
    let snapshot = lane.stop(5).await;
    assert_eq!((snapshot.requests, snapshot.sent), (2, 3));
    assert_eq!(snapshot.dropped_for(DropReason::Rejected), 5);
    assert_eq!(snapshot.failures_of(ErrorType::PartialSuccess), 1);
}

/// Scenario: a request over our own limit, one the receiver finds too large, and a record that is too large alone.
/// Guarantees: requests are halved in order until they fit; only a single record is dropped.
#[tokio::test(start_paused = true)]
async fn requests_that_are_too_large_are_halved() {
    let mut first = lane(Pace { max_records: 1000, max_bytes: 400, ..PACE }, Vec::new());
    first.offer(100);
    assert_eq!(first.stop(5).await.sent, 100);
    assert_eq!(first.attempts(), [(0, 25), (0, 25), (0, 25), (0, 25)]);

    let mut second = lane(PACE, vec![Step::TooLarge, Step::Sent, Step::TooLarge, Step::TooLarge]);
    second.offer(4);
    let snapshot = second.stop(5).await;
    let sizes: Vec<_> = second.attempts().iter().map(|(_, records)| *records).collect();
    assert_eq!(sizes, [4, 2, 2, 1, 1]);
    assert_eq!((snapshot.sent, snapshot.dropped_for(DropReason::TooLarge)), (3, 1));
}

/// Scenario: batches that are too large for a request come one after the other.
/// Guarantees: all but the first are cut before they are encoded.
#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_not_encoded_whole() {
    let mut lane = lane(Pace { max_records: 1, max_bytes: 400, ..PACE }, Vec::new());
    for _ in 0..3 {
        lane.offer(100);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(lane.stop(5).await.sent, 300);
    assert_eq!(lane.attempts().len(), 12);
    // The first one whole, to learn its size; of all of them the parts that were sent.
    assert_eq!(*lane.script.encoded.lock().unwrap(), 100 + 300);
}

/// Scenario: a stop during the wait before a retry.
/// Guarantees: one more attempt at once; what waits behind it gets one attempt too; offers are turned away.
#[tokio::test(start_paused = true)]
async fn a_stop_cuts_the_wait_short() {
    let mut lane = lane(Pace { max_records: 1, ..PACE }, vec![Step::Retry(Some(60)), Step::Retry(Some(60))]);
    lane.offer(3);
    lane.offer(4);
    sleep(Duration::from_secs(5)).await;
    let snapshot = lane.stop(10).await;
    assert_eq!(lane.attempts(), [(0, 3), (5, 3), (5, 4)]);
    assert_eq!((snapshot.sent, snapshot.dropped_for(DropReason::Shutdown)), (4, 3));
    lane.offer(9);
    assert_eq!(lane.settled().dropped_for(DropReason::Shutdown), 12);
}

/// Scenario: a stop while the receiver hangs, without a timeout of its own.
/// Guarantees: the deadline ends it, and all that is left is counted.
#[tokio::test(start_paused = true)]
async fn the_deadline_ends_an_attempt() {
    let mut lane = lane(Pace { timeout: None, max_records: 1, ..PACE }, vec![Step::Hang]);
    lane.offer(3);
    lane.offer(4);
    sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    let snapshot = lane.stop(10).await;
    assert_eq!(begin.elapsed().as_secs(), 10);
    assert_eq!(snapshot.dropped_for(DropReason::Shutdown), 7);
}

/// Scenario: the sink cannot go on.
/// Guarantees: the task says so, and what was queued is counted.
#[tokio::test(start_paused = true)]
async fn a_sink_that_ends_counts_what_it_held() {
    let mut lane = lane(Pace { max_records: 1, ..PACE }, vec![Step::Fatal]);
    lane.offer(3);
    lane.offer(4);
    let ended = (&mut lane.task).await.unwrap();
    assert!(matches!(ended, Err(SinkError::OutputClosed)));
    lane.offer(5);
    assert_eq!(lane.settled().dropped_for(DropReason::Shutdown), 12);
}

/// Scenario: a receiver takes no more than half of what we send.
/// Guarantees: later requests are cut before they are sent.
#[tokio::test(start_paused = true)]
async fn a_receivers_limit_is_remembered() {
    let pace = Pace { max_records: 1, max_bytes: 1_000_000, ..PACE };
    let mut lane = lane(pace, vec![Step::TooLarge]);
    let big = 20_000;
    for _ in 0..2 {
        // A batch above the queue's capacity is taken while the lane is idle.
        lane.offer(big);
        sleep(Duration::from_secs(1)).await;
    }
    let sizes: Vec<_> = lane.attempts().iter().map(|(_, records)| *records).collect();
    assert_eq!(sizes, [big, big / 2, big / 2, big / 2, big / 2]);
    assert_eq!(lane.stop(5).await.sent, 2 * big as u64);
}
