//! A replay to nobody: the capture task by itself, for benches and checks.

use std::sync::Arc;

use convis_exporters::model::{Event, MetricBatch};

use super::input::Input;
use super::replay::changed;
use super::{Capture, setup};
use crate::cli::Run;
use crate::fatal::Fatal;
use crate::recording::Player;
use crate::status::Status;

/// The capture task with a recording before it and no sink behind it.
pub struct Rehearsal {
    capture: Capture,
    input: Input,
}

/// What came of a step.
#[derive(Debug)]
pub struct Outcome {
    /// Events.
    pub events: Vec<Event>,
    /// Metric points, where they were read.
    pub points: Option<Arc<MetricBatch>>,
}

impl Rehearsal {
    /// Of this recording.
    ///
    /// # Errors
    /// None that is to be expected.
    pub fn new(player: Player, options: &Run) -> Result<Self, Fatal> {
        let start = setup::recorded(player, Vec::new());
        let tracker = setup::tracker(options, false, &start)?;
        let status = Arc::new(Status::new(Vec::new()));
        Ok(Self { capture: Capture::new(tracker, Vec::new(), status, true), input: start.input })
    }

    /// What comes of the next step; `None` at the end.
    ///
    /// # Errors
    /// The recording is no longer what it was.
    pub fn step(&mut self) -> Result<Option<Outcome>, Fatal> {
        let Some(step) = self.input.next_step().map_err(|error| changed(&error))? else {
            return Ok(None);
        };
        let points = self.capture.again(step, &mut self.input)?;
        Ok(Some(Outcome { events: self.capture.tracker.take_events(), points }))
    }

    /// Lets go of what still waits, as a recording that was not ended leaves it.
    pub fn rest(&mut self) -> Vec<Event> {
        self.capture.release(&mut self.input);
        self.capture.settle_last(&mut self.input);
        self.capture.tracker.take_events()
    }
}
