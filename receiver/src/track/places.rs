//! Where processes run, as the kernel tells of cgroups.

use super::Tracker;
use super::outbox::Now;

impl Tracker {
    /// A new cgroup; `path` is from the root of the hierarchy, `None` if it is too long.
    pub(super) fn cgroup_made(&mut self, id: u64, path: Option<&str>, now: Now) {
        if let Some(path) = path {
            self.workloads.made(id, path, now.ns);
        }
    }

    /// A cgroup was removed. What ran there may still be asked for.
    pub(super) fn cgroup_removed(&mut self, id: u64, time_ns: u64) {
        self.workloads.removed(id, time_ns);
    }
}
