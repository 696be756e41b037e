//! Recordings: what the capture task was told, by the kernel and by the host, and when, in a file.
//!
//! ```text
//! kernel, host -> Tape -> (channel) -> writer thread -> file        convis --record
//! file -> Player -> the same capture task                           convis --replay
//! ```
//! The capture task is a function of what is recorded: a replay gives the same events, with the same times.

mod format;
mod player;
mod tape;
mod writer;

pub use format::{Header, HostFacts, Instant, Item, Raw, Step, file, words};
pub use player::{Contents, Player, ReplayError, verify};
pub use tape::{Outcome, Tape};
pub use writer::RecordError;

#[cfg(test)]
mod tests;
