//! What processes run in: a container, a pod, a system container, a service of the host, or the host itself.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use convis_exporters::model::ResourceBuilder;

use super::cgroup::{Place, Runtime};
use crate::container::{ContainerId, Details, Service};

/// Where processes run, and what the container runtime tells of it.
#[derive(Debug)]
pub struct Workload {
    place: Place,
    key: Rc<str>,
    id: Option<ContainerId>,
    details: RefCell<Option<Arc<Details>>>,
    /// Changes with the details.
    version: Cell<u32>,
    /// Whether a runtime has been asked and may still answer.
    asked: Cell<bool>,
    /// Since when an event waits for that answer; 0 for never.
    awaited_since_ns: Cell<u64>,
}

impl Workload {
    /// The workload of a place, without details.
    pub fn new(place: Place) -> Self {
        let id = place.container_id.as_deref().and_then(ContainerId::new);
        let key = key(&place).into();
        Self {
            place,
            key,
            id,
            details: RefCell::default(),
            version: Cell::default(),
            asked: Cell::default(),
            awaited_since_ns: Cell::default(),
        }
    }

    /// Whether it is the host itself or a service of it.
    pub const fn is_host(&self) -> bool {
        self.place.is_host()
    }

    /// Tells workloads apart; empty for what runs on the host outside of any service.
    pub const fn key(&self) -> &Rc<str> {
        &self.key
    }

    /// The id under which a runtime knows it.
    pub const fn id(&self) -> Option<&ContainerId> {
        self.id.as_ref()
    }

    /// Changes whenever something else is known of it.
    pub const fn version(&self) -> u32 {
        self.version.get()
    }

    /// Whether it is in a container of which no runtime has told anything.
    pub fn is_unnamed(&self) -> bool {
        self.id.as_ref().is_some_and(ContainerId::is_full) && self.details.borrow().is_none()
    }

    /// A runtime may still answer.
    pub(super) fn ask(&self) {
        self.asked.set(true);
    }

    /// Whether one may.
    pub(super) const fn is_asked(&self) -> bool {
        self.asked.get()
    }

    /// No answer is to be expected, or it has come. `true` if something else is known now.
    pub(super) fn answered(&self, details: Option<Arc<Details>>) -> bool {
        self.asked.set(false);
        self.awaited_since_ns.set(0);
        let mut known = self.details.borrow_mut();
        let Some(details) = details else {
            return false;
        };
        let is_new = known.as_ref().is_none_or(|known| !known.looks_like(&details));
        *known = Some(details);
        if is_new {
            self.version.set(self.version.get().wrapping_add(1));
        }
        is_new
    }

    /// An event of it begins to wait for an answer.
    pub fn wait(&self, now_ns: u64) {
        if self.asked.get() && self.awaited_since_ns.get() == 0 {
            self.awaited_since_ns.set(now_ns.max(1));
        }
    }

    /// Whether waiting longer would bring nothing: no answer is due, or none came for `patience_ns`.
    pub const fn is_settled(&self, now_ns: u64, patience_ns: u64) -> bool {
        let since = self.awaited_since_ns.get();
        !self.asked.get() || (since != 0 && now_ns.saturating_sub(since) >= patience_ns)
    }

    /// Adds what is known of the container, the pod and the service: it is called as the container says, the machine or the
    /// unit, else `otherwise`. `recommended`: the labels that Kubernetes recommends count.
    pub fn describe(&self, builder: ResourceBuilder, otherwise: &str, recommended: bool) -> ResourceBuilder {
        let place = &self.place;
        let details = self.details.borrow();
        let mut builder = builder.with_opt("container.id", place.container_id.as_deref());
        if let Some(details) = &*details {
            builder = details.describe(builder);
        }
        let service = details.as_ref().and_then(|details| details.service(recommended));
        let service = service.unwrap_or_else(|| {
            let unit = place.unit.as_deref().map(|unit| unit.strip_suffix(".service").unwrap_or(unit));
            Service { name: place.machine.as_deref().or(unit).unwrap_or(otherwise), namespace: None }
        });
        builder
            .with_opt("container.name", place.machine.as_deref().filter(|_| self.id.is_none()))
            .with_opt("container.runtime.name", place.runtime.map(Runtime::name))
            .with_opt("k8s.pod.uid", place.pod_uid.as_deref())
            .with("service.name", service.name)
            .with_opt("service.namespace", service.namespace)
    }

    /// What of it goes into `service.instance.id`: the container's id, or what stands for it.
    pub fn instance_part(&self) -> &str {
        let place = &self.place;
        let other = || if place.is_host() { "" } else { &*self.key };
        place.container_id.as_deref().unwrap_or_else(other)
    }
}

/// The innermost thing that the path shows, with a letter for its kind.
fn key(place: &Place) -> String {
    let parts =
        [('c', &place.container_id), ('m', &place.machine), ('p', &place.pod_uid), ('u', &place.unit)];
    let first = parts.into_iter().find_map(|(kind, name)| Some(format!("{kind}:{}", name.as_deref()?)));
    first.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use convis_exporters::model::Resource;

    use super::*;

    const ID: &str = "6f0d2f4a1c3b5e7d9f8a0b2c4d6e8f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d2e";

    fn workload(path: &str) -> Workload {
        Workload::new(Place::of(path))
    }

    fn resource(workload: &Workload) -> Resource {
        workload.describe(Resource::builder(), "exe", false).build()
    }

    /// Scenario: a container before and after its runtime has told of it.
    /// Guarantees: its id and the runtime that its path shows; then its names; a version for each knowledge.
    #[test]
    fn a_container_gets_its_names() {
        let workload = workload(&format!("/system.slice/docker-{ID}.scope"));
        assert!(!workload.is_host() && workload.is_unnamed());
        let before = resource(&workload);
        assert_eq!(before.text("container.id"), Some(ID));
        assert_eq!(before.text("container.runtime.name"), Some("docker"));
        assert_eq!((before.text("container.name"), before.text("service.name")), (None, Some("exe")));
        let details = Arc::new(Details { name: Some("web".into()), ..Details::default() });
        assert!(workload.answered(Some(Arc::clone(&details))));
        assert!(!workload.answered(Some(details)) && !workload.answered(None));
        assert_eq!(workload.version(), 1);
        let after = resource(&workload);
        assert_eq!((after.text("container.name"), after.text("service.name")), (Some("web"), Some("web")));
    }

    /// Scenario: a service of the host, a system container, a helper beside a pod's containers, a session.
    /// Guarantees: the unit's name without its ending, the machine's, the pod's uid; keys and instances that differ.
    #[test]
    fn names_what_has_no_runtime() {
        let unit = workload("/system.slice/ssh.service");
        assert_eq!(resource(&unit).text("service.name"), Some("ssh"));
        assert_eq!((unit.is_host(), unit.instance_part()), (true, ""));
        let machine = workload("/lxc.payload.web/system.slice/x.service");
        let described = resource(&machine);
        assert_eq!(described.text("container.name"), Some("web"));
        assert_eq!(described.text("service.name"), Some("web"));
        let pod = workload("/kubepods/besteffort/pod9c4b0d3e-6a2f-4f0e-8a57-0d9f4e1b2c3d");
        let uid = "9c4b0d3e-6a2f-4f0e-8a57-0d9f4e1b2c3d";
        assert_eq!(resource(&pod).text("k8s.pod.uid"), Some(uid));
        let session = workload("/user.slice/user-0.slice/session-1.scope");
        assert_eq!((&**session.key(), session.is_host()), ("", true));
        assert_eq!(resource(&session).text("service.name"), Some("exe"));
        let keys = [&unit, &machine, &pod].map(|workload| workload.key().to_string());
        assert_eq!(keys, ["u:ssh.service".to_owned(), "m:web".to_owned(), format!("p:{uid}")]);
        assert_ne!(machine.instance_part(), pod.instance_part());
    }

    /// Scenario: events wait for an answer that does not come, and for one that does.
    /// Guarantees: waiting begins with the first event and ends with the answer, or after its time for good.
    #[test]
    fn waits_a_bounded_time() {
        let workload = workload(&format!("/docker/{ID}"));
        assert!(workload.is_settled(0, 10));
        workload.ask();
        assert!(!workload.is_settled(1_000, 10));
        workload.wait(1_000);
        workload.wait(1_005);
        assert!(!workload.is_settled(1_009, 10) && workload.is_settled(1_010, 10));
        workload.answered(None);
        assert!(workload.is_settled(0, 10));
    }
}
