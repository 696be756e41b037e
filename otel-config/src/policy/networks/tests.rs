use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> NetworkName {
    NetworkName::new(text).unwrap()
}

fn networks(lines: &[&str]) -> Result<Networks, String> {
    let blocks: Result<Vec<_>, _> = lines.iter().map(|line| parse_network(line)).collect();
    Networks::new(&blocks?.concat())
}

fn found(networks: &Networks, address: &str) -> Option<&'static str> {
    networks.find(address.parse().unwrap()).map(NetworkName::as_str)
}

/// Scenario: blocks inside of blocks, of one name and of others, up to both ends of the address space.
/// Guarantees: the innermost block's name, on both sides of each edge.
#[test]
fn the_longest_prefix_wins() {
    let networks = networks(&[
        "office=10.8.0.0/16,10.9.0.0/16",
        "printers=10.8.3.0/24",
        "one=10.8.3.7",
        "all=0.0.0.0/0",
        "top=255.255.255.0/24",
        "v6=2001:db8::/32,ffff::/16",
    ]);
    let networks = networks.unwrap();
    for (address, expected) in [
        ("0.0.0.0", Some("all")),
        ("10.7.255.255", Some("all")),
        ("10.8.0.0", Some("office")),
        ("10.8.3.6", Some("printers")),
        ("10.8.3.7", Some("one")),
        ("10.8.3.8", Some("printers")),
        ("10.8.4.0", Some("office")),
        ("10.9.255.255", Some("office")),
        ("10.10.0.0", Some("all")),
        ("255.255.255.255", Some("top")),
        ("::", None),
        ("2001:db7:ffff::", None),
        ("2001:db8::", Some("v6")),
        ("2001:db9::", None),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("v6")),
    ] {
        assert_eq!(found(&networks, address), expected, "{address}");
    }
    let names: Vec<_> = networks.names().map(NetworkName::as_str).collect();
    assert_eq!(names, ["all", "office", "one", "printers", "top", "v6"]);
}

/// Scenario: a block with two names, one that is said twice, names and lines that cannot be.
/// Guarantees: one line that says what is wrong; saying the same twice is no mistake.
#[test]
fn mistakes_are_named() {
    assert_eq!(
        networks(&["a=10.0.0.0/8", "b=10.0.0.0/8"]),
        Err("10.0.0.0/8 is in both `a` and `b`; give it to one of them".to_owned())
    );
    assert!(networks(&["a=10.0.0.0/8,10.0.0.0/8", "b=10.0.0.0/9"]).is_ok());
    for line in
        ["office", "=10.0.0.0/8", "of fice=10.0.0.0/8", "office=", "office=10.0.0.0/8,", "office=here"]
    {
        assert!(networks(&[line]).is_err(), "{line}");
    }
    assert!(NetworkName::new(&"x".repeat(65)).is_err() && NetworkName::new(&"x".repeat(64)).is_ok());
}

/// Scenario: a name is said twice.
/// Guarantees: it is kept once.
#[test]
fn names_are_kept_once() {
    let said = String::from("kept-once");
    assert!(std::ptr::eq(name(&said).as_str(), name("kept-once").as_str()));
}

/// Blocks that often lie in each other.
fn block() -> impl Strategy<Value = Cidr> {
    let v4 = (any::<u32>(), prop_oneof![0_u8..=32, 28_u8..=32]).prop_map(|(bits, prefix)| {
        let kept = bits & 0xc000_00ff & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        format!("{}/{prefix}", Ipv4Addr::from(kept))
    });
    let v6 = (any::<u8>(), 120_u8..=128).prop_map(|(low, prefix)| {
        let kept = (u128::MAX << 8 | u128::from(low)) & u128::MAX << (128 - prefix);
        format!("{}/{prefix}", Ipv6Addr::from(kept))
    });
    prop_oneof![v4, v6].prop_map(|text| text.parse().unwrap())
}

fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = any::<u32>().prop_map(|bits| IpAddr::V4((bits & 0xc000_00ff).into()));
    let v6 = any::<u8>().prop_map(|low| IpAddr::V6((u128::MAX << 8 | u128::from(low)).into()));
    prop_oneof![v4, v6, any::<IpAddr>()]
}

proptest! {
    /// Scenario: any blocks, any addresses.
    /// Guarantees: what a look at every block finds: the name of the longest prefix around the address.
    #[test]
    fn as_a_look_at_every_block(
        blocks in proptest::collection::btree_set(block(), 0..12),
        addresses in proptest::collection::vec(address(), 20),
    ) {
        let blocks: Vec<_> =
            blocks.into_iter().enumerate().map(|(index, block)| (name(&format!("n{}", index % 4)), block)).collect();
        let networks = Networks::new(&blocks).unwrap();
        let edges = blocks.iter().filter(|(_, block)| block.is_ipv4()).flat_map(|(_, block)| {
            let (first, last) = block.range();
            [first, last, first.saturating_sub(1), last + 1].map(|edge| {
                IpAddr::V4(u32::try_from(edge).unwrap_or(u32::MAX).into())
            })
        });
        for address in addresses.into_iter().chain(edges) {
            let around = blocks.iter().filter(|(_, block)| block.contains(address));
            let longest = around.max_by_key(|(_, block)| block.prefix());
            prop_assert_eq!(networks.find(address), longest.map(|(name, _)| *name), "{}", address);
        }
    }
}
