//! What the receiver has of every series, so that each batch is told in a way that a database of samples understands.
//!
//! - Timestamps of a series ascend strictly, whatever happened to earlier requests.
//! - A counter or histogram that appears, or starts anew, is 0 first: a receiver counts only what lies between two samples.
//! - A series that is not in a batch has ended, since a batch holds all series, and is marked as stale. A batch that was
//!   pruned while it waited holds what ended, and says so.

use std::borrow::Cow;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::labels::Labels;
use super::line::{Line, Reading};
use super::plan::{Form, Key, Live, Plan, add, zero};
use crate::batch::Slice;
use crate::model::{Descriptor, Instrument, MetricBatch, PointValue};

/// Every series that the receiver may have.
#[derive(Debug)]
pub(super) struct Streams {
    form: Form,
    known: FxHashMap<Arc<Key>, Known>,
    /// The batch being sent: its time in nanoseconds, what it says, and what has ended.
    time: Option<u64>,
    plan: Plan,
    ended: Vec<Arc<Key>>,
    /// What becomes of series once the request has an outcome.
    pending: Vec<(Arc<Key>, Known)>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    descriptor: &'static Descriptor,
    /// Time of the last sample, milliseconds since the Unix epoch.
    last: i64,
    /// Where the sum began, nanoseconds since the Unix epoch.
    start: u64,
    /// Marked as stale; kept for a while, so that a series that comes back does so at a later time.
    ended: bool,
}

impl Streams {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            known: FxHashMap::default(),
            time: None,
            plan: Plan::default(),
            ended: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// The series of a request: all, or a part, of one batch.
    pub(super) fn lines(&mut self, slices: &[Slice<MetricBatch>]) -> Vec<Line> {
        self.pending.clear();
        let mut lines = Vec::new();
        for slice in slices {
            self.begin(&slice.batch, slice.pruned);
            self.live_lines(slice, &mut lines);
            self.ended_lines(slice, &mut lines);
        }
        lines
    }

    /// The request reached the receiver, whatever it did with it, or may have.
    pub(super) fn sent(&mut self, acknowledged: bool) {
        for (key, mut now) in self.pending.drain(..) {
            // An end that may have been lost is told again.
            now.ended &= acknowledged;
            self.known.insert(key, now);
        }
    }

    fn begin(&mut self, batch: &MetricBatch, pruned: bool) {
        if self.time == Some(batch.time_unix_nanos) {
            return;
        }
        let previous = self.time.replace(batch.time_unix_nanos).map_or(i64::MIN, millis);
        self.plan = Plan::of(batch, &self.form);
        let plan = &self.plan;
        self.known.retain(|key, known| !known.ended || known.last >= previous || plan.has(key));
        let said: FxHashSet<Labels> = std::mem::take(&mut self.plan.ended).into_iter().collect();
        let is_over = |key: &Key| !self.plan.has(key) && (!pruned || said.contains(&key.labels));
        let over = self.known.iter().filter(|(key, known)| !known.ended && is_over(key));
        self.ended = over.map(|(key, _)| Arc::clone(key)).collect();
        self.ended.sort_unstable();
    }

    fn live_lines(&mut self, slice: &Slice<MetricBatch>, lines: &mut Vec<Line>) {
        let now = millis(slice.batch.time_unix_nanos);
        let within = |live: &&Live| (slice.from..slice.to).contains(&live.record);
        for live in self.plan.live.iter().filter(within) {
            let known = self.known.get(&live.key);
            // A clock that was set back has nothing to say that a receiver would take.
            if known.is_some_and(|known| known.last >= now) {
                continue;
            }
            let (readings, start) = readings(live, &slice.batch, known, now);
            Line::all(&live.key, live.descriptor, &readings, lines);
            let known = Known { descriptor: live.descriptor, last: now, start, ended: false };
            self.pending.push((Arc::clone(&live.key), known));
        }
    }

    /// Ends are spread over all records, so that a batch which is cut is cut in its ends too.
    fn ended_lines(&mut self, slice: &Slice<MetricBatch>, lines: &mut Vec<Line>) {
        let now = millis(slice.batch.time_unix_nanos);
        let records = self.plan.records.max(1);
        for (index, key) in self.ended.iter().enumerate() {
            let Some(known) =
                self.known.get(key).filter(|_| (slice.from..slice.to).contains(&(index % records)))
            else {
                continue;
            };
            let at = now.max(known.last + 1);
            let end = Reading { value: Cow::Owned(PointValue::NoRecordedValue), at, start: 0, resets: false };
            Line::all(key, known.descriptor, &[end], lines);
            self.pending.push((Arc::clone(key), Known { last: at, ended: true, ..*known }));
        }
    }
}

/// What is told of a live series at `now`, and where its sum began.
fn readings<'a>(
    live: &Live,
    batch: &'a MetricBatch,
    known: Option<&Known>,
    now: i64,
) -> (Vec<Reading<'a>>, u64) {
    let mut streams: Vec<(u64, Cow<'a, PointValue>)> = live
        .places
        .iter()
        .filter_map(|place| place.of(batch))
        .map(|point| (point.start_unix_nanos, Cow::Borrowed(&point.value)))
        .collect();
    if live.descriptor.instrument == Instrument::UpDownCounter {
        // Levels have no beginning. Without a place it is `target_info`.
        let value = if streams.is_empty() { Cow::Owned(PointValue::Sum(1)) } else { merged(streams).1 };
        return (vec![Reading { value, at: now, start: 0, resets: false }], 0);
    }
    let last = known.map_or(i64::MIN, |known| known.last);
    let mut told = Told { zero: zero(live.descriptor, live.key.native), last, readings: Vec::new() };
    let mut going_on = known.filter(|known| !known.ended).map(|known| known.start);
    // One stream handed over to another since the last batch: the old one's last value, then the new one from 0.
    let [oldest, newest] = [streams.first(), streams.last()].map(|of| of.map_or(0, |(start, _)| *start));
    if newest > oldest && millis(newest) > told.last {
        let new = streams.split_off(streams.len() - 1);
        let (start, value) = merged(streams);
        let handover = millis(newest).min(now - 2);
        told.run(start, going_on, value, handover);
        going_on = Some(start);
        streams = new;
    }
    let (start, value) = merged(streams);
    told.run(start, going_on, value, now);
    (told.readings, start)
}

/// Readings in the making.
struct Told<'a> {
    zero: PointValue,
    last: i64,
    readings: Vec<Reading<'a>>,
}

impl<'a> Told<'a> {
    /// Tells a value at `at`, after a 0 if the sum began since what was told last.
    fn run(&mut self, start_unix_nanos: u64, going_on: Option<u64>, value: Cow<'a, PointValue>, at: i64) {
        let start = millis(start_unix_nanos);
        let mut resets = going_on != Some(start_unix_nanos);
        if resets {
            let zero_at = start.min(at - 1).max(self.last.saturating_add(1));
            let zero = Reading { value: Cow::Owned(self.zero.clone()), at: zero_at, start: 0, resets };
            resets = !self.push(zero, at);
        }
        // A start that is no earlier than the sample would be refused.
        let start = if start < at { start } else { 0 };
        self.push(Reading { value, at, start, resets }, at + 1);
    }

    /// Adds a reading if it comes after the last one and before `limit`; returns whether it did.
    fn push(&mut self, reading: Reading<'a>, limit: i64) -> bool {
        let fits = self.last < reading.at && reading.at < limit;
        if fits {
            self.last = reading.at;
            self.readings.push(reading);
        }
        fits
    }
}

/// The sum of streams that are one series, and the first of their starts.
fn merged(streams: Vec<(u64, Cow<'_, PointValue>)>) -> (u64, Cow<'_, PointValue>) {
    let mut streams = streams.into_iter();
    let (start, mut sum) = streams.next().unwrap_or((0, Cow::Owned(PointValue::NoRecordedValue)));
    for (_, value) in streams {
        add(sum.to_mut(), &value);
    }
    (start, sum)
}

/// Nanoseconds as the milliseconds that Prometheus counts in.
fn millis(nanos: u64) -> i64 {
    i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
