//! Docker, or Podman behind the same interface, with the `docker` command as witness.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::rootfs;
use super::scratch::{Scratch, enter, remove_cgroup};
use crate::clock::{poll, wait_for};
use crate::namespace::Namespace;
use crate::process::{Ask, Process, exists};

const START: Duration = Duration::from_mins(1);
const STOP: Duration = Duration::from_secs(30);

/// Which daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// dockerd, with a containerd of its own
    Docker,
    /// Podman's service
    Podman,
}

impl Kind {
    /// What convis calls it.
    pub const fn runtime(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Docker => "dockerd",
            Self::Podman => "podman",
        }
    }
}

/// A daemon, by default one that gives containers no network.
pub struct Docker {
    kind: Kind,
    /// The network namespace that is the host's to it; there it has a bridge and filters of its own.
    network: Option<PathBuf>,
    daemon: Option<Process>,
    was_killed: bool,
    scratch: Scratch,
}

impl Docker {
    /// What the machine lacks for it, if anything.
    pub fn available(kind: Kind) -> Result<(), String> {
        crate::need::root()?;
        for needed in [kind.program(), "docker", "tar", "umount"] {
            if !exists(OsStr::new(needed)) {
                return Err(format!("needs {needed}: scripts/install containers"));
            }
        }
        rootfs::available()
    }

    /// Starts one and gives it the image `localhost:5000/box:v1`.
    pub fn start(kind: Kind) -> Self {
        Self::begin(kind, None)
    }

    /// As [`Docker::start`], in a network namespace, where containers get a network.
    pub fn start_in(kind: Kind, network: &Namespace) -> Self {
        Self::begin(kind, Some(network.path()))
    }

    fn begin(kind: Kind, network: Option<PathBuf>) -> Self {
        let mut docker = Self { kind, network, daemon: None, was_killed: false, scratch: Scratch::new() };
        docker.resume();
        let layer = rootfs::archive(docker.scratch.path());
        docker.docker(&["import", layer.to_str().expect("a plain path"), "localhost:5000/box:v1"]);
        docker
    }

    /// Starts the daemon, again if it was stopped.
    pub fn resume(&mut self) {
        let folder = self.scratch.path().to_str().expect("a plain path").to_owned();
        let command = enter(self.network.as_deref(), self.kind.program());
        let command = match self.kind {
            Kind::Docker => dockerd(command, &folder, self.network.is_some()),
            Kind::Podman => podman(command, &folder),
        };
        self.daemon = Some(Process::start("container daemon", command));
        let up = poll(START, || self.try_docker(&["version"]).ok());
        let complaint = self.daemon.as_ref().map(Process::stderr).unwrap_or_default();
        assert!(up.is_some() || std::thread::panicking(), "no daemon: {complaint}");
    }

    /// Stops the daemon.
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.ask(Ask::Stop);
            let ended = poll(STOP, || daemon.ended());
            assert!(
                ended.is_some() || std::thread::panicking(),
                "the daemon does not stop: {}",
                daemon.stderr()
            );
        }
    }

    /// Kills the daemon; containers go on.
    pub fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("it runs");
        daemon.ask(Ask::Kill);
        daemon.wait(STOP);
        self.was_killed = true;
    }

    /// Which it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The process of the daemon.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("it runs").pid()
    }

    /// A folder that is gone with it.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("d.sock")
    }

    /// Runs a container that sleeps; its id.
    pub fn run(&self, name: &str, options: &[&str]) -> String {
        let mut arguments = vec!["run", "-d", "--network", "none", "--name", name];
        arguments.extend(options);
        arguments.extend(["localhost:5000/box:v1", "/bin/sleep", "1000"]);
        self.docker(&arguments)
    }

    /// What the `docker` command says.
    pub fn docker(&self, arguments: &[&str]) -> String {
        self.try_docker(arguments).unwrap_or_else(|error| panic!("docker {arguments:?}: {error}"))
    }

    /// The `docker` command, still without its arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.arg("-H").arg(format!("unix://{}", self.socket().display()));
        command.env("DOCKER_CONFIG", self.scratch.path());
        command
    }

    fn try_docker(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.command().args(arguments).output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if self.was_killed && self.daemon.is_none() {
            // Only the daemon can remove what it has started.
            self.resume();
        }
        if self.daemon.is_some() {
            let left = self.try_docker(&["ps", "-aq"]).unwrap_or_default();
            for id in left.split_whitespace() {
                drop(self.try_docker(&["rm", "-f", id]));
            }
        }
        self.stop();
        if self.kind == Kind::Podman {
            // Unless another Podman has containers.
            for cgroup in ["libpod_parent/conmon", "libpod_parent"] {
                remove_cgroup(cgroup);
            }
        } else {
            // Its containerd ends after it.
            let own = self.scratch.path().join("exec/containerd/containerd.pid");
            let gone = || (!own.exists()).then_some(());
            if std::thread::panicking() {
                poll(STOP, gone);
            } else {
                wait_for("the end of dockerd's containerd", STOP, gone);
            }
        }
    }
}

fn dockerd(mut command: Command, folder: &str, has_network: bool) -> Command {
    command.args(["-H", &format!("unix://{folder}/d.sock"), "-p", &format!("{folder}/pid")]);
    command.args(["--data-root", &format!("{folder}/root"), "--exec-root", &format!("{folder}/exec")]);
    // Containers go on without it.
    command.args(["--live-restore", "--config-file", &format!("{folder}/daemon.json")]);
    fs::write(format!("{folder}/daemon.json"), "{}").expect("a file");
    if !has_network {
        // Nothing outside of the folder is touched.
        command.args(["--bridge", "none", "--iptables=false", "--ip6tables=false"]);
    }
    command
}

fn podman(mut command: Command, folder: &str) -> Command {
    // Containers get no more than this test has.
    let containers = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
    fs::write(format!("{folder}/containers.conf"), containers).expect("a file");
    command.env("CONTAINERS_CONF", format!("{folder}/containers.conf"));
    command.args(["--root", &format!("{folder}/root"), "--runroot", &format!("{folder}/run")]);
    command.args(["--tmpdir", &format!("{folder}/tmp"), "--runtime", "/usr/sbin/runc"]);
    command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
    command.args(["system", "service", "--time=0", &format!("unix://{folder}/d.sock")]);
    command
}
