//! convis's own listener, whose visitors' ends are left out like convis's own.

use std::net::SocketAddr;

use convis_exporters::model::{Connection, Role};

/// Where convis listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnListener {
    /// The address it is bound to.
    pub address: SocketAddr,
    /// Inode of convis's network namespace.
    pub network_namespace: u32,
}

impl OwnListener {
    /// Whether the other end of `connection` is this listener. A listener on all addresses has the peer's address if a
    /// connection within the host has it on both ends.
    pub fn is_peer_of(&self, connection: &Connection) -> bool {
        let listener = self.address;
        let same_host = listener.ip().is_unspecified() && connection.peer.ip() == connection.local.ip();
        connection.role == Some(Role::Client)
            && connection.network_namespace == self.network_namespace
            && connection.peer.port() == listener.port()
            && (connection.peer.ip() == listener.ip() || same_host)
    }
}

/// Inode of the network namespace of this process.
///
/// # Errors
/// `/proc/self/ns/net` cannot be read.
pub fn network_namespace() -> std::io::Result<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let inode = std::fs::metadata("/proc/self/ns/net")?.ino();
    u32::try_from(inode).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use convis_exporters::model::Attribution;

    use super::*;

    fn client(local: &str, peer: &str, network_namespace: u32) -> Connection {
        Connection {
            id: 1,
            role: Some(Role::Client),
            local: local.parse().unwrap(),
            peer: peer.parse().unwrap(),
            network_namespace,
            attribution: Attribution::Kernel,
            preexisting: false,
            never_accepted: false,
        }
    }

    /// Scenario: visitors of a listener on loopback and of one on all addresses, and connections that only look alike.
    /// Guarantees: exactly the visitors.
    #[test]
    fn knows_its_visitors() {
        let own = |address: &str| OwnListener { address: address.parse().unwrap(), network_namespace: 7 };
        let loopback = own("127.0.0.1:8469");
        assert!(loopback.is_peer_of(&client("127.0.0.1:50000", "127.0.0.1:8469", 7)));
        assert!(!loopback.is_peer_of(&client("127.0.0.1:50000", "127.0.0.1:8470", 7)));
        assert!(!loopback.is_peer_of(&client("127.0.0.1:50000", "127.0.0.1:8469", 8)));
        assert!(!loopback.is_peer_of(&client("10.0.0.1:50000", "10.0.0.2:8469", 7)));
        let all = own("0.0.0.0:8469");
        assert!(all.is_peer_of(&client("10.0.0.1:50000", "10.0.0.1:8469", 7)));
        assert!(!all.is_peer_of(&client("10.0.0.1:50000", "10.0.0.2:8469", 7)));
        let server = Connection { role: Some(Role::Server), ..client("127.0.0.1:1", "127.0.0.1:8469", 7) };
        assert!(!loopback.is_peer_of(&server));
    }
}
