//! What a keeper puts down for a runner to take.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A sequence of things between two tasks: one that puts, and looks after what waits, and one that takes.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    /// Nothing will be put any more.
    complete: bool,
    /// Nothing will be taken any more.
    abandoned: bool,
}

impl<T> Shelf<T> {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let state = State { items: VecDeque::new(), complete: false, abandoned: false };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// Changes what waits; never holds up the other side for longer than that takes.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut VecDeque<T>) -> R) -> R {
        let result = change(&mut self.lock().items);
        self.changed.notify_one();
        result
    }

    /// Looks at or takes what waits.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&mut VecDeque<T>) -> R) -> R {
        look(&mut self.lock().items)
    }

    /// Says that nothing will be put any more.
    pub(crate) fn complete(&self) {
        self.lock().complete = true;
        self.changed.notify_one();
    }

    /// Says that something may be put again.
    pub(crate) fn resume(&self) {
        self.lock().complete = false;
    }

    /// Whether nothing will be put any more.
    pub(crate) fn is_complete(&self) -> bool {
        self.lock().complete
    }

    /// Says that nothing will be taken any more, and takes what is left.
    pub(crate) fn abandon(&self) -> VecDeque<T> {
        let mut state = self.lock();
        state.abandoned = true;
        std::mem::take(&mut state.items)
    }

    /// Whether nothing will be taken any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    /// Waits until something can be taken (`true`) or nothing ever will be.
    pub(crate) async fn ready(&self) -> bool {
        loop {
            {
                let state = self.lock();
                if !state.items.is_empty() || state.complete {
                    return !state.items.is_empty();
                }
            }
            // Keeps a notice that comes between the look and the wait.
            self.changed.notified().await;
        }
    }

    /// A panic of the other side leaves nothing half-changed that matters: the process ends.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
