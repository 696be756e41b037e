//! A thread that does nothing but write, so that a stalled disk stalls nothing else.

use std::io;
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::output::Output;

enum Job {
    Write(Bytes, oneshot::Sender<io::Result<()>>),
    Reopen,
}

/// The way to the thread; the thread ends when all clones are gone.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(mut output: Output) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel();
        thread::Builder::new().name("file".to_owned()).spawn(move || {
            for job in waiting {
                match job {
                    // Nobody waits any more once the deadline of a stop has passed.
                    Job::Write(lines, done) => drop(done.send(output.write(&lines))),
                    Job::Reopen => output.reopen(),
                }
            }
        })?;
        Ok(Self { jobs })
    }

    /// Writes everything or nothing.
    pub(super) async fn write(&self, lines: Bytes) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        let gone = || io::Error::other("the writing thread has ended");
        self.jobs.send(Job::Write(lines, done)).map_err(|_| gone())?;
        result.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Opens the file at its path again, after what is being written; `false` when the thread is gone.
    pub(super) fn reopen(&self) -> bool {
        self.jobs.send(Job::Reopen).is_ok()
    }
}
