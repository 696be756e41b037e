//! A directory of containers as convis has it, asked in real time.

use std::sync::Arc;
use std::time::Duration;

use convis::container::{Answer, ContainerId, Counted, Details, Directory, Settings};
use tokio::runtime::{Builder, Runtime};

use crate::clock::now;

const PATIENCE: Duration = Duration::from_secs(30);
/// As often as the capture task drains.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks a [`Directory`].
pub struct Asker {
    runtime: Runtime,
    directory: Directory,
}

impl Asker {
    /// Starts one.
    pub fn start(settings: Settings) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let directory = runtime.block_on(async { Directory::start(settings) });
        Self { runtime, directory }
    }

    /// Lets it work for a while without a question.
    pub fn work(&self, time: Duration) {
        let end = now() + time;
        while now() < end {
            self.turn();
        }
    }

    /// The answer now.
    pub fn ask(&self, id: &str) -> Answer {
        self.runtime.block_on(async { self.directory.ask(&ContainerId::new(id).expect("an id")) })
    }

    /// Asks until the answer is details that pass; panics with the last answer when that does not come.
    pub fn until(&self, id: &str, wanted: impl Fn(&Details) -> bool) -> Arc<Details> {
        let end = now() + PATIENCE;
        loop {
            let answer = self.ask(id);
            match answer {
                Answer::Known(details) if wanted(&details) => return details,
                other => assert!(now() < end, "{id}: {other:?}, {:?}", self.counted()),
            }
            self.turn();
        }
    }

    /// Asks until the answer is this one.
    pub fn until_answer(&self, id: &str, wanted: &Answer) {
        let end = now() + PATIENCE;
        while self.ask(id) != *wanted {
            assert!(now() < end, "{id}: not {wanted:?} but {:?}, {:?}", self.ask(id), self.counted());
            self.turn();
        }
    }

    /// Its counters.
    pub fn counted(&self) -> Counted {
        self.directory.counters().snapshot()
    }

    fn turn(&self) {
        self.runtime.block_on(async {
            tokio::time::sleep(PAUSE).await;
            self.directory.drain();
        });
    }
}
