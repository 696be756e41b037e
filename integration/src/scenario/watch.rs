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

    /// Stops it as a service manager does; what it said, if the end was a clean one.
    pub(super) fn stop(mut self) -> Result<Said, String> {
        let metrics = get(self.admin, "/metrics").unwrap_or_default();
        let missed = metrics.lines().find(|line| line.starts_with("convis_connections_missed_total"));
        self.process.ask(Ask::Stop);
        let status = self.process.wait(STOP_PATIENCE);
        self.events();
        let stderr = self.process.stderr();
        if status.success() {
            let skipped = skipped(&stderr);
            let unseen = format!("{skipped} skipped runs of programs, {}", missed.unwrap_or_default());
            Ok(Said { events: self.events, skipped, unseen })
        } else {
            Err(format!("convis: {status}: {}", stderr.trim()))
        }
    }
}

/// What a convis said until its end.
pub(super) struct Said {
    pub(super) events: Vec<Event>,
    /// How often the kernel skipped one of its programs.
    pub(super) skipped: u64,
    /// That, and the ends it missed, in words: the first thing to look at when something is missing.
    pub(super) unseen: String,
}

/// What the last line says of skipped runs; it says nothing where there are none.
fn skipped(stderr: &str) -> u64 {
    let number = stderr.rsplit_once("; the kernel skipped ").and_then(|(_, rest)| rest.split(' ').next());
    number.map_or(0, |number| number.parse().expect("a count"))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: convis's last line, with and without skipped runs.
    /// Guarantees: their number.
    #[test]
    fn skipped_runs_are_read() {
        let line = "convis: stopped; opened 1 seen; stdout events: 2 sent, 0 dropped";
        assert_eq!(
            skipped(&format!("warning\n{line}; the kernel skipped 12 runs of programs, see docs/loss.md\n")),
            12
        );
        assert_eq!(skipped(line), 0);
    }
}
