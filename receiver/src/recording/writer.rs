//! The thread that writes: a slow disk never holds the capture task up.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::format::{self, FRAME_HEAD_BYTES, MOST_FRAME_BYTES};
use crate::say;

/// Bytes that may wait for the disk; beyond it the recording stops.
const MOST_WAITING_BYTES: usize = 64 << 20;

/// Why a recording cannot be begun.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// An older recording, or something else, is there.
    #[error("--record {path}: it exists; choose another name or remove it")]
    Exists {
        /// Where.
        path: String,
    },
    /// The file cannot be made or written.
    #[error("--record {path}: {source}")]
    Create {
        /// Where.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Frames on their way to the file.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` once the recording had to end.
    frames: Option<Sender<Frame>>,
    done: Receiver<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting_bytes: AtomicUsize,
    written_records: AtomicU64,
}

#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    records: u64,
}

impl Writer {
    /// Makes the file, which only its owner may read: it holds addresses, and names of users and processes.
    pub(super) fn create(path: &Path, header: &[u8]) -> Result<Self, RecordError> {
        let named = || path.display().to_string();
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|source| {
                match source.kind() {
                    io::ErrorKind::AlreadyExists => RecordError::Exists { path: named() },
                    _ => RecordError::Create { path: named(), source },
                }
            })?;
        let start = [&format::start()[..], &format::frame(header)].concat();
        let failed = |source| RecordError::Create { path: named(), source };
        file.write_all(&start).map_err(failed)?;
        Self::start(file, start.len() as u64, named()).map_err(failed)
    }

    /// Goes on with a file of so many bytes.
    pub(super) fn start(mut file: File, size: u64, name: String) -> io::Result<Self> {
        let (sender, frames) = channel();
        let (ended, done) = channel();
        let shared = Arc::new(Shared::default());
        let counts = Arc::clone(&shared);
        let write = move || {
            write(&mut file, size, &frames, &counts, &name);
            let _nobody_waits = ended.send(());
        };
        std::thread::Builder::new().name("record".to_owned()).spawn(write)?;
        Ok(Self { frames: Some(sender), done, shared })
    }

    /// Whether frames are still taken.
    pub(super) const fn is_open(&self) -> bool {
        self.frames.is_some()
    }

    /// Hands a frame over. When too much waits, or writing has failed, this was the last one.
    pub(super) fn send(&mut self, payload: &[u8], records: u64) {
        let Some(frames) = &self.frames else {
            return;
        };
        let waiting = self.shared.waiting_bytes.fetch_add(payload.len(), Ordering::Relaxed) + payload.len();
        let is_possible = waiting <= MOST_WAITING_BYTES && payload.len() <= MOST_FRAME_BYTES;
        let frame = Frame { bytes: format::frame(payload), records };
        if !is_possible {
            say::line("warning: the recording ends here, capturing goes on: the disk is too slow");
        }
        // The thread has said why it ended, if it has.
        if !is_possible || frames.send(frame).is_err() {
            self.frames = None;
        }
    }

    /// Waits until everything is written, at most so long; how many records are.
    pub(super) fn finish(&mut self, patience: Duration) -> u64 {
        self.frames = None;
        if matches!(self.done.recv_timeout(patience), Err(RecvTimeoutError::Timeout)) {
            say::line("warning: the recording is not written to its end: the disk is too slow");
        }
        self.shared.written_records.load(Ordering::Acquire)
    }
}

/// Writes until the other side is gone or the disk refuses; then the file ends with the last whole frame.
fn write(file: &mut File, mut size: u64, frames: &Receiver<Frame>, shared: &Shared, name: &str) {
    for Frame { bytes, records } in frames {
        if let Err(error) = file.write_all(&bytes) {
            say::line(&format!("warning: the recording {name} ends here, capturing goes on: {error}"));
            // What is left of the frame would be taken for the end of a killed recording, which is right as well.
            let _kept = file.set_len(size);
            return;
        }
        size += bytes.len() as u64;
        shared.waiting_bytes.fetch_sub(bytes.len() - FRAME_HEAD_BYTES, Ordering::Relaxed);
        shared.written_records.fetch_add(records, Ordering::Release);
    }
}
