//! Any text as the reference of an image: what is taken apart is what was there.
//! From `receiver/`: `cargo +nightly fuzz run image`.
#![no_main]

use convis::container::Reference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _beside = Reference::parse_beside(text, Some(text));
    let Some(Reference { name, tag, digest }) = Reference::parse(text) else { return };
    let last = name.rsplit('/').next().unwrap_or_default();
    assert!(!last.is_empty() && !last.contains(':') && !name.contains('@'), "{name}");
    let written = |mark: &str, part: &Option<String>| {
        part.as_ref().map(|part| format!("{mark}{part}")).unwrap_or_default()
    };
    let again = name + &written(":", &tag) + &written("@", &digest);
    // But for marks with nothing behind them.
    if !text.contains(":@") && !text.trim().ends_with([':', '@']) {
        assert_eq!(again, text.trim());
    }
});
