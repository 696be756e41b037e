//! Names of containers, from real runtimes.

use std::fs;
use std::time::Duration;

use convis::container::{Address, Answer, CacheLimits, Choice, Failure, Limits, Settings};
use convis_integration::runtimes::{Asker, Containerd, Docker, Kind, PodSpec};
use convis_integration::{need, turns};

const A_WHILE: Duration = Duration::from_secs(2);
/// Instead of a minute.
const GRACE: Duration = Duration::from_secs(3);
/// Instead of ten seconds.
const LASTING: Duration = Duration::from_secs(1);

fn settings() -> Settings {
    let cache = CacheLimits { grace: GRACE, ..CacheLimits::default() };
    let limits = Limits { lasting: LASTING, ..Limits::default() };
    Settings { root: "/nonexistent".into(), cache, limits, ..Settings::default() }
}

/// A container with the labels of Compose and a secret, before convis starts; others that come, get a new name and go;
/// then the daemon is restarted.
fn follows_a_daemon(kind: Kind, runtime: &str) {
    let _turn = turns::together();
    let mut daemon = Docker::start(kind);
    let labels =
        ["-l", "com.docker.compose.project=shop", "-l", "com.docker.compose.service=cart", "-l", "team=blue"];
    let before = daemon.run("before", &[&labels[..], &["-e", "TOKEN=secret"]].concat());
    let settings = Settings {
        choice: Choice::Docker,
        docker_hosts: vec![Address::Unix(daemon.socket())],
        labels: vec!["team".into()],
        ..settings()
    };
    let asker = Asker::start(settings);
    asker.work(A_WHILE);
    let details = asker.until(&before, |_| true);
    assert_eq!(asker.counted().lookups, 0, "it was listed");
    assert_eq!(details.name.as_deref(), Some("before"));
    assert_eq!(details.image_name.as_deref(), Some("localhost:5000/box"));
    assert_eq!(details.image_tags, ["v1"]);
    let image = daemon.docker(&["inspect", "-f", "{{.Image}}", &before]);
    assert_eq!(details.image_id.as_deref(), Some(image.as_str()));
    assert_eq!(&*details.runtime.name, runtime);
    let version = daemon.docker(&["version", "-f", "{{.Server.Version}}"]);
    assert_eq!(details.runtime.version.as_deref(), Some(version.as_str()));
    let service = details.service(false).map(|service| (service.name, service.namespace));
    assert_eq!(service, Some(("cart", Some("shop"))));
    assert_eq!(details.labels, [("team".to_owned(), "blue".to_owned())]);
    assert!(!format!("{details:?}").contains("secret"));
    let pid = daemon.docker(&["inspect", "-f", "{{.State.Pid}}", &before]);
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    assert!(cgroup.contains(&before), "the id is not that of the cgroup: {cgroup}");

    let during = daemon.run("during", &[]);
    asker.work(A_WHILE);
    assert_eq!(asker.until(&during, |_| true).name.as_deref(), Some("during"));
    assert_eq!(asker.counted().lookups, 0, "an event told of it");
    daemon.docker(&["rename", "during", "renamed"]);
    asker.until(&during, |details| details.name.as_deref() == Some("renamed"));
    daemon.docker(&["rm", "-f", "renamed"]);
    assert!(matches!(asker.ask(&during), Answer::Known(_)), "within its grace");
    asker.until_answer(&during, &Answer::Absent);
    asker.until_answer(&"0".repeat(64), &Answer::Absent);

    asker.work(LASTING);
    daemon.stop();
    asker.until_answer(&"1".repeat(64), &Answer::Unavailable);
    assert!(matches!(asker.ask(&before), Answer::Known(_)));
    assert!(asker.counted().failed(Failure::Connect) > 0);
    daemon.resume();
    daemon.docker(&["rename", "before", "after"]);
    asker.until(&before, |details| details.name.as_deref() == Some("after"));
    assert_eq!(asker.counted().connected, 1);
    assert_eq!(asker.counted().failed(Failure::Malformed), 0);
}

/// Scenario: dockerd; see [`follows_a_daemon`].
/// Guarantees: names, image, version and service are Docker's; known without a question; a restart is survived.
#[test]
fn docker_containers_have_names() {
    need!(Docker::available(Kind::Docker));
    follows_a_daemon(Kind::Docker, "docker");
}

/// Scenario: Podman's service; see [`follows_a_daemon`].
/// Guarantees: the same as with Docker.
#[test]
fn podman_containers_have_names() {
    need!(Docker::available(Kind::Podman));
    follows_a_daemon(Kind::Podman, "podman");
}

/// Scenario: containerd runs a pod with a container, whose image a kubelet asks for by its id; another container comes,
/// one goes; containerd is restarted while the pod goes on.
/// Guarantees: names of pod, container, image and runtime; the pause container has those of its pod; a new container is
/// known when asked for; a restart is survived.
#[test]
fn pods_have_names() {
    need!(Containerd::available());
    let _turn = turns::together();
    let mut daemon = Containerd::start();
    let spec = PodSpec {
        name: "web-5d9c-x7",
        namespace: "shop",
        uid: "8c3f9a52-0d6e-4a3f-9a77-1d0c6f2f9b11",
        labels: &[("app.kubernetes.io/name", "nginx"), ("team", "blue")],
        annotations: &[("resource.opentelemetry.io/service.name", "cart")],
    };
    let pod = daemon.run_pod(spec);
    let web = daemon.run_container(&pod, spec, "web", 2);
    let settings = Settings {
        choice: Choice::Cri,
        cri_endpoints: vec![Address::Unix(daemon.socket())],
        labels: vec!["team".into()],
        ..settings()
    };
    let asker = Asker::start(settings);
    asker.work(A_WHILE);
    let details = asker.until(&web, |_| true);
    assert_eq!(asker.counted().lookups, 0, "it was listed");
    assert_eq!(&*details.runtime.name, "containerd");
    assert!(details.runtime.version.is_some());
    assert_eq!(details.image_name.as_deref(), Some("localhost:5000/box"));
    assert_eq!(details.image_tags, ["v1"]);
    let inner = details.k8s_container.as_ref().unwrap();
    assert_eq!((inner.name.as_str(), inner.restart_count), ("web", Some(2)));
    let known = details.pod.as_ref().unwrap();
    assert_eq!((known.name.as_str(), known.namespace.as_str()), (spec.name, spec.namespace));
    assert_eq!(known.uid.as_deref(), Some(spec.uid));
    assert_eq!(details.recommended.name.as_deref(), Some("nginx"));
    assert_eq!(details.pod_labels, [("team".to_owned(), "blue".to_owned())]);
    assert_eq!(details.service(false).map(|service| service.name), Some("cart"));
    let pause = asker.until(&pod, |_| true);
    assert_eq!((pause.pod.as_ref(), pause.k8s_container.as_ref()), (Some(known), None));

    let side = daemon.run_container(&pod, spec, "side", 0);
    asker.until(&side, |details| details.k8s_container.as_ref().is_some_and(|inner| inner.name == "side"));
    daemon.remove_container(&side);
    asker.until_answer(&"0".repeat(64), &Answer::Absent);
    asker.until_answer(&side, &Answer::Absent);

    asker.work(LASTING);
    daemon.stop();
    asker.until_answer(&"1".repeat(64), &Answer::Unavailable);
    assert!(matches!(asker.ask(&web), Answer::Known(_)));
    daemon.resume();
    let late = daemon.run_container(&pod, spec, "late", 0);
    asker.until(&late, |details| details.k8s_container.as_ref().is_some_and(|inner| inner.name == "late"));
    assert_eq!(asker.counted().failed(Failure::Malformed), 0);
}
