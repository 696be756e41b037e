//! Any bytes as a configuration file: no panic, and every error is one line.
#![no_main]

use std::{io, path::Path};

use convis_otel_config::{ConfigFile, Sources, yaml::Errors};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let env = |name: &str| name.starts_with('A').then(|| format!("{name}: [\n${{env:A}}"));
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
    let errors = Errors::new("f");
    let _file = ConfigFile::read(content, &sources, &errors);
    for line in errors.into_lines() {
        assert_eq!(line.lines().count(), 1, "{line}");
    }
});
