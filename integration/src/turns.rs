//! Who may run beside whom, across test processes.
//!
//! Tests tell their own connections apart and run side by side. A flood takes the whole machine, so it waits for
//! the others and they wait for it.

use std::fs::File;

/// A place among others, or alone; given up on drop.
pub struct Turn(#[expect(dead_code, reason = "its lock is what matters")] File);

/// Beside others.
pub fn together() -> Turn {
    let file = lock_file();
    file.lock_shared().expect("the turn file can be locked");
    Turn(file)
}

/// With nobody else.
pub fn alone() -> Turn {
    let file = lock_file();
    file.lock().expect("the turn file can be locked");
    Turn(file)
}

fn lock_file() -> File {
    let path = std::env::temp_dir().join("convis-integration.turns");
    File::create(path).expect("the turn file can be made")
}
