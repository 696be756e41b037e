//! A real OpenTelemetry Collector, built once into the cache.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::actors::free_port;
use crate::clock::{poll, wait_for};
use crate::otlp::{self, Log, Point};
use crate::process::{Ask, Process};

const PATIENCE: Duration = Duration::from_secs(20);
/// Cold, on two cores with other work running, it takes about six minutes.
const BUILD_PATIENCE: Duration = Duration::from_mins(30);
const UNREMARKED: Duration = Duration::from_secs(5);
const GO_IS_LACKING: i32 = 3;

/// A Collector with the pipeline `file.yaml`, which may be down for a while.
pub struct Collector {
    running: Option<Running>,
    folder: TempDir,
    /// Each run writes a file of its own.
    runs: usize,
    /// OTLP over gRPC, on 127.0.0.1.
    pub grpc: u16,
    /// OTLP over HTTP, on 127.0.0.1.
    pub http: u16,
}

impl Collector {
    /// Starts it; an error names what the machine lacks.
    pub fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut collector = Self { running: None, folder, runs: 0, grpc: free_port(), http: free_port() };
        collector.begin()?;
        Ok(collector)
    }

    /// Starts it again, on the same ports as ever.
    pub fn begin(&mut self) -> Result<(), String> {
        let variables = [
            ("OTLP_GRPC_PORT", self.grpc.to_string()),
            ("OTLP_HTTP_PORT", self.http.to_string()),
            ("OUTPUT_FILE", self.file(self.runs).display().to_string()),
        ];
        self.running = Some(Running::start(&pipeline("file.yaml"), &variables, &[self.grpc, self.http])?);
        self.runs += 1;
        Ok(())
    }

    /// Stops it, so that all is written.
    pub fn end(&mut self) {
        self.running.take().expect("it runs").stop();
    }

    fn file(&self, run: usize) -> PathBuf {
        self.folder.path().join(format!("otlp-{run}.jsonl"))
    }

    /// What it has received so far.
    pub fn received(&self) -> Received {
        let mut all = Received { logs: Vec::new(), points: Vec::new() };
        for run in 0..self.runs {
            let Received { logs, points } = Received::read(&self.file(run));
            all.logs.extend(logs);
            all.points.extend(points);
        }
        all
    }

    /// Stops it, so that all is written, and gives what it received.
    pub fn finish(mut self) -> Received {
        self.end();
        self.received()
    }
}

/// A running Collector with any configuration.
pub struct Running(Process);

impl Running {
    /// Starts it with these variables and waits for these ports of 127.0.0.1; an error names what the machine lacks.
    pub fn start(config: &Path, variables: &[(&str, String)], ports: &[u16]) -> Result<Self, String> {
        let mut command = Command::new(binary()?);
        command.arg("--config").arg(config);
        // The Collector's own metrics would listen on a port of their own.
        command.args(["--config", "yaml:service::telemetry::metrics::level: none"]);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut process = Process::start("collector", command);
        for port in ports {
            wait_for("the Collector to listen", PATIENCE, || {
                assert!(process.ended().is_none(), "the Collector ended: {}", process.stderr());
                TcpStream::connect(("127.0.0.1", *port)).ok()
            });
        }
        Ok(Self(process))
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.0.stderr()
    }

    /// Stops it, so that all is sent and written; gives its log.
    pub fn stop(mut self) -> String {
        self.0.ask(Ask::Stop);
        let status = self.0.wait(PATIENCE);
        assert!(status.success(), "the Collector: {status}: {}", self.log());
        self.log()
    }

    /// Ends it at once, as if its machine had lost power.
    pub fn vanish(mut self) {
        self.0.ask(Ask::Kill);
        self.0.wait(PATIENCE);
    }
}

impl Received {
    /// What a file exporter has written so far; a line that still grows is left out.
    pub fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines();
        let messages: Vec<Value> =
            lines.map(|line| serde_json::from_str(line).expect("the Collector writes JSON")).collect();
        Self {
            logs: messages.iter().flat_map(otlp::logs).collect(),
            points: messages.iter().flat_map(otlp::points).collect(),
        }
    }
}

/// What a Collector received.
pub struct Received {
    /// Log records.
    pub logs: Vec<Log>,
    /// Data points.
    pub points: Vec<Point>,
}

/// The Collector's executable; an error when it cannot be built for want of Go.
pub fn binary() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("collector/build");
    let mut process = Process::start("collector/build", Command::new(script));
    if poll(UNREMARKED, || process.ended()).is_none() {
        // Not `eprintln!`: the test runner would keep it to itself.
        let note = "NOTE: building the OpenTelemetry Collector; this takes some minutes, once";
        writeln!(std::io::stderr(), "{note}").expect("stderr takes a line");
    }
    let status = process.wait(BUILD_PATIENCE);
    if status.code() == Some(GO_IS_LACKING) {
        return Err(process.stderr().trim().to_owned());
    }
    assert!(status.success(), "collector/build: {status}: {}", process.stderr());
    Ok(PathBuf::from(process.stdout().trim()))
}

/// A sample pipeline of `otel-config/collector`.
pub fn pipeline(name: &str) -> PathBuf {
    samples().join(name)
}

/// The names of all sample pipelines.
pub fn pipelines() -> Vec<String> {
    let files = fs::read_dir(samples()).expect("the folder of samples").flatten();
    let mut names: Vec<_> = files.filter_map(|file| file.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../otel-config/collector")
}
