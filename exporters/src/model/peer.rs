//! Who holds the other end of a connection, when it is on the same host.

use serde::{Deserialize, Serialize};

use super::resource::Resource;
use super::value::{OwnedValue, Value};

/// Attributes of a Resource that identify a peer, and what they are called on the events of the other end.
const NAMES: [(&str, &str); 11] = [
    ("service.name", "service.peer.name"),
    ("service.namespace", "service.peer.namespace"),
    ("process.pid", "convis.peer.process.pid"),
    ("process.executable.name", "convis.peer.process.executable.name"),
    ("container.id", "convis.peer.container.id"),
    ("container.name", "convis.peer.container.name"),
    ("container.image.name", "convis.peer.container.image.name"),
    ("k8s.namespace.name", "convis.peer.k8s.namespace.name"),
    ("k8s.pod.name", "convis.peer.k8s.pod.name"),
    ("k8s.pod.uid", "convis.peer.k8s.pod.uid"),
    ("k8s.container.name", "convis.peer.k8s.container.name"),
];

/// The attributes by which the events of one end name the holder of the other. Shared like a [`Resource`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(String, OwnedValue)>", into = "Vec<(String, OwnedValue)>")]
pub struct Peer {
    attributes: Vec<(&'static str, OwnedValue)>,
}

/// As it was stored; names that this version does not know are left out.
impl From<Vec<(String, OwnedValue)>> for Peer {
    fn from(stored: Vec<(String, OwnedValue)>) -> Self {
        let known = |text: &str| NAMES.iter().map(|(_, name)| *name).find(|name| *name == text);
        let attributes = stored.into_iter().filter_map(|(name, value)| Some((known(&name)?, value)));
        Self { attributes: attributes.collect() }
    }
}

impl From<Peer> for Vec<(String, OwnedValue)> {
    fn from(peer: Peer) -> Self {
        peer.attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Peer {
    /// What identifies the owner of `resource`.
    pub fn of(resource: &Resource) -> Self {
        let owned = |value: Value<'_>| match value {
            Value::Str(text) => Some(OwnedValue::from(text)),
            Value::Int(number) => Some(number.into()),
            _ => None,
        };
        let named = |(key, name)| Some((name, owned(resource.get(key)?)?));
        Self { attributes: NAMES.into_iter().filter_map(named).collect() }
    }

    /// The attributes, in a fixed order.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, Value<'_>)> {
        self.attributes.iter().map(|(key, value)| (*key, value.as_value()))
    }

    /// What people call it: its pod's name, its container's, else its executable's.
    pub(crate) fn display_name(&self) -> Option<&str> {
        let text = |wanted| {
            self.attributes().find_map(|(key, value)| match value {
                Value::Str(text) if key == wanted => Some(text),
                _ => None,
            })
        };
        ["convis.peer.k8s.pod.name", "convis.peer.container.name", "convis.peer.process.executable.name"]
            .into_iter()
            .find_map(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Event;

    /// Scenario: the Resource of a process in a container.
    /// Guarantees: each identifying attribute under its name on the other end's events, and nothing else.
    #[test]
    fn names_the_other_end() {
        let resource = Resource::builder()
            .with("host.name", "h")
            .with("process.pid", 7_u32)
            .with("process.executable.name", "nginx")
            .with("container.name", "web")
            .with("service.name", "shop")
            .build();
        let peer = Peer::of(&resource);
        let expected = [
            ("service.peer.name", Value::Str("shop")),
            ("convis.peer.process.pid", Value::Int(7)),
            ("convis.peer.process.executable.name", Value::Str("nginx")),
            ("convis.peer.container.name", Value::Str("web")),
        ];
        assert!(peer.attributes().eq(expected));
        assert_eq!(peer.display_name(), Some("web"));
        assert!(NAMES.iter().all(|(_, name)| Event::may_have(name)));
        let nobody = Peer::of(&Resource::builder().with("host.name", "h").build());
        assert_eq!((nobody.attributes().count(), nobody.display_name()), (0, None));
    }
}
