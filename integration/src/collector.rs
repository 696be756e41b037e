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

/// A running Collector with the pipeline `file.yaml`.
pub struct Collector {
    process: Process,
    folder: TempDir,
    /// OTLP over gRPC, on 127.0.0.1.
    pub grpc: u16,
    /// OTLP over HTTP, on 127.0.0.1.
    pub http: u16,
}

impl Collector {
    /// Starts it; an error names what the machine lacks.
    pub fn start() -> Result<Self, String> {
        let binary = binary()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (grpc, http) = (free_port(), free_port());
        let mut command = Command::new(binary);
        command.arg("--config").arg(pipeline("file.yaml"));
        command.env("OTLP_GRPC_PORT", grpc.to_string()).env("OTLP_HTTP_PORT", http.to_string());
        command.env("OUTPUT_FILE", folder.path().join("otlp.jsonl"));
        let mut process = Process::start("collector", command);
        for port in [grpc, http] {
            wait_for("the Collector to listen", PATIENCE, || {
                assert!(process.ended().is_none(), "the Collector ended: {}", process.stderr());
                TcpStream::connect(("127.0.0.1", port)).ok()
            });
        }
        Ok(Self { process, folder, grpc, http })
    }

    /// Stops it, so that all is written, and gives what it received.
    pub fn finish(mut self) -> Received {
        self.process.ask(Ask::Stop);
        let status = self.process.wait(PATIENCE);
        assert!(status.success(), "the Collector: {status}: {}", self.process.stderr());
        let text = fs::read_to_string(self.folder.path().join("otlp.jsonl")).unwrap_or_default();
        let messages: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("the Collector writes JSON")).collect();
        Received {
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
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../otel-config/collector").join(name)
}
