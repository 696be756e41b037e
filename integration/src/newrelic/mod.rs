//! A New Relic on the loopback that keeps the documented rules.

pub mod rules;

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use serde_json::Value;

use crate::clock::unix_nanos;
use crate::event::Event;
use rules::{Account, Flat, Request, TAKEN};

/// The account's number.
pub const ACCOUNT: &str = "1234567";
/// The account's license key, of no real account.
pub const KEY: &str = "0123456789abcdef0123456789abcdef0123NRAL";

/// The running fake.
pub struct NewRelic {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    max_bytes: usize,
    faults: VecDeque<Fault>,
    statuses: Vec<u16>,
    taken: Vec<Flat>,
}

/// A status that is answered whatever was asked, with this `Retry-After`.
pub type Fault = (u16, Option<&'static str>);

struct Asked {
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl NewRelic {
    /// Starts it on a free port; it takes requests of so many bytes.
    pub fn start(max_bytes: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let state = State { max_bytes, faults: VecDeque::new(), statuses: Vec::new(), taken: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        // Both threads end with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { address, state }
    }

    /// A sink to it with this text as its key.
    pub fn sink(&self, key: &str) -> String {
        format!("newrelic,account={ACCOUNT},key={key},endpoint=http://{}", self.address)
    }

    /// Lets the next requests fail, one by one.
    pub fn fail(&self, faults: &[Fault]) {
        self.state().faults.extend(faults);
    }

    /// The status of each answer so far.
    pub fn statuses(&self) -> Vec<u16> {
        self.state().statuses.clone()
    }

    /// The events that were taken.
    pub fn taken(&self) -> Vec<Flat> {
        self.state().taken.clone()
    }

    /// Those of them about connections to this server port.
    pub fn events_at(&self, server_port: u16) -> Vec<Event> {
        self.taken().into_iter().map(event).filter(|event| event.is_at(server_port)).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread that panicked")
    }
}

/// A flat event as the JSON sink would have shown it, but for what New Relic does not keep apart.
fn event(flat: Flat) -> Event {
    let text = |key: &str| flat[key].as_str().unwrap_or_default().to_owned();
    let millis = flat["timestamp"].as_u64().expect("the rules want one");
    Event {
        timestamp: millis * 1_000_000,
        name: text("event.name"),
        severity: Value::from("INFO"),
        resource: flat.clone(),
        attributes: flat,
    }
}

/// Answers the requests of one connection; an error is its end.
fn serve(stream: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let asked = read(&mut reader)?;
        let mut state = state.lock().expect("no thread that panicked");
        let (status, retry_after, body) = state.answer(&asked);
        state.statuses.push(status);
        drop(state);
        let after = retry_after.map(|value| format!("Retry-After: {value}\r\n")).unwrap_or_default();
        write!(writer, "HTTP/1.1 {status} As told\r\nContent-Length: {}\r\n{after}\r\n{body}", body.len())?;
    }
}

fn read(reader: &mut impl BufRead) -> io::Result<Asked> {
    let mut line = || -> io::Result<String> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    };
    let path = line()?.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut asked = Asked { path, headers, body: Vec::new() };
    let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    asked.body.resize(length, 0);
    reader.read_exact(&mut asked.body)?;
    Ok(asked)
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl State {
    fn answer(&mut self, asked: &Asked) -> (u16, Option<&'static str>, String) {
        if let Some((status, retry_after)) = self.faults.pop_front() {
            return (status, retry_after, String::new());
        }
        let request = Request {
            path: &asked.path,
            key: asked.header("api-key"),
            content_type: asked.header("content-type"),
            content_encoding: asked.header("content-encoding"),
            body: &asked.body,
        };
        let account = Account { number: ACCOUNT, key: KEY, max_bytes: self.max_bytes };
        match rules::judge(&request, &account, unix_nanos() / 1_000_000) {
            Ok(events) => {
                self.taken.extend(events);
                (200, None, TAKEN.to_owned())
            }
            Err((status, body)) => (status, None, body),
        }
    }
}
