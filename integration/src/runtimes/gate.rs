//! Between convis and a runtime's socket: questions pass, answers wait until the gate is open.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

/// Such a place, closed at first.
pub struct Gate {
    folder: TempDir,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    is_open: bool,
    is_over: bool,
    streams: Vec<UnixStream>,
}

impl Gate {
    /// Before this socket.
    pub fn before(socket: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let shared = Arc::<Shared>::default();
        let listener = UnixListener::bind(folder.path().join("d.sock")).expect("a socket");
        let (socket, its) = (socket.to_owned(), Arc::clone(&shared));
        let listening = thread::spawn(move || listen(&listener, &socket, &its));
        Self { folder, shared, listening: Some(listening) }
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("d.sock")
    }

    /// Lets answers pass, those that wait as well.
    pub fn open(&self) {
        self.shared.state.lock().expect("no thread panics with it").is_open = true;
        self.shared.opened.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let streams = {
            let mut state = self.shared.state.lock().expect("no thread panics with it");
            state.is_open = true;
            state.is_over = true;
            std::mem::take(&mut state.streams)
        };
        self.shared.opened.notify_all();
        for stream in streams {
            // It may have ended by itself.
            drop(stream.shutdown(Shutdown::Both));
        }
        let last = UnixStream::connect(self.socket());
        if let (Ok(_), Some(listening)) = (last, self.listening.take()) {
            drop(listening.join());
        }
    }
}

fn listen(listener: &UnixListener, socket: &Path, shared: &Arc<Shared>) {
    for near in listener.incoming() {
        let near = near.expect("a connection");
        let mut state = shared.state.lock().expect("no thread panics with it");
        if state.is_over {
            return;
        }
        let Ok(far) = UnixStream::connect(socket) else {
            continue;
        };
        let [asking, asked, answering, answered] =
            [&near, &far, &far, &near].map(|stream| stream.try_clone().expect("a descriptor"));
        state.streams.extend([near, far]);
        drop(state);
        thread::spawn(move || copy(asking, asked, || {}));
        let shared = Arc::clone(shared);
        thread::spawn(move || copy(answering, answered, || shared.wait()));
    }
}

impl Shared {
    fn wait(&self) {
        let state = self.state.lock().expect("no thread panics with it");
        drop(self.opened.wait_while(state, |state| !state.is_open));
    }
}

/// Until either end is over.
fn copy(mut from: UnixStream, mut to: UnixStream, before: impl Fn()) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer)?;
        before();
        if count == 0 {
            return to.shutdown(Shutdown::Write);
        }
        to.write_all(&buffer[..count])?;
    }
}
