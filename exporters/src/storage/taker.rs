//! The runner's side of stored events.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep};

use super::store::Store;
use super::{Entry, Held, Receipt, Settled, codec};
use crate::accounting::{DropReason, SinkStats};
use crate::model::EventBatch;
use crate::queue::{Backlog, Queued, Shelf};

/// Between two attempts to read a store that failed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes what waits, and reads back what is on disk alone.
pub(crate) struct Stored {
    pub(super) shelf: Arc<Shelf<Entry>>,
    pub(super) store: Arc<Store>,
    pub(super) stats: Arc<SinkStats>,
    pub(super) settled: UnboundedSender<Settled>,
}

#[async_trait]
impl Backlog<EventBatch> for Stored {
    fn try_take(&mut self) -> Option<Queued<EventBatch>> {
        let entry = self.shelf.look(|waiting| {
            waiting.front()?.batch.as_ref()?;
            waiting.pop_front()
        })?;
        let Held { batch, offered, room } = entry.batch?;
        let receipt = entry.stored.map(|settled| Receipt { settled, to: self.settled.clone() });
        Some(Queued::stored(batch, offered, room, receipt))
    }

    async fn take(&mut self) -> Option<Queued<EventBatch>> {
        while self.shelf.ready().await {
            if let Some(queued) = self.try_take() {
                return Some(queued);
            }
            if !self.read_front().await {
                if self.shelf.is_complete() {
                    return None;
                }
                sleep(PATIENCE).await;
            }
        }
        None
    }

    fn put_back(&mut self, taken: Vec<Queued<EventBatch>>) {
        self.shelf.update(|waiting| {
            for queued in taken.into_iter().rev() {
                let (batch, offered, room, receipt) = queued.into_parts();
                let stored = receipt.map(|receipt| receipt.settled);
                waiting.push_front(Entry { stored, batch: Some(Held { batch, offered, room }) });
            }
        });
    }
}

impl Stored {
    /// Reads the oldest batch into memory, or drops and counts it when it is damaged; `false` when the store cannot be
    /// read now.
    async fn read_front(&self) -> bool {
        let oldest = self.shelf.look(|waiting| waiting.front().and_then(|entry| entry.stored));
        let Some(oldest) = oldest else {
            return true;
        };
        let store = Arc::clone(&self.store);
        let read = tokio::task::spawn_blocking(move || store.read(oldest.number)).await;
        let Ok(Ok(bytes)) = read else {
            return false;
        };
        let batch = bytes.and_then(|bytes| codec::decode(&bytes).ok());
        let batch = batch.filter(|batch| batch.events.len() == oldest.size.records as usize);
        // Meanwhile it may have been dropped to make room.
        let is_it = |entry: &Entry| entry.stored.is_some_and(|stored| stored.number == oldest.number);
        let unreadable = self.shelf.look(|waiting| match batch {
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
            self.stats.drop_records(DropReason::Unreadable, records.into());
            tracing::warn!("{records} stored events could not be read back; dropped them");
            let _gone = self.settled.send(oldest);
        }
        true
    }
}
