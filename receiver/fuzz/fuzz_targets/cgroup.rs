//! Any text as `/proc/<pid>/cgroup` and as the path of a cgroup: what is told stands there.
//! From `receiver/`: `cargo +nightly fuzz run cgroup`.
#![no_main]

use convis::identity::cgroup::{Place, procfs};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some((path, place)) = procfs::chosen(text) {
        assert!(path.starts_with('/') && text.contains(path));
        assert_eq!(place, Place::of(path));
    }
    let place = Place::of(text);
    // Escapes and other dashes are undone, which makes nothing longer.
    for told in [&place.container_id, &place.pod_uid, &place.machine].into_iter().flatten() {
        assert!(!told.is_empty() && told.len() <= text.len(), "{told}");
    }
    if let Some(id) = place.container_id.as_ref().filter(|_| !text.contains('\\')) {
        assert!(text.contains(id.as_str()), "{id}");
    }
    assert!(place.runtime.is_none() || !place.is_host());
});
