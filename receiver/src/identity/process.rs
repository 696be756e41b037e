//! A process and the image it runs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use convis_ebpf::wire::Owner;
use convis_exporters::model::{Resource, ResourceBuilder};

use super::users::Users;
use super::{Host, instance_id};
use crate::clock::{Clock, iso_millis};
use crate::metrics::GroupHandle;

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
    /// Where its metrics go, once it has any.
    pub group: RefCell<Option<GroupHandle>>,
    /// Resource of its events, for the user it had then.
    resource: RefCell<Option<(u32, Arc<Resource>)>>,
}

/// What Resources are made with.
#[derive(Debug)]
pub struct Describer {
    /// The host.
    pub host: Host,
    /// Names of users.
    pub users: Users,
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
            resource: RefCell::default(),
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

    /// Resource of its events.
    pub fn resource(&self, uid: u32, describer: &Describer) -> Arc<Resource> {
        let mut cached = self.resource.borrow_mut();
        match &*cached {
            Some((of, resource)) if *of == uid => Arc::clone(resource),
            _ => {
                let resource = Arc::new(self.describe(uid, describer).build());
                *cached = Some((uid, Arc::clone(&resource)));
                resource
            }
        }
    }

    fn describe(&self, uid: u32, describer: &Describer) -> ResourceBuilder {
        let created = iso_millis(describer.clock.unix_nanos(self.start_ticks * TICK_NS));
        let pid = self.pid.to_string();
        let host_id = describer.host.id.as_deref().unwrap_or_default();
        let instance = instance_id(&[host_id, "", self.image.identity(), &pid, &created]);
        let builder = Resource::builder()
            .with("process.pid", self.pid)
            .with_opt("process.vpid", self.vpid)
            .with("process.parent_pid", self.parent_pid)
            .with("process.creation.time", created)
            .with("process.owner", &*describer.users.name(uid))
            .with_opt("process.command", self.image.command.as_deref())
            .with("service.instance.id", instance);
        describer.host.describe(self.image.describe(builder))
    }
}

impl Image {
    /// The text that tells executables apart: the path, else the name.
    pub fn identity(&self) -> &str {
        self.path.as_deref().unwrap_or(&self.name)
    }

    /// Adds what all processes of this executable share.
    pub fn describe(&self, builder: ResourceBuilder) -> ResourceBuilder {
        builder
            .with("process.executable.name", self.name.as_str())
            .with_opt("process.executable.path", self.path.as_deref())
            .with("service.name", self.name.as_str())
    }
}
