//! End-to-end tests of convis on the running kernel, and the tools they stand on.
//!
//! What convis reports is compared with what independent witnesses saw: the [`traffic`] processes say what their
//! own sockets did, the Python receiver under `oracle/` and a real Collector say what arrived. The rest starts
//! and stops processes and reads their files.
#![expect(
    clippy::expect_used,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "test tooling: whatever does not go as planned fails the test, with its message"
)]

pub mod actors;
pub mod bench;
pub mod cache;
pub mod certificates;
pub mod clock;
pub mod collector;
pub mod conns;
pub mod containers;
pub mod convis;
pub mod database;
pub mod disk;
pub mod ends;
pub mod enough;
pub mod event;
pub mod flow;
pub mod http;
pub mod ledger;
pub mod namespace;
pub mod need;
pub mod newrelic;
pub mod oracle;
pub mod otlp;
pub mod packages;
pub mod process;
pub mod registry;
pub mod rotel;
pub mod runtimes;
pub mod scenario;
pub mod sums;
pub mod timestamp;
pub mod traffic;
pub mod truth;
pub mod turns;
pub mod vm;
