//! Events as bytes that outlive the process.
//!
//! A record is a version, a checksum (CRC-32) of what follows, and the events in the `postcard` format, with each Resource
//! and each peer written once. The layout is that of the model: a change of it is a new `VERSION`, which a golden file
//! insists on. What is of another version, or damaged, is [`Unreadable`], never a panic.

use std::sync::Arc;

use flate2::Crc;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::model::{Connection, Detail, Event, EventBatch, Peer, Resource};

/// Of the layout; raise it whenever the model's changes.
const VERSION: u8 = 1;
/// Version and checksum.
const HEADER: usize = 5;

/// A record that cannot be read: damaged, foreign, or of another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged, or of another version of convis")]
pub struct Unreadable;

/// The bytes of some events.
pub fn encode(events: &[Event]) -> Vec<u8> {
    let (mut resources, mut peers) = (Shared::default(), Shared::default());
    let stored = events.iter().map(|event| StoredEvent {
        resource: resources.place(&event.resource),
        peer: event.peer.as_ref().map(|peer| peers.place(peer)),
        time_unix_nanos: event.time_unix_nanos,
        observed_unix_nanos: event.observed_unix_nanos,
        connection: event.connection,
        nat_peer: event.nat_peer,
        detail: event.detail.clone(),
    });
    let events = stored.collect();
    let stored = Stored { resources: resources.items, peers: peers.items, events };
    let header = vec![0; HEADER];
    // Writing to memory cannot fail; nothing in the model is without a length.
    let mut bytes = postcard::to_extend(&stored, header).unwrap_or_default();
    if let Some((header, body)) = bytes.split_at_mut_checked(HEADER) {
        header[0] = VERSION;
        header[1..].copy_from_slice(&checksum(body).to_le_bytes());
    }
    bytes
}

/// The events that [`encode`] was given.
///
/// # Errors
/// [`Unreadable`], for any other bytes.
pub fn decode(bytes: &[u8]) -> Result<EventBatch, Unreadable> {
    let (header, body) = bytes.split_at_checked(HEADER).ok_or(Unreadable)?;
    if header[0] != VERSION || header[1..] != checksum(body).to_le_bytes() {
        return Err(Unreadable);
    }
    let (stored, rest) = postcard::take_from_bytes::<Stored>(body).map_err(|_| Unreadable)?;
    if !rest.is_empty() {
        return Err(Unreadable);
    }
    let events = stored.events.into_iter().map(|event| {
        let peer = event.peer.map(|peer| at(&stored.peers, peer)).transpose()?;
        Ok(Event {
            resource: at(&stored.resources, event.resource)?,
            time_unix_nanos: event.time_unix_nanos,
            observed_unix_nanos: event.observed_unix_nanos,
            connection: event.connection,
            peer,
            nat_peer: event.nat_peer,
            detail: event.detail,
        })
    });
    Ok(EventBatch { events: events.collect::<Result<_, _>>()? })
}

fn at<T>(items: &[Arc<T>], place: u32) -> Result<Arc<T>, Unreadable> {
    items.get(place as usize).cloned().ok_or(Unreadable)
}

fn checksum(body: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(body);
    crc.sum()
}

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(with = "arcs")]
    resources: Vec<Arc<Resource>>,
    #[serde(with = "arcs")]
    peers: Vec<Arc<Peer>>,
    events: Vec<StoredEvent>,
}

#[derive(Serialize, Deserialize)]
struct StoredEvent {
    resource: u32,
    peer: Option<u32>,
    time_unix_nanos: u64,
    observed_unix_nanos: u64,
    connection: Connection,
    nat_peer: Option<std::net::SocketAddr>,
    detail: Detail,
}

/// Things that many events share, each once. All events of one process carry the same allocation.
struct Shared<T> {
    places: FxHashMap<*const T, u32>,
    items: Vec<Arc<T>>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { places: FxHashMap::default(), items: Vec::new() }
    }
}

impl<T> Shared<T> {
    fn place(&mut self, item: &Arc<T>) -> u32 {
        *self.places.entry(Arc::as_ptr(item)).or_insert_with(|| {
            self.items.push(Arc::clone(item));
            // Fewer than there are events, of which a record holds a few thousand.
            u32::try_from(self.items.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

/// A list of shared things as a list of things.
mod arcs {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer, T: Serialize>(
        items: &[Arc<T>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(items.iter().map(Arc::as_ref))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<Vec<Arc<T>>, D::Error> {
        Ok(Vec::<T>::deserialize(deserializer)?.into_iter().map(Arc::new).collect())
    }
}

#[cfg(test)]
mod tests;
