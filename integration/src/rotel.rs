//! Rotel, a receiver of OTLP that is neither ours nor the Collector's; `scripts/install rotel` brings it.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::actors::free_port;
use crate::cache;
use crate::clock::wait_for;
use crate::process::Process;

const PATIENCE: Duration = Duration::from_secs(20);
/// As in `scripts/install`.
const VERSION: &str = "0.0.1a15";

/// A running Rotel that passes on what it gets.
pub struct Rotel {
    process: Process,
    _folder: TempDir,
    /// OTLP over gRPC, on 127.0.0.1.
    pub grpc: u16,
    /// OTLP over HTTP, on 127.0.0.1.
    pub http: u16,
}

impl Rotel {
    /// Starts one that sends to this endpoint, by `grpc` or `http`; an error names what the machine lacks.
    pub fn start(endpoint: &str, protocol: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (grpc, http) = (free_port(), free_port());
        let mut command = Command::new(binary()?);
        command.args(["start", "--exporter", "otlp", "--otlp-exporter-endpoint", endpoint]);
        command.args(["--otlp-exporter-protocol", protocol]);
        command.args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")]);
        command.args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")]);
        command.arg("--pid-file").arg(folder.path().join("pid"));
        command.arg("--log-file").arg(folder.path().join("log"));
        let mut process = Process::start("rotel", command);
        for port in [grpc, http] {
            wait_for("Rotel to listen", PATIENCE, || {
                assert!(process.ended().is_none(), "Rotel ended: {}", process.stderr());
                TcpStream::connect(("127.0.0.1", port)).ok()
            });
        }
        Ok(Self { process, _folder: folder, grpc, http })
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        self.process.stdout() + &self.process.stderr()
    }
}

fn binary() -> Result<PathBuf, String> {
    let path = cache::folder().join(format!("rotel-{VERSION}/rotel-agent"));
    if path.exists() { Ok(path) } else { Err("needs Rotel: run `scripts/install rotel`".to_owned()) }
}
