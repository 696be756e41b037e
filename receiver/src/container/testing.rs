//! What tests of runtimes share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::address::Address;
use super::cache::{Answer, CacheLimits, Trust, Vote};
use super::details::Details;
use super::directory::Directory;
use super::id::ContainerId;
use super::port::News;
use super::settings::{Choice, Settings};

/// Longer than anything convis waits for; the clock of these tests jumps.
const PATIENCE: Duration = Duration::from_mins(10);

pub(super) fn id(number: u32) -> ContainerId {
    ContainerId::new(&format!("{number:064x}")).unwrap()
}

/// A runtime that says what a test wants, once the directory takes it in.
pub(crate) struct Feed {
    news: mpsc::Sender<News>,
    asks: mpsc::Receiver<ContainerId>,
    /// What the directory asks by, until the runtime is found.
    sender: Option<mpsc::Sender<ContainerId>>,
}

impl Feed {
    /// A runtime that is there, and the directory that asks it.
    pub(crate) fn new() -> (Self, Directory) {
        let (mut feed, directory) = Self::unfound();
        feed.appear();
        directory.drain();
        (feed, directory)
    }

    /// A runtime that the directory does not know of yet.
    pub(crate) fn unfound() -> (Self, Directory) {
        let (sender, asks) = mpsc::channel(64);
        let (news, received) = mpsc::channel(64);
        let directory = Directory::new(CacheLimits::default(), received, Arc::default());
        (Self { news, asks, sender: Some(sender) }, directory)
    }

    /// It is found.
    pub(crate) fn appear(&mut self) {
        let asks = self.sender.take().unwrap();
        self.tell(News::Endpoint { trust: Trust::System, asks });
    }

    /// It tells of a container of this name, asked or not.
    pub(crate) fn name(&self, id: &str, name: &str) {
        self.details(id, Details { name: Some(name.into()), ..Details::default() });
    }

    /// It tells of a container.
    pub(crate) fn details(&self, id: &str, details: Details) {
        self.vote(id, Vote::Found(Arc::new(details)));
    }

    /// It has no such container.
    pub(crate) fn absent(&self, id: &str) {
        self.vote(id, Vote::Absent);
    }

    /// It could not answer.
    pub(crate) fn failed(&self, id: &str) {
        self.vote(id, Vote::Failed);
    }

    /// What it was asked since the last call.
    pub(crate) fn asked(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.asks.try_recv().ok()).map(|id| id.to_string()).collect()
    }

    fn vote(&self, id: &str, vote: Vote) {
        self.tell(News::Vote { source: 0, id: ContainerId::new(id).unwrap(), vote });
    }

    fn tell(&self, news: News) {
        self.news.try_send(news).unwrap();
    }
}

/// A folder with a socket in it.
pub(super) struct Place(TempDir);

impl Place {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.0.path().join("runtime.sock")
    }

    /// As after a restart, when the old socket is still there.
    pub(super) fn bind(&self) -> tokio::net::UnixListener {
        drop(std::fs::remove_file(self.socket()));
        tokio::net::UnixListener::bind(self.socket()).unwrap()
    }

    pub(super) fn settings(&self, choice: Choice) -> Settings {
        let address = vec![Address::Unix(self.socket())];
        let (docker_hosts, cri_endpoints) = match choice {
            Choice::Docker => (address, Vec::new()),
            _ => (Vec::new(), address),
        };
        Settings {
            choice,
            docker_hosts,
            cri_endpoints,
            root: Path::new("/nonexistent").to_owned(),
            ..Settings::default()
        }
    }
}

/// Asks until the answer is as wanted; true if it was in time.
pub(super) async fn until(directory: &Directory, id: &ContainerId, wanted: impl Fn(&Answer) -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        directory.drain();
        if wanted(&directory.ask(id)) {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

/// Waits for the name of a container, by what tells it apart in this test.
pub(super) async fn until_named(directory: &Directory, id: &ContainerId, name: &str) {
    let mut last = None;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        directory.drain();
        let answer = directory.ask(id);
        if let Answer::Known(details) = &answer {
            let inner = details.k8s_container.as_ref().map(|inner| inner.name.as_str());
            if details.name.as_deref().or(inner) == Some(name) {
                return;
            }
        }
        last = Some(answer);
        sleep(Duration::from_millis(50)).await;
    }
    panic!("{id} is not {name}: {last:?}, {:?}", directory.counters().snapshot());
}

/// Lets time pass, with drains as the capture task makes them.
pub(super) async fn pass(directory: &Directory, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        directory.drain();
        sleep(Duration::from_millis(50)).await;
    }
}
