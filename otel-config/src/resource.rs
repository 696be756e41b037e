//! `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`, split by whom they describe.

use crate::{
    Sources,
    decode::{members, percent_decode},
};

/// Attributes from the environment.
///
/// These variables describe convis itself, yet they also carry what is true of the whole node, such as
/// `deployment.environment.name` or `k8s.cluster.name`. An operator injects the agent's own pod and container there:
/// put on observed processes, those would be wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceAttributes {
    /// Go on every Resource where the key is absent.
    pub everywhere: Vec<(String, String)>,
    /// Go only on convis' own telemetry: `service.*`, `process.*`, `container.*` and `k8s.*` without
    /// `k8s.cluster.*` and `k8s.node.*`.
    pub own: Vec<(String, String)>,
}

impl ResourceAttributes {
    /// Reads both variables. `OTEL_SERVICE_NAME` wins over `service.name` in the list. A list with any error is
    /// discarded as a whole with a warning, as the specification wants.
    /// <https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable>
    pub fn from_env(sources: &Sources<'_>) -> Self {
        let mut attributes = sources.parsed_var("OTEL_RESOURCE_ATTRIBUTES", parse).unwrap_or_default();
        if let Some(name) = sources.var("OTEL_SERVICE_NAME") {
            put(&mut attributes, "service.name".to_owned(), name);
        }
        let (own, everywhere) = attributes.into_iter().partition(|(key, _)| describes_convis(key));
        Self { everywhere, own }
    }
}

fn describes_convis(key: &str) -> bool {
    let of_the_agent = ["service.", "process.", "container.", "k8s."];
    let of_the_node = ["k8s.cluster.", "k8s.node."];
    let is_in = |prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    is_in(&of_the_agent) && !is_in(&of_the_node)
}

/// Reads `key=value,...` with both sides percent-decoded; the last of equal keys wins.
fn parse(list: &str) -> Result<Vec<(String, String)>, String> {
    let mut attributes = Vec::new();
    for member in members(list) {
        let (position, key, value) =
            member.map_err(|position| format!("attribute {position} has no `=`; write key=value,..."))?;
        let key = percent_decode(key).filter(|key| !key.is_empty());
        let (Some(key), Some(value)) = (key, percent_decode(value)) else {
            return Err(format!("attribute {position} has no key or a broken percent-encoding"));
        };
        put(&mut attributes, key, value);
    }
    Ok(attributes)
}

fn put(attributes: &mut Vec<(String, String)>, key: String, value: String) {
    match attributes.iter_mut().find(|(known, _)| *known == key) {
        Some(known) => known.1 = value,
        None => attributes.push((key, value)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Outside;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn the_agents_own_identity_stays_with_the_agent() {
        let outside = Outside::env(&[(
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=convis,service.version=1,process.pid=1,container.name=agent,k8s.pod.name=convis-x1,\
             k8s.cluster.name=prod,k8s.node.name=n1,deployment.environment.name=live,servicex=1,host.name=h",
        )]);

        let attributes = outside.read(ResourceAttributes::from_env);

        let own = [
            ("service.name", "convis"),
            ("service.version", "1"),
            ("process.pid", "1"),
            ("container.name", "agent"),
            ("k8s.pod.name", "convis-x1"),
        ];
        let everywhere = [
            ("k8s.cluster.name", "prod"),
            ("k8s.node.name", "n1"),
            ("deployment.environment.name", "live"),
            ("servicex", "1"),
            ("host.name", "h"),
        ];
        assert_eq!(attributes, ResourceAttributes { everywhere: pairs(&everywhere), own: pairs(&own) });
    }

    #[test]
    fn service_name_variable_wins_as_it_is() {
        let list = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=list");
        let own = |variables: &[_]| Outside::env(variables).read(ResourceAttributes::from_env).own;

        assert_eq!(own(&[list, ("OTEL_SERVICE_NAME", "a%20b")]), pairs(&[("service.name", "a%20b")]));
        assert_eq!(own(&[("OTEL_SERVICE_NAME", "alone")]), pairs(&[("service.name", "alone")]));
        assert_eq!(own(&[list, ("OTEL_SERVICE_NAME", "")]), pairs(&[("service.name", "list")]));
    }

    #[test]
    fn values_are_percent_decoded_and_the_last_key_wins() {
        let table = [
            ("", vec![]),
            ("a=1", vec![("a", "1")]),
            (" a = 1 , b=2 ,", vec![("a", "1"), ("b", "2")]),
            ("a=x%2Cy%3Dz", vec![("a", "x,y=z")]),
            ("a%2Cb=1", vec![("a,b", "1")]),
            ("a=", vec![("a", "")]),
            ("a=b=c", vec![("a", "b=c")]),
            ("a=1,b=2,a=3", vec![("a", "3"), ("b", "2")]),
        ];
        for (list, want) in table {
            assert_eq!(parse(list), Ok(pairs(&want)), "{list}");
        }
    }

    /// A half-read list would give some processes a wrong identity, so it is all or nothing.
    #[test]
    fn any_error_discards_the_whole_variable() {
        for list in ["a=1,b", "a=1,=2", "a=1,b=%zz", "a=1,b=100%", "a=1,b=%ff", "a=1,%=2"] {
            let outside = Outside::env(&[("OTEL_RESOURCE_ATTRIBUTES", list), ("OTEL_SERVICE_NAME", "still")]);

            let attributes = outside.read(ResourceAttributes::from_env);

            assert_eq!(attributes.everywhere, [], "{list}");
            assert_eq!(attributes.own, pairs(&[("service.name", "still")]), "{list}");
            let warnings = outside.warnings();
            assert_eq!(warnings.len(), 1, "{list}");
            assert!(
                warnings[0].starts_with("OTEL_RESOURCE_ATTRIBUTES is ignored: attribute 2"),
                "{warnings:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_safe(list in ".*") {
            let _ = parse(&list);
        }
    }
}
