//! Any bytes as a recording: as a whole file, and as the items of a frame, which then goes through the whole capture task.
//! From `receiver/`: `cargo +nightly fuzz run recording`.
#![no_main]

use std::sync::{Arc, LazyLock};

use convis::cli::{self, Asked, Run};
use convis::recording::{self, Header, HostFacts, Instant, Item, Player, Step};
use convis::run::Rehearsal;
use libfuzzer_sys::fuzz_target;

const AT: Instant = Instant { ahead_ns: 1_795_000_000_000_000_000, boot_ns: 1 };

static OPTIONS: LazyLock<Run> = LazyLock::new(|| match cli::parse(["convis".into()]) {
    Ok(Asked::Run(run)) => *run,
    other => panic!("{other:?}"),
});

fuzz_target!(|bytes: &[u8]| {
    let _ = recording::verify(bytes);
    let start = Item::End.append_to(Item::Step(Step::Start, AT).append_to(Vec::new()));
    let header = Header {
        version: String::new(),
        host: HostFacts::default(),
        attached: AT,
        seed: 1,
        own_listener: None,
    };
    let file = recording::file(&header, [&start[..], bytes]);
    let Ok(contents) = recording::verify(&file[..]) else {
        return;
    };
    let player = Player::of_bytes(Arc::from(file)).unwrap();
    let mut rehearsal = Rehearsal::new(player, &OPTIONS).unwrap();
    // The first step is there from the beginning.
    let mut steps = 1;
    while rehearsal.step().unwrap().is_some() {
        steps += 1;
    }
    assert_eq!(steps, contents.steps);
    rehearsal.rest();
});
