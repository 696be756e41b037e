//! One task per lane: takes batches from its queue, gathers them into a request, sends it until there is an outcome.
//!
//! Requests of a lane go out one after the other, in order. A failure that may pass is retried with growing waits while
//! the queue fills up behind it. At stop the queue is closed, each remaining request gets one attempt, and what is left
//! at the deadline is counted as dropped at shutdown. What is stored stays there instead, from the first request on that
//! fails, so that order is kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::accounting::{DropReason, ErrorType, SinkStats};
use crate::batch::{self, Slice};
use crate::notice::Notices;
use crate::outcome::{ExportError, Exporter, Outcome, Payload};
use crate::queue::{Claim, Exit};
use crate::retry::{Backoff, RetryPolicy};
use crate::sink::SinkError;

/// How a lane gathers and sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Longest time a batch waits for others to share a request with; zero takes only what is there already.
    pub(crate) delay: Duration,
    /// A request holds no further batch once it has so many records.
    pub(crate) max_records: u64,
    /// Largest request, in bytes before compression; falls when the receiver finds one too large.
    pub(crate) max_bytes: usize,
    /// Longest time of one attempt; `None` waits for ever.
    pub(crate) timeout: Option<Duration>,
    /// Limits of retrying.
    pub(crate) retry: RetryPolicy,
}

/// Below this size a receiver that finds requests too large is not believed to mean all of them, in bytes.
const SMALLEST_LIMIT: usize = 64 * 1024;

/// What a record is taken for before the first request has shown what it takes, in bytes: more than most.
pub(crate) const BYTES_PER_RECORD: usize = 1000;

/// When a lane must be done, once it is told to stop.
pub(crate) type Stop = watch::Receiver<Option<Instant>>;

/// The task of a lane.
pub(crate) struct Runner<E: Exporter> {
    pub(crate) exporter: E,
    pub(crate) queue: Exit<E::Batch>,
    pub(crate) stats: Arc<SinkStats>,
    pub(crate) pace: Pace,
    pub(crate) stop: Stop,
    pub(crate) random: fastrand::Rng,
    pub(crate) notices: Notices,
    /// No attempt before this instant: set by failures, outlives the request that failed.
    pub(crate) hold_until: Instant,
    /// Waits between attempts at a request that was put back.
    pub(crate) waits: Option<Backoff>,
    /// What a record of the last request took, in bytes before compression.
    pub(crate) bytes_per_record: usize,
}

/// How one encoded request ended.
enum End {
    Done,
    /// Left to the next lane or process.
    Kept,
    /// To be put back until the next attempt.
    Again,
    /// To be encoded again: meanwhile some of it became too old.
    Stale,
    TooLarge(ExportError),
}

/// How far the attempts at one request are.
struct Attempts {
    backoff: Backoff,
    first: Option<Instant>,
}

impl<E: Exporter> Runner<E> {
    /// Runs until the queue is closed and empty or the deadline of a stop has passed.
    ///
    /// # Errors
    /// When the exporter cannot go on; what was queued is counted as dropped at shutdown.
    pub(crate) async fn run(mut self) -> Result<(), SinkError> {
        while let Some(claim) = self.gather().await {
            if !self.deliver(claim).await? {
                break;
            }
        }
        Ok(())
    }

    /// Waits for a batch and for more to share its request.
    async fn gather(&mut self) -> Option<Claim<E::Batch>> {
        let mut claim = Claim::new(Arc::clone(&self.stats));
        // What was put back has waited long enough.
        let delay = if self.waits.is_some() { Duration::ZERO } else { self.pace.delay };
        while claim.open() < self.pace.max_records {
            if let Some(queued) = self.queue.try_take() {
                claim.add(queued);
                continue;
            }
            let stopping = self.stopping();
            let until = claim.oldest().map(|oldest| oldest + delay);
            if stopping {
                self.queue.close();
            }
            tokio::select! {
                biased;
                queued = self.queue.take() => match queued {
                    Some(queued) => claim.add(queued),
                    None => break,
                },
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => break,
                () = stopped(&mut self.stop), if !stopping => {}
            }
        }
        (claim.open() > 0).then_some(claim)
    }

    /// Sends a claim, cut into smaller requests where it is too large for one; `false` when the rest is left to the next
    /// lane or process.
    async fn deliver(&mut self, mut claim: Claim<E::Batch>) -> Result<bool, SinkError> {
        let mut parts = vec![claim.slices()];
        while let Some(part) = parts.pop() {
            // Encoding what must be cut afterwards costs as much as sending it.
            if batch::records(&part).saturating_mul(self.bytes_per_record) > self.pace.max_bytes
                && let Some([left, right]) = batch::halve(&part)
            {
                parts.extend([right, left]);
                continue;
            }
            let error = match self.send_part(&part, &mut claim).await? {
                End::Done | End::Stale => continue,
                End::Kept => {
                    self.queue.put_back(claim.give_back());
                    return Ok(false);
                }
                End::Again => {
                    self.queue.put_back(claim.give_back());
                    self.hold().await;
                    return Ok(true);
                }
                End::TooLarge(error) => error,
            };
            if let Some([left, right]) = batch::halve(&part) {
                parts.extend([right, left]);
            } else {
                self.notices.failed(&error, "dropped a record that is too large");
                let records = claim.weight(&part);
                claim.dropped(DropReason::TooLarge, records);
                self.exporter.settled(false);
            }
        }
        Ok(true)
    }

    /// Sends one request until there is an outcome, and counts it.
    async fn send_part(
        &mut self,
        part: &[Slice<E::Batch>],
        claim: &mut Claim<E::Batch>,
    ) -> Result<End, SinkError> {
        let records = claim.weight(part);
        if self.past_deadline() {
            if claim.is_stored() {
                return Ok(End::Kept);
            }
            claim.dropped(DropReason::Shutdown, records);
            return Ok(End::Done);
        }
        let backoff = self.waits.take().unwrap_or_else(|| Backoff::new(self.pace.retry));
        let mut attempts = Attempts { backoff, first: None };
        let (end, expired) = loop {
            let payload = self.exporter.encode(part);
            self.bytes_per_record = payload.uncompressed / batch::records(part).max(1);
            if payload.uncompressed > self.pace.max_bytes {
                return Ok(End::TooLarge(oversized(&payload, self.pace.max_bytes)));
            }
            let expired = self.exporter.expired().min(records);
            let records = records - expired;
            if payload.body.is_empty() {
                self.exporter.settled(true);
                claim.sent(records);
                break (End::Done, expired);
            }
            match self.attempt_until_settled(&payload, records, claim, &mut attempts).await? {
                End::Stale => {}
                end => break (end, expired),
            }
        };
        // A request that is cut is encoded again, and says again what it leaves out.
        if matches!(end, End::Done) && expired > 0 {
            claim.dropped(DropReason::Expired, expired);
            self.notices.expired(expired);
        }
        Ok(end)
    }

    /// Attempts, with waits between them, until the records have an outcome or the request must be cut.
    async fn attempt_until_settled(
        &mut self,
        payload: &Payload,
        records: u64,
        claim: &mut Claim<E::Batch>,
        attempts: &mut Attempts,
    ) -> Result<End, SinkError> {
        loop {
            self.hold().await;
            if self.exporter.is_stale() {
                return Ok(End::Stale);
            }
            let began = Instant::now();
            let first_attempt = *attempts.first.get_or_insert(began);
            let outcome = self.attempt(payload).await;
            self.stats.attempt(began.elapsed());
            let (after, error) = match outcome {
                Outcome::Sent { rejected, message } => {
                    let rejected = rejected.min(records);
                    claim.dropped(DropReason::Rejected, rejected);
                    claim.sent(records - rejected);
                    self.exporter.settled(true);
                    self.report_partial(rejected, &message);
                    return Ok(End::Done);
                }
                Outcome::TooLarge(error) => {
                    self.stats.fail(ErrorType::TooLarge);
                    self.notices.failed(&error, "sending smaller requests from now on");
                    self.pace.max_bytes = (payload.uncompressed / 2).max(SMALLEST_LIMIT);
                    return Ok(End::TooLarge(error));
                }
                Outcome::Drop(error) => {
                    self.give_up(claim, DropReason::Rejected, records, &error);
                    return Ok(End::Done);
                }
                Outcome::Fatal(error) => {
                    self.stats.fail(ErrorType::Output);
                    return Err(error);
                }
                Outcome::Retry { after, error } => (after, error),
            };
            self.hold_until = Instant::now() + attempts.backoff.next(&mut self.random, after);
            if let Some(reason) = self.no_retry(first_attempt) {
                if reason == DropReason::Shutdown && claim.is_stored() {
                    self.stats.fail(error.kind);
                    self.notices.failed(&error, "events stay in storage");
                    return Ok(End::Kept);
                }
                self.give_up(claim, reason, records, &error);
                return Ok(End::Done);
            }
            self.stats.fail(error.kind);
            self.stats.retry();
            self.notices.failed(&error, "will retry");
            // Between attempts it waits with the others, where the oldest make room for what comes.
            if self.pace.retry.max_elapsed.is_none() && claim.is_stored() && claim.is_whole() {
                self.waits = Some(attempts.backoff.clone());
                return Ok(End::Again);
            }
        }
    }

    /// Why a request that could be retried is given up all the same.
    fn no_retry(&self, first_attempt: Instant) -> Option<DropReason> {
        if self.stopping() {
            return Some(DropReason::Shutdown);
        }
        let waited = self.hold_until.saturating_duration_since(first_attempt);
        self.pace.retry.gives_up(waited).then_some(DropReason::Expired)
    }

    /// One attempt, bounded by its timeout and by the deadline of a stop.
    async fn attempt(&mut self, payload: &Payload) -> Outcome {
        let timeout = self.pace.timeout.map(|timeout| Instant::now() + timeout);
        let Self { exporter, stop, .. } = self;
        let mut sending = std::pin::pin!(exporter.send(payload));
        loop {
            let deadline = *stop.borrow();
            let limit = timeout.into_iter().chain(deadline).min();
            tokio::select! {
                biased;
                outcome = &mut sending => return outcome,
                () = sleep_until(limit.unwrap_or_else(Instant::now)), if limit.is_some() => {
                    let text = "no answer in time; check the receiver's load or raise the timeout";
                    let error = ExportError::new(ErrorType::Timeout, text);
                    return Outcome::Retry { after: None, error };
                }
                () = stopped(stop), if deadline.is_none() => {}
            }
        }
    }

    /// Waits until attempts are allowed again; a stop ends the wait.
    async fn hold(&mut self) {
        if Instant::now() < self.hold_until {
            tokio::select! {
                () = sleep_until(self.hold_until) => {}
                () = stopped(&mut self.stop) => {}
            }
        }
    }

    fn give_up(
        &mut self,
        claim: &mut Claim<E::Batch>,
        reason: DropReason,
        records: u64,
        error: &ExportError,
    ) {
        self.stats.fail(error.kind);
        claim.dropped(reason, records);
        self.exporter.settled(false);
        self.notices.failed(error, &format!("dropped {records} records ({})", reason.as_str()));
    }

    fn report_partial(&mut self, rejected: u64, message: &str) {
        if rejected == 0 && message.is_empty() {
            self.notices.succeeded();
            return;
        }
        if rejected > 0 {
            self.stats.fail(ErrorType::PartialSuccess);
        }
        let error = ExportError::new(ErrorType::PartialSuccess, format!("the receiver says: {message}"));
        self.notices.failed(&error, &format!("{rejected} records rejected"));
    }

    fn stopping(&self) -> bool {
        self.stop.borrow().is_some()
    }

    fn past_deadline(&self) -> bool {
        self.stop.borrow().is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// Resolves once a stop is announced; never, when nobody is left to announce one.
pub(crate) async fn stopped(stop: &mut Stop) {
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn oversized(payload: &Payload, limit: usize) -> ExportError {
    let size = payload.uncompressed;
    ExportError::new(ErrorType::TooLarge, format!("a request of {size} bytes is over the limit of {limit}"))
}

#[cfg(test)]
mod tests;
