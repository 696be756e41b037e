//! Client and server processes of the traffic tool, and what they report.

use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::process::{Process, built};
use crate::traffic::Exchange;
use crate::truth::Report;

const PATIENCE: Duration = Duration::from_secs(90);

/// How many connections, and how.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Where the server listens; port 0 for a free one.
    pub listen: SocketAddr,
    /// Another address the client uses to reach it; the listening one if not given.
    pub reach: Option<std::net::IpAddr>,
    /// Source addresses the client takes in turn.
    pub from: Vec<SocketAddr>,
    /// Connections.
    pub count: usize,
    /// Threads on both ends.
    pub parallel: usize,
    /// What the client does; the server does the mirrored.
    pub client: Exchange,
    /// The executable of both ends; the traffic tool if not given, else a copy of it.
    pub program: Option<PathBuf>,
}

/// What both ends say happened.
#[derive(Clone, Debug)]
pub struct Truth {
    /// The server's socket address as the client used it.
    pub server: SocketAddr,
    /// One report for each connection of the client.
    pub clients: Vec<Report>,
    /// One report for each connection of the server.
    pub servers: Vec<Report>,
}

impl Scene {
    /// One connection to `listen` with this exchange.
    pub fn one(listen: &str, client: Exchange) -> Self {
        let listen = listen.parse().expect("a socket address");
        Self { listen, reach: None, from: Vec::new(), count: 1, parallel: 1, client, program: None }
    }

    /// Lets both processes play the scene to its end.
    pub fn play(&self) -> Truth {
        let mut server = Server::start(self);
        let reach = SocketAddr::new(self.reach.unwrap_or(server.address.ip()), server.address.port());
        let clients = self.connect(reach);
        let servers = server.finish();
        assert_eq!(
            (clients.len(), servers.len()),
            (self.count, self.count),
            "each end reports every connection"
        );
        Truth { server: reach, clients, servers }
    }

    /// As [`Scene::play`], with a client process of its own for each connection, one after the other.
    pub fn play_by_one_process_each(&self) -> Truth {
        let mut server = Server::start(self);
        let single = Self { count: 1, ..self.clone() };
        let clients = (0..self.count).flat_map(|_| single.connect(server.address)).collect();
        Truth { server: server.address, clients, servers: server.finish() }
    }

    /// Plays the client's part alone, against whatever answers at `to`.
    pub fn connect(&self, to: SocketAddr) -> Vec<Report> {
        let mut command = self.traffic("connect", &self.client);
        command.arg("--to").arg(to.to_string());
        command.arg("--count").arg(self.count.to_string());
        command.arg("--parallel").arg(self.parallel.to_string());
        for source in &self.from {
            command.arg("--from").arg(source.to_string());
        }
        let mut client = Process::start("traffic client", command);
        reports(&mut client)
    }
}

impl Scene {
    fn traffic(&self, part: &str, exchange: &Exchange) -> Command {
        let mut command = Command::new(self.program.clone().unwrap_or_else(|| built("traffic")));
        command.arg(part).args(exchange.to_arguments());
        command
    }
}

impl Truth {
    /// The reports of both ends.
    pub fn ends(&self) -> impl Iterator<Item = &Report> {
        self.clients.iter().chain(&self.servers)
    }

    /// The first connection's two ends; the server's is the one with the same tuple.
    pub fn first(&self) -> (&Report, &Report) {
        let client = self.clients.first().expect("at least one connection");
        (client, self.other_end(client))
    }

    /// The server's report of a client's connection.
    pub fn other_end(&self, client: &Report) -> &Report {
        let same = |server: &&Report| canonical(server.peer) == canonical(client.local);
        self.servers.iter().find(same).expect("the server reports the client's connection")
    }
}

/// The same socket address, with an IPv4-mapped address as IPv4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A free port on the loopback addresses, below the range that clients get theirs from. Nothing keeps another process
/// from taking it.
pub fn free_port() -> u16 {
    const RANGE: Range<u32> = 20_000..32_000;
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let size = RANGE.end - RANGE.start;
    // Test processes that run side by side start at different places.
    let start = std::process::id().wrapping_mul(101);
    let candidates = (0..size).map(|_| {
        let turn = start.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed)) % size;
        u16::try_from(RANGE.start + turn).expect("the range is one of ports")
    });
    let is_free =
        |port: &u16| ["127.0.0.1", "::1"].iter().all(|address| TcpListener::bind((*address, *port)).is_ok());
    candidates.into_iter().find(is_free).expect("a free port")
}

struct Server {
    process: Process,
    address: SocketAddr,
}

impl Server {
    fn start(scene: &Scene) -> Self {
        let mut command = scene.traffic("serve", &scene.client.mirrored());
        command.arg("--listen").arg(scene.listen.to_string());
        command.arg("--count").arg(scene.count.to_string());
        command.arg("--workers").arg(scene.parallel.to_string());
        let mut process = Process::start("traffic server", command);
        let line: Value =
            serde_json::from_str(&process.first_line(PATIENCE)).expect("the server prints JSON");
        let address =
            line["listening"].as_str().expect("the first line says where").parse().expect("an address");
        Self { process, address }
    }

    fn finish(&mut self) -> Vec<Report> {
        reports(&mut self.process)
    }
}

fn reports(process: &mut Process) -> Vec<Report> {
    let status = process.wait(PATIENCE);
    assert!(status.success(), "traffic: {status}: {}", process.stderr());
    process.stdout().lines().filter_map(Report::from_json).collect()
}
