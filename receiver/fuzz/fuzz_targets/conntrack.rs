//! Any bytes as what the kernel answers over netlink when asked for a tracked connection.
//! From `receiver/`: `cargo +nightly fuzz run conntrack`.
#![no_main]

use convis::nat;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|received: &[u8]| {
    // Its own number, so that everything behind the header is read.
    let sequence =
        received.get(8..).and_then(|rest| rest.first_chunk()).map_or(0, |own| u32::from_ne_bytes(*own));
    if let Some((_, Some(directions))) = nat::understood(received, sequence) {
        for (from, to) in directions {
            assert_eq!(from.is_ipv4(), to.is_ipv4());
        }
    }
    assert_eq!(nat::understood(received, sequence.wrapping_add(1)), None);
});
