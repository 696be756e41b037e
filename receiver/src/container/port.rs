//! The side of an endpoint: questions come in, news go out.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::cache::{Source, Trust, Vote};
use super::counters::{Counters, Failure};
use super::details::Details;
use super::id::ContainerId;
use super::settings::Limits;

/// Questions that wait for one endpoint.
pub(super) const MOST_ASKS: usize = 256;
/// News that wait for the capture task.
pub(super) const MOST_NEWS: usize = 256;

/// What endpoints tell the directory.
#[derive(Debug)]
pub(super) enum News {
    /// An endpoint more; its number is the count of those before it.
    Endpoint { trust: Trust, asks: mpsc::Sender<ContainerId> },
    /// Everything that an endpoint has.
    Snapshot { source: Source, found: Vec<(ContainerId, Arc<Details>)> },
    /// What an endpoint says to a question, or tells unasked.
    Vote { source: Source, id: ContainerId, vote: Vote },
    /// A container was removed.
    Removed { source: Source, id: ContainerId },
}

/// An endpoint's own side.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) source: Source,
    pub(super) limits: Limits,
    /// Keys of labels that the user asked for.
    pub(super) labels: Arc<[String]>,
    pub(super) counters: Arc<Counters>,
    pub(super) asks: mpsc::Receiver<ContainerId>,
    pub(super) news: mpsc::Sender<News>,
    /// Questions without an answer.
    pub(super) open: FxHashSet<ContainerId>,
    /// When the next list may be asked for.
    pub(super) next_list: Option<Instant>,
}

impl Port {
    /// The next question, which then is open. Safe to cancel.
    pub(super) async fn next_ask(&mut self) -> ContainerId {
        match self.asks.recv().await {
            Some(id) => {
                self.open.insert(id.clone());
                id
            }
            // Nobody asks any more; this task is about to be ended.
            None => std::future::pending().await,
        }
    }

    /// Answers a question, or tells of a container unasked.
    pub(super) async fn answer(&mut self, id: ContainerId, vote: Vote) {
        self.open.remove(&id);
        self.tell(News::Vote { source: self.source, id, vote }).await;
    }

    /// Answers every open question.
    pub(super) async fn answer_all(&mut self, vote: &Vote) {
        for id in std::mem::take(&mut self.open) {
            self.answer(id, vote.clone()).await;
        }
    }

    /// Lets time pass; who asks meanwhile gets this answer. That is `sure` only so long: the first question after it ends the
    /// pause, and stays open.
    pub(super) async fn pause(&mut self, time: Duration, vote: &Vote, sure: Duration) {
        let began = Instant::now();
        loop {
            tokio::select! {
                () = sleep_until(began + time) => return,
                id = self.next_ask() => {
                    if began.elapsed() >= sure {
                        return;
                    }
                    self.answer(id, vote.clone()).await;
                }
            }
        }
    }

    /// Hands over news; waits while the capture task has too many.
    pub(super) async fn tell(&self, news: News) {
        // Nobody there: this task is about to be ended.
        let _closed = self.news.send(news).await;
    }
}

/// Makes a request, in time and counted.
pub(super) async fn request<T>(
    counters: &Counters,
    limit: Duration,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let began = Instant::now();
    let outcome = timeout(limit, answer).await.unwrap_or(Err(Failure::Timeout));
    counters.count_request(began.elapsed(), outcome.as_ref().err().copied());
    outcome
}
