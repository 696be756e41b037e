//! convis: which process talks to whom.
//!
//! ```text
//! kernel::Source -> track::Tracker (identity, metrics) -> convis_exporters::Sink -> wire
//! ```
//! [`run`] is the one task from ring to fan-out; everything else is called by it or answers questions about it.

pub mod admin;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod container;
pub mod fatal;
pub mod identity;
pub mod kernel;
pub mod ledger;
pub mod mask;
pub mod metrics;
pub mod nat;
pub mod outside;
pub mod own;
pub mod recording;
pub mod run;
pub mod say;
pub mod settings;
pub mod status;
pub mod telemetry;
pub mod totals;
pub mod track;
