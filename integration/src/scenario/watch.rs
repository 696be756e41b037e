//! The convis under test, started by the suite itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::plan::Plan;
use crate::clock::poll;
use crate::event::Event;
use crate::process::{Ask, Process};

const START_PATIENCE: Duration = Duration::from_mins(1);
const STOP_PATIENCE: Duration = Duration::from_mins(1);
/// Ends a convis whose director died.
const LONGEST: &str = "15m";

/// A capturing convis.
pub(super) struct Watch {
    admin: SocketAddr,
    process: Process,
    events: Vec<Event>,
}

impl Watch {
    /// Starts it and waits until it captures.
    pub(super) fn start(convis: &Path, plan: Plan, arguments: &[&str]) -> Result<Self, String> {
        let admin = free_address()?;
        let mut command = Command::new(convis);
        command.args([
            "run",
            "--sink",
            "stdout,format=json",
            "--duration",
            LONGEST,
            "--admin",
            &admin.to_string(),
        ]);
        command.args(plan.argument().map(|plan| ["--probes", plan]).into_iter().flatten());
        command.args(arguments);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("OTEL_") || text.starts_with("K8S_") {
                command.env_remove(&name);
            }
        }
        let mut process = Process::start("convis", command);
        let ready = poll(START_PATIENCE, || match process.ended() {
            Some(status) => Some(Err(format!("convis: {status}: {}", process.stderr().trim()))),
            None => is_ready(admin).then_some(Ok(())),
        });
        match ready {
            Some(Ok(())) => Ok(Self { admin, process, events: Vec::new() }),
            Some(Err(error)) => Err(error),
            None => Err(format!("convis does not capture: {}", process.stderr().trim())),
        }
    }

    /// The events so far.
    pub(super) fn events(&mut self) -> &[Event] {
        let lines = self.process.new_lines();
        self.events.extend(lines.iter().map(|line| Event::from_line(line)));
        &self.events
    }

    /// What it counts so far of what it could not see: skipped runs of its programs, and ends it missed.
    pub(super) fn unseen(&self) -> String {
        let text = get(self.admin, "/metrics").unwrap_or_default();
        let names = ["convis_programs_skipped_total", "convis_connections_missed_total"];
        let counts = text.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
        counts.collect::<Vec<_>>().join(", ")
    }

    /// Stops it as a service manager does; all its events, if the end was a clean one.
    pub(super) fn stop(mut self) -> Result<Vec<Event>, String> {
        self.process.ask(Ask::Stop);
        let status = self.process.wait(STOP_PATIENCE);
        self.events();
        if status.success() {
            Ok(self.events)
        } else {
            Err(format!("convis: {status}: {}", self.process.stderr().trim()))
        }
    }
}

fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map_err(|error| format!("no free port on 127.0.0.1: {error}"))
}

fn is_ready(admin: SocketAddr) -> bool {
    get(admin, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

fn get(admin: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: convis\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
