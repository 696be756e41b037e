//! What the kernel says of a process: memory, time on processors, and the BPF programs and maps it holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

const MIB: f64 = 1024.0 * 1024.0;

/// A process under observation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched(pub(super) u32);

impl Watched {
    fn path(self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.0).into()
    }

    /// Resident memory, MiB.
    pub(super) fn resident(self) -> f64 {
        let status = fs::read_to_string(self.path("status")).expect("the process lives");
        field(&status, "VmRSS:").expect("a process with memory") * 1024.0 / MIB
    }

    /// `memlock` of every map that it holds, MiB. A map with two descriptors counts once.
    pub(super) fn maps(self) -> f64 {
        let mut seen = BTreeSet::new();
        let of_maps = self.descriptors().into_iter().filter(|text| text.contains("map_type:"));
        let once = of_maps.filter(|text| {
            seen.insert(text.lines().find_map(|line| line.strip_prefix("map_id:").map(str::to_owned)))
        });
        once.filter_map(|text| field(&text, "memlock:")).sum::<f64>() / MIB
    }

    /// Ids of the BPF programs that it holds.
    pub(super) fn programs(self) -> BTreeSet<u32> {
        let ids = self.descriptors().into_iter().filter_map(|text| field(&text, "prog_id:"));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an id of 32 bits that went through a float of 64"
        )]
        ids.map(|id| id as u32).collect()
    }

    /// Time that its threads ran for, in user space and in the kernel. Threads that ended are left out.
    pub(super) fn ran(self) -> Duration {
        let tasks = fs::read_dir(self.path("task")).expect("the process lives");
        let times = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
        let nanos = times.filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        Duration::from_nanos(nanos.sum())
    }

    fn descriptors(self) -> Vec<String> {
        let entries = fs::read_dir(self.path("fdinfo")).into_iter().flatten().flatten();
        entries.filter_map(|entry| fs::read_to_string(entry.path()).ok()).collect()
    }
}

fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let text = "map_type:\t1\nmemlock:\t4096\nVmRSS:\t  12 kB\n";
        assert_eq!(
            (field(text, "memlock:"), field(text, "VmRSS:"), field(text, "none:")),
            (Some(4096.0), Some(12.0), None)
        );
    }

    #[test]
    fn this_process_has_memory_and_ran() {
        let own = Watched(std::process::id());
        let began = own.ran();
        let sum: u64 = (0..20_000_000_u64).map(std::hint::black_box).sum();
        assert!(sum > 0 && own.resident() > 0.5 && own.ran() > began);
    }
}
