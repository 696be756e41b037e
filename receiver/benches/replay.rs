//! What an event costs user space: a recording of a busy host goes through the whole capture task to nobody. Reading the
//! recording is part of it.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends")]

use std::sync::Arc;

use convis::cli::{self, Asked, Run};
use convis::recording::Player;
use convis::run::Rehearsal;
use divan::counter::ItemsCount;

#[path = "scenes/busy.rs"]
mod busy;
mod scenes;

const CONNECTIONS: u64 = 20_000;

fn main() {
    divan::main();
}

fn options() -> Run {
    let Ok(Asked::Run(options)) = cli::parse(["convis".into()]) else { panic!("no options") };
    *options
}

/// Goes through the recording; how many events there were.
fn replay(recording: &Arc<[u8]>, options: &Run) -> usize {
    let mut rehearsal = Rehearsal::new(Player::of_bytes(Arc::clone(recording)).unwrap(), options).unwrap();
    let mut events = 0;
    while let Some(outcome) = rehearsal.step().unwrap() {
        events += divan::black_box(outcome).events.len();
    }
    events
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
