//! Which connections are told and counted.

use super::{Facts, Rule};

/// A connection is told if some `include` matches it or there is none, and no `exclude` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filters {
    /// Whether connections with a peer on a loopback address are told.
    pub loopback: bool,
    /// What is told; everything if there is none.
    pub include: Vec<Rule>,
    /// What is left out of that.
    pub exclude: Vec<Rule>,
}

impl Default for Filters {
    fn default() -> Self {
        Self { loopback: true, include: Vec::new(), exclude: Vec::new() }
    }
}

impl Filters {
    /// Whether this end of a connection is told and counted.
    pub fn pass(&self, facts: &Facts<'_>) -> bool {
        let any = |rules: &[Rule]| rules.iter().any(|rule| rule.matches(facts));
        (self.loopback || !facts.peer.is_loopback())
            && (self.include.is_empty() || any(&self.include))
            && !any(&self.exclude)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::tests::{End, rule};
    use super::*;

    fn passes(filters: &Filters, end: &End) -> bool {
        end.with_facts(|facts| filters.pass(facts))
    }

    /// Scenario: no rule; rules that include, that exclude, and both, in turn.
    /// Guarantees: one inclusion is enough, one exclusion is too much, and it wins.
    #[test]
    fn exclusion_wins() {
        let include = vec![rule("executable=nginx"), rule("port=22")];
        let exclude = vec![rule("executable=nginx,role=client"), rule("executable=top")];
        let nginx = End::default();
        let client = End { role: Some(super::super::Role::Client), ..End::default() };
        let other = End { executable: Some("bash"), ..End::default() };
        let ssh = End { server_port: Some(22), ..other };
        let told = |include: &[Rule], exclude: &[Rule]| {
            let filters =
                Filters { include: include.to_vec(), exclude: exclude.to_vec(), ..Filters::default() };
            [&nginx, &client, &other, &ssh].map(|end| passes(&filters, end))
        };
        assert_eq!(told(&[], &[]), [true; 4]);
        assert_eq!(told(&include, &[]), [true, true, false, true]);
        assert_eq!(told(&[], &exclude), [true, false, true, true]);
        assert_eq!(told(&include, &exclude), [true, false, false, true]);
    }

    /// Scenario: loopback is off; peers on both loopback addresses and on another.
    /// Guarantees: those on loopback are left out although a rule includes them.
    #[test]
    fn loopback_is_left_out() {
        let filters =
            Filters { loopback: false, include: vec![rule("executable=nginx")], ..Filters::default() };
        for (peer, expected) in
            [("127.0.0.1", false), ("127.9.8.7", false), ("::1", false), ("10.0.0.1", true)]
        {
            assert_eq!(passes(&filters, &End { peer, ..End::default() }), expected, "{peer}");
        }
        assert!(passes(&Filters::default(), &End { peer: "::1", ..End::default() }));
    }
}
