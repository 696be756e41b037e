//! The Resource that events and metric points belong to.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::value::{OwnedValue, Value};

/// An immutable set of Resource attributes, sorted by key, each key once.
///
/// Resources are shared by `Arc`: all events of one process image carry the same allocation, which sinks may use to
/// group them without comparing attributes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resource {
    attributes: Vec<(Cow<'static, str>, OwnedValue)>,
}

impl Resource {
    /// Starts an empty set.
    pub fn builder() -> ResourceBuilder {
        ResourceBuilder { attributes: Vec::with_capacity(16) }
    }

    /// The attributes in key order.
    pub fn attributes(&self) -> impl ExactSizeIterator<Item = (&str, Value<'_>)> {
        self.attributes.iter().map(|(key, value)| (key.as_ref(), value.as_value()))
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<Value<'_>> {
        let index = self.attributes.binary_search_by(|(candidate, _)| candidate.as_ref().cmp(key)).ok()?;
        Some(self.attributes[index].1.as_value())
    }

    /// The string under `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Value::Str(text)) => Some(text),
            _ => None,
        }
    }
}

/// Collects attributes; the first value given for a key stays.
#[derive(Debug, Default)]
pub struct ResourceBuilder {
    attributes: Vec<(Cow<'static, str>, OwnedValue)>,
}

impl ResourceBuilder {
    /// Adds an attribute unless its key is already there.
    #[must_use]
    pub fn with(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<OwnedValue>) -> Self {
        let key = key.into();
        if !self.attributes.iter().any(|(present, _)| *present == key) {
            self.attributes.push((key, value.into()));
        }
        self
    }

    /// Adds an attribute when its value is known.
    #[must_use]
    pub fn with_opt(self, key: impl Into<Cow<'static, str>>, value: Option<impl Into<OwnedValue>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The finished Resource.
    pub fn build(mut self) -> Resource {
        self.attributes.sort_by(|(left, _), (right, _)| left.cmp(right));
        Resource { attributes: self.attributes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: keys arrive unsorted and one arrives twice.
    /// Guarantees: look-up works and the first value stays.
    #[test]
    fn first_value_of_a_key_stays() {
        let resource = Resource::builder()
            .with("process.pid", 7_u32)
            .with("host.name", "a")
            .with("host.name", "b")
            .with_opt("container.id", None::<&str>)
            .build();
        assert_eq!(resource.text("host.name"), Some("a"));
        assert_eq!(resource.get("process.pid"), Some(Value::Int(7)));
        assert_eq!(resource.get("container.id"), None);
        assert_eq!(
            resource.attributes().map(|(key, _)| key).collect::<Vec<_>>(),
            ["host.name", "process.pid"]
        );
    }
}
