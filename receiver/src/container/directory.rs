//! The directory of containers, as the capture task has it.

use std::cell::RefCell;
use std::sync::Arc;

use rustc_hash::FxHashSet;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::address::Address;
use super::cache::{Answer, Cache, CacheLimits, MOST_ENDPOINTS, Vote};
use super::counters::{Counters, Failure};
use super::endpoint;
use super::find::{Found, find};
use super::id::ContainerId;
use super::port::{MOST_ASKS, MOST_NEWS, News, Port};
use super::settings::Settings;

/// Answers who a container is, without ever waiting. One task has it; others do the asking.
#[derive(Debug)]
pub struct Directory {
    state: RefCell<State>,
    counters: Arc<Counters>,
    /// Looks for runtimes and holds their tasks.
    finder: Option<AbortHandle>,
}

#[derive(Debug)]
struct State {
    cache: Cache,
    endpoints: Vec<mpsc::Sender<ContainerId>>,
    news: mpsc::Receiver<News>,
}

impl Directory {
    /// A directory that knows nothing.
    pub fn none() -> Self {
        let (_, news) = mpsc::channel(1);
        Self::new(CacheLimits::default(), news, Arc::default())
    }

    /// Starts asking the runtimes of this host. Call it inside a tokio runtime; nothing is waited for.
    pub fn start(settings: Settings) -> Self {
        let (sender, news) = mpsc::channel(MOST_NEWS);
        let mut directory = Self::new(settings.cache, news, Arc::default());
        let finder = Finder {
            random: fastrand::Rng::with_seed(settings.seed),
            settings,
            news: sender,
            counters: Arc::clone(&directory.counters),
            found: Vec::new(),
            tasks: JoinSet::new(),
        };
        directory.finder = Some(tokio::spawn(finder.run()).abort_handle());
        directory
    }

    pub(super) fn new(limits: CacheLimits, news: mpsc::Receiver<News>, counters: Arc<Counters>) -> Self {
        let state = State { cache: Cache::new(limits), endpoints: Vec::new(), news };
        Self { state: RefCell::new(state), counters, finder: None }
    }

    /// Whether runtimes are looked for at all.
    pub fn may_find(&self) -> bool {
        !self.state.borrow().news.is_closed()
    }

    /// What is known of a container. A first question goes to the runtimes; [`Self::drain`] says when to ask again.
    pub fn ask(&self, id: &ContainerId) -> Answer {
        let now = Instant::now();
        let state = &mut *self.state.borrow_mut();
        let (answer, unknown) = state.cache.ask(id, now);
        self.counters.count_ask(matches!(answer, Answer::Known(_)));
        if unknown {
            self.counters.count_lookup();
            for (source, endpoint) in state.endpoints.iter().enumerate() {
                if endpoint.try_send(id.clone()).is_err() {
                    self.counters.count_failure(Failure::QueueFull);
                    state.cache.vote(source, id, Vote::Failed, now);
                }
            }
        }
        answer
    }

    /// Takes in what the runtimes have told since the last call; the containers of which more or something else is known
    /// now, new ones too: somebody may have asked before there was a runtime. Cheap when there is nothing.
    pub fn drain(&self) -> Vec<ContainerId> {
        let now = Instant::now();
        let state = &mut *self.state.borrow_mut();
        let mut changed = FxHashSet::default();
        // Whatever comes while this runs is for the next call.
        for _ in 0..MOST_NEWS {
            let news = match state.news.try_recv() {
                Ok(news) => news,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            };
            match news {
                News::Endpoint { trust, asks } => {
                    state.cache.add_endpoint(trust);
                    state.endpoints.push(asks);
                    self.counters.count_endpoint();
                }
                News::Snapshot { source, found } => changed.extend(state.cache.snapshot(source, found, now)),
                News::Vote { source, id, vote } => {
                    if state.cache.vote(source, &id, vote, now) {
                        changed.insert(id);
                    }
                }
                News::Removed { source, id } => state.cache.removed(source, &id, now),
            }
        }
        state.cache.sweep(now);
        self.counters.set_known(state.cache.known());
        changed.into_iter().collect()
    }

    /// The counters, for whoever tells of them.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Some(finder) = &self.finder {
            finder.abort();
        }
    }
}

/// Looks for runtimes, now and again; those that end with it are its tasks.
struct Finder {
    settings: Settings,
    news: mpsc::Sender<News>,
    counters: Arc<Counters>,
    random: fastrand::Rng,
    found: Vec<Address>,
    tasks: JoinSet<()>,
}

impl Finder {
    async fn run(mut self) {
        let labels: Arc<[String]> = self.settings.labels.clone().into();
        let mut looks = tokio::time::interval(self.settings.limits.find_interval);
        loop {
            looks.tick().await;
            for found in find(&self.settings) {
                if !self.found.contains(&found.address) && self.found.len() < MOST_ENDPOINTS {
                    self.open(found, &labels).await;
                }
            }
        }
    }

    async fn open(&mut self, found: Found, labels: &Arc<[String]>) {
        let (sender, asks) = mpsc::channel(MOST_ASKS);
        let port = Port {
            source: self.found.len(),
            limits: self.settings.limits,
            labels: Arc::clone(labels),
            counters: Arc::clone(&self.counters),
            asks,
            news: self.news.clone(),
            open: FxHashSet::default(),
            next_list: None,
        };
        self.found.push(found.address.clone());
        port.tell(News::Endpoint { trust: found.trust, asks: sender }).await;
        self.tasks.spawn(endpoint::run(port, found, self.random.fork()));
    }
}
