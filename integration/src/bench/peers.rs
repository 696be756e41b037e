//! Other tools that tell of each connection, as yardsticks.

use std::ffi::OsStr;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::proc::Watched;
use crate::clock::poll;
use crate::namespace::Namespace;
use crate::process::{Ask, Process, exists};

const START_PATIENCE: Duration = Duration::from_secs(15);
const STOP_PATIENCE: Duration = Duration::from_secs(5);
const STOP_ASKS: usize = 3;
/// After its programs are loaded a tool attaches them.
const ATTACHED: Duration = Duration::from_millis(700);
/// What bpftrace prints for each end that closes: what tcplife does without its figures.
const SCRIPT: &str = r#"tracepoint:sock:inet_sock_set_state /args->newstate == 7/
{ printf("%d %s %s %d %s %d\n", pid, comm, ntop(args->saddr), args->sport, ntop(args->daddr), args->dport); }"#;
/// Makes the kernel track connections in a network namespace.
const TRACKED: &str = "OUTPUT -m conntrack --ctstate NEW -j ACCEPT";

/// One of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Peer {
    /// A line per end at its close, of libbpf-tools.
    Tcplife,
    /// A line per end at its close, from the state tracepoint.
    Bpftrace,
    /// Lines per connection, from connection tracking.
    Conntrack,
}

/// A peer at work. Dropped, it is killed.
pub(super) struct Running<'a> {
    peer: Peer,
    process: Process,
    namespace: &'a Namespace,
}

impl Peer {
    /// How it is named in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcplife => "tcplife (libbpf-tools)",
            Self::Bpftrace => "bpftrace, printf at CLOSE",
            Self::Conntrack => "conntrack -E",
        }
    }

    fn command(self, namespace: &Namespace) -> Command {
        match self {
            Self::Tcplife => Command::new("tcplife"),
            Self::Bpftrace => {
                let mut command = Command::new("bpftrace");
                command.args(["-e", SCRIPT]);
                command
            }
            Self::Conntrack => {
                let mut command = Command::new("nsenter");
                let within = format!("--net={}", namespace.path().display());
                command.args([&within, "conntrack", "-E", "-p", "tcp", "-e", "NEW,UPDATES,DESTROY"]);
                command
            }
        }
    }

    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Tcplife => &["tcplife"],
            Self::Bpftrace => &["bpftrace"],
            Self::Conntrack => &["conntrack", "iptables", "nsenter"],
        }
    }

    /// Starts it; an error says what is lacking.
    pub(super) fn start(self, namespace: &Namespace) -> Result<Running<'_>, String> {
        if let Some(missing) = self.programs().iter().find(|program| !exists(OsStr::new(program))) {
            return Err(format!("there is no {missing}; `scripts/install bench` brings it"));
        }
        if self == Self::Conntrack {
            namespace.try_run(&format!("iptables -A {TRACKED}"))?;
        }
        let process = Process::start(self.name(), self.command(namespace));
        let mut running = Running { peer: self, process, namespace };
        let attached = poll(START_PATIENCE, || {
            let ended = running.process.ended().is_some();
            let loaded = self == Self::Conntrack || !running.watched().programs().is_empty();
            (ended || loaded).then_some(!ended)
        });
        sleep(ATTACHED);
        let lives = running.process.ended().is_none();
        if attached == Some(true) && lives {
            return Ok(running);
        }
        let said = running.process.stderr();
        Err(format!("it does not start here: {}", said.lines().last().unwrap_or("no word")))
    }
}

impl Running<'_> {
    /// Its process.
    pub(super) fn watched(&self) -> Watched {
        Watched(self.process.pid())
    }

    /// Ends it as Ctrl-C does; the part that it told of so many connections to a server's port.
    pub(super) fn told(mut self, port: u16, connections: usize) -> f64 {
        for _ in 0..STOP_ASKS {
            self.process.ask(Ask::Interrupt);
            // bpftrace now and then misses the first one. What does not end is killed when this is dropped.
            if poll(STOP_PATIENCE, || self.process.ended()).is_some() {
                break;
            }
        }
        let port = port.to_string();
        let output = self.process.stdout();
        let told = output.lines().filter(|line| match self.peer {
            Peer::Tcplife | Peer::Bpftrace => line.split_whitespace().any(|word| word == port),
            Peer::Conntrack => line.contains("[NEW]") && line.contains(&format!("dport={port} ")),
        });
        let ends = if self.peer == Peer::Conntrack { connections } else { 2 * connections };
        told.count() as f64 / ends as f64
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.peer == Peer::Conntrack {
            // What fails here was not there.
            drop(self.namespace.try_run(&format!("iptables -D {TRACKED}")));
            drop(self.namespace.try_run("conntrack -F"));
        }
    }
}
