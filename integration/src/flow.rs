//! Community ID v1, written from its specification, independent of the product.

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

const TCP: u8 = 6;
const SEED: [u8; 2] = [0, 0];

/// The flow id of a TCP connection between two sockets, in whichever order they are given.
pub fn community_id(one: SocketAddr, other: SocketAddr) -> String {
    let (low, high) = ordered(bytes(one), bytes(other));
    let mut hash = Sha1::new();
    hash.update(SEED);
    hash.update(&low.0);
    hash.update(&high.0);
    hash.update([TCP, 0]);
    hash.update(low.1);
    hash.update(high.1);
    format!("1:{}", STANDARD.encode(hash.finalize()))
}

type End = (Vec<u8>, [u8; 2]);

fn bytes(end: SocketAddr) -> End {
    let address = match end.ip().to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    (address, end.port().to_be_bytes())
}

fn ordered(one: End, other: End) -> (End, End) {
    if one <= other { (one, other) } else { (other, one) }
}

#[cfg(test)]
mod tests {
    use super::community_id;

    /// Scenario: the baseline of the Community ID specification, and its IPv6 neighbour.
    /// Guarantees: the ids the tests expect are the ones Zeek and Suricata compute.
    #[test]
    fn agrees_with_the_published_baseline() {
        let client = "128.232.110.120:34855".parse().unwrap();
        let server = "66.35.250.204:80".parse().unwrap();
        assert_eq!(community_id(client, server), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(community_id(server, client), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
    }

    /// Scenario: one connection seen as IPv4 and as IPv4-mapped IPv6.
    /// Guarantees: both give the same id.
    #[test]
    fn mapped_addresses_are_ipv4() {
        let plain = community_id("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        let mapped =
            community_id("[::ffff:10.0.0.1]:1".parse().unwrap(), "[::ffff:10.0.0.2]:2".parse().unwrap());
        assert_eq!(plain, mapped);
    }
}
