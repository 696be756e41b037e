//! Series encoded without a queue and a wire, for benches.

use super::encode::{encode_v1, encode_v2};
use super::plan::Form;
use super::streams::Streams;
use crate::batch::Slice;
use crate::model::MetricBatch;

/// Remote write, which remembers the series that it has begun.
pub struct RemoteWrite(Streams);

impl RemoteWrite {
    /// No series yet.
    pub fn new() -> Self {
        Self(Streams::new(Form { keys: Vec::new(), native: false }))
    }

    /// A request of version 1 or 2, not compressed, as if it were acknowledged.
    pub fn encode(&mut self, slices: &[Slice<MetricBatch>], version_2: bool) -> Vec<u8> {
        let lines = self.0.lines(slices);
        self.0.sent(true);
        if version_2 { encode_v2(&lines) } else { encode_v1(&lines) }
    }
}

impl Default for RemoteWrite {
    fn default() -> Self {
        Self::new()
    }
}
