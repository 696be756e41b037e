//! What connection tracking says of connections through translation, against what the server's end sees.
#![expect(clippy::expect_used, reason = "what does not go as planned fails the test, with its message")]

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::time::Duration;

use convis::nat::{Counted, Nat, Translated};
use convis_integration::namespace::Namespace;
use convis_integration::need;
use convis_integration::need::root;
use convis_integration::process::exists;

const PATIENCE: Duration = Duration::from_secs(10);

/// A client and a server, each in a namespace, and the host between them that translates:
/// `client 10.91.1.2 -- 10.91.1.1 host 10.91.2.1 -- 10.91.2.2 server`.
struct Net {
    client: Namespace,
    host: Namespace,
    server: Namespace,
}

impl Net {
    fn new() -> Result<Self, String> {
        for program in ["ip", "iptables", "nsenter", "unshare"] {
            if !exists(OsStr::new(program)) {
                return Err(format!("needs {program}"));
            }
        }
        let net = Self { client: Namespace::new()?, host: Namespace::new()?, server: Namespace::new()? };
        for (end, number, name) in [(&net.client, 1, "near"), (&net.server, 2, "far")] {
            let host = &net.host;
            host.run(&format!("ip link add {name} type veth peer name eth0 netns {}", end.pid()));
            host.run(&format!("ip address add 10.91.{number}.1/24 dev {name}"));
            host.run(&format!("ip address add fd91:{number}::1/64 dev {name} nodad"));
            host.run(&format!("ip link set {name} up"));
            end.run(&format!("ip address add 10.91.{number}.2/24 dev eth0"));
            end.run(&format!("ip address add fd91:{number}::2/64 dev eth0 nodad"));
            end.run("ip link set eth0 up");
            end.run(&format!("ip route add default via 10.91.{number}.1"));
            end.run(&format!("ip route add default via fd91:{number}::1"));
        }
        net.host.run("ip address add 10.91.2.9/24 dev far");
        net.host.run("ip route add 10.96.0.0/16 via 10.91.2.2");
        net.host.run("ip route add fd96::/64 via fd91:2::2");
        net.host.set("ipv4/ip_forward", "1");
        net.host.set("ipv6/conf/all/forwarding", "1");
        for chain in ["PREROUTING", "OUTPUT"] {
            for (port, target) in [(80, 8080), (81, 8081)] {
                net.rule(
                    "iptables",
                    chain,
                    &format!("-d 10.96.0.1 --dport {port} -j DNAT --to 10.91.2.2:{target}"),
                )?;
            }
        }
        net.rule("iptables", "POSTROUTING", "-d 10.91.2.2 --dport 8081 -j SNAT --to 10.91.2.9:20000-20999")?;
        Ok(net)
    }

    fn rule(&self, program: &str, chain: &str, rule: &str) -> Result<(), String> {
        self.host.try_run(&format!("{program} -w -t nat -A {chain} -p tcp {rule}"))
    }

    fn listen(&self, address: &str) -> TcpListener {
        self.server.within(|| TcpListener::bind(address).expect("the server can listen"))
    }

    fn nat(&self) -> Nat {
        let nat = Nat::open_in(&self.host.path());
        assert!(nat.unavailable().is_none(), "{:?}", nat.unavailable());
        nat
    }
}

/// A connection: both ends, and the addresses that each has.
struct Connection {
    ends: (TcpStream, TcpStream),
    client: SocketAddr,
    server: SocketAddr,
    seen: Translated,
}

impl Connection {
    fn new(from: &Namespace, to: &str, listener: &TcpListener) -> Self {
        let server = to.parse().expect("an address");
        let client = from
            .within(|| TcpStream::connect_timeout(&server, PATIENCE))
            .unwrap_or_else(|error| panic!("{server} cannot be connected to: {error}"));
        let (accepted, peer) = listener.accept().expect("the connection can be accepted");
        let local = accepted.local_addr().expect("an address");
        Self {
            client: client.local_addr().expect("an address"),
            server,
            seen: Translated { client: peer, server: local },
            ends: (client, accepted),
        }
    }

    fn ask(&self, nat: &mut Nat) -> Option<Translated> {
        nat.translated(self.client, self.server, 0)
    }
}

/// Scenario: connections by the host itself and through it: the destination translated, source and destination
/// translated, neither; then they end.
/// Guarantees: what the server's end sees, also after the end; nothing for what is not translated, not for connections
/// that never were, nor for the way back.
#[test]
fn knows_what_the_server_sees() {
    need!(root());
    let net = need!(Net::new());
    let [plain, both] = ["10.91.2.2:8080", "10.91.2.2:8081"].map(|address| net.listen(address));
    let mut nat = net.nat();
    for from in [&net.client, &net.host] {
        let before = nat.counters();
        let destination = Connection::new(from, "10.96.0.1:80", &plain);
        let source = Connection::new(from, "10.91.2.2:8081", &both);
        let both = Connection::new(from, "10.96.0.1:81", &both);
        let none = Connection::new(from, "10.91.2.2:8080", &plain);
        assert_eq!(destination.seen.client, destination.client);
        assert_ne!(source.seen.client, source.client);
        assert_ne!(both.seen.client, both.client);
        assert_eq!(none.seen, Translated { client: none.client, server: none.server });
        for translated in [&destination, &source, &both] {
            assert_eq!(translated.ask(&mut nat), Some(translated.seen));
        }
        assert_eq!(none.ask(&mut nat), None);
        assert_eq!(nat.translated(none.server, none.client, 0), None);
        assert_eq!(nat.translated(none.client, both.server, 0), None);
        for connection in [&destination, &source, &both] {
            let (client, server) = &connection.ends;
            for end in [client, server] {
                end.shutdown(std::net::Shutdown::Both).expect("the end can be shut down");
            }
        }
        std::thread::sleep(Duration::from_millis(200));
        for translated in [&destination, &source, &both] {
            assert_eq!(translated.ask(&mut nat), Some(translated.seen));
        }
        let expected = Counted {
            lookups: before.lookups + 9,
            translated: before.translated + 6,
            plain: before.plain + 1,
            untracked: before.untracked + 2,
            ..Counted::default()
        };
        assert_eq!(nat.counters(), expected);
    }
}

/// Scenario: an IPv6 connection whose destination is translated, and one that is not.
/// Guarantees: as with IPv4.
#[test]
fn knows_ipv6() {
    need!(root());
    let net = need!(Net::new());
    need!(net.rule("ip6tables", "PREROUTING", "-d fd96::1 --dport 80 -j DNAT --to [fd91:2::2]:8080"));
    let listener = net.listen("[fd91:2::2]:8080");
    let mut nat = net.nat();
    let translated = Connection::new(&net.client, "[fd96::1]:80", &listener);
    assert_ne!(translated.seen.server, translated.server);
    assert_eq!(translated.ask(&mut nat), Some(translated.seen));
    let plain = Connection::new(&net.client, "[fd91:2::2]:8080", &listener);
    assert_eq!(plain.ask(&mut nat), None);
    assert_eq!(nat.counters(), Counted { lookups: 2, translated: 1, plain: 1, ..Counted::default() });
}

/// Scenario: convis in a network namespace of its own, with the host's procfs; and a host that tracks nothing.
/// Guarantees: the host's connections are known all the same; where nothing is tracked, no connection is asked for.
#[test]
fn asks_the_host_from_another_namespace() {
    need!(root());
    let net = need!(Net::new());
    let listener = net.listen("10.91.2.2:8080");
    let connection = Connection::new(&net.client, "10.96.0.1:80", &listener);
    let open = |own: &Namespace, host: &Namespace| {
        let proc_root = tempfile::tempdir().expect("a temporary folder");
        let link = |name: &str, target: String| symlink(target, proc_root.path().join(name)).expect("a link");
        link("1", format!("/proc/{}", host.pid()));
        link("sys", "/proc/sys".to_owned());
        let nat = own.within(|| Nat::open(proc_root.path()));
        assert!(nat.unavailable().is_none(), "{:?}", nat.unavailable());
        nat
    };
    for own in [&net.client, &net.host] {
        assert_eq!(connection.ask(&mut open(own, &net.host)), Some(connection.seen));
    }
    let mut elsewhere = open(&net.host, &net.client);
    assert_eq!(connection.ask(&mut elsewhere), None);
    assert_eq!(elsewhere.counters(), Counted { skipped_idle: 1, ..Counted::default() });
}
