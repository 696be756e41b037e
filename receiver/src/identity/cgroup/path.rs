//! The path of a cgroup, read from its last segment to its first: what is nested deepest counts.

use serde::{Deserialize, Serialize};

use super::id::{self, Container};
use super::unit;

/// What the kernel appends to the path of a cgroup that was removed under a process.
const DELETED: &str = " (deleted)";

/// Where a process runs, as far as the path of its cgroup tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// `container.id` as the runtime knows it: mostly 64 hexadecimal digits; shorter or freely chosen with few runtimes.
    pub container_id: Option<String>,
    /// What runs the container, else the machine. The path often does not say, so this is a hint of whom to ask first.
    pub runtime: Option<Runtime>,
    /// `k8s.pod.uid`, with dashes; of a static pod the 32 digits of its hash. Also known of helpers beside the containers.
    pub pod_uid: Option<String>,
    /// Name of the system container (LXC, nspawn) around it all.
    pub machine: Option<String>,
    /// Name of the systemd service, `name@instance.service` from a template, escapes undone: of what runs on the host
    /// itself, and of a container that is a service's payload. On Talos the name of the host's service.
    pub unit: Option<String>,
}

/// What runs a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// containerd, by CRI or `ctr`.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
    /// nerdctl, which is containerd with another door.
    Nerdctl,
    /// LXC, Incus, Proxmox or libvirt's LXC driver.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
    /// ECS on Fargate.
    Ecs,
    /// Garden, of Cloud Foundry.
    Garden,
    /// Mesos.
    Mesos,
    /// rkt.
    Rkt,
    /// BOSH process manager.
    Bpm,
}

impl Runtime {
    /// For `container.runtime.name`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd | Self::Nerdctl => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Lxc => "lxc",
            Self::Nspawn => "systemd-nspawn",
            Self::Ecs => "ecs",
            Self::Garden => "garden",
            Self::Mesos => "mesos",
            Self::Rkt => "rkt",
            Self::Bpm => "bpm",
        }
    }
}

impl Place {
    /// Reads `path`, as `/proc/<pid>/cgroup`, the `cgroup_mkdir` tracepoint or a walk of the hierarchy gives it. Takes time
    /// linear in its length.
    pub fn of(path: &str) -> Self {
        let path = path.strip_suffix(DELETED).unwrap_or(path);
        // `..` comes first in what a process in a cgroup namespace of its own reads.
        let segments: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
        let container = id::container(&segments);
        let machine = unit::machine(&segments);
        let unit = match &container {
            None if machine.is_none() => unit::unit(&segments),
            Some(Container { payload_of: Some(depth), .. }) => unit::unit(&segments[..*depth]),
            _ => None,
        };
        let runtime = match &container {
            Some(container) => container.runtime,
            None => machine.as_ref().map(|(runtime, _)| *runtime),
        };
        Self {
            container_id: container.map(|container| container.id),
            runtime,
            pod_uid: id::pod_uid(&segments),
            machine: machine.map(|(_, name)| name),
            unit,
        }
    }

    /// Whether the path shows neither a container nor a machine: what runs there runs on the host itself.
    pub const fn is_host(&self) -> bool {
        self.container_id.is_none() && self.machine.is_none() && self.pod_uid.is_none()
    }
}

#[cfg(test)]
mod tests;
