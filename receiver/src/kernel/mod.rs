//! The kernel side as user space sees it: load, attach, and read ring, ledger and counters.

pub mod hooks;
mod load;
pub mod privilege;
mod skipped;
mod source;
mod tracefs;

pub use load::{LoadError, Options, load};
pub use source::{Source, SourceError};
