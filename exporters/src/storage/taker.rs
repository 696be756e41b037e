//! The runner's side of stored events.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::hub::Hub;
use super::{Entry, Held, Receipt, codec};
use crate::accounting::DropReason;
use crate::model::EventBatch;
use crate::queue::{Backlog, Queued};

/// Between two attempts to read a store that failed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes what waits, and reads back what is on disk alone. It begins once the one before it has ended, and ends once
/// another one follows.
pub(crate) struct Stored {
    pub(super) hub: Arc<Hub>,
    pub(super) number: u64,
    pub(super) newest: watch::Receiver<u64>,
    /// Told when the keeper works for this lane, unless it always did.
    pub(super) adopted: Option<oneshot::Receiver<()>>,
    pub(super) turn: Option<OwnedSemaphorePermit>,
}

#[async_trait]
impl Backlog<EventBatch> for Stored {
    fn try_take(&mut self) -> Option<Queued<EventBatch>> {
        if self.turn.is_none() || *self.newest.borrow() > self.number {
            return None;
        }
        let entry = self.hub.shelf.look(|waiting| {
            waiting.front()?.batch.as_ref()?;
            waiting.pop_front()
        })?;
        let Held { batch, offered, room } = entry.batch?;
        let receipt = entry.stored.map(|settled| Receipt { settled, to: self.hub.settled.clone() });
        Some(Queued::stored(batch, offered, room, receipt))
    }

    async fn take(&mut self) -> Option<Queued<EventBatch>> {
        let succeeded = succeeded(self.newest.clone(), self.number);
        tokio::select! {
            biased;
            () = succeeded => None,
            taken = self.next() => taken,
        }
    }

    fn put_back(&mut self, taken: Vec<Queued<EventBatch>>) {
        self.hub.shelf.update(|waiting| {
            for queued in taken.into_iter().rev() {
                let (batch, offered, room, receipt) = queued.into_parts();
                let stored = receipt.map(|receipt| receipt.settled);
                waiting.push_front(Entry { stored, batch: Some(Held { batch, offered, room }) });
            }
        });
    }
}

impl Stored {
    /// The next batch, while no other taker follows.
    async fn next(&mut self) -> Option<Queued<EventBatch>> {
        if let Some(adopted) = &mut self.adopted {
            // A keeper that is gone takes the process with it.
            adopted.await.ok()?;
            self.adopted = None;
        }
        if self.turn.is_none() {
            self.turn = Some(Arc::clone(&self.hub.turns).acquire_owned().await.ok()?);
        }
        while self.hub.shelf.ready().await {
            if let Some(queued) = self.try_take() {
                return Some(queued);
            }
            if !self.read_front().await {
                if self.hub.shelf.is_complete() {
                    return None;
                }
                sleep(PATIENCE).await;
            }
        }
        None
    }

    /// Reads the oldest batch into memory, or drops and counts it when it is damaged; `false` when the store cannot be
    /// read now.
    async fn read_front(&self) -> bool {
        let Hub { shelf, store, stats, settled, .. } = &*self.hub;
        let oldest = shelf.look(|waiting| waiting.front().and_then(|entry| entry.stored));
        let Some(oldest) = oldest else {
            return true;
        };
        let store = Arc::clone(store);
        let read = tokio::task::spawn_blocking(move || store.read(oldest.number)).await;
        let Ok(Ok(bytes)) = read else {
            return false;
        };
        let batch = bytes.and_then(|bytes| codec::decode(&bytes).ok());
        let batch = batch.filter(|batch| batch.events.len() == oldest.size.records as usize);
        // Meanwhile it may have been dropped to make room.
        let is_it = |entry: &Entry| entry.stored.is_some_and(|stored| stored.number == oldest.number);
        let unreadable = shelf.look(|waiting| match batch {
            Some(batch) => {
                if let Some(entry) = waiting.front_mut().filter(|entry| is_it(entry)) {
                    entry.batch = Some(Held { batch: Arc::new(batch), offered: Instant::now(), room: None });
                }
                false
            }
            None => waiting.pop_front_if(|entry| is_it(entry)).is_some(),
        });
        if unreadable {
            let records = oldest.size.records;
            stats.drop_records(DropReason::Unreadable, records.into());
            tracing::warn!("{records} stored events could not be read back; dropped them");
            let _gone = settled.send(oldest);
        }
        true
    }
}

/// Resolves once a newer taker is there.
async fn succeeded(mut newest: watch::Receiver<u64>, number: u64) {
    let _its_hub_is_held = newest.wait_for(|newest| *newest > number).await.is_ok();
}
