//! Where processes run, as the kernel tells of cgroups.

use super::Tracker;

impl Tracker {
    /// A new cgroup; `path` is from the root of the hierarchy, `None` if it is too long.
    #[expect(clippy::unused_self, reason = "nothing is kept of it yet")]
    pub(super) fn cgroup_made(&mut self, _id: u64, _path: Option<&str>) {}

    /// A cgroup was removed.
    #[expect(clippy::unused_self, reason = "nothing is kept of it yet")]
    pub(super) fn cgroup_removed(&mut self, _id: u64, _time_ns: u64) {}
}
