//! Loads programs side by side, before they are attached one after the other: the verifier takes most of the time of a
//! start.

use std::sync::{Mutex, PoisonError};
use std::thread;

use aya::programs::Program;
use aya::{Btf, Ebpf};

use super::hooks::{self, Hook, Probe, Probes};
use super::iterate::{FILES, LEDGER, Walk};

/// Programs at a time: each takes some megabytes of kernel memory while it is verified.
const MOST_AT_ONCE: usize = 4;

/// How a program is to be loaded.
#[derive(Clone, Copy)]
enum Wanted {
    Probe(&'static Probe),
    Walk(Walk),
}

impl Wanted {
    const fn program(self) -> &'static str {
        match self {
            Self::Probe(probe) => probe.program,
            Self::Walk(walk) => walk.program,
        }
    }

    /// A refusal comes again where the program is to be attached, and is told there.
    fn load(self, program: &mut Program, types: &Btf) {
        let _refused = match self {
            Self::Probe(probe) => hooks::load(program, probe.attach, types),
            Self::Walk(walk) => walk.load(program, types),
        };
    }
}

/// Loads what is tried first of each of `hooks`, which take the longest in front, and the walks.
pub(super) fn load(ebpf: &mut Ebpf, types: &Btf, hooks: &[&'static Hook], probes: Probes) {
    let first = hooks.iter().filter_map(|hook| hook.ways.iter().find(|way| way.is_of(probes)));
    let wanted: Vec<_> = first
        .flat_map(|way| way.probes)
        .map(Wanted::Probe)
        .chain([FILES, LEDGER].map(Wanted::Walk))
        .collect();
    let mut found: Vec<_> = ebpf
        .programs_mut()
        .filter_map(|(name, program)| {
            let place = wanted.iter().position(|wanted| wanted.program() == name)?;
            Some((place, program))
        })
        .collect();
    found.sort_by_key(|(place, _)| *place);
    let queue = Mutex::new(found.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((place, program)) = next() {
            if let Some(wanted) = wanted.get(place) {
                wanted.load(program, types);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_AT_ONCE);
    thread::scope(|scope| {
        for _ in 1..threads {
            // Without it, this one does more.
            let _refused = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
}
