//! When a load has lasted long enough.

use std::sync::atomic::{AtomicBool, Ordering};

/// Tells the threads of a load to end when it goes, also by a panic, for which they would wait for ever.
#[derive(Debug)]
pub struct Enough<'a>(pub &'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
