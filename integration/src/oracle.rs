//! The Python OTLP receiver under `oracle/`: started, told to misbehave, and read.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha1::{Digest, Sha1};
use tempfile::TempDir;

use crate::cache;
use crate::certificates::Certificates;
use crate::http;
use crate::otlp::{self, Log, Point};
use crate::process::{self, Ask, Process, run};
use crate::sums;

const PATIENCE: Duration = Duration::from_secs(20);
const INSTALL_PATIENCE: Duration = Duration::from_mins(5);

/// A running receiver. What it wrote down stays until this is dropped.
pub struct Oracle {
    python: PathBuf,
    folder: TempDir,
    process: Option<Process>,
    ports: Ports,
    tls: Option<PathBuf>,
    /// What was read of the journal: how far, in bytes, and the requests in it.
    read: Mutex<(usize, Vec<Request>)>,
}

/// Where the receiver listens, on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// OTLP over gRPC.
    pub grpc: u16,
    /// OTLP over HTTP.
    pub http: u16,
    control: u16,
}

/// One request as the receiver wrote it down.
#[derive(Clone, Debug)]
pub struct Request(Arc<Value>);

impl Oracle {
    /// Starts a receiver on free ports; an error names what the machine lacks.
    pub fn start(fault: &str) -> Result<Self, String> {
        let mut oracle = Self::absent()?;
        oracle.begin(fault);
        Ok(oracle)
    }

    /// As [`Oracle::start`], with TLS on both ends: its certificate and the authority of its clients are in this folder.
    pub fn start_tls(certificates: &Certificates) -> Result<Self, String> {
        let mut oracle = Self::absent()?;
        oracle.tls = Some(certificates.folder().to_owned());
        oracle.begin("none");
        Ok(oracle)
    }

    /// A receiver that does not run yet, with ports chosen for it.
    pub fn absent() -> Result<Self, String> {
        let python = python()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ports = Ports { grpc: crate::actors::free_port(), http: crate::actors::free_port(), control: 0 };
        Ok(Self { python, folder, process: None, ports, tls: None, read: Mutex::default() })
    }

    /// Starts it, on the same ports as ever.
    pub fn begin(&mut self, fault: &str) {
        let mut command = Command::new(&self.python);
        command.arg(source("otlp_receiver.py")).arg("--out").arg(self.journal()).args(["--fault", fault]);
        command.args([
            "--grpc-port",
            &self.ports.grpc.to_string(),
            "--http-port",
            &self.ports.http.to_string(),
        ]);
        if let Some(folder) = &self.tls {
            command.arg("--tls").arg(folder);
        }
        let mut process = Process::start("oracle", command);
        let line: Value =
            serde_json::from_str(&process.first_line(PATIENCE)).expect("the oracle prints JSON");
        let port = |key: &str| u16::try_from(line[key].as_u64().expect("a port")).expect("a port");
        self.ports = Ports { grpc: port("grpc"), http: port("http"), control: port("control") };
        self.process = Some(process);
    }

    /// Takes it away, at once, as if its machine had lost power.
    pub fn vanish(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.ask(Ask::Kill);
        process.wait(PATIENCE);
    }

    /// Where it listens.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Changes its behaviour; see the receiver's own description.
    pub fn fault(&self, fault: &str) {
        let control = SocketAddr::from(([127, 0, 0, 1], self.ports.control));
        let (code, body) =
            http::post(control, &format!("/control?fault={fault}")).expect("the oracle's control port");
        assert_eq!(code, 200, "{body}");
    }

    /// Every request so far, also of earlier runs, in order.
    pub fn requests(&self) -> Vec<Request> {
        let mut read = self.read.lock().expect("nobody panicked while reading");
        let new = process::read_from(&self.journal(), read.0);
        // The last line may still be growing.
        let whole = new.rfind('\n').map_or(0, |end| end + 1);
        let lines = new[..whole].lines();
        read.1.extend(
            lines.map(|line| Request(Arc::new(serde_json::from_str(line).expect("the oracle writes JSON")))),
        );
        read.0 += whole;
        read.1.clone()
    }

    /// The log records of all requests that were answered as they should be.
    pub fn logs_taken(&self) -> Vec<Log> {
        self.requests().iter().filter(|request| request.fault() == "none").flat_map(Request::logs).collect()
    }

    /// The data points of all requests that were answered as they should be.
    pub fn points_taken(&self) -> Vec<Point> {
        self.requests().iter().filter(|request| request.fault() == "none").flat_map(Request::points).collect()
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("requests.jsonl")
    }
}

impl Request {
    /// `logs`, `metrics` or `traces`.
    pub fn signal(&self) -> &str {
        self.0["signal"].as_str().expect("a signal")
    }

    /// The fault it met, `none` if it was taken.
    pub fn fault(&self) -> &str {
        self.0["fault"].as_str().expect("a fault")
    }

    /// A field of the line.
    pub fn field(&self, key: &str) -> &Value {
        &self.0[key]
    }

    /// A header or a piece of gRPC metadata.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0["headers"][name].as_str()
    }

    /// The OTLP message.
    pub fn message(&self) -> &Value {
        &self.0["message"]
    }

    /// Whether it is about observed connections, not about convis: self-telemetry is sent by the SDK, on its own.
    pub fn is_observed(&self) -> bool {
        let metrics = &self.message()["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        self.signal() == "logs" || metrics[0]["name"].as_str().is_some_and(sums::is_observed_metric)
    }

    /// Its log records.
    pub fn logs(&self) -> Vec<Log> {
        otlp::logs(self.message())
    }

    /// Its data points.
    pub fn points(&self) -> Vec<Point> {
        otlp::points(self.message())
    }
}

/// The Python that has what the oracle needs: a virtual environment in the cache, made when missing.
pub fn python() -> Result<PathBuf, String> {
    let requirements = fs::read(source("requirements.txt")).expect("the oracle's requirements");
    let digest = URL_SAFE_NO_PAD.encode(Sha1::digest(&requirements));
    let folder = cache::folder().join(format!("oracle-{digest}"));
    let python = folder.join("bin/python");
    let complete = folder.join("complete");
    let _lock = cache::lock("oracle.lock");
    if !(complete.exists() && python.exists()) {
        make_environment(&folder, &python)?;
        fs::write(complete, "").expect("the cache takes a file");
    }
    Ok(python)
}

fn make_environment(folder: &Path, python: &Path) -> Result<(), String> {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(folder);
    step(venv, "needs Python 3 with venv: install python3-venv")?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(source("requirements.txt"));
    step(pip, "needs the Python packages of integration/oracle/requirements.txt, and pip cannot install them")
}

fn step(command: Command, lacking: &str) -> Result<(), String> {
    if !process::exists(command.get_program()) {
        return Err(lacking.to_owned());
    }
    let (status, process) = run("python", command, INSTALL_PATIENCE);
    if status.success() { Ok(()) } else { Err(format!("{lacking}: {}", last_line(&process.stderr()))) }
}

fn last_line(text: &str) -> &str {
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default()
}

/// A file of the oracle's folder.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle").join(name)
}
