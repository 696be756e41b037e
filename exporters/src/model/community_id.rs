//! Community ID v1: one text for a flow, equal on both ends and in every tool that knows it (Zeek, Suricata).
//!
//! Source: the Community ID specification, version 1, seed 0.

use std::cell::RefCell;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustc_hash::FxBuildHasher;
use sha1::{Digest as _, Sha1};

const PROTOCOL_TCP: u8 = 6;
const PREFIX: &[u8; 2] = b"1:";
/// A SHA-1 digest of 20 bytes is 28 characters of base64.
const LENGTH: usize = PREFIX.len() + 28;

/// Flows whose ids are at hand: the events of a short connection, of both ends, are told within so many others.
const MEMO: usize = 512;

/// Two ends in the order in which they are hashed.
type Flow = (SocketAddr, SocketAddr);

thread_local! {
    static RECENT: RefCell<Vec<Option<(Flow, CommunityId)>>> = const { RefCell::new(Vec::new()) };
}

/// The id's text, without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommunityId([u8; LENGTH]);

impl CommunityId {
    /// `1:` and the base64 of the digest.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The id of the TCP flow between two ends, in either order.
///
/// Ends of different address families, which no connection has, are hashed as they are.
pub fn v1_tcp(left: SocketAddr, right: SocketAddr) -> CommunityId {
    let flow =
        if (left.ip(), left.port()) <= (right.ip(), right.port()) { (left, right) } else { (right, left) };
    RECENT.with_borrow_mut(|recent| {
        recent.resize(MEMO, None);
        let place = FxBuildHasher.hash_one((flow.0.port(), flow.1.port())).to_le_bytes();
        let place = usize::from(u16::from_le_bytes([place[0], place[1]])) % MEMO;
        match recent[place] {
            Some((known, id)) if known == flow => id,
            _ => recent[place].insert((flow, of(flow))).1,
        }
    })
}

fn of((first, second): Flow) -> CommunityId {
    let mut hash = Sha1::new();
    hash.update([0, 0]);
    update_address(&mut hash, first.ip());
    update_address(&mut hash, second.ip());
    hash.update([PROTOCOL_TCP, 0]);
    hash.update(first.port().to_be_bytes());
    hash.update(second.port().to_be_bytes());
    let mut text = [0; LENGTH];
    text[..PREFIX.len()].copy_from_slice(PREFIX);
    // The buffer has exactly the encoded length, so encoding cannot fail.
    let _written = STANDARD.encode_slice(hash.finalize(), &mut text[PREFIX.len()..]);
    CommunityId(text)
}

fn update_address(hash: &mut Sha1, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => hash.update(v4.octets()),
        IpAddr::V6(v6) => hash.update(v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: more flows than are remembered, each asked for several times, from both ends.
    /// Guarantees: each has its own id, the one that is computed anew.
    #[test]
    fn remembers_the_right_one() {
        let end = |address: u8, port: u16| SocketAddr::from(([10, 0, 0, address], port));
        for _ in 0..2 {
            for port in 1..2000 {
                for address in 1..3 {
                    let (client, server) = (end(address, port), end(9, 443));
                    assert_eq!(v1_tcp(client, server), of((client, server)));
                    assert_eq!(v1_tcp(server, client), of((client, server)));
                }
            }
        }
    }

    /// Scenario: a published example of the specification, from both ends.
    /// Guarantees: the text other tools compute.
    #[test]
    fn equals_the_published_value() {
        let client: SocketAddr = "128.232.110.120:34855".parse().unwrap();
        let server: SocketAddr = "66.35.250.204:80".parse().unwrap();
        assert_eq!(v1_tcp(client, server).as_str(), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(v1_tcp(server, client), v1_tcp(client, server));
    }
}
