//! How many virtual machines run at once, across processes.

use std::fs::File;
use std::time::Duration;

use crate::cache;
use crate::clock::wait_for;

/// Each has two processors and keeps as many of the host busy.
const TOGETHER: usize = 2;
const PATIENCE: Duration = Duration::from_hours(1);

/// Permission to run one; given back on drop.
pub(super) struct Slot(#[expect(dead_code, reason = "its lock is what matters")] File);

/// Waits for a place.
pub(super) fn take() -> Slot {
    wait_for("another virtual machine to end", PATIENCE, || {
        (0..TOGETHER).find_map(|number| {
            let path = cache::folder().join(format!("vm-{number}.lock"));
            // Whoever made it may have been root.
            let file = File::open(&path).or_else(|_| File::create(&path)).expect("the lock file can be made");
            file.try_lock().is_ok().then_some(Slot(file))
        })
    })
}
