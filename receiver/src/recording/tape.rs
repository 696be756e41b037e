//! What the capture task writes down.

use std::path::Path;
use std::time::Duration;

use super::format::{Header, Instant, Item, Step};
use super::writer::{RecordError, Writer};

/// A frame is closed when it has so many bytes.
const FULL_FRAME_BYTES: usize = 1 << 20;

/// A recording that is being made.
#[derive(Debug)]
pub struct Tape {
    writer: Writer,
    /// The payload of the next frame.
    payload: Vec<u8>,
    /// Records of the kernel in it.
    records: u64,
    /// Records of the kernel, since the beginning.
    all: u64,
    in_step: bool,
}

/// What became of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Records of the kernel in the file.
    pub written: u64,
    /// Those that are not.
    pub missing: u64,
}

impl Tape {
    /// Begins a recording in a new file at `path`; the first step must be [`Step::Start`].
    ///
    /// # Errors
    /// The file exists, or cannot be made.
    pub fn create(path: &Path, header: &Header) -> Result<Self, RecordError> {
        let writer = Writer::create(path, &postcard::to_extend(header, Vec::new()).unwrap_or_default())?;
        Ok(Self { writer, payload: Vec::new(), records: 0, all: 0, in_step: false })
    }

    /// Onto this file, which has its beginning.
    #[cfg(test)]
    pub(super) fn on(file: std::fs::File) -> Self {
        let writer = Writer::start(file, 0, "test".to_owned()).unwrap();
        Self { writer, payload: Vec::new(), records: 0, all: 0, in_step: false }
    }

    /// Ends the last step and begins another.
    pub fn begin(&mut self, step: Step, at: Instant) {
        self.end_step();
        self.in_step = true;
        self.put(&Item::Step(step, at));
    }

    /// Writes an item down.
    pub fn put(&mut self, item: &Item<'_>) {
        let is_record = matches!(item, Item::Ring(_) | Item::Entry(..) | Item::Live(_));
        self.all += u64::from(is_record);
        if !self.writer.is_open() {
            return;
        }
        self.records += u64::from(is_record);
        self.payload = item.append_to(std::mem::take(&mut self.payload));
        if self.payload.len() >= FULL_FRAME_BYTES {
            self.send();
        }
    }

    /// Ends the recording; waits at most `patience` for the disk.
    pub fn finish(&mut self, patience: Duration) -> Outcome {
        self.end_step();
        let written = self.writer.finish(patience);
        Outcome { written, missing: self.all - written }
    }

    fn end_step(&mut self) {
        if std::mem::take(&mut self.in_step) {
            self.put(&Item::End);
            self.send();
        }
    }

    fn send(&mut self) {
        let records = std::mem::take(&mut self.records);
        if !self.payload.is_empty() {
            self.writer.send(&self.payload, records);
        }
        self.payload.clear();
    }
}
