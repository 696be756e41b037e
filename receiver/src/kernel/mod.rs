//! The kernel side as user space sees it: load, attach, and read ring, ledger and counters.

mod counters;
pub mod hooks;
mod iterate;
mod load;
mod ondemand;
mod preload;
pub mod privilege;
mod selftest;
mod skipped;
mod source;
mod tracefs;
mod types;

pub use hooks::Probes;
pub use load::{LoadError, Options, Report, Seen, give_back_memory, load};
pub use selftest::Verdict;
pub use source::{LedgerKey, Source, SourceError};
