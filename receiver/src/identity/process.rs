//! A process and the image it runs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use convis_ebpf::wire::Owner;
use convis_exporters::model::{Peer, Resource, ResourceBuilder};

use serde::{Deserialize, Serialize};

use super::users::Users;
use super::{Host, Workload, instance_id};
use crate::clock::{Clock, iso_millis};
use crate::metrics::{GroupHandle, PeerService};

/// `/proc` tells a process's start in ticks of this many nanoseconds, so starts are compared and shown no finer.
pub const TICK_NS: u64 = 10_000_000;

/// What a process executes; forked children share their parent's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// Base name of the executable; for a kernel thread its own name.
    pub name: String,
    /// Absolute path of the executable.
    pub path: Option<String>,
    /// `argv[0]`.
    pub command: Option<String>,
}

/// A process while it runs one image.
#[derive(Debug)]
pub struct Process {
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// Process id in its own pid namespace, where it differs.
    pub vpid: Option<u32>,
    /// Its parent's.
    pub parent_pid: u32,
    /// Start, in ticks of [`TICK_NS`] since boot.
    pub start_ticks: u64,
    /// Changes with every exec; `None` until the kernel has told it of a process found in `/proc`.
    pub exec_seq: Cell<Option<u32>>,
    /// The image.
    pub image: Rc<Image>,
    /// Where its metrics go, once it has any, and the workload that is for.
    pub group: RefCell<Option<(Rc<str>, GroupHandle)>>,
    /// The cgroup that it was in last, by id, and what that belongs to.
    pub workload: RefCell<Option<(u64, Rc<Workload>)>>,
    /// What it was last described as.
    described: RefCell<Option<Described>>,
}

/// A process as `/proc` shows it, without what convis makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// See [`Process::pid`].
    pub pid: u32,
    /// See [`Process::vpid`].
    pub vpid: Option<u32>,
    /// See [`Process::parent_pid`].
    pub parent_pid: u32,
    /// See [`Process::start_ticks`].
    pub start_ticks: u64,
    /// See [`Image::name`].
    pub name: String,
    /// See [`Image::path`].
    pub path: Option<String>,
    /// See [`Image::command`].
    pub command: Option<String>,
}

impl From<&Process> for Seen {
    fn from(process: &Process) -> Self {
        let Image { name, path, command } = Image::clone(&process.image);
        let Process { pid, vpid, parent_pid, start_ticks, .. } = *process;
        Self { pid, vpid, parent_pid, start_ticks, name, path, command }
    }
}

impl From<Seen> for Process {
    fn from(seen: Seen) -> Self {
        let Seen { pid, vpid, parent_pid, start_ticks, name, path, command } = seen;
        Self::new(pid, parent_pid, start_ticks, None, Rc::new(Image { name, path, command })).with_vpid(vpid)
    }
}

/// A description, and what it was made from.
#[derive(Debug)]
struct Described {
    uid: u32,
    workload: Rc<Workload>,
    version: u32,
    identity: Identity,
}

impl Described {
    #[inline]
    fn is_of(&self, uid: u32, workload: &Rc<Workload>) -> bool {
        self.uid == uid && Rc::ptr_eq(&self.workload, workload) && self.version == workload.version()
    }
}

/// How events name a process: its own, and those of the other ends of its connections.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Resource of its events.
    pub resource: Arc<Resource>,
    /// What its peers' events say of it.
    pub peer: Arc<Peer>,
    /// What its peers' metrics say of it.
    pub service: Option<Rc<PeerService>>,
}

impl Identity {
    /// Both, from the Resource.
    pub fn of(resource: Resource) -> Self {
        let service = resource
            .text("service.name")
            .map(|name| Rc::new(PeerService::new(name, resource.text("service.namespace"))));
        Self { peer: Arc::new(Peer::of(&resource)), resource: Arc::new(resource), service }
    }
}

/// What Resources are made with.
#[derive(Debug)]
pub struct Describer {
    /// The host.
    pub host: Host,
    /// Names of users.
    pub users: Users,
    /// Whether the labels that Kubernetes recommends name services.
    pub k8s_labels: bool,
    /// For `process.creation.time`: fixed at start, so that a process always shows the same.
    pub clock: Clock,
}

impl Process {
    /// A process that nobody has described yet.
    pub fn new(pid: u32, parent_pid: u32, start_ticks: u64, exec_seq: Option<u32>, image: Rc<Image>) -> Self {
        Self {
            pid,
            vpid: None,
            parent_pid,
            start_ticks,
            exec_seq: Cell::new(exec_seq),
            image,
            group: RefCell::default(),
            workload: RefCell::default(),
            described: RefCell::default(),
        }
    }

    /// With the process id of its own pid namespace, if that is known.
    #[must_use]
    pub fn with_vpid(mut self, vpid: Option<u32>) -> Self {
        self.vpid = vpid.filter(|vpid| *vpid != self.pid);
        self
    }

    /// Whether `owner` is this process, running this image.
    pub fn is(&self, owner: &Owner) -> bool {
        self.started_as(owner) && self.exec_seq.get() == Some(owner.exec_seq)
    }

    /// Whether `owner` is this process, whatever it runs.
    pub fn started_as(&self, owner: &Owner) -> bool {
        self.pid == owner.tgid && self.start_ticks == owner.start_ns / TICK_NS
    }

    /// How events name it, as a process of this user in this workload: what `of` takes of that.
    #[inline]
    pub fn identity<T>(
        &self,
        uid: u32,
        workload: &Rc<Workload>,
        describer: &Describer,
        of: impl FnOnce(&Identity) -> T,
    ) -> T {
        let last = self.described.borrow();
        if let Some(known) = &*last
            && known.is_of(uid, workload)
        {
            return of(&known.identity);
        }
        drop(last);
        let identity = Identity::of(self.describe(uid, workload, describer));
        let workload = Rc::clone(workload);
        let known = Described { uid, version: workload.version(), workload, identity };
        of(&self.described.borrow_mut().insert(known).identity)
    }

    fn describe(&self, uid: u32, workload: &Workload, describer: &Describer) -> Resource {
        let created = iso_millis(describer.clock.unix_nanos(self.start_ticks * TICK_NS));
        let pid = self.pid.to_string();
        let parts = [workload.instance_part(), self.image.identity(), &pid, &created];
        let instance = describer.instance_id(&parts);
        let builder = Resource::builder()
            .with("process.pid", self.pid)
            .with_opt("process.vpid", self.vpid)
            .with("process.parent_pid", self.parent_pid)
            .with("process.creation.time", created)
            .with("process.owner", &*describer.users.name(uid))
            .with_opt("process.command", self.image.command.as_deref())
            .with("service.instance.id", instance);
        self.image.describe(builder, workload, describer).build()
    }
}

impl Describer {
    /// `service.instance.id` of what has these parts on this host.
    pub fn instance_id(&self, parts: &[&str]) -> String {
        let host = [self.host.id.as_deref().unwrap_or_default()];
        instance_id(&[&host, parts].concat())
    }
}

impl Image {
    /// The text that tells executables apart: the path, else the name.
    pub fn identity(&self) -> &str {
        self.path.as_deref().unwrap_or(&self.name)
    }

    /// Adds what all processes of this executable in a workload share.
    pub fn describe(
        &self,
        builder: ResourceBuilder,
        workload: &Workload,
        describer: &Describer,
    ) -> ResourceBuilder {
        let builder = builder
            .with("process.executable.name", self.name.as_str())
            .with_opt("process.executable.path", self.path.as_deref());
        describer.host.describe(workload.describe(builder, &self.name, describer.k8s_labels))
    }
}
