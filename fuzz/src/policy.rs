//! Networks, filters, expectations and sampling as flags have them.

use std::net::IpAddr;

use convis_otel_config::policy::{Cidr, Facts, Filters, Policy, Role, Settings};

use super::{assert_one_line, text};

/// Rules, a line each after a letter for its flag: an error is one line; a block of addresses is read back as it is written;
/// and what a rule includes is exactly what it would exclude.
pub fn policy(bytes: &[u8]) {
    let mut settings = Settings::default();
    for line in text(bytes).lines() {
        let Some((flag, rule)) = line.split_at_checked(1) else { continue };
        let taken = match flag {
            "n" => settings.add_network(rule),
            "i" => settings.add_include(rule),
            "x" => settings.add_exclude(rule),
            "e" => settings.add_expectation(rule),
            "s" => settings.add_sampling(rule),
            _ => {
                block(rule);
                continue;
            }
        };
        if let Err(error) = taken {
            assert_one_line(&error.to_string());
        }
    }
    let policy = match Policy::new(&settings) {
        Ok(policy) => policy,
        Err(error) => return assert_one_line(&error.to_string()),
    };
    let addresses = settings.networks.iter().filter_map(|(_, block)| inside(block));
    let usual =
        ["10.8.0.1", "127.0.0.1", "::1", "2001:db8::1"].map(|address| address.parse().expect("an address"));
    for peer in addresses.chain(usual) {
        ends(&policy, peer);
    }
}

fn block(text: &str) {
    match text.parse::<Cidr>() {
        Ok(block) => {
            assert_eq!(block.to_string().parse(), Ok(block));
            assert!(inside(&block).is_some_and(|first| block.contains(first)), "{block}");
        }
        Err(why) => assert_one_line(&why),
    }
}

/// The first address of a block.
fn inside(block: &Cidr) -> Option<IpAddr> {
    block.to_string().split('/').next()?.parse().ok()
}

fn ends(policy: &Policy, peer: IpAddr) {
    let owner = |key: &'static str| match key {
        "process.executable.name" => Some("nginx"),
        "process.executable.path" => Some("/usr/sbin/nginx"),
        "container.name" => Some("web"),
        "container.id" => Some("6f0d2f4a1c3b5e7d9f8a0b2c4d6e8f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d2e"),
        "k8s.namespace.name" => Some("shop"),
        _ => None,
    };
    for (role, server_port) in [(Some(Role::Client), Some(443)), (Some(Role::Server), Some(80)), (None, None)]
    {
        let network = policy.networks.find(peer).map_or("public", |name| name.as_str());
        let facts = Facts { owner: &owner, role, local: peer, peer, network, server_port };
        for rule in policy.filters.include.iter().chain(&policy.filters.exclude) {
            let only = Filters { include: vec![rule.clone()], ..Filters::default() };
            let without = Filters { exclude: vec![rule.clone()], ..Filters::default() };
            assert_ne!(only.pass(&facts), without.pass(&facts), "{rule:?}");
            assert_eq!(only.pass(&facts), rule.matches(&facts));
        }
        let is_left_out = policy.filters.exclude.iter().any(|rule| rule.matches(&facts));
        assert!(!(is_left_out && policy.filters.pass(&facts)));
        if let Some((at, rule)) = policy.sampling.rule_for(&facts, false, false) {
            assert!(rule.rule.matches(&facts));
            assert!(!policy.sampling.0[..at].iter().any(|earlier| earlier.rule.matches(&facts)));
        }
        let _judged = policy.expectations.are_broken_by(&facts);
    }
}
