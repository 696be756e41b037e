//! containerd with its CRI plugin, and a small kubelet: messages of its own, so that it witnesses those of convis.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use prost::Message;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::messages::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, Id, ImageSpec, LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext, Mount, NamespaceOption, Nothing, PodSandboxConfig, PodSandboxMetadata,
    PodSandboxStatusRequest, PodSandboxStatusResponse, RunPodSandboxRequest,
};
use super::rootfs;
use super::scratch::{self, Scratch, enter};
use crate::clock::{poll, wait_for};
use crate::namespace::Namespace;
use crate::process::{Ask, Process, exists};

const START: Duration = Duration::from_mins(1);
const STOP: Duration = Duration::from_secs(30);
const PAUSE_IMAGE: &str = "registry.k8s.io/pause:3.6";
/// A network namespace of the pod's own, and that of the host: no CNI plugin is needed.
const POD_NETWORK: i32 = 0;
const HOST_NETWORK: i32 = 2;
/// The cgroup of all pods, below the root.
const PODS: &str = "kubepods/besteffort";
const PLUGINS: &str = "/usr/lib/cni";

/// A running containerd.
pub struct Containerd {
    runtime: Runtime,
    daemon: Option<Process>,
    /// The network namespace that is the host's to it; there pods have networks of their own.
    network: Option<PathBuf>,
    /// The id of each pod's sandbox, and the pod's uid.
    pods: Vec<(String, String)>,
    image: String,
    scratch: Scratch,
}

/// A pod to run.
#[derive(Debug, Clone, Copy)]
pub struct PodSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// Its own labels.
    pub labels: &'a [(&'a str, &'a str)],
    /// Its own annotations.
    pub annotations: &'a [(&'a str, &'a str)],
}

impl Containerd {
    /// What the machine lacks for it, if anything.
    pub fn available() -> Result<(), String> {
        crate::need::root()?;
        for needed in ["containerd", "ctr", "runc", "tar", "umount"] {
            if !exists(OsStr::new(needed)) {
                return Err(format!("needs {needed}: scripts/install containers"));
            }
        }
        rootfs::available()
    }

    /// What the machine lacks for pods with networks, if anything.
    pub fn network_available() -> Result<(), String> {
        Self::available()?;
        for plugin in ["bridge", "host-local"] {
            if !Path::new(PLUGINS).join(plugin).exists() {
                return Err(format!("needs {PLUGINS}/{plugin}: scripts/install containers"));
            }
        }
        Ok(())
    }

    /// Starts one and gives it the image `localhost:5000/box:v1`. Its pods are in the host's network.
    pub fn start() -> Self {
        Self::begin(None)
    }

    /// As [`Containerd::start`], in a network namespace, whose pods have networks of their own.
    pub fn start_in(network: &Namespace) -> Self {
        Self::begin(Some(network.path()))
    }

    fn begin(network: Option<PathBuf>) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut containerd = Self {
            runtime,
            daemon: None,
            network,
            pods: Vec::new(),
            image: String::new(),
            scratch: Scratch::new(),
        };
        containerd.resume();
        let folder = containerd.scratch.path().to_owned();
        let layer = rootfs::archive(&folder);
        // The last one is what containers are made of.
        for name in [PAUSE_IMAGE, "localhost:5000/box:v1"] {
            let (file, id) = rootfs::image(&folder, &layer, name);
            containerd.ctr(&["images", "import", file.to_str().expect("a plain path")]);
            containerd.image = id;
        }
        containerd
    }

    /// Starts the daemon, again if it was stopped.
    pub fn resume(&mut self) {
        let folder = self.scratch.path().display();
        let config = format!(
            r#"version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
address = "{folder}/c.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = "{folder}/cni"
bin_dir = "{PLUGINS}"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
"#
        );
        let file = self.scratch.path().join("config.toml");
        fs::write(&file, config).expect("a file");
        if self.network.is_some() {
            self.write_network();
        }
        let mut command = enter(self.network.as_deref(), "containerd");
        command.arg("--config").arg(file);
        self.daemon = Some(Process::start("containerd", command));
        let up = poll(START, || self.call::<Nothing, Nothing>("Version", Nothing {}).ok());
        assert!(up.is_some(), "no CRI: {}", self.daemon.as_ref().map(Process::stderr).unwrap_or_default());
    }

    fn write_network(&self) {
        let folder = self.scratch.path().join("cni");
        fs::create_dir_all(&folder).expect("a folder");
        let bridge = json!({
            "type": "bridge", "bridge": "cni0", "isGateway": true,
            "ipam": {
                "type": "host-local", "dataDir": self.scratch.path().join("addresses"),
                "ranges": [[{"subnet": "10.88.77.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}],
            },
        });
        let network = json!({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]});
        fs::write(folder.join("pods.conflist"), network.to_string()).expect("a file");
    }

    /// Stops the daemon; containers go on.
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.ask(Ask::Stop);
            let ended = poll(STOP, || daemon.ended());
            assert!(
                ended.is_some() || std::thread::panicking(),
                "containerd does not stop: {}",
                daemon.stderr()
            );
        }
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("c.sock")
    }

    /// Runs a pod; the id of its sandbox.
    pub fn run_pod(&mut self, spec: PodSpec<'_>) -> String {
        let request = RunPodSandboxRequest { config: Some(self.sandbox(spec)) };
        let answer: Id = self.call("RunPodSandbox", request).expect("a pod");
        self.pods.push((answer.id.clone(), spec.uid.to_owned()));
        answer.id
    }

    /// The address of a pod with a network of its own.
    pub fn address_of(&self, pod: &str) -> IpAddr {
        let request = PodSandboxStatusRequest { pod_sandbox_id: pod.into() };
        let answer: PodSandboxStatusResponse = self.call("PodSandboxStatus", request).expect("a pod");
        let network = answer.status.and_then(|status| status.network).expect("a network");
        network.ip.parse().expect("an address")
    }

    /// Runs a container in a pod, with the labels that a kubelet gives; it sleeps. Its id.
    pub fn run_container(&self, pod: &str, spec: PodSpec<'_>, name: &str, restarts: u32) -> String {
        self.run_command(pod, spec, (name, restarts), &[], &[])
    }

    /// As [`Containerd::run_container`], with a command and files of the machine, each with where they are in the container.
    pub fn run_command(
        &self,
        pod: &str,
        spec: PodSpec<'_>,
        (name, restarts): (&str, u32),
        command: &[&str],
        mounts: &[(&Path, &str)],
    ) -> String {
        let mount = |(from, to): &(&Path, &str)| Mount {
            container_path: (*to).to_owned(),
            host_path: from.to_str().expect("a plain path").to_owned(),
        };
        let labels = [
            ("io.kubernetes.container.name", name),
            ("io.kubernetes.pod.name", spec.name),
            ("io.kubernetes.pod.namespace", spec.namespace),
            ("io.kubernetes.pod.uid", spec.uid),
        ];
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.into(), attempt: restarts }),
            // As a kubelet asks for it: by its id.
            image: Some(ImageSpec { image: self.image.clone() }),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            mounts: mounts.iter().map(mount).collect(),
            labels: map(&labels),
            annotations: map(&[("io.kubernetes.container.restartCount", &restarts.to_string())]),
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.into(),
            config: Some(config),
            sandbox_config: Some(self.sandbox(spec)),
        };
        // The CRI plugin learns of imported images a little later.
        let made = poll(START, || self.call::<_, Id>("CreateContainer", request.clone()).ok());
        let answer = made.unwrap_or_else(|| self.call("CreateContainer", request).expect("a container"));
        self.call::<_, Nothing>("StartContainer", Id { id: answer.id.clone() })
            .expect("a container that runs");
        answer.id
    }

    /// Removes a container.
    pub fn remove_container(&self, id: &str) {
        self.call::<_, Nothing>("RemoveContainer", Id { id: id.into() }).expect("a container to remove");
    }

    fn ctr(&self, arguments: &[&str]) -> String {
        let output = Command::new("ctr")
            .arg("-a")
            .arg(self.socket())
            .args(["-n", "k8s.io"])
            .args(arguments)
            .output()
            .expect("ctr runs");
        assert!(output.status.success(), "ctr {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn call<Q, A>(&self, method: &str, question: Q) -> Result<A, String>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let address = format!("unix://{}", self.socket().display());
        let path = format!("/runtime.v1.RuntimeService/{method}");
        self.runtime.block_on(async {
            let endpoint = Endpoint::from_shared(address).map_err(|error| error.to_string())?;
            let channel: Channel = endpoint.connect().await.map_err(|error| error.to_string())?;
            let mut grpc = tonic::client::Grpc::new(channel);
            grpc.ready().await.map_err(|error| error.to_string())?;
            let path = PathAndQuery::try_from(path).map_err(|error| error.to_string())?;
            let codec = ProstCodec::<Q, A>::default();
            let answer = grpc.unary(tonic::Request::new(question), path, codec).await;
            answer.map(tonic::Response::into_inner).map_err(|status| status.to_string())
        })
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            for (id, uid) in std::mem::take(&mut self.pods) {
                drop(self.call::<_, Nothing>("StopPodSandbox", Id { id: id.clone() }));
                drop(self.call::<_, Nothing>("RemovePodSandbox", Id { id }));
                // A kubelet made it, and would remove it.
                scratch::remove_cgroup(&format!("{PODS}/pod{uid}"));
            }
        }
        self.stop();
        if !std::thread::panicking() {
            wait_for("the end of the shims", STOP, || (!self.shims()).then_some(()));
        }
    }
}

impl Containerd {
    fn shims(&self) -> bool {
        let state = self.scratch.path().join("state/io.containerd.runtime.v2.task/k8s.io");
        fs::read_dir(state).is_ok_and(|mut entries| entries.next().is_some())
    }

    fn sandbox(&self, spec: PodSpec<'_>) -> PodSandboxConfig {
        let mut labels = map(spec.labels);
        labels.extend(map(&[
            ("io.kubernetes.pod.name", spec.name),
            ("io.kubernetes.pod.namespace", spec.namespace),
            ("io.kubernetes.pod.uid", spec.uid),
        ]));
        let network = if self.network.is_some() { POD_NETWORK } else { HOST_NETWORK };
        let namespaces = NamespaceOption { network };
        let security = LinuxSandboxSecurityContext { namespace_options: Some(namespaces) };
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: spec.name.into(),
                uid: spec.uid.into(),
                namespace: spec.namespace.into(),
            }),
            labels,
            annotations: map(spec.annotations),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: format!("/{PODS}/pod{}", spec.uid),
                security_context: Some(security),
            }),
        }
    }

    /// A folder that is gone with it.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }
}

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
