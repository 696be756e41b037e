//! What is told of which connections, and what their networks are called.

mod cidr;
mod expectations;
mod filters;
mod flags;
mod networks;
mod pattern;
mod rule;
mod sampling;

pub use cidr::Cidr;
pub use expectations::Expectations;
pub use filters::Filters;
pub(crate) use networks::parse_blocks;
pub use networks::{BUILT_IN_NETWORKS, NetworkName, Networks, parse_network};
pub use pattern::Pattern;
pub use rule::{Facts, Role, Rule, Subject, Target};
pub(crate) use sampling::Draft;
pub use sampling::{KeyPart, Sampling, SamplingRule};

use crate::{ConfigError, Problem};

/// What the user writes, from flags and files together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Blocks of addresses, and what their networks are called.
    pub networks: Vec<(NetworkName, Cidr)>,
    /// Which connections are told.
    pub filters: Filters,
    /// Which connections are unexpected.
    pub expectations: Expectations,
    /// Of which connections only a part is told.
    pub sampling: Sampling,
}

impl Settings {
    /// Adds what another place says. Of rules whose order counts, those here come first; loopback is left out if either does.
    pub fn extend(&mut self, other: Self) {
        self.networks.extend(other.networks);
        self.filters.loopback &= other.filters.loopback;
        self.filters.include.extend(other.filters.include);
        self.filters.exclude.extend(other.filters.exclude);
        self.expectations.0.extend(other.expectations.0);
        self.sampling.0.extend(other.sampling.0);
    }
}

/// The same, ready to be applied to connections. The default tells of everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Names of networks.
    pub networks: Networks,
    /// Which connections are told.
    pub filters: Filters,
    /// Which connections are unexpected.
    pub expectations: Expectations,
    /// Of which connections only a part is told.
    pub sampling: Sampling,
}

impl Policy {
    /// Whether every connection is told, and none is unexpected, whatever it is.
    pub const fn tells_all(&self) -> bool {
        let Self { networks: _, filters, expectations, sampling } = self;
        let passes_all = filters.loopback && filters.include.is_empty() && filters.exclude.is_empty();
        passes_all && expectations.0.is_empty() && sampling.0.is_empty()
    }

    /// Makes it of settings.
    ///
    /// # Errors
    /// Settings contradict each other.
    pub fn new(settings: &Settings) -> Result<Self, ConfigError> {
        let refused =
            |place: &str, why| ConfigError { place: place.to_owned(), problem: Problem::Policy(why) };
        let networks = Networks::new(&settings.networks).map_err(|why| refused("networks", why))?;
        let filters = settings.filters.clone();
        let rules = filters.include.iter().chain(&filters.exclude);
        known(&networks, rules).map_err(|why| refused("filters", why))?;
        let expectations = settings.expectations.clone();
        known(&networks, expectations.0.iter()).map_err(|why| refused("expect", why))?;
        let sampling = settings.sampling.clone();
        let rules = sampling.0.iter().map(|sampling| &sampling.rule);
        known(&networks, rules).map_err(|why| refused("sampling", why))?;
        Ok(Self { networks, filters, expectations, sampling })
    }
}

/// Refuses rules that speak of networks that are not there.
fn known<'a>(networks: &Networks, rules: impl Iterator<Item = &'a Rule>) -> Result<(), String> {
    let is_known = |name: &NetworkName| {
        BUILT_IN_NETWORKS.contains(&name.as_str()) || networks.names().any(|known| known == *name)
    };
    let Some(unknown) = rules.flat_map(Rule::networks).find(|name| !is_known(name)) else {
        return Ok(());
    };
    let named = networks.names().map(NetworkName::as_str);
    let valid: Vec<_> = BUILT_IN_NETWORKS.into_iter().chain(named).collect();
    Err(format!("there is no network `{unknown}`; valid: {}", valid.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: rules that speak of a built-in network, of a named one, and of one that is not there.
    /// Guarantees: the last is refused, with those there are.
    #[test]
    fn rules_speak_of_known_networks() {
        let mut settings = Settings::default();
        settings.add_network("office=10.8.0.0/16").unwrap();
        settings.add_include("network=office,network=link_local").unwrap();
        assert!(Policy::new(&settings).is_ok());
        settings.add_sampling("keep=1/2,network=lab").unwrap();
        assert!(Policy::new(&settings).unwrap_err().to_string().starts_with("sampling: there is no network"));
        settings.add_expectation("executable=nginx,network=offcie").unwrap();
        assert!(Policy::new(&settings).unwrap_err().to_string().starts_with("expect: there is no network"));
        settings.add_exclude("network=offcie").unwrap();
        assert_eq!(
            Policy::new(&settings).unwrap_err().to_string(),
            "filters: there is no network `offcie`; valid: loopback, private, link_local, public, office"
        );
    }
}
