//! Labels and annotations that convis reads.

use std::collections::HashMap;

use super::details::{Compose, Details, K8sContainer, Pod, Recommended, Swarm};

/// What a pod's annotations with this prefix say goes on Resources as it is.
const RESOURCE_PREFIX: &str = "resource.opentelemetry.io/";
/// A longer value is left out: it is no name.
const LONGEST: usize = 1024;
/// What convis sees for itself, an annotation does not overrule.
const OBSERVED: [&str; 6] = ["host.", "os.", "process.", "container.", "k8s.", "convis."];
/// Annotations with that prefix that are taken.
const MOST_ATTRIBUTES: usize = 32;

/// Labels or annotations as runtimes give them.
pub(super) type Labels = HashMap<String, String>;

/// The value under `key`, if it is fit to be shown.
pub(super) fn text(labels: &Labels, key: &str) -> Option<String> {
    labels.get(key).and_then(|value| fit(value))
}

/// A value of sensible size.
pub(super) fn fit(value: &str) -> Option<String> {
    (!value.is_empty() && value.len() <= LONGEST).then(|| value.to_owned())
}

/// Those that the user asked for, in key order.
pub(super) fn allowed(labels: &Labels, keys: &[String]) -> Vec<(String, String)> {
    let mut found: Vec<_> = keys.iter().filter_map(|key| Some((key.clone(), text(labels, key)?))).collect();
    found.sort();
    found.dedup();
    found
}

/// Enters what the labels of a container say.
pub(super) fn of_container(labels: &Labels, details: &mut Details) {
    details.compose = text(labels, "com.docker.compose.service")
        .map(|service| Compose { project: text(labels, "com.docker.compose.project"), service });
    details.swarm = text(labels, "com.docker.swarm.service.name")
        .map(|service| Swarm { stack: text(labels, "com.docker.stack.namespace"), service });
    details.recommended = recommended(labels);
    details.pod = pod(labels);
    // What cri-dockerd calls a sandbox is the pause container, to which the kubelet gives the name POD.
    let is_sandbox = labels.get("io.kubernetes.docker.type").is_some_and(|kind| kind == "podsandbox");
    details.k8s_container = text(labels, "io.kubernetes.container.name")
        .filter(|name| name != "POD" && !is_sandbox)
        .map(|name| K8sContainer { name, restart_count: restarts(labels) });
}

/// How often a container was restarted in its pod, from its annotations; cri-dockerd has these among the labels.
pub(super) fn restarts(annotations: &Labels) -> Option<u32> {
    ["io.kubernetes.container.restartCount", "annotation.io.kubernetes.container.restartCount"]
        .iter()
        .find_map(|key| annotations.get(*key)?.parse().ok())
}

/// The recommended labels of Kubernetes.
pub(super) fn recommended(labels: &Labels) -> Recommended {
    let text = |name: &str| text(labels, &format!("app.kubernetes.io/{name}"));
    Recommended {
        name: text("name"),
        instance: text("instance"),
        version: text("version"),
        component: text("component"),
        part_of: text("part-of"),
    }
}

/// The pod that the kubelet's labels name.
fn pod(labels: &Labels) -> Option<Pod> {
    Some(Pod {
        namespace: text(labels, "io.kubernetes.pod.namespace")?,
        name: text(labels, "io.kubernetes.pod.name")?,
        uid: text(labels, "io.kubernetes.pod.uid"),
        attributes: Vec::new(),
    })
}

/// The attributes that a pod's annotations give, in key order.
pub(super) fn attributes(annotations: &Labels) -> Vec<(String, String)> {
    let mut found: Vec<_> = annotations
        .iter()
        .filter_map(|(key, value)| Some((fit(key.strip_prefix(RESOURCE_PREFIX)?)?, fit(value)?)))
        .filter(|(key, _)| !OBSERVED.iter().any(|prefix| key.starts_with(prefix)))
        .collect();
    found.sort();
    found.truncate(MOST_ATTRIBUTES);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn read(pairs: &[(&str, &str)]) -> Details {
        let mut details = Details::default();
        of_container(&labels(pairs), &mut details);
        details
    }

    /// Scenario: labels of Compose, of Swarm, and with the service missing.
    /// Guarantees: both parts are found; nothing without a service.
    #[test]
    fn reads_compose_and_swarm() {
        let details = read(&[("com.docker.compose.project", "shop"), ("com.docker.compose.service", "cart")]);
        assert_eq!(details.compose, Some(Compose { project: Some("shop".into()), service: "cart".into() }));
        let details = read(&[("com.docker.swarm.service.name", "a_b"), ("com.docker.stack.namespace", "a")]);
        assert_eq!(details.swarm, Some(Swarm { stack: Some("a".into()), service: "a_b".into() }));
        assert_eq!(read(&[("com.docker.compose.project", "shop")]), Details::default());
    }

    /// Scenario: what cri-dockerd puts on a container of a pod, and on its pause container.
    /// Guarantees: both have the pod, only the first a name in it.
    #[test]
    fn reads_the_labels_of_the_kubelet() {
        let mut pairs = vec![
            ("io.kubernetes.pod.name", "web-1"),
            ("io.kubernetes.pod.namespace", "shop"),
            ("io.kubernetes.pod.uid", "8c3f"),
            ("io.kubernetes.container.name", "web"),
            ("annotation.io.kubernetes.container.restartCount", "3"),
        ];
        let details = read(&pairs);
        assert_eq!(details.pod.as_ref().unwrap().name, "web-1");
        assert_eq!(details.k8s_container, Some(K8sContainer { name: "web".into(), restart_count: Some(3) }));
        pairs[3] = ("io.kubernetes.container.name", "POD");
        let pause = read(&pairs);
        assert_eq!((pause.pod, pause.k8s_container), (details.pod, None));
    }

    /// Scenario: annotations and labels of every kind, some absurdly long.
    /// Guarantees: only what is asked for and short enough is kept.
    #[test]
    fn keeps_only_what_is_asked_for() {
        let long = "x".repeat(LONGEST + 1);
        let all = labels(&[
            ("resource.opentelemetry.io/service.name", "cart"),
            ("resource.opentelemetry.io/deployment.environment.name", "test"),
            ("resource.opentelemetry.io/long", &long),
            ("resource.opentelemetry.io/", "no key"),
            ("resource.opentelemetry.io/host.name", "another"),
            ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
            ("team", "blue"),
        ]);
        let found = attributes(&all);
        let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["deployment.environment.name", "service.name"]);
        let wanted = ["team".to_owned(), "team".to_owned(), "absent".to_owned()];
        assert_eq!(allowed(&all, &wanted), [("team".to_owned(), "blue".to_owned())]);
    }
}
