//! The fuzz targets' checks, over their seeds and what is near to these: what `cargo fuzz` is for, in small.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests that may fail like them")]
#![expect(clippy::missing_panics_doc, reason = "to panic is how a check says no")]

#[path = "../../fuzz/src/lib.rs"]
pub mod fuzz;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Inputs for each seed.
const NEAR: usize = 40;
/// Inputs of any bytes for each target.
const ANY: usize = 100;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    // The descriptions of real kernels are there already.
    let folder = match target {
        "btf" => folder().join("../ebpf/testdata/btf"),
        _ => folder().join("seeds").join(target),
    };
    names(&folder).iter().map(|name| fs::read(folder.join(name)).unwrap()).collect()
}

/// A seed that was cut, mixed with another, or changed in some places.
fn near(seed: &[u8], other: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    match random.u8(..6) {
        0 => bytes.truncate(random.usize(..=seed.len())),
        1 => {
            bytes.truncate(random.usize(..=seed.len()));
            bytes.extend(&other[random.usize(..=other.len())..]);
        }
        2 => {
            let at = random.usize(..=bytes.len());
            let part = bytes[at..].iter().take(random.usize(..64)).copied().collect::<Vec<_>>();
            bytes.splice(at..at, part);
        }
        _ => {}
    }
    if !bytes.is_empty() {
        for _ in 0..random.usize(..8) {
            let at = random.usize(..bytes.len());
            bytes[at] = if random.bool() {
                random.u8(..)
            } else {
                *random.choice(b"\0\n,=:@\"{}[]/-~9\xff").unwrap()
            };
        }
    }
    bytes
}

/// Scenario: every parser of bytes from outside, with each of its seeds, with seeds that were cut, mixed and changed, and with any
/// bytes.
/// Guarantees: what its check promises; the bytes that break it are shown.
#[test]
fn what_is_near_to_the_seeds_is_safe() {
    for (target, check) in fuzz::TARGETS {
        let mut random = fastrand::Rng::with_seed(7);
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target} has no seed");
        // Each of these takes a good part of a second.
        let (near_each, any) = if *target == "cgroup_long" { (2, 4) } else { (NEAR, ANY) };
        let mut inputs = seeds.clone();
        for seed in &seeds {
            let other = random.choice(&seeds).unwrap();
            inputs.extend((0..near_each).map(|_| near(seed, other, &mut random)));
        }
        inputs.extend((0..any).map(|length| (0..length).map(|_| random.u8(..)).collect()));
        for input in inputs {
            let is_kept = catch_unwind(AssertUnwindSafe(|| check(&input))).is_ok();
            assert!(is_kept, "{target} fails on b\"{}\"", input.escape_ascii());
        }
    }
}

/// Scenario: the checks, the targets of `cargo fuzz` and the folders of seeds.
/// Guarantees: each check has a target and a folder, and nothing else is there.
#[test]
fn every_check_is_a_target() {
    let checks: BTreeSet<_> = fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let targets = names(&folder().join("fuzz_targets"));
    let targets: BTreeSet<_> = targets.iter().map(|name| name.trim_end_matches(".rs").to_owned()).collect();
    assert_eq!(targets, checks);
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for name in &checks {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        let code = fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(code.contains(&format!("convis_fuzz::{name}(bytes)")), "{name}");
    }
    let with_seeds: BTreeSet<_> = checks.into_iter().filter(|name| name != "btf").collect();
    assert_eq!(names(&folder().join("seeds")), with_seeds);
}
