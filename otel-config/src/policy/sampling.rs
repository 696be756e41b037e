//! Of which connections only a part is told.

use std::num::NonZeroU32;

use super::{Facts, Rule};
use crate::error::shown;

/// Rarer than this tells nothing.
const MOST: u32 = 1_000_000;

/// Rules, of which the first that matches a connection counts. What none matches is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sampling(pub Vec<SamplingRule>);

/// One of every so many connections is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SamplingRule {
    /// The connections; all if there is no condition.
    pub rule: Rule,
    /// One of so many.
    pub one_in: NonZeroU32,
    /// What connections must have in common to be counted together.
    pub per: Vec<KeyPart>,
    /// Whether attempts that failed are sampled as well; else each of them is told.
    pub failed: bool,
    /// Whether unexpected connections are.
    pub unexpected: bool,
}

/// A part of the key by which connections are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPart {
    /// The executable's path.
    Executable,
    /// The container's id.
    Container,
    /// The pod's namespace.
    Namespace,
    /// The end that the process holds.
    Role,
    /// What the peer's network is called.
    Network,
    /// The server's port.
    Port,
}

impl KeyPart {
    const ALL: [(&'static str, Self); 6] = [
        ("executable", Self::Executable),
        ("container", Self::Container),
        ("namespace", Self::Namespace),
        ("role", Self::Role),
        ("network", Self::Network),
        ("port", Self::Port),
    ];
    /// What counts together if nothing is said.
    const USUAL: [Self; 3] = [Self::Executable, Self::Container, Self::Port];

    fn read(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(name, _)| *name == text);
        found.map(|(_, part)| part).ok_or_else(|| {
            let valid = Self::ALL.map(|(name, _)| name).join(", ");
            format!("`{}` is nothing that `per` knows; valid: {valid}", shown(text))
        })
    }
}

impl Sampling {
    /// The rule for this connection, with its position; `None` if it is told in any case.
    pub fn rule_for(
        &self,
        facts: &Facts<'_>,
        is_failed: bool,
        is_unexpected: bool,
    ) -> Option<(usize, &SamplingRule)> {
        let mut rules = self.0.iter().enumerate();
        let (index, rule) = rules.find(|(_, sampling)| sampling.rule.matches(facts))?;
        let is_spared = (is_failed && !rule.failed) || (is_unexpected && !rule.unexpected);
        (!is_spared).then_some((index, rule))
    }
}

/// A rule as it is read.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    rule: Rule,
    one_in: Option<NonZeroU32>,
    per: Option<Vec<KeyPart>>,
    also: Option<(bool, bool)>,
}

impl Draft {
    /// Sets `keep`, `per`, `also`, or a condition.
    pub(crate) fn set(&mut self, key: &str, values: &[&str]) -> Result<(), String> {
        let is_set = match key {
            "keep" => self.one_in.replace(keep(values)?).is_some(),
            "per" => {
                let parts: Result<Vec<_>, _> = values.iter().map(|value| KeyPart::read(value)).collect();
                self.per.replace(parts?).is_some()
            }
            "also" => self.also.replace(also(values)?).is_some(),
            _ => {
                return self
                    .rule
                    .set(key, values)
                    .map_err(|why| why.replace("valid keys: ", "valid keys: keep, per, also, "));
            }
        };
        if is_set { Err(format!("`{key}` is given twice")) } else { Ok(()) }
    }

    /// The rule, if it is whole.
    pub(crate) fn finish(self) -> Result<SamplingRule, String> {
        if self.rule.target.has_empty_list() {
            return Err("a condition has no value, so that nothing would ever meet it".to_owned());
        }
        let one_in = self.one_in.ok_or("`keep` is missing; write such as 1/100")?;
        let per = self.per.unwrap_or_else(|| KeyPart::USUAL.to_vec());
        let (failed, unexpected) = self.also.unwrap_or_default();
        Ok(SamplingRule { rule: self.rule, one_in, per, failed, unexpected })
    }
}

/// `1/100` or `1 in 100`.
fn keep(values: &[&str]) -> Result<NonZeroU32, String> {
    let number = |text: &str| {
        let number = text.strip_prefix("1/").or_else(|| text.strip_prefix("1 in "))?;
        let is_plain = number.bytes().all(|digit| digit.is_ascii_digit());
        NonZeroU32::new(number.parse().ok()?).filter(|number| is_plain && number.get() <= MOST)
    };
    let found = if let [text] = values { number(text) } else { None };
    found.ok_or_else(|| format!("keep is one of how many, up to {MOST}; write such as 1/100 or 1 in 100"))
}

/// Whether failed attempts and unexpected connections are among them.
fn also(values: &[&str]) -> Result<(bool, bool), String> {
    match values.iter().find(|value| !["failed", "unexpected"].contains(value)) {
        Some(other) => {
            Err(format!("`{}` is nothing that `also` knows; valid: failed, unexpected", shown(other)))
        }
        None => Ok((values.contains(&"failed"), values.contains(&"unexpected"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::flags::parse_sampling;
    use super::super::rule::tests::End;
    use super::*;

    fn read(text: &str) -> SamplingRule {
        parse_sampling(text).unwrap()
    }

    /// Scenario: rules with and without each key.
    /// Guarantees: what is not said is as documented.
    #[test]
    fn rules_are_read() {
        let rule = read("keep=1/100,executable=nginx");
        assert_eq!(
            (rule.one_in.get(), rule.per, rule.failed, rule.unexpected),
            (100, KeyPart::USUAL.to_vec(), false, false)
        );
        let rule = read("keep=1 in 7,per=role,per=network,also=failed");
        assert!(rule.rule.is_empty());
        assert_eq!((rule.one_in.get(), rule.per), (7, vec![KeyPart::Role, KeyPart::Network]));
        assert_eq!((rule.failed, rule.unexpected), (true, false));
        let rule = read("keep=1/1,per=,also=failed,also=unexpected");
        assert_eq!((rule.one_in.get(), rule.per, rule.failed, rule.unexpected), (1, Vec::new(), true, true));
    }

    /// Scenario: text that is no such rule.
    /// Guarantees: one line that says what is wrong or valid.
    #[test]
    fn mistakes_are_named() {
        for (text, words) in [
            ("", "`keep` is missing"),
            ("executable=nginx", "`keep` is missing"),
            ("keep=0.1", "1/100"),
            ("keep=1/0", "1/100"),
            ("keep=2/3", "1/100"),
            ("keep=1/+3", "1/100"),
            ("keep=1/1000001", "up to 1000000"),
            ("keep=1/2,keep=1/3", "1/100"),
            ("keep=1/2,per=pod", "executable, container, namespace, role, network, port"),
            ("keep=1/2,also=all", "failed, unexpected"),
            ("keep=1/2,exe=x", "keep, per, also, executable"),
        ] {
            let error = parse_sampling(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    /// Scenario: a connection that two rules match, and none; one that failed, and one that is unexpected.
    /// Guarantees: the first rule counts; the latter two are told unless it says otherwise.
    #[test]
    fn the_first_rule_counts() {
        let sampling = Sampling(vec![
            read("keep=1/2,executable=curl"),
            read("keep=1/3,executable=nginx"),
            read("keep=1/4,also=failed"),
        ]);
        let found = |end: &End, failed, unexpected| {
            end.with_facts(|facts| {
                sampling.rule_for(facts, failed, unexpected).map(|(_, rule)| rule.one_in.get())
            })
        };
        let nginx = End::default();
        let other = End { executable: Some("bash"), ..nginx };
        assert_eq!((found(&nginx, false, false), found(&other, false, false)), (Some(3), Some(4)));
        assert_eq!((found(&nginx, true, false), found(&other, true, false)), (None, Some(4)));
        assert_eq!((found(&nginx, false, true), found(&other, true, true)), (None, None));
        assert!(nginx.with_facts(|facts| Sampling::default().rule_for(facts, false, false).is_none()));
    }
}
