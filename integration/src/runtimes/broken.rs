//! A socket where a container runtime should answer.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It takes connections and never answers.
    Hangs,
    /// It answers with what no protocol has.
    Rubbish,
    /// It is not there.
    Absent,
}

/// Such a socket, until it is dropped.
pub struct Broken {
    folder: TempDir,
    thread: Option<JoinHandle<()>>,
}

impl Broken {
    /// A new one.
    pub fn new(fault: Fault) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut broken = Self { folder, thread: None };
        if fault != Fault::Absent {
            let listener = UnixListener::bind(broken.socket()).expect("a socket");
            broken.thread = Some(thread::spawn(move || answer(&listener, fault)));
        }
        broken
    }

    /// Where it is, or would be.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("d.sock")
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        // An empty connection is its end.
        let goodbye =
            UnixStream::connect(self.socket()).and_then(|stream| stream.shutdown(std::net::Shutdown::Write));
        if let (Ok(()), Some(thread)) = (goodbye, self.thread.take()) {
            drop(thread.join());
        }
    }
}

fn answer(listener: &UnixListener, fault: Fault) {
    let mut held = Vec::new();
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let asked = stream.read(&mut [0; 4096]);
        if asked.is_ok_and(|count| count == 0) {
            return;
        }
        if fault == Fault::Rubbish {
            // Whoever asked may be gone.
            drop(stream.write_all(b"\x00\xff{]<rubbish>\r\n\r\n"));
        } else {
            held.push(stream);
        }
    }
}
