//! Refuses to build when the committed eBPF object was made from other sources.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io, process};

use sha2::{Digest as _, Sha256};

/// What the object is made of; the same list as in `kernel/build.sh`, which records their hashes.
const SOURCES: [&str; 6] = [
    "kernel/Cargo.lock",
    "kernel/Cargo.toml",
    "kernel/build.sh",
    "kernel/src",
    "src/layout.rs",
    "src/wire.rs",
];
/// In the format of `sha256sum`.
const RECORDED: &str = "prebuilt/SOURCES.sha256";

fn main() {
    for path in SOURCES.iter().chain([&RECORDED]) {
        println!("cargo::rerun-if-changed={path}");
    }
    let mut found = BTreeMap::new();
    for source in SOURCES {
        if let Err(error) = collect(Path::new(source), &mut found) {
            fail(&format!("cannot read ebpf/{source}: {error}"));
        }
    }
    let recorded = fs::read_to_string(RECORDED).unwrap_or_default();
    let recorded: BTreeMap<_, _> = recorded
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(hash, name)| (name.to_owned(), hash.to_owned()))
        .collect();
    let names = found.keys().chain(recorded.keys());
    if let Some(name) = names.into_iter().find(|name| found.get(*name) != recorded.get(*name)) {
        fail(&format!("ebpf/{name} changed after ebpf/prebuilt/convis.bpf.o was built; run `just ebpf`"));
    }
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    process::exit(1);
}

fn collect(path: &Path, found: &mut BTreeMap<String, String>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), found)?;
        }
        return Ok(());
    }
    let mut hash = String::new();
    for byte in Sha256::digest(fs::read(path)?) {
        let _infallible = write!(hash, "{byte:02x}");
    }
    found.insert(path.to_string_lossy().into_owned(), hash);
    Ok(())
}
