//! Blocks of addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::error::shown;

/// The addresses that share their first bits, such as `10.8.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    /// The first of them; IPv4-mapped ones are IPv4.
    first: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Whether it holds `address`. IPv4-mapped addresses must have been unmapped before.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && {
            let (first, last) = self.range();
            (first..=last).contains(&bits(address))
        }
    }

    /// Whether its addresses are IPv4.
    pub(super) fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }

    /// Number of leading bits that its addresses share.
    pub(super) fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Its first and its last address as numbers, see [`bits`].
    pub(super) fn range(&self) -> (u128, u128) {
        let first = bits(self.first);
        (first, first | host_bits(self.first, self.prefix))
    }
}

/// An address as a number; those of the two families overlap.
pub(super) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Bits in an address of this family.
const fn width(family: IpAddr) -> u8 {
    match family {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// All bits beyond the prefix.
fn host_bits(family: IpAddr, prefix: u8) -> u128 {
    let count = u32::from(width(family).saturating_sub(prefix));
    1_u128.checked_shl(count).map_or(u128::MAX, |beyond| beyond - 1)
}

impl FromStr for Cidr {
    type Err = String;

    /// Reads `ADDRESS/PREFIX`; an address alone is the block of itself.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{}` is no CIDR; write such as 10.8.0.0/16, 2001:db8::/32 or an address", shown(text))
        };
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
            None => width(address),
        };
        if prefix > width(address) {
            return Err(wrong());
        }
        let (first, prefix) = match (address.to_canonical(), prefix.checked_sub(96)) {
            (v4 @ IpAddr::V4(_), Some(of_v4)) if address.is_ipv6() => (v4, of_v4),
            _ => (address, prefix),
        };
        let beyond = bits(first) & host_bits(first, prefix);
        if beyond != 0 {
            let meant = Self { first: network_of(first, prefix), prefix };
            return Err(format!("`{}` has bits set beyond its prefix; write {meant}", shown(text)));
        }
        Ok(Self { first, prefix })
    }
}

/// The address without the bits beyond the prefix.
fn network_of(address: IpAddr, prefix: u8) -> IpAddr {
    let kept = bits(address) & !host_bits(address, prefix);
    match address {
        // The bits of an IPv4 address fit.
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(kept).unwrap_or_default().into()),
        IpAddr::V6(_) => IpAddr::V6(kept.into()),
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    /// Scenario: blocks of both families, single addresses, a mapped block, the whole of each family.
    /// Guarantees: their edges are inside, their neighbours and the other family are not.
    #[test]
    fn edges_are_inside() {
        for (block, inside, outside) in [
            ("10.8.0.0/16", &["10.8.0.0", "10.8.255.255"][..], &["10.7.255.255", "10.9.0.0", "::a08:0"][..]),
            ("192.0.2.7", &["192.0.2.7"], &["192.0.2.6", "192.0.2.8"]),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::", "::1"]),
            ("::/0", &["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], &["0.0.0.0", "127.0.0.1"]),
            ("2001:db8::/32", &["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"], &["2001:db9::"]),
            ("::1", &["::1"], &["::", "::2", "0.0.0.1"]),
            ("::ffff:10.8.0.0/112", &["10.8.0.0", "10.8.255.255"], &["10.9.0.0"]),
        ] {
            let block = cidr(block);
            assert!(inside.iter().all(|address| block.contains(address.parse().unwrap())), "{block}");
            assert!(!outside.iter().any(|address| block.contains(address.parse().unwrap())), "{block}");
        }
        assert_eq!(cidr("::ffff:10.8.0.0/112").to_string(), "10.8.0.0/16");
    }

    /// Scenario: text that is no block, and blocks that name an address inside of them.
    /// Guarantees: one line each, the latter with the block that is meant.
    #[test]
    fn mistakes_are_named() {
        for text in
            ["", "10.8.0.0/", "10.8.0.0/33", "::/129", "10.8/16", "office", "10.0.0.0/+8", "10.0.0.0/8/8"]
        {
            let error = text.parse::<Cidr>().unwrap_err();
            assert!(error.contains("is no CIDR") && error.contains("10.8.0.0/16"), "{error}");
        }
        assert!("10.8.1.0/16".parse::<Cidr>().unwrap_err().ends_with("write 10.8.0.0/16"));
        assert!("2001:db8::1/32".parse::<Cidr>().unwrap_err().ends_with("write 2001:db8::/32"));
    }

    proptest! {
        /// Scenario: any address and prefix.
        /// Guarantees: the block around the address holds it and is read back as it is written.
        #[test]
        fn written_and_read_back(address in any::<IpAddr>(), prefix in 0_u8..=128) {
            let address = address.to_canonical();
            let prefix = prefix.min(width(address));
            let block = Cidr { first: network_of(address, prefix), prefix };
            prop_assert!(block.contains(address));
            prop_assert_eq!(block.to_string().parse::<Cidr>(), Ok(block));
        }

        /// Scenario: any text.
        /// Guarantees: an answer.
        #[test]
        fn any_text_is_safe(text in ".*") {
            let _ = text.parse::<Cidr>();
        }
    }
}
