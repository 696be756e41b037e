//! Any bytes as the messages of a CRI runtime, one after another with their lengths before them.
//! From `receiver/`: `cargo +nightly fuzz run cri`.
#![no_main]

use convis::container::doors;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let messages = [(); 4].map(|()| {
        let (length, after) =
            rest.split_first().map_or((0, rest), |(length, after)| (usize::from(*length), after));
        let (message, after) = after.split_at(length.min(after.len()));
        rest = after;
        message
    });
    // One message for all as well: the lists have much in common.
    for messages in [messages, [bytes; 4]] {
        for (id, details) in doors::cri(messages, &["a".to_owned()]) {
            assert!(id.is_full());
            let names = [&details.name, &details.image_name, &details.image_id];
            assert!(names.into_iter().flatten().all(|name| (1..=1024).contains(&name.len())));
            assert!(details.image_name.is_some() || details.image_tags.is_empty());
        }
    }
});
