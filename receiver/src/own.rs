//! convis's own listener, whose visitors' ends are left out like convis's own.

use std::net::SocketAddr;
use std::path::Path;

use convis_exporters::model::Connection;

/// Where convis listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnListener {
    /// The address it is bound to.
    pub address: SocketAddr,
    /// Inode of convis's network namespace.
    pub network_namespace: u32,
}

impl OwnListener {
    /// Whether one end of `connection` is this listener's. Within the host, a connection to a listener on all addresses has
    /// the same address on both ends.
    pub fn has_end_of(&self, connection: &Connection) -> bool {
        let same_host = self.address.ip().is_unspecified() && connection.peer.ip() == connection.local.ip();
        let is_listener = |end: SocketAddr| {
            end.port() == self.address.port() && (end.ip() == self.address.ip() || same_host)
        };
        connection.network_namespace == self.network_namespace
            && (is_listener(connection.peer) || is_listener(connection.local))
    }
}

/// Inode of the network namespace at `file`, such as `/proc/self/ns/net`.
///
/// # Errors
/// It cannot be read: the process is not there, or convis may not look.
pub fn network_namespace(file: &Path) -> std::io::Result<u32> {
    use std::os::unix::fs::MetadataExt as _;
    u32::try_from(std::fs::metadata(file)?.ino()).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use convis_exporters::model::{Attribution, PeerNetwork, Role};

    use super::*;

    fn client(local: &str, peer: &str, network_namespace: u32) -> Connection {
        Connection {
            id: 1,
            role: Some(Role::Client),
            local: local.parse().unwrap(),
            peer: peer.parse().unwrap(),
            peer_network: PeerNetwork::Loopback,
            network_namespace,
            attribution: Attribution::Kernel,
            preexisting: false,
            never_accepted: false,
            kernel_owned: false,
            unexpected: false,
            sampling_weight: 1,
        }
    }

    /// Scenario: visitors of a listener on loopback and of one on all addresses, and connections that only look alike.
    /// Guarantees: exactly the visitors, from both ends.
    #[test]
    fn knows_its_visitors() {
        let own = |address: &str| OwnListener { address: address.parse().unwrap(), network_namespace: 7 };
        let loopback = own("127.0.0.1:8469");
        assert!(loopback.has_end_of(&client("127.0.0.1:50000", "127.0.0.1:8469", 7)));
        assert!(!loopback.has_end_of(&client("127.0.0.1:50000", "127.0.0.1:8470", 7)));
        assert!(!loopback.has_end_of(&client("127.0.0.1:50000", "127.0.0.1:8469", 8)));
        assert!(!loopback.has_end_of(&client("10.0.0.1:50000", "10.0.0.2:8469", 7)));
        let all = own("0.0.0.0:8469");
        assert!(all.has_end_of(&client("10.0.0.1:50000", "10.0.0.1:8469", 7)));
        assert!(!all.has_end_of(&client("10.0.0.1:50000", "10.0.0.2:8469", 7)));
        let server = Connection { role: None, ..client("127.0.0.1:8469", "127.0.0.1:50000", 7) };
        assert!(loopback.has_end_of(&server));
    }
}
