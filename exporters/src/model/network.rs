//! What the network around a peer's address is called.

use std::net::IpAddr;

use convis_otel_config::policy::{NetworkName, Networks};
use serde::{Deserialize, Serialize};

/// What kind of network a peer's address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PeerNetwork {
    /// 127.0.0.0/8, `::1`.
    Loopback,
    /// RFC 1918, RFC 6598 and RFC 4193.
    Private,
    /// 169.254.0.0/16, `fe80::/10`.
    LinkLocal,
    /// Anything else.
    Public,
    /// One that the user named. Made by [`PeerNetwork::named`], so that one name is one value.
    Named(#[serde(with = "as_text")] NetworkName),
}

impl PeerNetwork {
    /// The kinds that need no configuration.
    pub const BUILT_IN: [Self; 4] = [Self::Loopback, Self::Private, Self::LinkLocal, Self::Public];

    /// The kind of network that `address` belongs to by itself. IPv4-mapped addresses must have been unmapped before.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) if v4.is_loopback() => Self::Loopback,
            IpAddr::V4(v4) if v4.is_link_local() => Self::LinkLocal,
            IpAddr::V4(v4) => {
                let [first, second, ..] = v4.octets();
                let shared = first == 100 && second & 0xc0 == 64;
                if v4.is_private() || shared { Self::Private } else { Self::Public }
            }
            IpAddr::V6(v6) if v6.is_loopback() => Self::Loopback,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Self::LinkLocal,
            IpAddr::V6(v6) if v6.is_unique_local() => Self::Private,
            IpAddr::V6(_) => Self::Public,
        }
    }

    /// The name that the user gave the network around `address`, else the kind that it is by itself.
    pub fn among(networks: &Networks, address: IpAddr) -> Self {
        networks.find(address).map_or_else(|| Self::of(address), Self::named)
    }

    /// The network of this name. A user may give more addresses to one of [`PeerNetwork::BUILT_IN`].
    pub fn named(name: NetworkName) -> Self {
        let built_in = Self::BUILT_IN.into_iter().find(|network| network.as_str() == name.as_str());
        built_in.unwrap_or(Self::Named(name))
    }

    /// Value of `convis.peer.network`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link_local",
            Self::Public => "public",
            Self::Named(name) => name.as_str(),
        }
    }
}

/// A name as text, which is all of it that outlives the process.
mod as_text {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::NetworkName;

    pub(super) fn serialize<S: Serializer>(name: &NetworkName, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NetworkName, D::Error> {
        NetworkName::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use convis_otel_config::policy::{BUILT_IN_NETWORKS, parse_network};

    use super::*;

    /// Scenario: an office inside of the private addresses, and a public block that counts as private.
    /// Guarantees: the user's names come first, others stay what they are, and one name is one value.
    #[test]
    fn names_of_the_user_come_first() {
        let lines = ["office=10.8.0.0/16,2001:db8::/32", "private=192.0.2.0/24"];
        let blocks: Vec<_> = lines.into_iter().flat_map(|line| parse_network(line).unwrap()).collect();
        let networks = Networks::new(&blocks).unwrap();
        let of = |address: &str| PeerNetwork::among(&networks, address.parse().unwrap());
        let office = PeerNetwork::named(NetworkName::new("office").unwrap());
        assert_eq!((of("10.8.1.2"), of("2001:db8::7"), office.as_str()), (office, office, "office"));
        assert_eq!((of("10.9.1.2"), of("192.0.2.7")), (PeerNetwork::Private, PeerNetwork::Private));
        assert_eq!((of("::1"), of("198.51.100.1")), (PeerNetwork::Loopback, PeerNetwork::Public));
        assert_eq!(PeerNetwork::BUILT_IN.map(PeerNetwork::as_str), BUILT_IN_NETWORKS);
        assert_eq!((of("169.254.0.1"), of("fe80::1")), (PeerNetwork::LinkLocal, PeerNetwork::LinkLocal));
    }
}
