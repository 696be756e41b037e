//! From the kernel's words to what events say of a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use convis_ebpf::wire::{self, Conn, flag, role};
use convis_exporters::model::{Attribution, Connection, PeerNetwork, Role};
use convis_otel_config::policy::Networks;

/// What stays the same on all events of an end.
pub(super) fn connection(conn: &Conn, attribution: Attribution, networks: &Networks) -> Connection {
    let peer = SocketAddr::new(address(conn.family, conn.peer), u16::from_be(conn.peer_port_be));
    Connection {
        id: conn.id,
        role: role_of(conn),
        local: SocketAddr::new(address(conn.family, conn.local), u16::from_be(conn.local_port_be)),
        peer,
        peer_network: PeerNetwork::among(networks, peer.ip()),
        network_namespace: conn.netns,
        attribution,
        preexisting: conn.flags & flag::PREEXISTING != 0,
        never_accepted: false,
        kernel_owned: conn.flags & flag::KERNEL != 0,
        unexpected: false,
        sampling_weight: 1,
    }
}

/// How the kernel programs, or the scan at start, came to the owner.
pub(super) const fn attribution(conn: &Conn) -> Attribution {
    if conn.owner.tgid == 0 {
        Attribution::Unknown
    } else if conn.flags & flag::FOUND != 0 {
        Attribution::Procfs
    } else if conn.flags & flag::LATE != 0 {
        Attribution::Inherited
    } else {
        Attribution::Kernel
    }
}

/// The role, if the kernel saw the beginning.
const fn role_of(conn: &Conn) -> Option<Role> {
    match conn.role {
        role::CLIENT => Some(Role::Client),
        role::SERVER => Some(Role::Server),
        _ => None,
    }
}

fn address(family: u16, [first, second]: wire::Address) -> IpAddr {
    if family == wire::AF_INET6 {
        let bits = u128::from(u64::from_be(first)) << 64 | u128::from(u64::from_be(second));
        return IpAddr::V6(Ipv6Addr::from_bits(bits));
    }
    let [a, b, c, d, ..] = first.to_ne_bytes();
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// Time between two readings of the kernel's clock.
pub(super) fn span(from_ns: u64, to_ns: u64) -> Duration {
    Duration::from_nanos(to_ns.saturating_sub(from_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: addresses of both families as the kernel writes them.
    /// Guarantees: the addresses they are.
    #[test]
    fn addresses_are_in_network_order() {
        let v4 = [u64::from_ne_bytes([192, 0, 2, 1, 0, 0, 0, 0]), 0];
        assert_eq!(address(wire::AF_INET, v4).to_string(), "192.0.2.1");
        let words = [0x2001_0db8_0000_0000_u64.to_be(), 0x1234_u64.to_be()];
        assert_eq!(address(wire::AF_INET6, words).to_string(), "2001:db8::1234");
    }
}
