//! Which names a process has, however it was started and whether or not it still lives when somebody looks.
#![expect(clippy::expect_used, reason = "what does not go as planned fails the test, with its message")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use convis_integration::clock::wait_for;
use convis_integration::convis::Convis;
use convis_integration::event::{Event, OPENED};
use convis_integration::need::root;
use convis_integration::{need, turns};

/// Connects to port `$1` after `$2` seconds and ends `$3` seconds later.
const BODY: &str = "sleep $2; exec 3<>/dev/tcp/127.0.0.1/$1; sleep $3";
const BASH: &str = "/bin/bash";
const PATIENCE: Duration = Duration::from_secs(15);

/// When a client starts and ends, seen from convis: seconds before it connects, and after.
#[derive(Clone, Copy)]
enum Life {
    /// Gone before user space can look.
    Short,
    /// Still there when user space looks.
    Long,
}

impl Life {
    const fn seconds(self) -> &'static str {
        match self {
            Self::Short => "0",
            Self::Long => "2",
        }
    }
}

/// A way to run the shell: as the interpreter of a script, or under another name.
struct Launcher {
    program: PathBuf,
    leading: &'static [&'static str],
    /// What `argv[0]` is in the end.
    command: PathBuf,
}

fn script(folder: &Path) -> Launcher {
    let program = folder.join("script");
    fs::write(&program, format!("#!{BASH}\n{BODY}\n")).expect("the script can be written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it can be made executable");
    // The kernel puts the interpreter in the place of argv[0].
    Launcher { program, leading: &[], command: BASH.into() }
}

/// As busybox is run: one executable, many names.
fn applet(folder: &Path) -> Launcher {
    let program = folder.join("applet");
    symlink(BASH, &program).expect("the link can be made");
    Launcher { leading: &["-c", BODY, "-"], command: program.clone(), program }
}

impl Launcher {
    fn start(&self, port: u16, wait: &str, life: Life) -> Child {
        let mut command = Command::new(&self.program);
        command.args(self.leading).args([&port.to_string(), wait, life.seconds()]);
        command.spawn().expect("the client starts")
    }

    fn check(&self, event: &Event, client: u32) {
        let executable = fs::canonicalize(BASH).expect("bash is installed");
        assert_eq!(event.pid(), Some(u64::from(client)), "{event:#?}");
        assert_eq!(event.text("process.executable.path"), executable.to_string_lossy(), "{event:#?}");
        assert_eq!(event.text("process.executable.name"), "bash", "{event:#?}");
        assert_eq!(event.text("process.command"), self.command.to_string_lossy(), "{event:#?}");
        assert_eq!(event.number("process.parent_pid"), u64::from(std::process::id()), "{event:#?}");
        assert_eq!(event.text("process.owner"), "root", "{event:#?}");
    }
}

/// A server whose connections nobody accepts; the clients' ends are what matters.
fn server() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    (listener, port)
}

/// The clients' opened events, in the order of the clients.
fn opened_by(convis: &Convis, port: u16, clients: &[u32]) -> Vec<Event> {
    wait_for("every client's opened event", PATIENCE, || {
        let mut opened = convis.events_at(port);
        opened.retain(|event| event.name == OPENED);
        let of = |client: &u32| opened.iter().find(|event| event.pid() == Some(u64::from(*client))).cloned();
        clients.iter().map(of).collect()
    })
}

/// Scenario: a script and a link under another name connect, once gone at once, once living on, and once running since
/// before convis.
/// Guarantees: all show the executable's own name and path as `/proc/<pid>/exe` has it, `argv[0]` as the command, parent
/// and owner; a process that is gone shows the same as one that lives.
#[test]
fn names_do_not_depend_on_the_moment() {
    need!(root());
    let _turn = turns::together();
    let folder = tempfile::tempdir().expect("a temporary folder");
    for launcher in [script(folder.path()), applet(folder.path())] {
        let (_listener, port) = server();
        let mut older = launcher.start(port, "2", Life::Long);
        let convis = Convis::start::<&str>(&[]);
        let mut short = launcher.start(port, "0", Life::Short);
        let mut long = launcher.start(port, "0", Life::Long);
        let clients = [older.id(), short.id(), long.id()];
        for (event, client) in opened_by(&convis, port, &clients).iter().zip(clients) {
            launcher.check(event, client);
        }
        for child in [&mut older, &mut short, &mut long] {
            assert!(child.wait().expect("the client ends").success());
        }
    }
}

/// Scenario: a process connects, then runs another image that connects as well.
/// Guarantees: each connection has the image that made it, although the process id is the same.
#[test]
fn an_image_keeps_its_connection() {
    need!(root());
    let _turn = turns::together();
    let (_listener, port) = server();
    let convis = Convis::start::<&str>(&[]);
    let body = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; \
         exec python3 -c 'import socket, time; socket.create_connection((\"127.0.0.1\", {port})); time.sleep(1)'"
    );
    let mut child = Command::new(BASH).args(["-c", &body]).spawn().expect("the client starts");
    let events = convis.wait_for_events(port, 2);
    let names: Vec<&str> = events.iter().map(|event| event.text("process.executable.name")).collect();
    assert_eq!(names[0], "bash", "{events:#?}");
    assert!(names[1].starts_with("python3"), "{events:#?}");
    assert_eq!(events[0].pid(), events[1].pid());
    assert_eq!(events[0].text("process.creation.time"), events[1].text("process.creation.time"));
    assert_ne!(events[0].text("service.instance.id"), events[1].text("service.instance.id"));
    assert!(child.wait().expect("the client ends").success());
}
