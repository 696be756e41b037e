//! How often the kernel skipped a program because it was already running on that CPU: what no other counter can see.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};

use aya::Ebpf;

/// Programs of which several copies are attached to one hook: a run is lost only if all of them are skipped.
const COPIED: [&str; 6] =
    ["state_change_", "accept_fentry", "accept_return_", "process_fork", "process_exec", "process_exit"];

/// The attached programs' descriptors, in groups of copies; the programs own them.
#[derive(Debug, Default)]
pub(super) struct Programs(Vec<Vec<RawFd>>);

impl Programs {
    /// Every loaded program.
    pub(super) fn of(ebpf: &Ebpf) -> Self {
        let mut copies = [const { Vec::new() }; COPIED.len()];
        let mut groups = Vec::new();
        for (name, program) in ebpf.programs() {
            let Ok(fd) = program.fd() else { continue };
            let fd = fd.as_fd().as_raw_fd();
            match COPIED.iter().zip(&mut copies).find(|(prefix, _)| name.starts_with(*prefix)) {
                Some((_, group)) => group.push(fd),
                None => groups.push(vec![fd]),
            }
        }
        groups.extend(copies);
        Self(groups)
    }

    /// Hits since load that no copy saw, at most; 0 on kernels before 5.12, which do not count skipped runs.
    pub(super) fn skipped(&self) -> u64 {
        let of = |fd: &RawFd| parse(&fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?);
        self.0.iter().filter_map(|copies| copies.iter().map(|fd| of(fd).unwrap_or(0)).min()).sum()
    }
}

fn parse(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: what the kernel shows of a program, with and without the counter.
    /// Guarantees: the number, or none.
    #[test]
    fn reads_the_counter() {
        assert_eq!(parse("pos:\t0\nprog_type:\t17\nrecursion_misses:\t23\nverified_insns:\t9\n"), Some(23));
        assert_eq!(parse("pos:\t0\nprog_type:\t17\n"), None);
    }
}
