//! What convis observes, as its sinks see it, and the sinks that send it on.
//!
//! [`model`] is the contract between the receiver and every sink: Resources, connection events and metric points.
//! A sink never sees a kernel record, a map or a ring, and each sees only its own configuration.
//!
//! ```text
//! Sink::offer_events  -> queue -> runner (gathers, retries, counts) -> Exporter::send -> wire
//! Sink::offer_metrics -> queue -> runner                            -> Exporter::send -> wire
//! ```
//!
//! [`build()`] turns settings into [`Sink`]s, which offer and never wait, and [`Runners`], which must be watched: a lane
//! that ends before it is told to ends the process. Every record offered is counted until its end in [`SinkStats`].

#![forbid(unsafe_code)]

mod accounting;
mod batch;
mod build;
mod conflicts;
pub mod doors;
mod file;
mod json;
pub mod model;
mod newrelic;
mod notice;
pub mod otlp;
mod outcome;
mod prometheus;
mod queue;
mod retry;
mod runner;
mod settings;
mod sink;
pub mod stdout;
pub mod storage;
#[cfg(test)]
mod testing;
mod web;

pub use accounting::{DURATION_BOUNDS, DropReason, ErrorType, SinkStats, StatsSnapshot};
pub use batch::{Batch, Slice};
pub use build::{BuildError, build, check, reload};
pub use outcome::{ExportError, Exporter, Outcome, Payload};
pub use retry::{Backoff, RetryPolicy};
pub use settings::{OutputStyle, Reopen, Settings};
pub use sink::{LaneStats, Runners, Signal, Sink, SinkError, SinkFailure};
pub use web::server;
