//! A thread that does nothing but write, so that a stalled terminal stalls nothing else.
//!
//! Tokio's blocking pool would not do: a runtime waits for its blocking tasks when it ends, and a write to a stopped
//! terminal may never return.

use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

/// Between two tries when another process has made the shared output non-blocking.
const NONBLOCKING_WAIT: Duration = Duration::from_millis(5);

type Job = (Bytes, oneshot::Sender<io::Result<()>>);

/// The way to the thread; the thread ends when this is dropped.
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(mut output: impl Write + Send + 'static) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            for (bytes, done) in waiting {
                // Nobody waits any more once the deadline of a stop has passed.
                let _unheard = done.send(write_all(&mut output, &bytes));
            }
        })?;
        Ok(Self { jobs })
    }

    /// Writes everything and flushes it.
    pub(super) async fn write(&self, bytes: Bytes) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        let gone = || io::Error::other("the writing thread has ended");
        self.jobs.send((bytes, done)).map_err(|_| gone())?;
        result.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn write_all(output: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) => wait_out(error)?,
        }
    }
    loop {
        match output.flush() {
            Ok(()) => return Ok(()),
            Err(error) => wait_out(error)?,
        }
    }
}

/// Whether to try again.
fn wait_out(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        io::ErrorKind::WouldBlock => {
            thread::sleep(NONBLOCKING_WAIT);
            Ok(())
        }
        _ => Err(error),
    }
}
