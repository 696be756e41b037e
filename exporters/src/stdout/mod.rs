//! Events as lines on standard output: a table for people, JSON for programs.

mod json;
mod table;
mod text;
mod writer;

use std::io::{self, Write};

use bytes::Bytes;
use convis_otel_config::StdoutFormat;

use crate::batch::Slice;
use crate::model::EventBatch;
use crate::outcome::{Exporter, Outcome, Payload};
use crate::settings::OutputStyle;
use crate::sink::SinkError;
use table::Table;
use writer::Writer;

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
        let mut text = String::new();
        let events = slices.iter().flat_map(|slice| &slice.batch.events[slice.from..slice.to]);
        for event in events {
            match &mut self.lines {
                Lines::Table(table) => table.write(event, &mut text),
                Lines::Json => json::write(event, &mut text),
            }
        }
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
