//! What runtimes answer, from bytes to details: for fuzz targets, which see only what is public.

use std::sync::Arc;

use bollard::models::{ContainerInspectResponse, ContainerSummary, SystemVersion};

use super::details::Details;
use super::id::ContainerId;
use super::{cri, docker};

/// What a CRI runtime makes known with these messages: its version, its pods, its containers and the status of one.
pub fn cri(messages: [&[u8]; 4], labels: &[String]) -> Vec<(ContainerId, Arc<Details>)> {
    cri::read(messages, labels)
}

/// What Docker or Podman make known with a version, a list of containers and an inspection.
pub fn docker(
    version: SystemVersion,
    list: Vec<ContainerSummary>,
    inspected: ContainerInspectResponse,
    labels: &[String],
) -> (Vec<(ContainerId, Arc<Details>)>, Details) {
    docker::read(version, list, inspected, labels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "6f0d2f4a1c3b5e7d9f8a0b2c4d6e8f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d2e";

    /// A pod with its container, as a CRI runtime lists it.
    fn list() -> Vec<u8> {
        let field =
            |tag: u8, value: &[u8]| [&[tag << 3 | 2, u8::try_from(value.len()).unwrap()], value].concat();
        let metadata = field(3, &field(1, b"web"));
        let image = field(4, &field(1, b"nginx:1"));
        let container = [field(1, ID.as_bytes()), field(2, ID.as_bytes()), metadata, image].concat();
        let length = u8::try_from(container.len()).unwrap();
        // A length from 128 on has two bytes.
        [&[10, length | 128, 1][..], &container].concat()
    }

    fn check(id: Option<&ContainerId>, details: &Details) -> Result<(), TestCaseError> {
        prop_assert!(id.is_none_or(ContainerId::is_full));
        let names = [&details.name, &details.image_name, &details.image_id];
        prop_assert!(names.into_iter().flatten().all(|name| (1..=1024).contains(&name.len())), "{details:?}");
        prop_assert!(details.image_name.is_some() || details.image_tags.is_empty());
        Ok(())
    }

    /// A value that is what Docker sends there, or anything else.
    fn anything(right: Value) -> impl Strategy<Value = Value> {
        let text = "[a-z0-9:@/. \u{e9}]{0,80}".prop_map(Value::from);
        prop_oneof![
            4 => Just(right),
            1 => text,
            1 => prop_oneof![Just(Value::Null), Just(json!([])), Just(json!({})), Just(json!(-1)), Just(json!([null]))],
        ]
    }

    /// Scenario: the list that the next test changes, as it is.
    /// Guarantees: it is one.
    #[test]
    fn the_list_is_one() {
        let found = cri([&[], &[], &list(), &[]], &[]);
        assert_eq!((found[0].0.as_str(), found[0].1.image_name.as_deref()), (ID, Some("nginx")));
    }

    proptest! {
        /// Scenario: a CRI runtime's list with any bytes changed, and any bytes, as every message.
        /// Guarantees: no panic; full ids, names of sensible size, and tags only of a named image.
        #[test]
        fn survives_any_cri_messages(
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
            other in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut changed = list();
            for (at, byte) in changes {
                let at = at.index(changed.len());
                changed[at] = byte;
            }
            for messages in [[&changed[..]; 4], [&other[..], &changed, &changed, &other]] {
                for (id, details) in cri(messages, &["a".to_owned()]) {
                    check(Some(&id), &details)?;
                }
            }
        }

        /// Scenario: what Docker tells of a container, with anything in place of any part.
        /// Guarantees: what bollard takes for an answer makes no panic; full ids, names of sensible size.
        #[test]
        fn survives_any_docker_answers(
            id in anything(json!(ID)), image in anything(json!(&ID[..12])), image_id in anything(json!(format!("sha256:{ID}"))),
            names in anything(json!(["/a"])), name in anything(json!("/a")), labels in anything(json!({"a": "b"})),
            version in anything(json!("1")), components in anything(json!([{"Name": "Podman Engine"}])),
        ) {
            let version = json!({"Version": version, "Components": components});
            let line = json!([{"Id": id, "Names": names, "Image": image, "ImageID": image_id, "Labels": labels}]);
            let one = json!({"Id": id, "Name": name, "Image": image_id, "Config": {"Image": image, "Labels": labels}});
            let (listed, inspected) = docker(
                serde_json::from_value(version).unwrap_or_default(),
                serde_json::from_value(line).unwrap_or_default(),
                serde_json::from_value(one).unwrap_or_default(),
                &["a".to_owned()],
            );
            check(None, &inspected)?;
            for (id, details) in listed {
                check(Some(&id), &details)?;
            }
        }
    }
}
