//! convis itself as a child process.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::actors::free_port;
use crate::clock::{poll, wait_for};
use crate::event::Event;
use crate::http;
use crate::ledger::Ledger;
use crate::process::{Ask, Process, built};

const START_PATIENCE: Duration = Duration::from_secs(20);
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// Far beyond what an event takes from the kernel to a sink.
const EVENT_PATIENCE: Duration = Duration::from_secs(10);

/// A capturing convis that also prints its events as JSON.
pub struct Convis {
    process: Process,
    admin: SocketAddr,
    events: RefCell<Vec<Event>>,
}

/// A convis that has ended by itself or as asked.
pub struct Stopped {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything it printed.
    pub events: Vec<Event>,
    /// The same as it was printed.
    pub stdout: String,
    /// Its log.
    pub stderr: String,
}

impl Convis {
    /// Starts it with a JSON sink on stdout and these arguments; returns once it captures.
    pub fn start<S: AsRef<str>>(arguments: &[S]) -> Self {
        let mut all = vec!["--sink", "stdout,format=json"];
        all.extend(arguments.iter().map(AsRef::as_ref));
        Self::start_with(&all)
    }

    /// Starts it with these arguments alone; returns once it captures.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[])
    }

    /// As [`Convis::start_with`], with these environment variables.
    pub fn start_in(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.envs(variables.iter().copied());
        Self::begin(command, arguments)
    }

    /// As [`Convis::start`], by a command whose next arguments are a command that it becomes.
    pub fn start_by<S: AsRef<str>>(mut launcher: Command, arguments: &[S]) -> Self {
        launcher.arg(binary());
        without_settings(&mut launcher);
        let mut all = vec!["--sink", "stdout,format=json"];
        all.extend(arguments.iter().map(AsRef::as_ref));
        Self::begin(launcher, &all)
    }

    fn begin(mut command: Command, arguments: &[&str]) -> Self {
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
        command.args(arguments).args(["--admin", &admin.to_string()]);
        let mut process = Process::start("convis", command);
        wait_for("convis to capture", START_PATIENCE, || {
            let ended = process.ended();
            assert!(ended.is_none(), "convis {arguments:?} ended, {ended:?}: {}", process.stderr());
            http::get(admin, "/readyz").is_ok_and(|(code, _)| code == 200).then_some(())
        });
        Self { process, admin, events: RefCell::default() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Does not let it run while something is done.
    pub fn paused<T>(&mut self, meanwhile: impl FnOnce() -> T) -> T {
        self.process.ask(Ask::Pause);
        let done = meanwhile();
        self.process.ask(Ask::GoOn);
        done
    }

    /// Has it read its settings again; returns once it has said what came of it, with that line.
    pub fn reload(&mut self) -> String {
        let said = |text: &str| text.lines().filter(|line| line.contains("reloaded")).count();
        let before = said(&self.stderr());
        self.process.ask(Ask::HangUp);
        wait_for("convis to reload", START_PATIENCE, || {
            let text = self.stderr();
            // The last line may still be growing.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let line = whole.lines().filter(|line| line.contains("reloaded")).nth(before);
            line.map(str::to_owned)
        })
    }

    /// Where it answers `/metrics`.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its log so far.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Its accounting, now.
    pub fn ledger(&self) -> Ledger {
        let (code, body) = http::get(self.admin, "/metrics").expect("the admin port answers");
        assert_eq!(code, 200, "{body}");
        Ledger::parse(&body)
    }

    /// The events so far about connections to this server port.
    pub fn events_at(&self, server_port: u16) -> Vec<Event> {
        self.read_events();
        self.events.borrow().iter().filter(|event| event.is_at(server_port)).cloned().collect()
    }

    /// Waits until there are `count` such events; panics with those there are if they do not come.
    pub fn wait_for_events(&self, server_port: u16, count: usize) -> Vec<Event> {
        let enough = || Some(self.events_at(server_port)).filter(|events| events.len() >= count);
        poll(EVENT_PATIENCE, enough).unwrap_or_else(|| {
            let events = self.events_at(server_port);
            panic!("{} of {count} events came: {events:#?}\nlog: {}", events.len(), self.stderr())
        })
    }

    /// Ends it as the kernel ends what takes too much memory.
    pub fn kill(mut self) -> Stopped {
        self.process.ask(Ask::Kill);
        self.wait()
    }

    /// Sends it SIGHUP, as whoever has moved its files does.
    pub fn hang_up(&mut self) {
        self.process.ask(Ask::HangUp);
    }

    /// Asks it to stop as a service manager does, and waits.
    pub fn stop(mut self) -> Stopped {
        self.process.ask(Ask::Stop);
        self.wait()
    }

    /// Waits for its own end.
    pub fn wait(mut self) -> Stopped {
        let status = self.process.wait(STOP_PATIENCE);
        self.read_events();
        let (stdout, stderr) = (self.process.stdout(), self.process.stderr());
        Stopped { status, events: self.events.take(), stdout, stderr }
    }

    fn read_events(&self) {
        let new = self.process.new_lines();
        self.events.borrow_mut().extend(new.iter().map(|line| Event::from_line(line)));
    }
}

impl Stopped {
    /// The events about connections to this server port; panics if the end was not a clean one.
    pub fn events_at(&self, server_port: u16) -> Vec<Event> {
        assert!(self.status.success(), "convis: {}: {}", self.status, self.stderr);
        self.events.iter().filter(|event| event.is_at(server_port)).cloned().collect()
    }
}

/// The executable: `$CONVIS_BIN`, else beside the test's own.
pub fn binary() -> PathBuf {
    std::env::var_os("CONVIS_BIN").map_or_else(|| built("convis"), PathBuf::from)
}

/// The executable, with an environment that configures nothing.
pub fn command() -> Command {
    let mut command = Command::new(binary());
    without_settings(&mut command);
    command
}

/// Takes what configures convis out of the environment of `command`.
pub fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("OTEL_") || text.starts_with("K8S_") {
            command.env_remove(&name);
        }
    }
}
