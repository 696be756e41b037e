//! Any text as `OTEL_EXPORTER_OTLP_HEADERS`: no panic, and what passes is fit to send.
#![no_main]

use convis_otel_config::parse_headers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|list: &str| {
    for header in parse_headers(list).unwrap_or_default() {
        assert!(!header.name.is_empty() && header.name.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(
            header
                .value
                .expose()
                .bytes()
                .all(|byte| (b' '..=b'~').contains(&byte))
        );
    }
});
