//! Encoders by themselves, for benches: what a sink makes of what it is offered, without queue and wire.

use crate::model::EventBatch;
pub use crate::prometheus::door::RemoteWrite;
use crate::{Slice, newrelic, stdout};

/// The JSON of New Relic, as of `now`, nanoseconds since the Unix epoch.
pub fn newrelic(slices: &[Slice<EventBatch>], now: u64) -> Vec<u8> {
    newrelic::encode::Encoder::default().encode(slices, now).json
}

/// JSON lines, as `file` and `stdout` have them.
pub fn json_lines(slices: &[Slice<EventBatch>]) -> Vec<u8> {
    stdout::json::lines(slices)
}
