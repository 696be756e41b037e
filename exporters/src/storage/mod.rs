//! Events that outlive the process: a queue on an embedded store.
//!
//! ```text
//! entrance -> [Keeper: encodes, commits, counts] -> shelf -> [Stored: reads back what is not in memory] -> runner
//!                  ^------------------- settled: what has an outcome is deleted -----------------------------'
//! ```
//!
//! A batch becomes visible to the runner once its transaction is on disk, so nothing is sent that could not be sent again.
//! What was in the store when convis started comes first, in order. What has an outcome is deleted with the next
//! transaction: a crash in between sends it twice. A sink whose settings change hands its keeper over to the one that follows
//! it.

pub mod codec;
mod hub;
mod keeper;
mod store;
mod stores;
mod taker;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use hub::Lane;
use store::Size;
pub(crate) use stores::{Place, Stores};

fn file(directory: &Path) -> PathBuf {
    directory.join("events.redb")
}

/// A sink's name as a file name: all but letters, digits and `-` become `_` and their code, so names stay apart.
fn file_name(sink: &str) -> String {
    let part = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        other => format!("_{other:02x}"),
    };
    sink.bytes().map(part).collect()
}

/// What became of a stored batch: it has an outcome, and its place is free.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settled {
    number: u64,
    size: Size,
}

/// Where a stored batch's outcome is told.
#[derive(Debug)]
pub(crate) struct Receipt {
    settled: Settled,
    to: tokio::sync::mpsc::UnboundedSender<Settled>,
}

impl Receipt {
    /// All records have an outcome.
    pub(crate) fn settle(&self) {
        // A keeper that is gone leaves the batch for the next process.
        let _gone = self.to.send(self.settled);
    }

    /// Number of records.
    pub(crate) fn records(&self) -> u64 {
        self.settled.size.records.into()
    }
}

/// A batch that waits.
#[derive(Debug)]
struct Entry {
    /// Its number in the store and its size there; `None` when the store failed and it is in memory alone.
    stored: Option<Settled>,
    /// In memory, while there is room.
    batch: Option<Held>,
}

/// A batch in memory.
#[derive(Debug)]
struct Held {
    batch: Arc<crate::model::EventBatch>,
    offered: tokio::time::Instant,
    room: Option<tokio::sync::OwnedSemaphorePermit>,
}

#[cfg(test)]
mod tests;
