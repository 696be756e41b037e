//! Any text as `/proc/<pid>/mountinfo`; and a hierarchy mounted anywhere, written as the kernel does, is found there.
//! From `receiver/`: `cargo +nightly fuzz run mountinfo`.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use convis::identity::cgroup::Mount;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some((_, prefix)) = Mount::widest(text) {
        assert!(prefix.is_empty() || (prefix.starts_with('/') && !prefix.starts_with("/../")), "{prefix}");
    }
    let escaped: String = text.bytes().map(escape).collect();
    let (point, prefix) =
        Mount::widest(&format!("29 23 0:26 / /{escaped} rw - cgroup2 c rw\n")).expect("a mount");
    assert_eq!(point.as_os_str(), OsStr::from_bytes(&[b"/", text.as_bytes()].concat()));
    assert_eq!(prefix, "");
});

fn escape(byte: u8) -> String {
    match byte {
        b' ' | b'\t' | b'\n' | b'\\' | b'\r' | 128.. => format!("\\{byte:03o}"),
        _ => char::from(byte).to_string(),
    }
}
