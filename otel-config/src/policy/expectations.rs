//! With whom processes are expected to be connected.

use super::{Facts, Rule};

/// What is expected of each process: the subject of a rule says of whom, its target with whom they are connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectations(pub Vec<Rule>);

impl Expectations {
    /// Whether something is expected of this end's process, and this connection is nothing of that.
    pub fn are_broken_by(&self, facts: &Facts<'_>) -> bool {
        let mut of_this = self.0.iter().filter(|rule| rule.subject.matches(facts)).peekable();
        of_this.peek().is_some() && !of_this.any(|rule| rule.target.matches(facts))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::flags::parse_expectation;
    use super::super::rule::tests::End;
    use super::*;

    fn unexpected(expectations: &[&str], end: &End) -> bool {
        let rules = expectations.iter().map(|text| parse_expectation(text).unwrap());
        let expectations = Expectations(rules.collect());
        end.with_facts(|facts| expectations.are_broken_by(facts))
    }

    /// Scenario: a client that no expectation is about, that one allows, that none allows, and several expectations.
    /// Guarantees: who is not spoken of is not judged; one of those about it is enough.
    #[test]
    fn one_that_allows_is_enough() {
        let client = End { role: Some(Role::Client), ..End::default() };
        for (expectations, expected) in [
            (&[][..], false),
            (&["executable=curl,network=loopback"], false),
            (&["executable=nginx,role=server,network=loopback"], false),
            (&["executable=nginx,role=client,network=office"], false),
            (&["executable=nginx,network=loopback"], true),
            (&["executable=nginx,role=client,network=office,port=80"], true),
            (&["executable=nginx,network=loopback", "executable=nginx,network=office"], false),
            (&["executable=nginx,network=loopback", "executable=curl,network=office"], true),
            (&["executable=nginx,cidr=10.8.0.0/16"], false),
            (&["executable=nginx,cidr=10.9.0.0/16"], true),
            (&["network=loopback"], true),
            (&["executable=nginx,network="], true),
            (&["executable=nginx,network=", "namespace=shop,port=443"], false),
        ] {
            assert_eq!(unexpected(expectations, &client), expected, "{expectations:?}");
        }
    }

    /// Scenario: an end whose role is not known, and expectations of clients and of anyone.
    /// Guarantees: it is judged by the latter only.
    #[test]
    fn an_unknown_role_is_not_judged_as_one() {
        let unknown = End { role: None, server_port: None, ..End::default() };
        assert!(!unexpected(&["executable=nginx,role=client,network=loopback"], &unknown));
        assert!(unexpected(&["executable=nginx,network=loopback"], &unknown));
    }

    /// Scenario: expectations that allow anything, or have a name without text.
    /// Guarantees: one line that says what is missing.
    #[test]
    fn mistakes_are_named() {
        for (text, words) in [
            ("executable=nginx", "network, cidr, local_cidr or port"),
            ("", "network, cidr, local_cidr or port"),
            ("executable=,network=office", "`executable` has no value"),
            ("role=,network=office", "client"),
            ("exe=nginx,network=office", "valid keys"),
        ] {
            let error = parse_expectation(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
