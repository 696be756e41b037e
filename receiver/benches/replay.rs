//! What an event costs user space: a recording of a busy host goes through the whole capture task to nobody. Reading the
//! recording is part of it.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends")]

use std::sync::Arc;

use convis::recording::Player;
use divan::counter::ItemsCount;

#[path = "scenes/busy.rs"]
mod busy;
mod scenes;

use busy::{options, replay};

const CONNECTIONS: u64 = 20_000;

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 20)]
fn to_nobody(bencher: divan::Bencher<'_, '_>) {
    let (recording, options) = (busy::busy(CONNECTIONS).into(), options());
    let events = replay(&recording, &options);
    bencher.counter(ItemsCount::new(events)).bench(|| replay(&recording, &options));
}

/// What the recording itself costs: its bytes are checked and read.
#[divan::bench(sample_count = 20)]
fn reading_only(bencher: divan::Bencher<'_, '_>) {
    let (recording, options): (Arc<[u8]>, _) = (busy::busy(CONNECTIONS).into(), options());
    let events = replay(&recording, &options);
    bencher.counter(ItemsCount::new(events)).bench(|| {
        let mut player = Player::of_bytes(Arc::clone(&recording)).unwrap();
        while let Some(step) = player.next_step().unwrap() {
            divan::black_box(step);
        }
    });
}
