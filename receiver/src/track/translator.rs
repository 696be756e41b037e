//! Address translation, as the ends of connections ask for it.

use std::path::Path;

use convis_exporters::model::Connection;

use crate::nat::{Counted, Nat, Translated};

/// Asks the host's connection tracking, or nobody.
pub struct Translator {
    host: Option<Nat>,
}

impl std::fmt::Debug for Translator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Translator").finish_non_exhaustive()
    }
}

impl Translator {
    /// Asks the network namespace of pid 1 in the procfs at `proc_root`.
    pub fn open(proc_root: &Path) -> Self {
        Self { host: Some(Nat::open(proc_root)) }
    }

    /// Asks nobody.
    pub const fn none() -> Self {
        Self { host: None }
    }

    /// Why there will never be an answer, if so.
    pub fn unavailable(&self) -> Option<String> {
        Some(self.host.as_ref()?.unavailable()?.to_string())
    }

    /// What questions came to.
    pub fn counted(&self) -> Counted {
        self.host.as_ref().map(Nat::counters).unwrap_or_default()
    }

    /// What becomes of a client's connection.
    pub(super) fn translated(&mut self, connection: &Connection, now_ns: u64) -> Option<Translated> {
        let [local, peer] = [connection.local, connection.peer];
        // What stays within a namespace, the host's has no word on.
        let stays = local.ip() == peer.ip() || local.ip().is_loopback() || peer.ip().is_loopback();
        let nat = self.host.as_mut()?;
        if stays && nat.namespace() != Some(connection.network_namespace) {
            return None;
        }
        nat.translated(local, peer, now_ns)
    }
}
