//! What both ends do between open and close.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::clock::unix_nanos;
use crate::truth::Side;

/// So little fits in the socket's buffers: it can be written before anything is read.
const SMALL: u64 = 16 * 1024;
const CHUNK: usize = 64 * 1024;
static PAYLOAD: [u8; CHUNK] = [b'c'; CHUNK];

/// The plan of one connection, as one end has it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Bytes this end writes.
    pub send: u64,
    /// Bytes this end reads before it closes, if it closes first; the other end reads to the end.
    pub expect: u64,
    /// Who closes first.
    pub first: Side,
    /// Who closes first ends its direction as soon as all is written.
    pub half_close: bool,
    /// Who closes first resets.
    pub linger0: bool,
    /// Pause of who closes first, before the close.
    pub hold: Duration,
    /// Writes that what is sent is spread over; 0 for as few as possible.
    pub pieces: u64,
    /// Pause after each of them.
    pub pause: Duration,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            send: 0,
            expect: 0,
            first: Side::Client,
            half_close: false,
            linger0: false,
            hold: Duration::ZERO,
            pieces: 0,
            pause: Duration::ZERO,
        }
    }
}

impl Exchange {
    /// The same plan as the other end has it.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        Self { send: self.expect, expect: self.send, ..self.clone() }
    }

    /// The words that say this plan on a command line.
    pub fn to_arguments(&self) -> Vec<String> {
        let settings = [
            ("--send", self.send.to_string()),
            ("--expect", self.expect.to_string()),
            ("--close-first", self.first.to_string()),
            ("--hold-ms", self.hold.as_millis().to_string()),
            ("--pieces", self.pieces.to_string()),
            ("--pause-ms", self.pause.as_millis().to_string()),
        ];
        let mut words: Vec<String> =
            settings.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        if self.half_close {
            words.push("--half-close".to_owned());
        }
        if self.linger0 {
            words.push("--linger0".to_owned());
        }
        words
    }
}

/// What one end did; the stream is closed by then.
pub(super) struct Done {
    pub(super) written: u64,
    pub(super) read: u64,
    pub(super) closed_first: Option<bool>,
    pub(super) closing: u64,
    pub(super) ended: u64,
    pub(super) result: io::Result<()>,
}

/// Plays `side` of the plan on an open stream and closes it.
pub(super) fn play(stream: TcpStream, side: Side, plan: &Exchange) -> Done {
    let is_first = side == plan.first;
    let moved = move_bytes(&stream, plan, is_first);
    if is_first && moved.result.is_ok() {
        thread::sleep(plan.hold);
    }
    let mut result = moved.result;
    if is_first && plan.linger0 {
        result = result.and(SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
    }
    let closing = moved.half_closed.unwrap_or_else(unix_nanos);
    drop(stream);
    let ended = unix_nanos();
    let closed_first = result.is_ok().then_some(is_first);
    Done { written: moved.written, read: moved.read, closed_first, closing, ended, result }
}

struct Moved {
    written: u64,
    read: u64,
    half_closed: Option<u64>,
    result: io::Result<()>,
}

fn move_bytes(stream: &TcpStream, plan: &Exchange, is_first: bool) -> Moved {
    let half_close = is_first && plan.half_close;
    let to_read = if is_first && !half_close { Some(plan.expect) } else { None };
    let write = || {
        let (written, mut result) = write_in_pieces(stream, plan);
        let half_closed = half_close.then(unix_nanos);
        if half_close {
            result = result.and(stream.shutdown(Shutdown::Write));
        }
        (written, half_closed, result)
    };

    let ((written, half_closed, sending), (read, receiving)) = if plan.send <= SMALL {
        (write(), read_bytes(stream, to_read))
    } else {
        thread::scope(|scope| {
            let writer = scope.spawn(write);
            let reading = read_bytes(stream, to_read);
            (writer.join().expect("the writer does not panic"), reading)
        })
    };
    Moved { written, read, half_closed, result: sending.and(receiving) }
}

fn write_in_pieces(stream: &TcpStream, plan: &Exchange) -> (u64, io::Result<()>) {
    let pieces = plan.pieces.max(1);
    let mut written = 0;
    for piece in 1..=pieces {
        let (count, result) = write_bytes(stream, plan.send * piece / pieces - written);
        written += count;
        if result.is_err() {
            return (written, result);
        }
        thread::sleep(plan.pause);
    }
    (written, Ok(()))
}

fn write_bytes(mut stream: &TcpStream, wanted: u64) -> (u64, io::Result<()>) {
    let mut written = 0;
    while written < wanted {
        let chunk = usize::try_from(wanted - written).map_or(CHUNK, |rest| rest.min(CHUNK));
        match stream.write(&PAYLOAD[..chunk]) {
            Ok(count) => written += count as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Reads what is wanted, or to the end of the stream.
fn read_bytes(mut stream: &TcpStream, wanted: Option<u64>) -> (u64, io::Result<()>) {
    let mut buffer = vec![0; CHUNK];
    let mut read = 0;
    while wanted.is_none_or(|wanted| read < wanted) {
        match stream.read(&mut buffer) {
            Ok(0) if wanted.is_some() => return (read, Err(ErrorKind::UnexpectedEof.into())),
            Ok(0) => break,
            Ok(count) => read += count as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (read, Err(error)),
        }
    }
    (read, Ok(()))
}
