//! A child process that does not outlive its test.
//!
//! Its output goes to files, so a slow reader never holds it up.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::clock::poll;

/// A running or ended child. Dropped, it is killed, by its pid and no other way.
pub struct Process {
    name: String,
    child: Child,
    folder: TempDir,
    read_to: AtomicUsize,
}

/// What a child is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ask {
    /// SIGTERM
    Stop,
    /// SIGINT
    Interrupt,
    /// SIGHUP
    HangUp,
    /// SIGKILL
    Kill,
    /// SIGSTOP
    Pause,
    /// SIGCONT
    GoOn,
}

impl Process {
    /// Starts `command`; `name` is for messages.
    pub fn start(name: &str, mut command: Command) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name| File::create(folder.path().join(name)).expect("a file for the output");
        let child = command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{name}: {} does not start: {error}", command.get_program().display())
            });
        Self { name: name.to_owned(), child, folder, read_to: AtomicUsize::new(0) }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file its stdout goes to.
    pub fn stdout_path(&self) -> PathBuf {
        self.folder.path().join("stdout")
    }

    /// All it printed so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout_path())
    }

    /// All it complained about so far.
    pub fn stderr(&self) -> String {
        read(&self.folder.path().join("stderr"))
    }

    /// The whole lines it printed since the last call.
    pub fn new_lines(&self) -> Vec<String> {
        let before = self.read_to.load(Ordering::Relaxed);
        let text = read_from(&self.stdout_path(), before);
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.read_to.store(before + whole, Ordering::Relaxed);
        text[..whole].lines().map(str::to_owned).collect()
    }

    /// Its first line, once it has printed one; panics when it ends before that.
    pub fn first_line(&mut self, limit: Duration) -> String {
        let line = poll(limit, || {
            let ended = self.ended().is_some();
            let text = self.stdout();
            let line = text.split_once('\n').map(|(line, _)| line.to_owned());
            assert!(line.is_some() || !ended, "{} ended without a line: {}", self.name, self.stderr());
            line
        });
        line.unwrap_or_else(|| panic!("{} printed no line in {limit:?}: {}", self.name, self.stderr()))
    }

    /// Its status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child can be waited for")
    }

    /// Waits for its end; panics with its stderr if it does not come.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        poll(limit, || self.ended())
            .unwrap_or_else(|| panic!("{} still runs after {limit:?}: {}", self.name, self.stderr()))
    }

    /// Sends a signal, unless it has ended already.
    pub fn ask(&mut self, ask: Ask) {
        if self.ended().is_some() {
            return;
        }
        let signal = match ask {
            Ask::Stop => Signal::TERM,
            Ask::Interrupt => Signal::INT,
            Ask::HangUp => Signal::HUP,
            Ask::Kill => Signal::KILL,
            Ask::Pause => Signal::STOP,
            Ask::GoOn => Signal::CONT,
        };
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|error| panic!("{}: signal: {error}", self.name));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs `command` to its end.
pub fn run(name: &str, command: Command, limit: Duration) -> (ExitStatus, Process) {
    let mut process = Process::start(name, command);
    let status = process.wait(limit);
    (status, process)
}

/// A program of this workspace: beside the folder of the test executables.
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.parent().and_then(Path::parent).expect("test executables lie in target/<profile>/deps");
    let path = folder.join(name);
    assert!(path.exists(), "{} does not exist: build it first, `cargo build -p {name}`", path.display());
    path
}

fn read(path: &Path) -> String {
    read_from(path, 0)
}

/// The text of a file from here on; nothing where there is no file.
pub(crate) fn read_from(path: &Path, offset: usize) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let mut bytes = Vec::new();
    let Ok(mut file) = File::open(path) else {
        return String::new();
    };
    file.seek(SeekFrom::Start(offset as u64)).expect("the output file seeks");
    file.read_to_end(&mut bytes).expect("the output file reads");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether there is such a program, by path or on `PATH`.
pub fn exists(program: &OsStr) -> bool {
    if Path::new(program).components().count() > 1 {
        return Path::new(program).exists();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}
