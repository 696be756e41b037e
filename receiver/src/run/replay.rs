//! `--replay`: a recording goes by instead of the kernel's records, and waits for sinks that are slow.

use std::sync::Arc;
use std::time::Duration;

use convis_exporters::model::{EventBatch, MetricBatch};
use convis_exporters::{Runners, Sink};
use tokio::time::{Instant, sleep, sleep_until};

use super::input::Input;
use super::reload::Reload;
use super::stops::{Stops, Wish};
use super::{Capture, Fatal};
use crate::cli::Speed;
use crate::clock::Clock;
use crate::recording::{ReplayError, Step};
use crate::track::Purpose;

/// Events that are offered together; at most so many wait for room.
const BATCH: usize = 4096;
/// Between two looks whether sinks have room.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// What may end a replay early.
struct Around<'a> {
    runners: &'a mut Runners,
    stops: &'a mut Stops,
    reload: &'a mut Reload,
    /// The time of the present step.
    now: (Clock, u64),
}

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Stop,
}

impl Capture {
    /// Takes the steps that were recorded, until the end of the file or until something says stop.
    pub(super) async fn replay(
        &mut self,
        input: &mut Input,
        speed: Speed,
        runners: &mut Runners,
        stops: &mut Stops,
        reload: &mut Reload,
    ) -> Result<(), Fatal> {
        let mut around = Around { runners, stops, reload, now: input.now() };
        let pace = Pace { speed, began: Instant::now(), began_ns: input.now().1 };
        loop {
            let next = input.next_step().map_err(|error| changed(&error));
            let Some(step) = next? else {
                break;
            };
            around.now = input.now();
            if self.around(&mut around, pace.reach(input.now().1)).await? == Next::Stop
                || self.repeat(step, input, &mut around).await? == Next::Stop
            {
                return Ok(());
            }
        }
        // A recording that was not ended has no last steps.
        self.release(input);
        self.settle_last(input);
        if self.offer_events(&mut around).await? == Next::Go {
            let sinks = self.sinks.clone();
            self.around(&mut around, room(&sinks, Sink::is_idle)).await?;
        }
        Ok(())
    }

    /// Does again what was done then, and offers what comes of it.
    async fn repeat(
        &mut self,
        step: Step,
        input: &mut Input,
        around: &mut Around<'_>,
    ) -> Result<Next, Fatal> {
        if let Some(batch) = self.again(step, input)? {
            let sinks = self.sinks.clone();
            let has_room = |sink: &Sink| sink.has_room_for_metrics(&batch);
            if self.around(around, room(&sinks, has_room)).await? == Next::Stop {
                return Ok(Next::Stop);
            }
            self.offer_metrics(&batch);
        }
        self.offer_events(around).await
    }

    /// Does again what was done then; events wait to be taken, metric points are returned.
    pub(super) fn again(&mut self, step: Step, input: &mut Input) -> Result<Option<Arc<MetricBatch>>, Fatal> {
        match step {
            Step::Start => {}
            Step::Drain => self.drain(input),
            Step::Walk { samples, updates } => self.walk(input, Purpose { samples, updates })?,
            Step::Metrics => return Ok(self.read_metrics(input)),
            Step::DrainLast => self.drain_last(input),
            Step::Release => self.release(input),
            Step::Settle => self.settle(input),
            Step::Last => self.settle_last(input),
        }
        Ok(None)
    }

    /// Offers what is ready, a batch at a time, each when all sinks have room.
    async fn offer_events(&mut self, around: &mut Around<'_>) -> Result<Next, Fatal> {
        let mut events = self.tracker.take_events();
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(BATCH));
            let batch = Arc::new(EventBatch { events: std::mem::replace(&mut events, rest) });
            let sinks = self.sinks.clone();
            let has_room = |sink: &Sink| sink.has_room_for_events(batch.events.len());
            if self.around(around, room(&sinks, has_room)).await? == Next::Stop {
                return Ok(Next::Stop);
            }
            for sink in &self.sinks {
                sink.offer_events(&batch);
            }
        }
        Ok(Next::Go)
    }

    /// Waits for `until`, unless something says stop first.
    async fn around(
        &mut self,
        around: &mut Around<'_>,
        until: impl Future<Output = ()>,
    ) -> Result<Next, Fatal> {
        tokio::pin!(until);
        loop {
            tokio::select! {
                biased;
                wish = around.stops.wish() => match wish {
                    Wish::Stop => return Ok(Next::Stop),
                    Wish::Reload => around.reload.run(self, around.runners, around.now),
                },
                failure = around.runners.failed() => return match failure {
                    Some(failure) if failure.is_output_closed() => Ok(Next::Stop),
                    Some(failure) => Err(failure.into()),
                    None => Err(Fatal::Internal("every sink ended".to_owned())),
                },
                () = &mut until => return Ok(Next::Go),
            }
        }
    }
}

/// It was read to its end before it was replayed.
pub(super) fn changed(error: &ReplayError) -> Fatal {
    Fatal::Internal(format!("the recording has changed: {error}"))
}

/// Completes when all of the sinks have room.
async fn room(sinks: &[Sink], has_room: impl Fn(&Sink) -> bool) {
    while !sinks.iter().all(&has_room) {
        sleep(LOOK_AGAIN).await;
    }
}

/// When recorded instants come again.
struct Pace {
    speed: Speed,
    began: Instant,
    began_ns: u64,
}

impl Pace {
    /// Completes when it is time for what was recorded at `boot_ns`.
    async fn reach(&self, boot_ns: u64) {
        if let Speed::Times(times) = self.speed {
            let since = Duration::from_nanos(boot_ns.saturating_sub(self.began_ns));
            let since = Duration::try_from_secs_f64(since.as_secs_f64() / times).unwrap_or(Duration::MAX);
            match self.began.checked_add(since) {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
    }
}
