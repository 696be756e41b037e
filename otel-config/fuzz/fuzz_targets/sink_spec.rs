//! Any text as `--sink`: no panic, and an error is one line.
#![no_main]

use std::{io, path::Path};

use convis_otel_config::{SinkConfig, Sources};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let env = |name: &str| name.starts_with('A').then(|| format!(",{name}=@\\"));
    let read_file = |path: &Path| match path.to_str() {
        Some("/ca") => Ok(b"-----BEGIN CERTIFICATE-----".to_vec()),
        Some("/key") => Ok(b"-----BEGIN PRIVATE KEY-----\n".to_vec()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let sources = Sources {
        env: &env,
        read_file: &read_file,
        warn: &|line| assert_eq!(line.lines().count(), 1),
    };
    if let Err(error) = SinkConfig::from_spec(text, &sources) {
        assert_eq!(error.to_string().lines().count(), 1);
    }
});
