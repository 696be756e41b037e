use proptest::prelude::*;

use super::*;
use crate::policy::flags::parse_rule;

const ID: &str = "6f0d2f4a1c3b5e7d9f8a0b2c4d6e8f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d2e";

/// A server's end in a pod.
#[derive(Clone, Copy)]
pub(in super::super) struct End {
    pub(in super::super) executable: Option<&'static str>,
    pub(in super::super) role: Option<Role>,
    pub(in super::super) peer: &'static str,
    pub(in super::super) network: &'static str,
    pub(in super::super) server_port: Option<u16>,
}

impl Default for End {
    fn default() -> Self {
        Self {
            executable: Some("nginx"),
            role: Some(Role::Server),
            peer: "10.8.0.7",
            network: "office",
            server_port: Some(443),
        }
    }
}

impl End {
    pub(in super::super) fn with_facts<T>(&self, then: impl FnOnce(&Facts<'_>) -> T) -> T {
        let owner = |key: &'static str| match key {
            "process.executable.name" => self.executable,
            "process.executable.path" => self.executable.map(|_| "/usr/sbin/nginx"),
            "container.name" => Some("shop_web_1"),
            "k8s.container.name" => Some("web"),
            "container.id" => Some(ID),
            "k8s.namespace.name" => Some("shop"),
            _ => None,
        };
        then(&Facts {
            owner: &owner,
            role: self.role,
            local: "192.0.2.1".parse().unwrap(),
            peer: self.peer.parse().unwrap(),
            network: self.network,
            server_port: self.server_port,
        })
    }
}

pub(in super::super) fn rule(text: &str) -> Rule {
    parse_rule(text).unwrap()
}

fn matches(text: &str) -> bool {
    End::default().with_facts(|facts| rule(text).matches(facts))
}

/// Scenario: each condition, met and not met, alone and together.
/// Guarantees: one of a list is enough, all conditions must hold.
#[test]
fn conditions_are_met_or_not() {
    for (text, expected) in [
        ("executable=nginx", true),
        ("executable=/usr/sbin/nginx", true),
        ("executable=/usr/*", true),
        ("executable=sbin/nginx", false),
        ("executable=curl,executable=ngin*", true),
        ("container=shop_web_1", true),
        ("container=web", true),
        ("container=shop", false),
        ("container=6f0d2f4a1c3b", true),
        ("container=6f0d2f4a1c3", false),
        ("container=6f0d2f4a1c3b5e7d9f8a0b2c4d6e8f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d2e", true),
        ("namespace=shop", true),
        ("namespace=sh", false),
        ("role=server", true),
        ("role=client", false),
        ("network=office", true),
        ("network=private", false),
        ("network=private,network=office", true),
        ("cidr=10.8.0.0/16", true),
        ("cidr=10.9.0.0/16", false),
        ("local_cidr=192.0.2.0/24", true),
        ("local_cidr=10.8.0.0/16", false),
        ("port=443", true),
        ("port=400-500", true),
        ("port=80,port=8000-9000", false),
        ("executable=nginx,port=443,role=server,namespace=shop,cidr=10.8.0.7", true),
        ("executable=nginx,port=80", false),
        ("executables=nginx,networks=office,ports=443,cidrs=10.8.0.0/16", true),
    ] {
        assert_eq!(matches(text), expected, "{text}");
    }
}

/// Scenario: an end of which neither process, nor role, nor port is known.
/// Guarantees: no condition on them holds, the others do.
#[test]
fn what_is_not_known_meets_no_condition() {
    let unknown = End { executable: None, role: None, server_port: None, ..End::default() };
    for text in ["executable=*", "role=client", "role=server", "port=1-65535"] {
        assert!(!unknown.with_facts(|facts| rule(text).matches(facts)), "{text}");
    }
    assert!(unknown.with_facts(|facts| rule("cidr=10.8.0.7").matches(facts)));
}

/// Scenario: text that is no rule.
/// Guarantees: one line that says what is wrong or valid.
#[test]
fn mistakes_are_named() {
    for (text, words) in [
        ("", "no condition"),
        ("nginx", "key=value"),
        ("exe=nginx", "executable, container, namespace, role, network, cidr, local_cidr, port"),
        ("executable=", "is empty"),
        ("executable=a,executables=b", "given twice"),
        ("role=both", "client"),
        ("role=client,role=server", "client"),
        ("port=0", "8000-8999"),
        ("port=9-8", "8000-8999"),
        ("port=+80", "8000-8999"),
        ("port=65536", "8000-8999"),
        ("cidr=10.8.0.1/16", "10.8.0.0/16"),
        ("network=", "no name"),
        ("executable=a\\b", "escape"),
    ] {
        let error = parse_rule(text).unwrap_err();
        assert!(error.contains(words) && !error.contains('\n'), "{text}: {error}");
    }
    assert!(rule("executable=a\\,b").subject.executables[0].matches("a,b"));
}

proptest! {
    /// Scenario: any text.
    /// Guarantees: an answer of one line.
    #[test]
    fn any_text_is_safe(text in ".*") {
        if let Err(error) = parse_rule(&text) {
            prop_assert!(!error.contains('\n'));
        }
    }
}
