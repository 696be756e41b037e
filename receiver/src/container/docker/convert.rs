//! From Docker's answers to details. What else the answers have, environments and arguments among it, ends here.

use std::sync::Arc;

use bollard::models::{ContainerInspectResponse, ContainerSummary, SystemVersion};

use super::super::details::{Details, Runtime};
use super::super::id::ContainerId;
use super::super::image::Reference;
use super::super::labels::{self, Labels};

/// Which runtime it is: Podman names itself among the components.
pub(super) fn runtime(version: SystemVersion) -> Runtime {
    let components = version.components.unwrap_or_default();
    let podman = components.iter().any(|component| component.name.to_lowercase().contains("podman"));
    let text = version.version.as_deref().and_then(labels::fit);
    Runtime { name: if podman { "podman" } else { "docker" }.into(), version: text.map(Into::into) }
}

/// From the list of all containers.
pub(super) fn summary(
    summary: ContainerSummary,
    runtime: &Runtime,
    allowed: &[String],
) -> Option<(ContainerId, Arc<Details>)> {
    let id = ContainerId::new(&summary.id?).filter(ContainerId::is_full)?;
    let name = summary.names.unwrap_or_default().into_iter().next();
    let labels = summary.labels.unwrap_or_default();
    let details = details(name, summary.image, summary.image_id.as_deref(), &labels, runtime, allowed);
    Some((id, Arc::new(details)))
}

/// From the answer about one container.
pub(super) fn inspected(found: ContainerInspectResponse, runtime: &Runtime, allowed: &[String]) -> Details {
    let config = found.config.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    details(found.name, config.image, found.image.as_deref(), &labels, runtime, allowed)
}

/// Any answers of a runtime: see [`super::super::doors::docker`].
pub(in crate::container) fn read(
    version: SystemVersion,
    list: Vec<ContainerSummary>,
    found: ContainerInspectResponse,
    allowed: &[String],
) -> (Vec<(ContainerId, Arc<Details>)>, Details) {
    let runtime = runtime(version);
    let listed = list.into_iter().filter_map(|line| summary(line, &runtime, allowed)).collect();
    (listed, inspected(found, &runtime, allowed))
}

fn details(
    name: Option<String>,
    image: Option<String>,
    image_id: Option<&str>,
    labels: &Labels,
    runtime: &Runtime,
    allowed: &[String],
) -> Details {
    let image_id = image_id.and_then(labels::fit);
    let image = image.and_then(|text| Reference::parse_beside(&text, image_id.as_deref()));
    let mut details = Details {
        name: name.and_then(|name| labels::fit(name.strip_prefix('/').unwrap_or(&name))),
        image_tags: image.as_ref().map(Reference::tags).unwrap_or_default(),
        image_name: image.map(|image| image.name),
        image_id,
        runtime: runtime.clone(),
        labels: labels::allowed(labels, allowed),
        ..Details::default()
    };
    labels::of_container(labels, &mut details);
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "72297848456d5d37d1262630108ab308d3e9ec7ed1c3286a32fe09856619a782";

    fn runtime() -> Runtime {
        Runtime { name: "docker".into(), version: None }
    }

    /// Scenario: what Docker says of one container, with secrets in its environment and arguments.
    /// Guarantees: the names; none of the secrets.
    #[test]
    fn reads_an_inspection() {
        let answer = serde_json::json!({
            "Id": HEX, "Name": "/shop-cart-1", "Image": format!("sha256:{HEX}"), "Args": ["--password=secret"],
            "Config": {
                "Image": "localhost:5000/cart:2", "Env": ["TOKEN=secret"], "Cmd": ["secret"],
                "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "cart", "k": "secret"}
            }
        });
        let details = inspected(serde_json::from_value(answer).unwrap(), &runtime(), &[]);
        assert_eq!(details.name.as_deref(), Some("shop-cart-1"));
        assert_eq!(details.image_name.as_deref(), Some("localhost:5000/cart"));
        assert_eq!(details.image_tags, ["2"]);
        assert_eq!(details.compose.as_ref().map(|compose| compose.service.as_str()), Some("cart"));
        assert!(!format!("{details:?}").contains("secret"));
    }

    /// Scenario: lines of a list: a container whose image lost its name, one without an id, one with nothing.
    /// Guarantees: an id is no name; a line without an id is left out.
    #[test]
    fn reads_a_list() {
        let line = |value| summary(serde_json::from_value(value).unwrap(), &runtime(), &["team".to_owned()]);
        let one = serde_json::json!({
            "Id": HEX, "Names": ["/a", "/b/alias"], "Image": &HEX[..12], "ImageID": format!("sha256:{HEX}"),
            "Labels": {"team": "blue", "other": "x"}, "State": "running"
        });
        let (id, details) = line(one).unwrap();
        assert_eq!((id.as_str(), details.name.as_deref()), (HEX, Some("a")));
        assert_eq!((details.image_name.as_ref(), details.image_tags.len()), (None, 0));
        assert_eq!(details.labels, [("team".to_owned(), "blue".to_owned())]);
        assert_eq!(line(serde_json::json!({"Names": ["/a"]})), None);
        assert_eq!(line(serde_json::json!({"Id": "../x"})), None);
        assert_eq!(
            *line(serde_json::json!({"Id": HEX})).unwrap().1,
            Details { runtime: runtime(), ..Details::default() }
        );
    }

    /// Scenario: versions as Docker and Podman tell them.
    /// Guarantees: each under its name.
    #[test]
    fn tells_podman_from_docker() {
        let runtime_of = |version: SystemVersion| {
            let runtime = super::runtime(version);
            (runtime.name.to_string(), runtime.version.map(|version| version.to_string()))
        };
        let name = |component: &str| {
            let version = serde_json::json!({
                "Version": "1.2.3", "ApiVersion": "1.41", "Components": [{"Name": component, "Version": "1.2.3"}]
            });
            runtime_of(serde_json::from_value(version).unwrap())
        };
        assert_eq!(name("Podman Engine"), ("podman".into(), Some("1.2.3".into())));
        assert_eq!(name("Engine"), ("docker".into(), Some("1.2.3".into())));
        assert_eq!(runtime_of(SystemVersion::default()), ("docker".into(), None));
    }
}
