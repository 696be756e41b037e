//! From the messages of the interface to details.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message as _;

use super::super::details::{Details, K8sContainer, Pod, Runtime};
use super::super::id::ContainerId;
use super::super::image::Reference;
use super::super::labels;
use super::messages::{
    Container, ContainerStatus, ContainerStatusResponse, ImageSpec, ListContainersResponse,
    ListPodSandboxResponse, PodSandbox, VersionResponse,
};

pub(super) fn runtime(version: &VersionResponse) -> Runtime {
    let name = labels::fit(&version.runtime_name).unwrap_or_default();
    Runtime { name: name.into(), version: labels::fit(&version.runtime_version).map(Into::into) }
}

/// The name of an image: as the pod's author wrote it, else as the runtime has it. The kubelet asks for containers by the
/// id of the image, which is no name.
pub(super) fn image(spec: Option<&ImageSpec>) -> Option<Reference> {
    let spec = spec?;
    Reference::parse(&spec.user_specified_image).or_else(|| Reference::parse(&spec.image))
}

/// The same, of what the runtime says of a container whose list has only the id of its image.
pub(super) fn image_of_status(status: &ContainerStatus) -> Option<Reference> {
    image(status.image.as_ref()).or_else(|| Reference::parse(&status.image_ref))
}

/// Any bytes for the answers of a runtime: see [`super::super::doors::cri`].
pub(in crate::container) fn read(
    [version, pods, containers, status]: [&[u8]; 4],
    allowed: &[String],
) -> Vec<(ContainerId, Arc<Details>)> {
    let version = VersionResponse::decode(version).unwrap_or_default();
    let pods = ListPodSandboxResponse::decode(pods).unwrap_or_default();
    let containers = ListContainersResponse::decode(containers).unwrap_or_default().containers;
    let status = ContainerStatusResponse::decode(status).unwrap_or_default().status.unwrap_or_default();
    let image_of =
        |container: &Container| image(container.image.as_ref()).or_else(|| image_of_status(&status));
    all(pods.items, &containers, image_of, &runtime(&version), allowed)
}

/// Pods and their containers. The id of a pod's pause container is that of the pod's sandbox.
pub(super) fn all(
    sandboxes: Vec<PodSandbox>,
    containers: &[Container],
    image_of: impl Fn(&Container) -> Option<Reference>,
    runtime: &Runtime,
    allowed: &[String],
) -> Vec<(ContainerId, Arc<Details>)> {
    let mut pods = HashMap::with_capacity(sandboxes.len());
    let mut found = Vec::with_capacity(sandboxes.len() + containers.len());
    for sandbox in sandboxes {
        let pause = sandboxed(&sandbox, runtime, allowed);
        if let Some(id) = full(&sandbox.id) {
            found.push((id, Arc::new(pause.clone())));
        }
        pods.insert(sandbox.id, pause);
    }
    for container in containers {
        let details =
            contained(container, pods.get(&container.pod_sandbox_id), image_of(container), runtime, allowed);
        if let Some(id) = full(&container.id) {
            found.push((id, Arc::new(details)));
        }
    }
    found
}

fn full(id: &str) -> Option<ContainerId> {
    ContainerId::new(id).filter(ContainerId::is_full)
}

/// The details of a pause container.
fn sandboxed(sandbox: &PodSandbox, runtime: &Runtime, allowed: &[String]) -> Details {
    let mut details = Details { runtime: runtime.clone(), ..Details::default() };
    labels::of_container(&sandbox.labels, &mut details);
    let named = sandbox.metadata.as_ref().and_then(|metadata| {
        Some(Pod {
            namespace: labels::fit(&metadata.namespace)?,
            name: labels::fit(&metadata.name)?,
            uid: labels::fit(&metadata.uid),
            attributes: Vec::new(),
        })
    });
    let pod = named.or(details.pod.take());
    let attributes = labels::attributes(&sandbox.annotations);
    Details {
        pod: pod.map(|pod| Pod { attributes, ..pod }),
        k8s_container: None,
        pod_labels: labels::allowed(&sandbox.labels, allowed),
        ..details
    }
}

fn contained(
    container: &Container,
    pod: Option<&Details>,
    image: Option<Reference>,
    runtime: &Runtime,
    allowed: &[String],
) -> Details {
    let mut details = Details { runtime: runtime.clone(), ..Details::default() };
    labels::of_container(&container.labels, &mut details);
    let metadata = container.metadata.as_ref();
    let name = metadata.and_then(|metadata| labels::fit(&metadata.name));
    let k8s_container = name.map(|name| K8sContainer {
        name,
        restart_count: labels::restarts(&container.annotations).or(metadata.map(|metadata| metadata.attempt)),
    });
    // Older runtimes have the id in the reference.
    let id = if container.image_id.is_empty() { &container.image_ref } else { &container.image_id };
    Details {
        image_tags: image.as_ref().map(Reference::tags).unwrap_or_default(),
        image_name: image.map(|image| image.name),
        image_id: labels::fit(id),
        k8s_container: k8s_container.or(details.k8s_container),
        pod: pod.and_then(|pod| pod.pod.clone()).or(details.pod),
        recommended: pod.map(|pod| pod.recommended.clone()).unwrap_or_default(),
        labels: labels::allowed(&container.labels, allowed),
        pod_labels: pod.map(|pod| pod.pod_labels.clone()).unwrap_or_default(),
        ..details
    }
}
