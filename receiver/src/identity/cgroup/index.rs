//! From the id that the kernel's records carry to the path of the cgroup.

use std::collections::VecDeque;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::Mount;
use super::scan::{Scan, scan};

/// Most cgroups known at a time that have not been removed.
const MAX_LIVE: usize = 65_536;
/// Most removed ones that are kept.
const MAX_GONE: usize = 4_096;
/// How long a removed one is kept: connections outlive their process.
const KEEP_NS: u64 = 600_000_000_000;
/// Least time between two walks.
const SCAN_EVERY_NS: u64 = 1_000_000_000;
/// A walk costs some 10 us for each cgroup; this much time after it for each makes that one percent.
const SCAN_PAUSE_NS: u64 = 1_000_000;
/// How long an id that a walk did not find causes none.
const MISSING_NS: u64 = 60_000_000_000;
/// Most ids remembered as not found.
const MAX_MISSING: usize = 1_024;

/// Paths of cgroups by id: on version 2, and in the version 2 hierarchy of a hybrid host, the inode number of the directory.
///
/// Times are nanoseconds of any clock that does not go back.
#[derive(Debug, Default)]
pub struct CgroupIndex {
    mount: Option<Mount>,
    known: FxHashMap<u64, Entry>,
    live: usize,
    /// When each was found removed, in that order.
    gone: VecDeque<(u64, u64)>,
    /// Not found by a walk; until when to believe that.
    missing: FxHashMap<u64, u64>,
    next_scan_ns: u64,
    left_out: u64,
}

#[derive(Debug)]
struct Entry {
    path: Rc<str>,
    gone: bool,
}

impl CgroupIndex {
    /// Walks the hierarchy. Without a mount the index knows what it is told, and nothing else.
    pub fn new(mount: Option<Mount>, now_ns: u64) -> Self {
        let mut index = Self { mount, ..Self::default() };
        index.rescan(now_ns);
        index
    }

    /// The path of `id` from the root of the hierarchy. An unknown id causes a walk, unless there was one lately or one
    /// that did not find it; asking again later is worth while.
    pub fn resolve(&mut self, id: u64, now_ns: u64) -> Option<Rc<str>> {
        if !self.known.contains_key(&id) {
            self.look_for(id, now_ns);
        }
        self.known.get(&id).map(|entry| Rc::clone(&entry.path))
    }

    /// Takes what the `cgroup_mkdir` tracepoint tells of a cgroup of hierarchy (`root`) 0. Ids of version 1 hierarchies are
    /// numbers of their own and have to be kept out by the caller.
    pub fn learn(&mut self, id: u64, path: &str) {
        // A record that comes late does not bring back what a walk found removed.
        if !self.known.contains_key(&id) {
            self.insert(id, path.into());
        }
    }

    /// Takes what the `cgroup_rmdir` tracepoint tells. The path stays known for ten minutes.
    pub fn removed(&mut self, id: u64, now_ns: u64) {
        if let Some(entry) = self.known.get_mut(&id)
            && !std::mem::replace(&mut entry.gone, true)
        {
            self.live -= 1;
            self.gone.push_back((now_ns, id));
            self.reap(now_ns);
        }
    }

    /// Drops what was removed long ago, and the oldest of too many.
    pub fn reap(&mut self, now_ns: u64) {
        while let Some(&(since_ns, id)) = self.gone.front()
            && (self.gone.len() > MAX_GONE || now_ns.saturating_sub(since_ns) >= KEEP_NS)
        {
            self.gone.pop_front();
            self.known.remove(&id);
        }
    }

    /// Whether the path of `id` is known.
    pub fn knows(&self, id: u64) -> bool {
        self.known.contains_key(&id)
    }

    /// How many are known, removed ones too.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many times a cgroup was not taken in because there were too many.
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    fn look_for(&mut self, id: u64, now_ns: u64) {
        let missing = self.missing.get(&id).is_some_and(|until_ns| now_ns < *until_ns);
        if self.mount.is_none() || id == 0 || missing || now_ns < self.next_scan_ns {
            return;
        }
        self.rescan(now_ns);
        if !self.known.contains_key(&id) {
            if self.missing.len() >= MAX_MISSING {
                self.missing.clear();
            }
            self.missing.insert(id, now_ns.saturating_add(MISSING_NS));
        }
    }

    fn rescan(&mut self, now_ns: u64) {
        let Some(mount) = &self.mount else { return };
        let Scan { found, complete } = scan(mount, MAX_LIVE);
        let pause = SCAN_PAUSE_NS.saturating_mul(found.len() as u64).max(SCAN_EVERY_NS);
        self.next_scan_ns = now_ns.saturating_add(pause);
        if complete {
            let there: rustc_hash::FxHashSet<u64> = found.iter().map(|(id, _)| *id).collect();
            let not_there = |(id, entry): (&u64, &Entry)| (!entry.gone && !there.contains(id)).then_some(*id);
            let gone: Vec<u64> = self.known.iter().filter_map(not_there).collect();
            for id in gone {
                self.removed(id, now_ns);
            }
        }
        self.reap(now_ns);
        for (id, path) in found {
            self.insert(id, path);
        }
    }

    /// What is there has this path, whatever was known of the id.
    fn insert(&mut self, id: u64, path: Rc<str>) {
        match self.known.get_mut(&id) {
            Some(entry) if !entry.gone => entry.path = path,
            Some(entry) => {
                *entry = Entry { path, gone: false };
                self.gone.retain(|(_, gone)| *gone != id);
                self.live += 1;
            }
            None if self.live >= MAX_LIVE => self.left_out += 1,
            None => {
                self.known.insert(id, Entry { path, gone: false });
                self.live += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
