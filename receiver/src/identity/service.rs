//! `service.name`, `service.namespace` and `service.instance.id`, from whatever is known.

use std::collections::HashMap;

use convis_exporters::model::ResourceBuilder;

use super::instance_id;

/// Annotations and labels, as the APIs of container runtimes give them.
pub type Labels = HashMap<String, String>;

/// Pod annotations that say what a service is called.
const ANNOTATED_NAME: &str = "resource.opentelemetry.io/service.name";
const ANNOTATED_NAMESPACE: &str = "resource.opentelemetry.io/service.namespace";
/// Recommended labels of Kubernetes, the more specific first.
const RECOMMENDED: [&str; 2] = ["app.kubernetes.io/instance", "app.kubernetes.io/name"];
/// Labels that tools put on containers: of the service, and of what it belongs to.
const TOOLS: [(&str, &str); 2] = [
    ("com.docker.compose.service", "com.docker.compose.project"),
    ("com.docker.swarm.service.name", "com.docker.stack.namespace"),
];

/// What a service is told by. Every part may be missing; an empty one is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// `host.id`.
    pub host_id: Option<&'a str>,
    /// Annotations of the pod.
    pub pod_annotations: Option<&'a Labels>,
    /// Labels of the pod; only with `--k8s-labels`.
    pub pod_labels: Option<&'a Labels>,
    /// `k8s.namespace.name`.
    pub k8s_namespace: Option<&'a str>,
    /// `k8s.container.name`.
    pub k8s_container: Option<&'a str>,
    /// Labels of the container.
    pub container_labels: Option<&'a Labels>,
    /// `container.id`.
    pub container_id: Option<&'a str>,
    /// `container.name`; of a machine (LXC, nspawn) the machine's. The `/` that Docker puts before it does not matter.
    pub container_name: Option<&'a str>,
    /// The systemd unit, as [`super::cgroup::Place::unit`] has it.
    pub unit: Option<&'a str>,
    /// `process.executable.name`.
    pub executable: Option<&'a str>,
    /// What tells executables apart: [`super::Image::identity`].
    pub executable_path: Option<&'a str>,
    /// Where each process has a Resource of its own, `process.pid` and `process.creation.time` as they go out.
    pub process: Option<(u32, &'a str)>,
}

/// The attributes of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `service.name`; `unknown_service` where nothing is known.
    pub name: String,
    /// `service.namespace`.
    pub namespace: Option<String>,
    /// `service.instance.id`: a UUID of version 5, the same for the same thing seen again.
    pub instance_id: String,
}

impl Service {
    /// Derives all three.
    pub fn of(facts: &Facts<'_>) -> Self {
        Self {
            name: facts.name().unwrap_or("unknown_service").to_owned(),
            namespace: facts.namespace().map(str::to_owned),
            instance_id: facts.instance_id(),
        }
    }

    /// Adds them.
    pub fn describe(&self, builder: ResourceBuilder) -> ResourceBuilder {
        builder
            .with("service.name", self.name.as_str())
            .with_opt("service.namespace", self.namespace.as_deref())
            .with("service.instance.id", self.instance_id.as_str())
    }
}

impl<'a> Facts<'a> {
    /// Never the name of the pod, which is another one for every replica.
    fn name(&self) -> Option<&'a str> {
        let recommended = || RECOMMENDED.iter().find_map(|key| label(self.pod_labels, key));
        let tools = || TOOLS.iter().find_map(|(service, _)| label(self.container_labels, service));
        label(self.pod_annotations, ANNOTATED_NAME)
            .or_else(recommended)
            .or_else(tools)
            .or_else(|| known(self.k8s_container))
            .or_else(|| known(self.container_name.map(|name| name.trim_start_matches('/'))))
            .or_else(|| known(self.unit.map(|unit| unit.strip_suffix(".service").unwrap_or(unit))))
            .or_else(|| known(self.executable))
    }

    fn namespace(&self) -> Option<&'a str> {
        label(self.pod_annotations, ANNOTATED_NAMESPACE)
            .or_else(|| known(self.k8s_namespace))
            .or_else(|| TOOLS.iter().find_map(|(_, project)| label(self.container_labels, project)))
    }

    fn instance_id(&self) -> String {
        let [host, container, path] =
            [self.host_id, self.container_id, self.executable_path].map(Option::unwrap_or_default);
        match self.process {
            Some((pid, created)) => instance_id(&[host, container, path, &pid.to_string(), created]),
            None => instance_id(&[host, container, path]),
        }
    }
}

fn known(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn label<'a>(labels: Option<&'a Labels>, key: &str) -> Option<&'a str> {
    known(labels?.get(key).map(String::as_str))
}

#[cfg(test)]
mod tests {
    use convis_exporters::model::Resource;

    use super::*;

    fn labels(of: &[(&str, &str)]) -> Labels {
        of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// Scenario: everything is known; then the best known fact is taken away, again and again, by being absent or empty.
    /// Guarantees: each fact names the service before all that come after it.
    #[test]
    fn the_best_known_name_counts() {
        let annotations =
            labels(&[(ANNOTATED_NAME, "annotated"), ("app.kubernetes.io/name", "no annotation")]);
        let both = labels(&[("app.kubernetes.io/instance", "instance"), ("app.kubernetes.io/name", "name")]);
        let name = labels(&[("app.kubernetes.io/instance", ""), ("app.kubernetes.io/name", "name")]);
        let compose = labels(&[("com.docker.compose.service", "composed"), (TOOLS[1].0, "swarmed")]);
        let swarm = labels(&[(TOOLS[1].0, "swarmed")]);
        let none = labels(&[(ANNOTATED_NAME, ""), ("io.kubernetes.pod.name", "pod-1"), (TOOLS[0].0, "")]);
        let mut facts = Facts {
            pod_annotations: Some(&annotations),
            pod_labels: Some(&both),
            container_labels: Some(&compose),
            k8s_container: Some("app"),
            container_name: Some("/k8s_app_pod-1"),
            unit: Some("postgresql@15-main.service"),
            executable: Some("postgres"),
            ..Facts::default()
        };
        let mut names = Vec::new();
        let mut next = |facts: &Facts<'_>| names.push(Service::of(facts).name);
        next(&facts);
        facts.pod_annotations = Some(&none);
        next(&facts);
        facts.pod_labels = Some(&name);
        next(&facts);
        facts.pod_labels = None;
        next(&facts);
        facts.container_labels = Some(&swarm);
        next(&facts);
        facts.container_labels = Some(&none);
        next(&facts);
        facts.k8s_container = Some("");
        next(&facts);
        facts.container_name = Some("/");
        next(&facts);
        facts.unit = None;
        next(&facts);
        facts.executable = None;
        next(&facts);
        assert_eq!(
            names,
            [
                "annotated",
                "instance",
                "name",
                "composed",
                "swarmed",
                "app",
                "k8s_app_pod-1",
                "postgresql@15-main",
                "postgres",
                "unknown_service"
            ]
        );
    }

    /// Scenario: a namespace by annotation, by Kubernetes, by compose project and by stack.
    /// Guarantees: in that order; none where there is none.
    #[test]
    fn the_best_known_namespace_counts() {
        let annotations = labels(&[(ANNOTATED_NAMESPACE, "annotated")]);
        let compose = labels(&[(TOOLS[0].1, "project"), (TOOLS[1].1, "stack")]);
        let swarm = labels(&[(TOOLS[1].1, "stack")]);
        let all = Facts {
            pod_annotations: Some(&annotations),
            k8s_namespace: Some("shop"),
            container_labels: Some(&compose),
            ..Facts::default()
        };
        let namespace = |facts: Facts<'_>| Service::of(&facts).namespace;
        assert_eq!(namespace(all).as_deref(), Some("annotated"));
        assert_eq!(namespace(Facts { pod_annotations: None, ..all }).as_deref(), Some("shop"));
        let docker = Facts { pod_annotations: None, k8s_namespace: None, ..all };
        assert_eq!(namespace(docker).as_deref(), Some("project"));
        assert_eq!(namespace(Facts { container_labels: Some(&swarm), ..docker }).as_deref(), Some("stack"));
        assert_eq!(namespace(Facts::default()), None);
    }

    /// Scenario: services that differ in one fact of their identity each, and ones that differ in names only.
    /// Guarantees: different ids, then the same; that of an executable on the host is what it was before there were
    /// containers.
    #[test]
    fn an_instance_is_its_identity() {
        let base = Facts {
            host_id: Some("h"),
            container_id: Some("c"),
            executable_path: Some("/bin/a"),
            process: Some((7, "2026-01-01T00:00:00.000Z")),
            ..Facts::default()
        };
        let variants = [
            base,
            Facts { host_id: None, ..base },
            Facts { container_id: None, ..base },
            Facts { executable_path: None, ..base },
            Facts { executable_path: Some("/bin/b"), ..base },
            Facts { process: None, ..base },
            Facts { process: Some((8, "2026-01-01T00:00:00.000Z")), ..base },
            Facts { process: Some((7, "2026-01-01T00:00:00.010Z")), ..base },
        ];
        let ids: std::collections::BTreeSet<_> =
            variants.iter().map(|facts| Service::of(facts).instance_id).collect();
        assert_eq!(ids.len(), variants.len());
        let renamed = Facts { unit: Some("x.service"), k8s_namespace: Some("n"), ..base };
        assert_eq!(Service::of(&renamed).instance_id, Service::of(&base).instance_id);
        let host = Facts { container_id: None, process: None, ..base };
        assert_eq!(Service::of(&host).instance_id, instance_id(&["h", "", "/bin/a"]));
    }

    /// Scenario: a service on a Resource.
    /// Guarantees: the three attributes.
    #[test]
    fn describes_itself() {
        let facts = Facts { k8s_namespace: Some("shop"), k8s_container: Some("cart"), ..Facts::default() };
        let service = Service::of(&facts);
        let resource = service.describe(Resource::builder()).build();
        assert_eq!(resource.text("service.name"), Some("cart"));
        assert_eq!(resource.text("service.namespace"), Some("shop"));
        assert_eq!(resource.text("service.instance.id"), Some(service.instance_id.as_str()));
    }
}
