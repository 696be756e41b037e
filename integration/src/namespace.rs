//! Network namespaces of a test's own. Nothing of them is in the machine's: they end with the process that holds them.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::clock::wait_for;

const PATIENCE: Duration = Duration::from_secs(10);

/// A network namespace, held by a process that ends with this one's, however that ends: its stdin is closed then.
pub struct Namespace {
    holder: Child,
}

impl Namespace {
    /// A new namespace with its loopback interface up; what is lacking, where there can be none.
    pub fn new() -> Result<Self, String> {
        let mut command = Command::new("unshare");
        let command = command.args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let holder = command.spawn().map_err(|error| format!("unshare does not start: {error}"))?;
        let mut namespace = Self { holder };
        let own = std::fs::read_link("/proc/self/ns/net").expect("this process has a network namespace");
        wait_for("a network namespace", PATIENCE, || {
            let ended = namespace.holder.try_wait().expect("the child can be waited for");
            (ended.is_some() || std::fs::read_link(namespace.path()).is_ok_and(|its| its != own))
                .then_some(())
        });
        if namespace.holder.try_wait().expect("the child can be waited for").is_some() {
            return Err("network namespaces cannot be made".to_owned());
        }
        namespace.run("ip link set lo up");
        Ok(namespace)
    }

    /// The process that holds it.
    pub fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Where it can be entered.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.pid()).into()
    }

    /// Its number, as convis shows it.
    pub fn inode(&self) -> u64 {
        std::fs::metadata(self.path()).expect("it is there").ino()
    }

    /// Runs a command in it, of words without blanks.
    pub fn run(&self, command: &str) {
        self.try_run(command).expect("the command succeeds");
    }

    /// Runs a command in it; what it complains about if it fails.
    pub fn try_run(&self, command: &str) -> Result<(), String> {
        let output = Command::new("nsenter")
            .arg(format!("--net={}", self.path().display()))
            .args(command.split_whitespace())
            .output()
            .map_err(|error| format!("nsenter does not start: {error}"))?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("{command}: {}", complaint.trim())) }
    }

    /// Does `work` on a thread that is in it. Sockets made there stay in it.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(self.path()).expect("the namespace can be opened");
        let visit = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("the namespace can be entered");
            work()
        };
        thread::scope(|scope| scope.spawn(visit).join()).expect("the work goes as planned")
    }

    /// Sets `/proc/sys/net/<name>` of it.
    pub fn set(&self, name: &str, value: &str) {
        self.within(|| {
            let mut file = File::create(format!("/proc/sys/net/{name}")).expect("the setting exists");
            file.write_all(value.as_bytes()).expect("the setting can be changed");
        });
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}
