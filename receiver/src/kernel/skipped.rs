//! How often the kernel skipped a program because it was already running on that CPU: what no other counter can see.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};

use aya::Ebpf;

/// The attached programs' descriptors; the programs own them.
#[derive(Debug, Default)]
pub(super) struct Programs(Vec<RawFd>);

impl Programs {
    /// Every loaded program.
    pub(super) fn of(ebpf: &Ebpf) -> Self {
        Self(
            ebpf.programs().filter_map(|(_, program)| Some(program.fd().ok()?.as_fd().as_raw_fd())).collect(),
        )
    }

    /// Runs skipped since load; 0 on kernels before 5.12, which do not count them.
    pub(super) fn skipped(&self) -> u64 {
        self.0
            .iter()
            .filter_map(|fd| parse(&fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?))
            .sum()
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
