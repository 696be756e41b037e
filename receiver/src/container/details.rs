//! What is known of a container.

use std::sync::Arc;

use convis_exporters::model::{Resource, ResourceBuilder};
use serde::{Deserialize, Serialize};

/// What a runtime tells of a container or, for a pod's pause container, of its pod. Nothing from its environment, its
/// arguments or its mounts is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Details {
    /// `container.name`. CRI runtimes have none.
    pub name: Option<String>,
    /// `container.image.name`, without tag and digest.
    pub image_name: Option<String>,
    /// `container.image.tags`.
    pub image_tags: Vec<String>,
    /// `container.image.id`.
    pub image_id: Option<String>,
    /// The runtime.
    pub runtime: Runtime,
    /// Where Docker Compose started it.
    pub compose: Option<Compose>,
    /// Where Docker Swarm started it.
    pub swarm: Option<Swarm>,
    /// The pod it belongs to.
    pub pod: Option<Pod>,
    /// What it is in its pod; nothing for a pod's pause container.
    pub k8s_container: Option<K8sContainer>,
    /// The recommended labels of Kubernetes. For use on request only: they say what their author wanted.
    pub recommended: Recommended,
    /// Labels of the container that the user asked for, by key.
    pub labels: Vec<(String, String)>,
    /// Labels of its pod that the user asked for, by key.
    pub pod_labels: Vec<(String, String)>,
}

/// A container runtime.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Runtime {
    /// `container.runtime.name`: docker, podman, containerd, cri-o, ...
    #[serde(serialize_with = "in_recording::text", deserialize_with = "in_recording::read_text")]
    pub name: Arc<str>,
    /// `container.runtime.version`.
    #[serde(serialize_with = "in_recording::maybe", deserialize_with = "in_recording::read_maybe")]
    pub version: Option<Arc<str>>,
}

/// Shared text in recordings: as if it were not shared.
mod in_recording {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn read_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Arc::from)
    }

    #[expect(clippy::ref_option, reason = "so serde calls it")]
    pub(super) fn maybe<S: Serializer>(text: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
        text.as_deref().serialize(serializer)
    }

    pub(super) fn read_maybe<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<str>>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Arc::from))
    }
}

/// The names of Docker Compose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compose {
    /// The project.
    pub project: Option<String>,
    /// The service.
    pub service: String,
}

/// The names of Docker Swarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swarm {
    /// The stack.
    pub stack: Option<String>,
    /// The service.
    pub service: String,
}

/// A pod of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pod {
    /// `k8s.namespace.name`.
    pub namespace: String,
    /// `k8s.pod.name`.
    pub name: String,
    /// `k8s.pod.uid`.
    pub uid: Option<String>,
    /// The attributes that its annotations `resource.opentelemetry.io/<key>` give, by key.
    pub attributes: Vec<(String, String)>,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct K8sContainer {
    /// `k8s.container.name`.
    pub name: String,
    /// `k8s.container.restart_count`.
    pub restart_count: Option<u32>,
}

/// The labels `app.kubernetes.io/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Recommended {
    /// `name`
    pub name: Option<String>,
    /// `instance`
    pub instance: Option<String>,
    /// `version`
    pub version: Option<String>,
    /// `component`
    pub component: Option<String>,
    /// `part-of`
    pub part_of: Option<String>,
}

/// A service, as far as a container names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service<'a> {
    /// `service.name`
    pub name: &'a str,
    /// `service.namespace`
    pub namespace: Option<&'a str>,
}

impl Details {
    /// Adds `container.*` and `k8s.*`, and what the pod's annotations give. `container.id` is the asker's to add.
    pub fn describe(&self, builder: ResourceBuilder) -> ResourceBuilder {
        let pod = self.pod.as_ref();
        let inner = self.k8s_container.as_ref();
        let tags = (!self.image_tags.is_empty()).then(|| self.image_tags.clone());
        let runtime = Some(&*self.runtime.name).filter(|name| !name.is_empty());
        let mut builder = builder
            .with_opt("container.name", self.name.as_deref())
            .with_opt("container.image.name", self.image_name.as_deref())
            .with_opt("container.image.tags", tags)
            .with_opt("container.image.id", self.image_id.as_deref())
            .with_opt("container.runtime.name", runtime)
            .with_opt("container.runtime.version", self.runtime.version.as_deref())
            .with_opt("k8s.namespace.name", pod.map(|pod| pod.namespace.as_str()))
            .with_opt("k8s.pod.name", pod.map(|pod| pod.name.as_str()))
            .with_opt("k8s.pod.uid", pod.and_then(|pod| pod.uid.as_deref()))
            .with_opt("k8s.container.name", inner.map(|inner| inner.name.as_str()))
            .with_opt("k8s.container.restart_count", inner.and_then(|inner| inner.restart_count));
        for (key, value) in &self.labels {
            builder = builder.with(format!("container.label.{key}"), value.as_str());
        }
        for (key, value) in &self.pod_labels {
            builder = builder.with(format!("k8s.pod.label.{key}"), value.as_str());
        }
        for (key, value) in pod.iter().flat_map(|pod| &pod.attributes) {
            builder = builder.with(key.clone(), value.as_str());
        }
        builder
    }

    /// The service that it is part of: by annotation, by recommended labels if `recommended`, by Compose or Swarm, by its
    /// name in its pod, by its own name. Never the pod's name, which is another one after each roll-out.
    pub fn service(&self, recommended: bool) -> Option<Service<'_>> {
        let annotated = self.attribute("service.name").map(|name| Service {
            name,
            namespace: self.attribute("service.namespace").or_else(|| self.k8s_namespace()),
        });
        annotated
            .or_else(|| self.recommended.service(self.k8s_namespace()).filter(|_| recommended))
            .or_else(|| self.compose.as_ref().map(|compose| compose.service()))
            .or_else(|| self.swarm.as_ref().map(|swarm| swarm.service()))
            .or_else(|| {
                let inner = self.k8s_container.as_ref()?;
                Some(Service { name: &inner.name, namespace: self.k8s_namespace() })
            })
            .or_else(|| self.name.as_deref().map(|name| Service { name, namespace: None }))
    }

    /// Whether both name the same. What an image's id, a runtime's version or a count of restarts adds is no other name, and
    /// not every answer has it.
    pub fn looks_like(&self, other: &Self) -> bool {
        let shown = |details: &Self| {
            let mut names = Self { image_id: None, ..details.clone() };
            names.runtime.version = None;
            if let Some(inner) = &mut names.k8s_container {
                inner.restart_count = None;
            }
            names.describe(Resource::builder()).build()
        };
        let services = |details| [false, true].map(|recommended| Self::service(details, recommended));
        self == other || (services(self) == services(other) && shown(self) == shown(other))
    }

    fn attribute(&self, key: &str) -> Option<&str> {
        let (_, value) = self.pod.as_ref()?.attributes.iter().find(|(present, _)| present == key)?;
        Some(value)
    }

    fn k8s_namespace(&self) -> Option<&str> {
        self.pod.as_ref().map(|pod| pod.namespace.as_str())
    }
}

impl Compose {
    fn service(&self) -> Service<'_> {
        Service { name: &self.service, namespace: self.project.as_deref() }
    }
}

impl Swarm {
    fn service(&self) -> Service<'_> {
        Service { name: &self.service, namespace: self.stack.as_deref() }
    }
}

impl Recommended {
    /// As the semantic conventions have it: the instance, else the name.
    fn service<'a>(&'a self, namespace: Option<&'a str>) -> Option<Service<'a>> {
        let name = self.instance.as_deref().or(self.name.as_deref())?;
        Some(Service { name, namespace: self.part_of.as_deref().or(namespace) })
    }
}

#[cfg(test)]
mod tests {
    use convis_exporters::model::Value;

    use super::*;

    fn in_a_pod() -> Details {
        Details {
            image_name: Some("nginx".into()),
            image_tags: vec!["1.27".into()],
            runtime: Runtime { name: "containerd".into(), version: Some("1.7".into()) },
            pod: Some(Pod {
                namespace: "shop".into(),
                name: "web-5d9-x".into(),
                uid: Some("u".into()),
                attributes: vec![],
            }),
            k8s_container: Some(K8sContainer { name: "web".into(), restart_count: Some(2) }),
            recommended: Recommended { name: Some("nginx".into()), ..Recommended::default() },
            ..Details::default()
        }
    }

    /// Scenario: a container of a pod, and the pause container of the same pod.
    /// Guarantees: names under the keys of the semantic conventions; no key for what is not known.
    #[test]
    fn describes_a_pod() {
        let details = in_a_pod();
        let resource = details.describe(Resource::builder()).build();
        assert_eq!(resource.text("k8s.pod.name"), Some("web-5d9-x"));
        assert_eq!(resource.text("k8s.container.name"), Some("web"));
        assert_eq!(resource.get("k8s.container.restart_count"), Some(Value::Int(2)));
        assert_eq!(resource.text("container.runtime.version"), Some("1.7"));
        assert_eq!(resource.get("container.image.tags"), Some(Value::List(&["1.27".into()])));
        assert_eq!(resource.get("container.name"), None);
        let pause = Details { k8s_container: None, image_name: None, image_tags: vec![], ..details };
        let resource = pause.describe(Resource::builder()).build();
        assert_eq!(resource.text("k8s.namespace.name"), Some("shop"));
        assert_eq!((resource.get("k8s.container.name"), resource.get("container.image.tags")), (None, None));
    }

    /// Scenario: details that differ in names, in what names a service on request, and in nothing of these.
    /// Guarantees: only the last look alike.
    #[test]
    fn looks_alike_where_resources_do() {
        let details = in_a_pod();
        let like = |other: &Details| details.looks_like(other) && other.looks_like(&details);
        assert!(like(&details.clone()));
        let runtime = Runtime { version: Some("2".into()), ..details.runtime.clone() };
        assert!(like(&Details { runtime, image_id: Some("sha256:00".into()), ..details.clone() }));
        assert!(!like(&Details { image_tags: vec!["other".into()], ..details.clone() }));
        let recommended = Recommended { name: Some("other".into()), ..details.recommended.clone() };
        assert!(!like(&Details { recommended, ..details.clone() }));
    }

    /// Scenario: a container with everything that can name its service, taken away one by one.
    /// Guarantees: annotation, recommended labels only on request, Compose, Swarm, name in the pod, own name; never the
    /// pod's.
    #[test]
    fn names_its_service() {
        let mut details = in_a_pod();
        details.name = Some("k8s_web".into());
        details.compose = Some(Compose { project: Some("p".into()), service: "c".into() });
        details.swarm = Some(Swarm { stack: None, service: "s".into() });
        let pod = details.pod.as_mut().unwrap();
        pod.attributes = vec![("service.name".into(), "cart".into())];
        let service = |details: &Details, recommended| {
            details
                .service(recommended)
                .map(|found| (found.name.to_owned(), found.namespace.map(str::to_owned)))
        };
        let named =
            |name: &str, namespace: Option<&str>| Some((name.to_owned(), namespace.map(str::to_owned)));
        assert_eq!(service(&details, true), named("cart", Some("shop")));
        details.pod.as_mut().unwrap().attributes.clear();
        assert_eq!(service(&details, true), named("nginx", Some("shop")));
        assert_eq!(service(&details, false), named("c", Some("p")));
        details.compose = None;
        assert_eq!(service(&details, false), named("s", None));
        details.swarm = None;
        assert_eq!(service(&details, false), named("web", Some("shop")));
        details.k8s_container = None;
        assert_eq!(service(&details, false), named("k8s_web", None));
        details.name = None;
        assert_eq!(service(&details, false), None);
    }
}
