use std::net::Ipv4Addr;

use convis_exporters::model::{Attribution, Connection, Role};

use super::*;
use crate::identity::cgroup::Place;
use crate::identity::{Process, Workload};
use crate::nat::Translated;
use crate::track::holder::Holder;

const MS: u64 = 1_000_000;

fn end(role: Role, local: &str, peer: &str, namespace: u32, began_ns: u64) -> Rc<End> {
    let connection = Connection {
        id: began_ns,
        role: Some(role),
        local: local.parse().unwrap(),
        peer: peer.parse().unwrap(),
        peer_network: PeerNetwork::Private,
        network_namespace: namespace,
        attribution: Attribution::Kernel,
        preexisting: false,
        never_accepted: false,
        kernel_owned: false,
        unexpected: false,
        sampling_weight: 1,
    };
    let process = Process::new(namespace, 1, 0, Some(1), Rc::default());
    let workload = Rc::new(Workload::new(Place::default()));
    End::new(connection, Holder { process: Some(Rc::new(process)), uid: 0, workload }, began_ns)
}

fn added(ends: &mut Ends, end: Rc<End>) -> Rc<End> {
    ends.add(&end);
    end
}

/// The pid of the peer's holder; in these tests it is the number of its namespace.
fn peer_of(end: &End) -> Option<u32> {
    end.peer()?.holder.process.as_ref().map(|process| process.pid)
}

/// Scenario: both ends of a connection, in one namespace over loopback, and in two over a bridge; the server's record comes
/// first, or after both are over.
/// Guarantees: each names the other.
#[test]
fn two_ends_find_each_other() {
    let mut ends = Ends::default();
    let client = added(&mut ends, end(Role::Client, "127.0.0.1:40000", "127.0.0.1:80", 7, MS));
    let server = added(&mut ends, end(Role::Server, "127.0.0.1:80", "127.0.0.1:40000", 7, MS + 5));
    assert_eq!((peer_of(&client), peer_of(&server)), (Some(7), Some(7)));
    assert_eq!((client.nat_peer(), server.nat_peer()), (None, None));
    let server = added(&mut ends, end(Role::Server, "10.0.0.2:80", "10.0.0.3:40000", 2, 2 * MS));
    let client = end(Role::Client, "10.0.0.3:40000", "10.0.0.2:80", 3, 2 * MS - 9);
    ends.end(&server, 3 * MS, 3 * MS);
    ends.end(&client, 3 * MS + 7, 3 * MS);
    ends.add(&client);
    assert_eq!((peer_of(&client), peer_of(&server)), (Some(2), Some(3)));
}

/// Scenario: mirrored ends on loopback of two namespaces; on one address of two; two possible ends; two of one role; two
/// lives of one tuple one after the other.
/// Guarantees: nobody is named who is not certainly the other end.
#[test]
fn a_doubt_is_no_peer() {
    let mut ends = Ends::default();
    for ip in ["127.0.0.1", "10.9.9.9"] {
        let [local, peer] = [format!("{ip}:40000"), format!("{ip}:80")];
        let client = added(&mut ends, end(Role::Client, &local, &peer, 7, MS));
        let server = added(&mut ends, end(Role::Server, &peer, &local, 8, MS));
        assert_eq!((peer_of(&client), peer_of(&server)), (None, None), "{ip}");
    }
    for namespace in [2, 3] {
        added(&mut ends, end(Role::Server, "10.0.0.2:80", "10.0.0.3:40000", namespace, MS));
    }
    let client = added(&mut ends, end(Role::Client, "10.0.0.3:40000", "10.0.0.2:80", 4, MS));
    assert_eq!(peer_of(&client), None);
    added(&mut ends, end(Role::Client, "10.0.0.5:80", "10.0.0.6:80", 5, MS));
    let other = added(&mut ends, end(Role::Client, "10.0.0.6:80", "10.0.0.5:80", 6, MS));
    assert_eq!(peer_of(&other), None);
    let first = added(&mut ends, end(Role::Server, "10.0.1.2:80", "10.0.1.3:40000", 2, MS));
    ends.end(&first, 2 * MS, 2 * MS);
    let late = added(&mut ends, end(Role::Client, "10.0.1.3:40000", "10.0.1.2:80", 9, 60 * MS));
    assert_eq!((peer_of(&late), peer_of(&first)), (None, None));
}

/// Scenario: a tuple is used again at once; records come late.
/// Guarantees: each life is matched with its own time's other end.
#[test]
fn lives_of_one_tuple_are_told_apart() {
    let mut ends = Ends::default();
    let lives: Vec<_> = (1..=3_u64)
        .map(|life| {
            let server = added(
                &mut ends,
                end(Role::Server, "10.0.0.2:80", "10.0.0.3:40000", u32::try_from(life).unwrap(), life * MS),
            );
            ends.end(&server, life * MS + 1_000, MS);
            server
        })
        .collect();
    for life in [2, 1, 3_u64] {
        let client = end(Role::Client, "10.0.0.3:40000", "10.0.0.2:80", 9, life * MS - 10);
        ends.end(&client, life * MS + 900, MS);
        ends.add(&client);
        assert_eq!(peer_of(&client), u32::try_from(life).ok());
    }
    assert!(lives.iter().all(|server| peer_of(server) == Some(9)));
}

/// Scenario: a client connects to a translated address; the server's record comes before or after the translation is known;
/// the source is translated as well; the server is on another host.
/// Guarantees: the ends find each other, each is told the other's real address; else only that of the server.
#[test]
fn translation_leads_to_the_other_end() {
    for server_first in [true, false] {
        let mut ends = Ends::default();
        let client = added(&mut ends, end(Role::Client, "10.0.0.3:40000", "10.96.0.1:80", 3, MS));
        let server = end(Role::Server, "10.0.0.2:8080", "10.0.0.1:50000", 2, MS);
        let translated = Translated {
            client: "10.0.0.1:50000".parse().unwrap(),
            server: "10.0.0.2:8080".parse().unwrap(),
        };
        if server_first {
            ends.add(&server);
        }
        client.set_translated(translated);
        ends.translate(&client);
        if !server_first {
            assert_eq!(client.nat_peer(), Some(translated.server));
            ends.add(&server);
        }
        assert_eq!((peer_of(&client), peer_of(&server)), (Some(2), Some(3)));
        assert_eq!(client.nat_peer(), Some(translated.server));
        assert_eq!(server.nat_peer(), Some(client.facts().local));
    }
}

/// Scenario: a process connects to an address of its own host that leads into a container.
/// Guarantees: what looks like loopback is none, so the ends find each other across namespaces.
#[test]
fn a_published_port_of_ones_own_host() {
    let mut ends = Ends::default();
    let client = added(&mut ends, end(Role::Client, "192.0.2.2:40000", "192.0.2.2:8080", 3, MS));
    let server = added(&mut ends, end(Role::Server, "172.17.0.2:80", "192.0.2.2:40000", 2, MS));
    let translated =
        Translated { client: "192.0.2.2:40000".parse().unwrap(), server: "172.17.0.2:80".parse().unwrap() };
    client.set_translated(translated);
    ends.translate(&client);
    assert_eq!((peer_of(&client), peer_of(&server)), (Some(2), Some(3)));
    assert_eq!((client.nat_peer(), server.nat_peer()), (Some(translated.server), None));
}

/// Scenario: ends that are over for long.
/// Guarantees: they are forgotten, with the names that translation gave them.
#[test]
fn what_is_over_is_forgotten() {
    let mut ends = Ends::default();
    let client = added(&mut ends, end(Role::Client, "10.0.0.3:40000", "10.96.0.1:80", 3, MS));
    let translated =
        Translated { client: "10.0.0.1:50000".parse().unwrap(), server: "10.0.0.2:8080".parse().unwrap() };
    client.set_translated(translated);
    ends.translate(&client);
    ends.end(&client, MS, MS);
    ends.reap(MS + KEEP_NS - 1);
    assert_eq!(ends.by_tuple.len(), 2);
    ends.reap(MS + KEEP_NS);
    assert!(ends.by_tuple.is_empty() && ends.over.is_empty());
}

/// Scenario: two ends that know each other are over, one after the other; later their addresses are used once more.
/// Guarantees: each is forgotten at its own end, since nobody else looks for it, and the next two find each other.
#[test]
fn who_is_found_need_not_wait() {
    let mut ends = Ends::default();
    for begin in [MS, 5 * MS] {
        let client = added(&mut ends, end(Role::Client, "10.0.0.3:40000", "10.0.0.2:80", 3, begin));
        let server = added(&mut ends, end(Role::Server, "10.0.0.2:80", "10.0.0.3:40000", 2, begin));
        assert_eq!((peer_of(&client), peer_of(&server)), (Some(2), Some(3)));
        ends.end(&client, begin + MS, begin + MS);
        assert_eq!((ends.by_tuple.values().map(SmallVec::len).sum::<usize>(), ends.over()), (1, 0));
        ends.end(&server, begin + MS, begin + MS);
        assert!(ends.by_tuple.is_empty());
    }
}

/// Scenario: addresses of this host, of others, and unknown ones.
/// Guarantees: only what may be here is waited for: a server of any address, which may be one of this host, a client of a
/// private one; they are given up after a few attempts, until they show up.
#[test]
fn foreign_addresses_are_learned() {
    let mut ends = Ends::default();
    let of = |role, peer: &str| end(role, "10.0.0.1:9", peer, 1, 1);
    assert!(!ends.may_be_here(&of(Role::Server, "93.184.216.34:443")));
    assert!(ends.may_be_here(&of(Role::Server, "10.1.1.1:443")));
    for address in ["93.184.216.34:443", "10.1.1.1:80"] {
        let client = of(Role::Client, address);
        for _ in 0..FOREIGN_AFTER {
            assert!(ends.may_be_here(&client));
            ends.not_here(client.facts().peer);
        }
        assert!(!ends.may_be_here(&client));
        added(&mut ends, end(Role::Server, address, "10.1.1.2:9", 1, 1));
        ends.not_here(client.facts().peer);
        assert!(ends.may_be_here(&client));
    }
}

/// Scenario: an address of this host, then more addresses of others than are remembered, then the first one again.
/// Guarantees: it is forgotten with all others, and known again as soon as an end has it.
#[test]
fn too_many_addresses_are_forgotten() {
    let mut ends = Ends::default();
    let ours = || end(Role::Server, "93.184.216.34:80", "10.1.1.2:9", 1, 1);
    let client = end(Role::Server, "10.1.1.2:9", "93.184.216.34:80", 1, 1);
    added(&mut ends, ours());
    assert!(ends.may_be_here(&client));
    for number in 0..MOST_ADDRESSES {
        let address = Ipv4Addr::from_bits(0x0b00_0000 + u32::try_from(number).unwrap());
        ends.not_here(SocketAddr::from((address, 80)));
    }
    assert!(!ends.may_be_here(&client));
    added(&mut ends, ours());
    assert!(ends.may_be_here(&client));
}
