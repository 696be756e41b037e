//! Picks one of every so many connections.
//!
//! Connections with one key are counted, and every n-th is told, from a start that depends on a seed: so of any number of
//! them in a row the part that is told, times n, is less than n away from all. What is rare has a key of its own and is
//! not lost among what is frequent.

use std::hash::{Hash, Hasher};

use convis_otel_config::policy::{Facts, KeyPart, Role, SamplingRule};
use rustc_hash::{FxHashMap, FxHasher};

/// Keys that are counted. Beyond it all begin anew, from other starts.
const MOST_KEYS: usize = 65_536;

/// Counts connections by key.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    seed: u64,
    /// By the key's hash: how many will not be told before the next that is. Two keys of one hash count as one.
    until_next: FxHashMap<u64, u32>,
}

impl Sampler {
    /// Nothing counted yet.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, until_next: FxHashMap::default() }
    }

    /// Counts a connection; whether it is the one of `rule.one_in` that is told.
    pub(super) fn picks(&mut self, (index, rule): (usize, &SamplingRule), facts: &Facts<'_>) -> bool {
        let key = key(index, rule, facts);
        if self.until_next.len() >= MOST_KEYS && !self.until_next.contains_key(&key) {
            self.until_next.clear();
            self.seed = mixed(self.seed);
        }
        let one_in = rule.one_in.get();
        let start = || u32::try_from(mixed(self.seed ^ key) % u64::from(one_in)).unwrap_or_default();
        let left = self.until_next.entry(key).or_insert_with(start);
        let is_picked = *left == 0;
        *left = if is_picked { one_in - 1 } else { *left - 1 };
        is_picked
    }
}

fn key(index: usize, rule: &SamplingRule, facts: &Facts<'_>) -> u64 {
    let mut hasher = FxHasher::default();
    index.hash(&mut hasher);
    for part in &rule.per {
        match part {
            KeyPart::Executable => {
                let path = (facts.owner)("process.executable.path");
                path.or_else(|| (facts.owner)("process.executable.name")).hash(&mut hasher);
            }
            KeyPart::Container => (facts.owner)("container.id").hash(&mut hasher),
            KeyPart::Namespace => (facts.owner)("k8s.namespace.name").hash(&mut hasher),
            KeyPart::Role => facts.role.map(|role| role == Role::Client).hash(&mut hasher),
            KeyPart::Network => facts.network.hash(&mut hasher),
            KeyPart::Port => facts.server_port.hash(&mut hasher),
        }
    }
    hasher.finish()
}

/// The finalizer of `SplitMix64`: every bit of the result depends on every bit given.
const fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use convis_otel_config::policy::Settings;

    use super::*;

    fn rule(text: &str) -> SamplingRule {
        let mut settings = Settings::default();
        settings.add_sampling(text).unwrap();
        settings.sampling.0.remove(0)
    }

    fn picks(sampler: &mut Sampler, rule: &SamplingRule, port: u16) -> bool {
        let facts = Facts {
            owner: &|_| Some("same"),
            role: Some(Role::Server),
            local: [10, 0, 0, 1].into(),
            peer: [10, 0, 0, 2].into(),
            network: "private",
            server_port: Some(port),
        };
        sampler.picks((0, rule), &facts)
    }

    /// Scenario: rows of connections of two keys in turn, one in n of each is told, for many n and seeds.
    /// Guarantees: for each key and at any point, what was told times n is less than n away from what there was.
    #[test]
    fn what_is_told_stands_for_all() {
        for one_in in [1, 2, 3, 7, 100] {
            let rule = rule(&format!("keep=1/{one_in}"));
            for seed in 0..50 {
                let mut sampler = Sampler::new(seed);
                let mut told = [0_u32; 2];
                for all in 1..=350 {
                    for (told, port) in told.iter_mut().zip([80, 443]) {
                        *told += u32::from(picks(&mut sampler, &rule, port));
                        assert!(
                            (*told * one_in).abs_diff(all) < one_in,
                            "1/{one_in} {seed}: {told} of {all}"
                        );
                    }
                }
            }
        }
    }

    /// Scenario: a thousand keys with one connection each, a tenth of which is told.
    /// Guarantees: about a tenth is told, other ones with another seed, and the same with the same.
    #[test]
    fn what_is_rare_has_its_chance() {
        let rule = rule("keep=1/10");
        let told = |seed| -> Vec<u16> {
            let mut sampler = Sampler::new(seed);
            (1..=1000).filter(|port| picks(&mut sampler, &rule, *port)).collect()
        };
        let (one, other) = (told(1), told(2));
        assert!(
            [&one, &other].iter().all(|told| (70..=130).contains(&told.len())),
            "{} {}",
            one.len(),
            other.len()
        );
        assert!(one != other && one == told(1));
    }

    /// Scenario: the key is not the port; more keys than are counted.
    /// Guarantees: all ports count together; the number of keys is bounded.
    #[test]
    fn keys_are_chosen_and_bounded() {
        let mut sampler = Sampler::new(3);
        let together = rule("keep=1/10,per=executable,per=role");
        let told = (1..=100).filter(|port| picks(&mut sampler, &together, *port)).count();
        assert_eq!((told, sampler.until_next.len()), (10, 1));
        let apart = rule("keep=1/10,per=port,per=executable");
        for number in 0..MOST_KEYS + 10 {
            let path = number.to_string();
            let facts = Facts {
                owner: &|_| Some(&path),
                role: None,
                local: [10, 0, 0, 1].into(),
                peer: [10, 0, 0, 2].into(),
                network: "private",
                server_port: None,
            };
            sampler.picks((0, &apart), &facts);
        }
        assert!(sampler.until_next.len() <= 11, "{}", sampler.until_next.len());
    }
}
