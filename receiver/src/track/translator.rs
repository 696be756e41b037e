//! Address translation, as the ends of connections ask for it.

use std::path::{Path, PathBuf};

use convis_exporters::model::Connection;
use rustc_hash::FxHashMap;

use crate::nat::{Counted, Nat, Translated};
use crate::outside::{Outside, Question};
use crate::own::network_namespace;

/// Network namespaces, beside the host's, whose connection tracking is asked. Beyond it all are forgotten and found again.
const MOST_NAMESPACES: usize = 64;

/// Asks the connection tracking of a client's own network namespace, then the host's; or nobody.
pub struct Translator {
    proc_root: PathBuf,
    outside: Outside,
    host: Option<Nat>,
    /// By inode.
    others: FxHashMap<u32, Nat>,
    /// What those came to that were forgotten.
    before: Counted,
    /// What is answered to everything.
    #[cfg(test)]
    pub(super) answer: Option<Translated>,
}

impl std::fmt::Debug for Translator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Translator").field("namespaces", &self.others.len()).finish_non_exhaustive()
    }
}

impl Translator {
    /// Asks namespaces of processes in the procfs at `proc_root`; the host's is that of pid 1.
    pub fn open(proc_root: &Path) -> Self {
        Self { host: Some(Nat::open(proc_root)), ..Self::with(proc_root) }
    }

    /// Asks nobody.
    pub fn none() -> Self {
        Self::with(Path::new("/nonexistent"))
    }

    fn with(proc_root: &Path) -> Self {
        Self {
            proc_root: proc_root.to_owned(),
            outside: Outside::Host,
            host: None,
            others: FxHashMap::default(),
            before: Counted::default(),
            #[cfg(test)]
            answer: None,
        }
    }

    /// The same, with what `outside` tells.
    #[must_use]
    pub fn told_by(mut self, outside: Outside) -> Self {
        self.outside = outside;
        self
    }

    /// Why the host's connection tracking will never answer, if so.
    pub fn unavailable(&self) -> Option<String> {
        Some(self.host.as_ref()?.unavailable()?.to_string())
    }

    /// What questions came to.
    pub fn counted(&self) -> Counted {
        let all = self.host.iter().chain(self.others.values()).map(Nat::counters);
        all.fold(self.before, Counted::plus)
    }

    /// What becomes of a client's connection; `pid` has it open.
    pub(super) fn translated(
        &mut self,
        connection: &Connection,
        pid: Option<u32>,
        now_ns: u64,
    ) -> Option<Translated> {
        #[cfg(test)]
        if self.answer.is_some() {
            return self.answer;
        }
        let question = Question::Translation(connection.network_namespace, connection.local, connection.peer);
        // Its answer must not borrow who asks.
        let outside = self.outside.clone();
        outside.ask(question, || self.ask_host(connection, pid, now_ns))
    }

    fn ask_host(&mut self, connection: &Connection, pid: Option<u32>, now_ns: u64) -> Option<Translated> {
        let host = self.host.as_ref()?.namespace();
        let namespace = connection.network_namespace;
        let seen = Translated { client: connection.local, server: connection.peer };
        if host == Some(namespace) {
            return self.host.as_mut()?.translated(seen.client, seen.server, now_ns);
        }
        let own = pid.and_then(|pid| self.of_namespace(namespace, pid));
        let left = own.and_then(|own| own.translated(seen.client, seen.server, now_ns));
        let Translated { client, server } = left.unwrap_or(seen);
        // What stays within a namespace, the host's has no word on.
        if client.ip() == server.ip() || client.ip().is_loopback() || server.ip().is_loopback() {
            return left;
        }
        self.host.as_mut()?.translated(client, server, now_ns).or(left)
    }

    /// The connection tracking of a namespace that is that of `pid`; `None` if it is no longer.
    fn of_namespace(&mut self, namespace: u32, pid: u32) -> Option<&mut Nat> {
        if !self.others.contains_key(&namespace) {
            let file = self.proc_root.join(pid.to_string()).join("ns/net");
            let nat = Nat::open_in(&file);
            if network_namespace(&file).ok()? != namespace {
                return None;
            }
            if self.others.len() >= MOST_NAMESPACES {
                self.before =
                    self.others.drain().map(|(_, nat)| nat.counters()).fold(self.before, Counted::plus);
            }
            self.others.insert(namespace, nat);
        }
        self.others.get_mut(&namespace)
    }
}
