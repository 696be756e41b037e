//! Any text as `OTEL_RESOURCE_ATTRIBUTES`: no panic, no empty and no repeated key.
#![no_main]

use std::{collections::BTreeSet, io};

use convis_otel_config::{ResourceAttributes, Sources};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|list: &str| {
    let sources = Sources {
        env: &|name| (name == "OTEL_RESOURCE_ATTRIBUTES").then(|| list.to_owned()),
        read_file: &|_| Err(io::Error::from(io::ErrorKind::NotFound)),
        warn: &|_| (),
    };
    let attributes = ResourceAttributes::from_env(&sources);
    let mut keys = BTreeSet::new();
    for (key, _) in attributes.everywhere.iter().chain(&attributes.own) {
        assert!(!key.is_empty() && keys.insert(key));
    }
});
