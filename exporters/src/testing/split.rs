//! An exporter behind its runner, before a receiver that takes requests up to a size.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::accounting::{ErrorType, SinkStats};
use crate::batch::{Batch, Slice};
use crate::notice::Notices;
use crate::outcome::{ExportError, Exporter, Outcome, Payload};
use crate::queue::{self, Exit};
use crate::retry::RetryPolicy;
use crate::runner::{Pace, Runner};

/// Keeps what it would send.
struct Keeping<E> {
    inner: E,
    takes: usize,
    taken: Arc<Mutex<Vec<Payload>>>,
}

impl<E: Exporter> Exporter for Keeping<E> {
    type Batch = E::Batch;

    fn encode(&mut self, slices: &[Slice<E::Batch>]) -> Payload {
        self.inner.encode(slices)
    }

    async fn send(&mut self, payload: &Payload) -> Outcome {
        if payload.uncompressed > self.takes {
            return Outcome::TooLarge(ExportError::new(ErrorType::TooLarge, "told so"));
        }
        self.taken.lock().unwrap().push(payload.clone());
        Outcome::SENT
    }

    fn expired(&self) -> u64 {
        self.inner.expired()
    }

    fn settled(&mut self, acknowledged: bool) {
        self.inner.settled(acknowledged);
    }
}

/// The bodies of all requests that the receiver has taken, of at most `takes` bytes before compression each. The sink's own
/// limit is `max_bytes`. Every record must have been counted as sent, and every request within the limits.
pub(crate) fn bodies<E: Exporter>(
    exporter: E,
    batches: &[Arc<E::Batch>],
    (max_bytes, takes): (usize, usize),
) -> Vec<Vec<u8>> {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = Keeping { inner: exporter, takes, taken: Arc::clone(&requests) };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let stats = runtime.block_on(async {
        let stats = Arc::new(SinkStats::default());
        let (entrance, queue) = queue::bounded(1_000_000, Arc::clone(&stats));
        for batch in batches {
            entrance.offer(batch);
        }
        let stop = Instant::now() + Duration::from_mins(1);
        let (_stop, stopped) = watch::channel(Some(stop));
        let pace = Pace {
            delay: Duration::ZERO,
            max_records: 64,
            max_bytes,
            timeout: None,
            retry: RetryPolicy::default(),
        };
        let runner = Runner {
            exporter: kept,
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
        runner.run().await.unwrap();
        stats.snapshot()
    });
    let records: usize = batches.iter().map(|batch| batch.records()).sum();
    assert_eq!((stats.accepted, stats.sent, stats.dropped_total()), (records as u64, records as u64, 0));
    let requests = requests.lock().unwrap();
    for payload in requests.iter() {
        // A receiver that refuses a request makes the sink find out by itself what is taken.
        let most = if takes < max_bytes { takes } else { max_bytes };
        assert!(payload.uncompressed <= most, "{} of {most}", payload.uncompressed);
    }
    requests.iter().map(|payload| payload.body.to_vec()).collect()
}

/// Asserts that these numbers, those of each request by its own, are 0 to `count`, each once, and none before one of an
/// earlier request.
pub(crate) fn assert_in_order(requests: &[Vec<u64>], count: usize) {
    let mut all: Vec<u64> = Vec::with_capacity(count);
    for request in requests {
        let mut numbers = request.clone();
        numbers.sort_unstable();
        assert!(!numbers.is_empty() && all.last().is_none_or(|last| last < &numbers[0]), "{requests:?}");
        all.extend(numbers);
    }
    assert_eq!(all, (0..count as u64).collect::<Vec<_>>());
}
