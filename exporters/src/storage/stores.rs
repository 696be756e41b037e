//! The stores of this process, so that one is never opened twice and nothing in it counted twice.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use convis_otel_config::Storage;

use super::hub::{Hub, Lane};
use super::keeper::{Keeper, keep};
use super::store::{Size, Store};
use super::taker::Stored;
use super::{file, file_name};
use crate::accounting::SinkStats;

/// A store is closed within a moment of the end of its lane.
const CLOSING: Duration = Duration::from_millis(10);
const CLOSINGS: u32 = 100;

/// The stores that lanes of this process have or had, by directory.
#[derive(Debug, Default)]
pub(crate) struct Stores(HashMap<PathBuf, Known>);

#[derive(Debug)]
struct Known {
    sink: Arc<str>,
    stats: Arc<SinkStats>,
    hub: Weak<Hub>,
    open: Weak<()>,
}

/// A store for a lane that is about to start.
pub(crate) struct Place {
    /// Where it is.
    pub(crate) directory: PathBuf,
    /// The counters of the lanes that had it before in this process.
    pub(crate) stats: Option<Arc<SinkStats>>,
    from: From,
}

enum From {
    /// What it held.
    Opened(Store, Vec<(u64, Size)>),
    /// Another lane has it, and hands it over.
    Running(Arc<Hub>),
}

impl Stores {
    /// Opens the store of a sink, or makes it. One that a lane of this sink has open is taken over when the new one starts.
    ///
    /// # Errors
    /// One line: what failed, why, what to do.
    pub(crate) fn place(&self, storage: &Storage, sink: &str) -> Result<Place, String> {
        let directory = storage.directory.join(file_name(sink));
        let failed = |what: &str, why: &dyn std::fmt::Display| {
            format!("storage: cannot {what} {}: {why}", directory.display())
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|error| failed("make", &format!("{error}; choose another `storage` directory")))?;
        // However it is written, it is one place.
        let place = directory.canonicalize().unwrap_or_else(|_| directory.clone());
        let known = self.0.get(&place).filter(|known| *known.sink == *sink);
        let stats = known.map(|known| Arc::clone(&known.stats));
        if let Some(hub) = known.and_then(|known| known.hub.upgrade()) {
            return Ok(Place { directory: place, stats, from: From::Running(hub) });
        }
        for _ in 0..CLOSINGS {
            if known.is_none_or(|known| known.open.strong_count() == 0) {
                break;
            }
            std::thread::sleep(CLOSING);
        }
        let (store, held) = Store::open(&file(&place)).map_err(|error| failed("use", &error))?;
        Ok(Place { directory: place, stats, from: From::Opened(store, held) })
    }

    /// What looks after the events of a lane, unless that is there already, and where they are taken from.
    pub(crate) fn start(
        &mut self,
        place: Place,
        sink: &Arc<str>,
        lane: Lane,
        stats: &Arc<SinkStats>,
        name: Arc<str>,
    ) -> (Option<Keeper>, Stored) {
        let (keeper, taker) = match place.from {
            From::Running(hub) => (None, hub.succeed(lane)),
            From::Opened(store, held) => {
                let (keeper, taker) = keep(store, held, lane, Arc::clone(stats), name);
                (Some(keeper), taker)
            }
        };
        let known = Known {
            sink: Arc::clone(sink),
            stats: Arc::clone(stats),
            hub: Arc::downgrade(&taker.hub),
            open: taker.hub.store.is_open(),
        };
        self.0.insert(place.directory, known);
        (keeper, taker)
    }
}
