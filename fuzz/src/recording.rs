//! Recordings, which may come from anybody.

use std::sync::{Arc, LazyLock};

use convis::cli::{self, Asked, Run};
use convis::recording::{self, Header, HostFacts, Instant, Item, Player, Step};
use convis::run::Rehearsal;

const AT: Instant = Instant { ahead_ns: 1_795_000_000_000_000_000, boot_ns: 1 };

static OPTIONS: LazyLock<Run> = LazyLock::new(|| match cli::parse(["convis".into()]) {
    Ok(Asked::Run(run)) => *run,
    other => panic!("{other:?}"),
});

/// A whole file, and the items of a frame, which then go through the whole capture task: every step that the check of a
/// file counts is taken.
pub fn recording(bytes: &[u8]) {
    if recording::verify(bytes).is_ok() {
        let player = Player::of_bytes(Arc::from(bytes)).expect("checked");
        let mut rehearsal = Rehearsal::new(player, &OPTIONS).expect("checked");
        while rehearsal.step().expect("checked").is_some() {}
        rehearsal.rest();
    }
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
    let player = Player::of_bytes(Arc::from(file)).expect("checked");
    let mut rehearsal = Rehearsal::new(player, &OPTIONS).expect("checked");
    // The first step is there from the beginning.
    let mut steps = 1;
    while rehearsal.step().expect("checked").is_some() {
        steps += 1;
    }
    assert_eq!(steps, contents.steps);
    rehearsal.rest();
}
