//! A receiver of OTLP over HTTP that accepts everything and weighs it.

use std::borrow::Cow;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::messages::{data_points, log_records};

/// The empty body is the message that says so.
const ACCEPTED: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";

/// What one signal has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Weighed {
    /// Requests.
    pub(super) requests: usize,
    /// Bytes of their bodies, as they came.
    pub(super) bytes: usize,
    /// Log records or data points, if it looks inside.
    pub(super) items: usize,
}

/// What has come so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Received {
    /// Events.
    pub(super) logs: Weighed,
    /// Metrics, self-telemetry among them.
    pub(super) metrics: Weighed,
}

/// The running receiver; its threads end with the process.
pub(super) struct Sink {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

/// Whether bodies are only weighed, or what is in them counted as well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Look {
    /// Their length.
    Outside,
    /// What they hold.
    Inside,
}

impl Sink {
    /// Listens on loopback.
    pub(super) fn start(look: Look) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let address = listener.local_addr().expect("its address");
        let received = Arc::<Mutex<Received>>::default();
        let shared = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let received = Arc::clone(&shared);
                thread::spawn(move || answer(stream, look, &received));
            }
        });
        Self { address, received }
    }

    /// The value of `--sink` for it, with more keys.
    pub(super) fn spec(&self, keys: &str) -> String {
        format!("otlp,endpoint=http://{},protocol=http/protobuf{keys}", self.address)
    }

    /// What has come so far.
    pub(super) fn received(&self) -> Received {
        *self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request without its body.
struct Head {
    length: usize,
    body: usize,
    logs: bool,
    encoding: Encoding,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

impl Encoding {
    fn plain(self, body: &[u8]) -> std::io::Result<Cow<'_, [u8]>> {
        let mut plain = Vec::new();
        match self {
            Self::Plain => return Ok(body.into()),
            Self::Gzip => flate2::read::MultiGzDecoder::new(body).read_to_end(&mut plain)?,
            Self::Zstd => zstd::Decoder::new(body)?.read_to_end(&mut plain)?,
        };
        Ok(plain.into())
    }
}

fn answer(mut stream: TcpStream, look: Look, received: &Mutex<Received>) {
    let mut held = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        held.extend_from_slice(&chunk[..read]);
        while let Some(head) = Head::of(&held).filter(|head| head.body + head.length <= held.len()) {
            let body = &held[head.body..head.body + head.length];
            count(&head, body, look, &mut received.lock().unwrap_or_else(PoisonError::into_inner));
            held.drain(..head.body + head.length);
            if stream.write_all(ACCEPTED).is_err() {
                return;
            }
        }
    }
}

fn count(head: &Head, body: &[u8], look: Look, received: &mut Received) {
    let (weighed, items): (_, fn(&[u8]) -> _) =
        if head.logs { (&mut received.logs, log_records) } else { (&mut received.metrics, data_points) };
    weighed.requests += 1;
    weighed.bytes += body.len();
    if look == Look::Inside {
        let body = head.encoding.plain(body).expect("a body that is encoded as its head says");
        weighed.items += items(&body).expect("a body of protobuf");
    }
}

impl Head {
    /// The first request's, once all of it is there.
    fn of(held: &[u8]) -> Option<Self> {
        let body = held.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&held[..body]).to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"))?;
        let encoding =
            match text.lines().find_map(|line| line.strip_prefix("content-encoding:")).map(str::trim) {
                Some("gzip") => Encoding::Gzip,
                Some("zstd") => Encoding::Zstd,
                _ => Encoding::Plain,
            };
        Some(Self { length: length.trim().parse().ok()?, body, logs: text.contains("/v1/logs"), encoding })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_weighed_by_signal() {
        let sink = Sink::start(Look::Inside);
        let mut stream = TcpStream::connect(sink.address).unwrap();
        // One resource, one scope, two records; then a request of metrics that holds nothing.
        let body = [0x0a, 6, 0x12, 4, 0x12, 0, 0x12, 0];
        stream.write_all(b"POST /v1/logs HTTP/1.1\r\nContent-Length: 8\r\n\r\n").unwrap();
        stream.write_all(&body).unwrap();
        stream.write_all(b"POST /v1/metrics HTTP/1.1\r\ncontent-length: 0\r\n\r\n").unwrap();
        let mut answers = vec![0; 2 * ACCEPTED.len()];
        stream.read_exact(&mut answers).unwrap();
        let logs = Weighed { requests: 1, bytes: 8, items: 2 };
        assert_eq!(
            sink.received(),
            Received { logs, metrics: Weighed { requests: 1, ..Weighed::default() } }
        );
    }
}
