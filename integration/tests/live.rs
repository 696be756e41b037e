//! Metrics of connections that live on, at an independent OTLP receiver, against what the test's own sockets moved.

#![expect(clippy::expect_used, reason = "a helper of tests that may fail like them")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use convis_integration::clock::wait_for;
use convis_integration::convis::Convis;
use convis_integration::need::root;
use convis_integration::oracle::Oracle;
use convis_integration::otlp::Point;
use convis_integration::sums::Series;
use convis_integration::{need, turns};

const PATIENCE: Duration = Duration::from_secs(15);
const IO: &str = "convis.tcp.connection.io";
const CHUNK: usize = 10_000;

/// One connection over loopback, both ends in this process.
struct Pair {
    client: TcpStream,
    server: TcpStream,
    port: u16,
}

impl Pair {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at: SocketAddr = listener.local_addr().expect("a bound socket");
        let client = TcpStream::connect(at).expect("a listener");
        let (server, _) = listener.accept().expect("a client");
        Self { client, server, port: at.port() }
    }

    /// The client writes `bytes`, the server reads them.
    fn send(&mut self, bytes: usize) {
        self.client.write_all(&vec![7; bytes]).expect("a peer that reads");
        self.server.read_exact(&mut vec![0; bytes]).expect("a peer that writes");
    }
}

fn convis(oracle: &Oracle, temporality: &str) -> Convis {
    let http = oracle.ports().http;
    let sink =
        format!("otlp,endpoint=http://127.0.0.1:{http},protocol=http/protobuf,temporality={temporality}");
    Convis::start(&["--interval", "300ms", "--sink", &sink])
}

fn sent_by_client(points: &[Point], port: u16) -> u64 {
    let of_client = [("convis.connection.role", "client"), ("network.io.direction", "transmit")];
    Series::read(points, IO, port).sum(&of_client)
}

fn sum(points: &[Point], metric: &str, port: u16) -> u64 {
    Series::read(points, metric, port).sum(&[])
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    wait_for(what, PATIENCE, || is_so().then_some(()));
}

/// Scenario: a connection moves bytes in three steps, seconds apart from its close, with cumulative metrics.
/// Guarantees: the counter reaches each step's sum while the connection lives, no more and no less, both ends are active
/// meanwhile, and the close adds nothing.
#[test]
fn counters_move_while_a_connection_lives() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let convis = convis(&oracle, "cumulative");
    let mut pair = Pair::open();
    for step in 1..=3 {
        pair.send(CHUNK);
        let so_far = (step * CHUNK) as u64;
        wait_until("the counter to follow", || sent_by_client(&oracle.points_taken(), pair.port) == so_far);
    }
    let port = pair.port;
    let points = oracle.points_taken();
    assert_eq!(sum(&points, "convis.tcp.connection.active", port), 2);
    assert_eq!(sum(&points, "convis.tcp.connection.closed", port), 0);
    drop(pair);
    wait_until("both ends to close", || {
        sum(&oracle.points_taken(), "convis.tcp.connection.closed", port) == 2
    });
    let points = oracle.points_taken();
    assert_eq!(sum(&points, "convis.tcp.connection.active", port), 0);
    assert_eq!(sent_by_client(&points, port), 3 * CHUNK as u64);
    assert!(convis.stop().status.success());
}

/// Scenario: the same with delta temporality.
/// Guarantees: the increments, several of them, sum to the connection's total.
#[test]
fn increments_sum_to_the_total() {
    need!(root());
    let _turn = turns::together();
    let oracle = need!(Oracle::start("none"));
    let convis = convis(&oracle, "delta");
    let mut pair = Pair::open();
    let port = pair.port;
    let increments = || -> Vec<u64> {
        let mine = |point: &Point| {
            point.metric == IO
                && point.attribute("server.port") == Some(port.to_string())
                && point.attribute("convis.connection.role").as_deref() == Some("client")
                && point.attribute("network.io.direction").as_deref() == Some("transmit")
        };
        let points = oracle.points_taken();
        points.iter().filter(|point| mine(point)).map(Point::integer).filter(|amount| *amount != 0).collect()
    };
    for step in 1..=4 {
        pair.send(CHUNK);
        let so_far = (step * CHUNK) as u64;
        wait_until("the increments to follow", || increments().iter().sum::<u64>() == so_far);
    }
    drop(pair);
    assert!(convis.stop().status.success());
    let increments = increments();
    assert!(increments.len() >= 4, "{increments:?}");
    assert_eq!(increments.iter().sum::<u64>(), 4 * CHUNK as u64, "{increments:?}");
}

/// Scenario: a connection has moved bytes before convis starts; it moves more under a first convis, none while there is none,
/// and more under a second.
/// Guarantees: each counts what moved under it and nothing else, both ends are active, nothing is counted as opened, and
/// together they make what moved since the first start: a restart doubles nothing.
#[test]
fn a_restart_doubles_nothing() {
    need!(root());
    let _turn = turns::together();
    let mut pair = Pair::open();
    let port = pair.port;
    pair.send(5 * CHUNK);
    for bytes in [CHUNK, 2 * CHUNK] {
        let oracle = need!(Oracle::start("none"));
        let convis = convis(&oracle, "cumulative");
        wait_until("both ends to be found", || {
            sum(&oracle.points_taken(), "convis.tcp.connection.active", port) == 2
        });
        pair.send(bytes);
        wait_until("the growth to be counted", || {
            sent_by_client(&oracle.points_taken(), port) == bytes as u64
        });
        assert!(convis.stop().status.success());
        let points = oracle.points_taken();
        assert_eq!(sent_by_client(&points, port), bytes as u64);
        assert_eq!(sum(&points, "convis.tcp.connection.opened", port), 0);
        assert_eq!(sum(&points, "convis.tcp.connection.closed", port), 0);
    }
}
