//! A folder that is empty of mounts before it is removed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::clock::poll;

const PATIENCE: Duration = Duration::from_secs(10);

/// A folder for a daemon's data. Dropped after the daemon, it ends what the daemon left behind.
pub(super) struct Scratch(TempDir);

impl Scratch {
    /// A new one, with a short path: sockets have no room for more.
    pub(super) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("cr").tempdir_in("/tmp").expect("a temporary folder"))
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Ends the processes whose command line names this folder: shims and helpers outlive their daemon.
    fn end_processes(&self) {
        let ours = || {
            let folder = self.path().to_str().expect("a plain path");
            processes().into_iter().filter(move |(_, command)| command.contains(folder)).map(|(pid, _)| pid)
        };
        let ended = poll(PATIENCE, || {
            let left: Vec<_> = ours().collect();
            for pid in &left {
                // It may have ended by now.
                let _gone = kill_process(*pid, Signal::KILL);
            }
            left.is_empty().then_some(())
        });
        assert!(
            ended.is_some() || std::thread::panicking(),
            "processes of {} do not end",
            self.path().display()
        );
    }

    fn unmount(&self) {
        let table = fs::read_to_string("/proc/self/mountinfo").expect("a table of mounts");
        let points = table.lines().filter_map(|line| line.split(' ').nth(4));
        let mut ours: Vec<_> = points.filter(|point| Path::new(point).starts_with(self.path())).collect();
        ours.sort_unstable();
        for point in ours.into_iter().rev() {
            let done = Command::new("umount").args(["-l", point]).status();
            assert!(
                done.is_ok_and(|status| status.success()) || std::thread::panicking(),
                "{point} stays mounted"
            );
        }
    }
}

/// Removes an empty cgroup wherever there is one of that path.
pub(super) fn remove_cgroup(path: &str) {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("a table of mounts");
    for mount in mounts.lines() {
        let fields: Vec<_> = mount.split(' ').collect();
        if let [_, point, "cgroup" | "cgroup2", ..] = fields[..] {
            // Not every hierarchy has it.
            drop(fs::remove_dir(Path::new(point).join(path)));
        }
    }
}

/// A command that runs in this network namespace, if in any.
pub(super) fn enter(network: Option<&Path>, program: &str) -> Command {
    let Some(network) = network else {
        return Command::new(program);
    };
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", network.display())).arg(program);
    command
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.end_processes();
        self.unmount();
    }
}

/// Each process with its command line; this one is left out.
fn processes() -> Vec<(Pid, String)> {
    let own = std::process::id().cast_signed();
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own)
        .filter_map(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            Some((Pid::from_raw(pid)?, String::from_utf8_lossy(&command).into_owned()))
        })
        .collect()
}
