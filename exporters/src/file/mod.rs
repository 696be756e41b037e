//! Events as JSON lines in a file that is renamed when it is full, the same lines as on standard output.
//!
//! A request is written whole or not at all, so no line is ever torn or doubled, and a failure, such as a full disk, is
//! tried again like that of a receiver.

mod output;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use convis_otel_config::FileConfig;
use tokio::sync::watch;

use crate::accounting::ErrorType;
use crate::batch::Slice;
use crate::build::{Parts, lane};
use crate::model::EventBatch;
use crate::outcome::{ExportError, Exporter, Outcome, Payload};
use crate::runner::Pace;
use crate::settings::Settings;
use crate::stdout::json;
use output::Output;
use writer::Writer;

/// Events written at once.
const MAX_LINES: u64 = 512;

/// The ways out of a sink.
///
/// # Errors
/// One line, when the file cannot be opened or its thread cannot be started.
pub(crate) fn parts(config: &FileConfig, settings: &Settings) -> Result<Parts, String> {
    let output = Output::open(config).map_err(|error| {
        format!("cannot open {}: {error}; check the folder and its permissions", config.path.display())
    })?;
    let writer = Writer::start(output)
        .map_err(|error| format!("cannot start its thread: {error}; raise the limit of threads"))?;
    let pace = Pace {
        delay: Duration::ZERO,
        max_records: MAX_LINES,
        // A request is in one file.
        max_bytes: usize::try_from(config.max_bytes).unwrap_or(usize::MAX),
        timeout: None,
        retry: settings.retry,
    };
    tokio::spawn(reopen(writer.clone(), settings.reopen.asked()));
    let exporter = FileLines { path: config.path.clone(), writer };
    Ok(Parts { events: Some(lane(exporter, pace)), metrics: None })
}

/// Hands on what is asked, also while nothing is written: whoever moved the file away may wait for the new one.
async fn reopen(writer: Writer, mut asked: watch::Receiver<()>) {
    while asked.changed().await.is_ok() && writer.reopen() {}
}

/// The way out to a file.
struct FileLines {
    path: PathBuf,
    writer: Writer,
}

impl Exporter for FileLines {
    type Batch = EventBatch;

    fn encode(&mut self, slices: &[Slice<EventBatch>]) -> Payload {
        let lines = json::lines(slices);
        Payload { uncompressed: lines.len(), body: Bytes::from(lines) }
    }

    async fn send(&mut self, payload: &Payload) -> Outcome {
        match self.writer.write(payload.body.clone()).await {
            Ok(()) => Outcome::SENT,
            Err(error) => {
                let path = self.path.display();
                let text = format!("cannot write {path}: {error}; check the disk and the file's permissions");
                Outcome::Retry { after: None, error: ExportError::new(ErrorType::Output, text) }
            }
        }
    }
}

#[cfg(test)]
mod tests;
