//! What a process knows of itself, and the lines it prints.

use std::io::{self, BufWriter, Stdout, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::exchange::Done;
use crate::truth::{Report, Side};

/// Shared by the threads of one traffic process: hands out the connections to make, takes the reports.
pub(super) struct Witness {
    side: Side,
    pid: u32,
    parent_pid: u32,
    executable: String,
    left: AtomicUsize,
    lines: Mutex<BufWriter<Stdout>>,
}

/// The opening of one connection.
pub(super) struct Opening {
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) started: u64,
    pub(super) opened: u64,
}

impl Witness {
    /// Process ids are those of the procfs at `proc_root`.
    pub(super) fn new(side: Side, connections: usize, proc_root: &Path) -> Result<Self, String> {
        let (pid, parent_pid) = process_ids(proc_root)?;
        let executable =
            std::fs::read_link("/proc/self/exe").map_err(|error| format!("/proc/self/exe: {error}"))?;
        Ok(Self {
            side,
            pid,
            parent_pid,
            executable: executable.to_string_lossy().into_owned(),
            left: AtomicUsize::new(connections),
            lines: Mutex::new(BufWriter::new(io::stdout())),
        })
    }

    /// Whether one more connection is to be made; each call takes one.
    pub(super) fn takes_one(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    pub(super) fn report(&self, opening: &Opening, done: &Done) -> Result<(), String> {
        let report = Report {
            side: self.side,
            pid: self.pid,
            parent_pid: self.parent_pid,
            executable: self.executable.clone(),
            local: opening.local,
            peer: opening.peer,
            written: done.written,
            read: done.read,
            closed_first: done.closed_first,
            started: opening.started,
            opened: opening.opened,
            closing: done.closing,
            ended: done.ended,
            result: done.result.as_ref().map_or_else(error_name, |()| "ok".to_owned()),
        };
        self.print(&report.to_json())
    }

    pub(super) fn print(&self, line: &Value) -> Result<(), String> {
        let mut lines = self.lines.lock().expect("no thread panics while printing");
        writeln!(lines, "{line}").map_err(|error| format!("stdout: {error}"))
    }

    pub(super) fn flush(&self) -> Result<(), String> {
        let mut lines = self.lines.lock().expect("no thread panics while printing");
        lines.flush().map_err(|error| format!("stdout: {error}"))
    }
}

/// This process's id and its parent's.
fn process_ids(proc_root: &Path) -> Result<(u32, u32), String> {
    let file = proc_root.join("self/stat");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (pid, rest) = text.split_once(' ').unwrap_or_default();
    // The name before the state may hold blanks and brackets.
    let (_, rest) = rest.rsplit_once(") ").unwrap_or_default();
    let parent = rest.split(' ').nth(1).and_then(|parent| parent.parse().ok());
    pid.parse().ok().zip(parent).ok_or_else(|| format!("{}: {text:?}", file.display()))
}

fn error_name(error: &io::Error) -> String {
    use rustix::io::Errno;
    let name = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::CONNREFUSED) => "ECONNREFUSED",
        Some(Errno::CONNRESET) => "ECONNRESET",
        Some(Errno::PIPE) => "EPIPE",
        Some(Errno::ADDRNOTAVAIL) => "EADDRNOTAVAIL",
        Some(Errno::ADDRINUSE) => "EADDRINUSE",
        Some(Errno::TIMEDOUT) => "ETIMEDOUT",
        Some(Errno::HOSTUNREACH) => "EHOSTUNREACH",
        Some(Errno::NETUNREACH) => "ENETUNREACH",
        Some(Errno::MFILE) => "EMFILE",
        _ => return error.to_string(),
    };
    name.to_owned()
}
