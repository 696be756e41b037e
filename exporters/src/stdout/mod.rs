//! Events as lines on standard output: a table for people, JSON for programs.

pub(crate) mod json;
mod table;
mod text;
mod writer;

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use convis_otel_config::{StdoutConfig, StdoutFormat};

use crate::batch::Slice;
use crate::build::{Parts, lane};
use crate::model::EventBatch;
use crate::outcome::{Exporter, Outcome, Payload};
use crate::runner::Pace;
use crate::settings::{OutputStyle, Settings};
use crate::sink::SinkError;
use table::Table;
use writer::Writer;

/// Events written at once: a slow terminal shows them as they come.
const MAX_LINES: u64 = 512;

/// The ways out of a sink.
///
/// # Errors
/// One line, when its thread cannot be started.
pub(crate) fn parts(config: &StdoutConfig, settings: &Settings) -> Result<Parts, String> {
    let exporter = Stdout::new(config.format, settings.output)
        .map_err(|error| format!("cannot start its thread: {error}; raise the limit of threads"))?;
    let pace = Pace {
        delay: Duration::ZERO,
        max_records: MAX_LINES,
        max_bytes: usize::MAX,
        timeout: None,
        retry: settings.retry,
    };
    Ok(Parts { events: Some(lane(exporter, pace)), metrics: None })
}

/// The way out to standard output.
pub(crate) struct Stdout {
    lines: Lines,
    writer: Writer,
}

enum Lines {
    Table(Table),
    Json,
}

impl Stdout {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn new(format: StdoutFormat, style: OutputStyle) -> io::Result<Self> {
        Self::to(format, style, io::stdout())
    }

    fn to(format: StdoutFormat, style: OutputStyle, output: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = match format {
            StdoutFormat::Table => Lines::Table(Table::new(jiff::tz::TimeZone::system(), style)),
            StdoutFormat::Json => Lines::Json,
        };
        Ok(Self { lines, writer: Writer::start(output)? })
    }
}

impl Exporter for Stdout {
    type Batch = EventBatch;

    fn encode(&mut self, slices: &[Slice<EventBatch>]) -> Payload {
        let text = match &mut self.lines {
            Lines::Json => json::lines(slices),
            Lines::Table(table) => {
                let mut text = String::new();
                for event in slices.iter().flat_map(|slice| &slice.batch.events[slice.from..slice.to]) {
                    table.write(event, &mut text);
                }
                text.into_bytes()
            }
        };
        Payload { uncompressed: text.len(), body: Bytes::from(text) }
    }

    async fn send(&mut self, payload: &Payload) -> Outcome {
        match self.writer.write(payload.body.clone()).await {
            Ok(()) => Outcome::SENT,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Outcome::Fatal(SinkError::OutputClosed)
            }
            Err(error) => Outcome::Fatal(SinkError::Output(error)),
        }
    }
}

#[cfg(test)]
mod tests;
