//! Processes of the traffic tool in containers and beside them.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::names::{Container, Named};
use crate::clock::wait_for;
use crate::namespace::Namespace;
use crate::process::{Process, built};
use crate::runtimes::Docker;
use crate::traffic::Exchange;
use crate::truth::Report;

const PATIENCE: Duration = Duration::from_secs(90);
/// Where containers find the traffic tool.
pub(super) const PROGRAM: &str = "/bin/traffic";
/// Where they find the machine's procfs: a process reads there which id the machine knows it by.
pub(super) const PROC: &str = "/machine";
/// The image of every container, without its tag.
pub(super) const IMAGE: &str = "localhost:5000/box";

/// What a process does: words for the traffic tool.
#[derive(Debug, Clone)]
pub struct Part(Vec<String>);

impl Part {
    /// Accepts so many connections at this address.
    pub fn serve(at: SocketAddr, count: usize, exchange: &Exchange) -> Self {
        let words = ["serve", "--listen", &at.to_string(), "--count", &count.to_string(), "--workers", "4"];
        Self::new(&words, exchange)
    }

    /// Connects so many times, one after the other, with this pause.
    pub fn connect(to: SocketAddr, count: usize, every: Duration, exchange: &Exchange) -> Self {
        let every = every.as_millis().to_string();
        let words = ["connect", "--to", &to.to_string(), "--count", &count.to_string(), "--every-ms", &every];
        Self::new(&words, exchange)
    }

    fn new(words: &[&str], exchange: &Exchange) -> Self {
        Self(words.iter().map(|word| (*word).to_owned()).chain(exchange.to_arguments()).collect())
    }

    /// The words of a command that plays it in a container.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        [PROGRAM].into_iter().chain(self.0.iter().map(String::as_str)).chain(["--proc", PROC])
    }
}

/// A process that plays its part.
pub struct Player {
    process: Process,
    container: Option<Container>,
}

impl Player {
    pub(super) fn on(network: &Namespace, part: &Part) -> Self {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", network.path().display())).arg(built("traffic")).args(&part.0);
        Self { process: Process::start("traffic", command), container: None }
    }

    pub(super) fn within(docker: &Docker, name: &str, options: &[&str], part: &Part) -> Self {
        let id_file = docker.folder().join(format!("{name}.id"));
        let mut command = docker.command();
        command.args(["run", "--name", name, "--cidfile"]).arg(&id_file).args(mounts()).args(options);
        command.arg(format!("{IMAGE}:v1")).args(part.words());
        let mut process = Process::start("docker run", command);
        let id = wait_for("the id of a container", PATIENCE, || {
            let ended = process.ended();
            assert!(ended.is_none_or(|status| status.success()), "docker run {name}: {}", process.stderr());
            fs::read_to_string(&id_file).ok().filter(|id| !id.is_empty())
        });
        Self { process, container: Some(Container::named(docker.kind().runtime(), &id, name, IMAGE)) }
    }

    /// Where it listens, once it does.
    pub fn listening(&mut self) -> SocketAddr {
        let line = self.process.first_line(PATIENCE);
        let line: Value = serde_json::from_str(&line).expect("the server prints JSON");
        line["listening"].as_str().and_then(|text| text.parse().ok()).expect("an address")
    }

    /// The container it is in.
    pub const fn container(&self) -> Option<&Container> {
        self.container.as_ref()
    }

    /// Waits for its end: who it was, and what it did.
    pub fn finish(mut self) -> Named {
        let status = self.process.wait(PATIENCE);
        assert!(status.success(), "traffic: {status}: {}", self.process.stderr());
        let text = self.process.stdout();
        Named { reports: text.lines().filter_map(Report::from_json).collect(), container: self.container }
    }
}

fn mounts() -> [String; 4] {
    let program = format!("{}:{PROGRAM}:ro", built("traffic").display());
    ["-v".into(), program, "-v".into(), format!("/proc:{PROC}:ro")]
}
