//! A Resource as labels: `job`, `instance`, the labels of every series, and `target_info`.

use std::borrow::Cow;

use super::labels::{Labels, NAME, Pair, from_attributes};
use crate::model::metric::AttributeSet;
use crate::model::{Descriptor, Instrument, Resource, SCHEMA_URL, SCOPE_NAME, SCOPE_VERSION};

/// The series that says what is known of a Resource.
pub(super) static TARGET_INFO: Descriptor = Descriptor {
    name: "target_info",
    unit: "",
    description: "Target metadata",
    instrument: Instrument::UpDownCounter,
};

/// What makes up `job` and `instance`.
const IDENTITY: [&str; 3] = ["service.instance.id", "service.name", "service.namespace"];

/// Who a series is about.
pub(super) struct Identity<'a> {
    resource: &'a Resource,
    job: Option<Cow<'a, str>>,
    instance: Option<&'a str>,
    /// Resource attributes on every series.
    common: Vec<Pair<'a>>,
}

impl<'a> Identity<'a> {
    /// `keys` are the Resource attributes that every series has, in order.
    pub(super) fn of(resource: &'a Resource, keys: &'a [String]) -> Self {
        let name = resource.text("service.name").filter(|name| !name.is_empty());
        let namespace = resource.text("service.namespace").filter(|namespace| !namespace.is_empty());
        let job = name.map(|name| match namespace {
            Some(namespace) => format!("{namespace}/{name}").into(),
            None => name.into(),
        });
        let chosen = keys.iter().filter_map(|key| Some((key.as_str(), resource.get(key)?)));
        let instance = resource.text("service.instance.id").filter(|id| !id.is_empty());
        Self { resource, job, instance, common: from_attributes(chosen) }
    }

    /// The labels of a series of the metric that is called `name`.
    pub(super) fn series(&self, name: &str, attributes: &AttributeSet) -> Labels {
        let mut pairs = self.pairs(name);
        pairs.extend([
            ("otel_scope_name".into(), SCOPE_NAME.into()),
            ("otel_scope_version".into(), SCOPE_VERSION.into()),
            ("otel_scope_schema_url".into(), SCHEMA_URL.into()),
        ]);
        let attributes = attributes.iter().map(|(key, value)| (*key, value.as_value()));
        pairs.extend(from_attributes(attributes));
        pairs.extend(self.common.iter().cloned());
        Labels::new(pairs)
    }

    /// The labels of `target_info`; `None` where it would say nothing, or not about whom.
    pub(super) fn target_info(&self) -> Option<Labels> {
        self.key()?;
        let others = self.resource.attributes().filter(|(key, _)| !IDENTITY.contains(key));
        let others = from_attributes(others);
        if others.iter().all(|(name, value)| name.is_empty() || value.is_empty()) {
            return None;
        }
        let mut pairs = self.pairs(TARGET_INFO.name);
        pairs.extend(others);
        Some(Labels::new(pairs))
    }

    /// `job` and `instance`, of which there is one `target_info`.
    pub(super) fn key(&self) -> Option<(&str, &str)> {
        Some((self.job.as_deref()?, self.instance?))
    }

    fn pairs<'b>(&'b self, name: &'b str) -> Vec<Pair<'b>> {
        let mut pairs: Vec<Pair<'b>> = Vec::with_capacity(24);
        pairs.push((NAME.into(), name.into()));
        pairs.extend(self.job.as_deref().map(|job| ("job".into(), job.into())));
        pairs.extend(self.instance.map(|instance| ("instance".into(), instance.into())));
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(attributes: &[(&'static str, &str)]) -> Resource {
        let builder = attributes.iter().fold(Resource::builder(), |all, (key, value)| all.with(*key, *value));
        builder.build()
    }

    fn text(labels: &Labels) -> String {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        labels.join(" ")
    }

    /// Scenario: a service with a namespace; an attribute that wants to be the job, a chosen one that the point has too.
    /// Guarantees: job and instance as specified and not to be overridden; the point's own attribute wins.
    #[test]
    fn a_service_is_job_and_instance() {
        let resource = resource(&[
            ("host.name", "node-1"),
            ("service.instance.id", "i"),
            ("service.name", "web"),
            ("service.namespace", "shop"),
        ]);
        let keys = ["container.name".to_owned(), "host.name".to_owned()];
        let identity = Identity::of(&resource, &keys);
        let attributes = vec![("host.name", "other".into()), ("job", "mine".into())];
        assert_eq!(
            text(&identity.series("convis_tcp_connection_io_bytes_total", &attributes)),
            format!(
                "__name__=convis_tcp_connection_io_bytes_total host_name=other instance=i job=shop/web \
                 otel_scope_name=convis otel_scope_schema_url={SCHEMA_URL} otel_scope_version={SCOPE_VERSION}"
            )
        );
        let info = identity.target_info().unwrap();
        assert_eq!(text(&info), "__name__=target_info host_name=node-1 instance=i job=shop/web");
    }

    /// Scenario: Resources without instance, and without anything else.
    /// Guarantees: no `target_info`; an absent label is absent.
    #[test]
    fn target_info_needs_a_subject_and_something_to_say() {
        let lacking = resource(&[("host.name", "node-1"), ("service.name", "web")]);
        let identity = Identity::of(&lacking, &[]);
        assert_eq!(identity.target_info(), None);
        assert_eq!(
            identity.series("convis_tcp_connection_io_bytes_total", &Vec::new()).get("instance"),
            None
        );
        let silent = resource(&[("service.instance.id", "i"), ("service.name", "web")]);
        assert_eq!(Identity::of(&silent, &[]).target_info(), None);
    }
}
