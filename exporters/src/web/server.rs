//! A small HTTP server for pages that are read, such as `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Visitors at one time; further ones wait in the listener's queue.
const MAX_VISITORS: usize = 16;
/// A visitor that takes longer is cut off.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// Prometheus's text format.
pub const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its code.
    pub status: StatusCode,
    /// Its `Content-Type`.
    pub kind: &'static str,
    /// Its text.
    pub body: Bytes,
}

impl Page {
    /// A page of plain text.
    pub fn text(status: StatusCode, body: &'static str) -> Self {
        Self { status, kind: TEXT, body: Bytes::from_static(body.as_bytes()) }
    }
}

/// The answer to a request for a path; asked only by `GET` and `HEAD`.
pub type Respond = Arc<dyn Fn(&str) -> Page + Send + Sync>;

/// Answers until the task is dropped.
pub async fn serve(listener: TcpListener, respond: Respond) {
    let visitors = Arc::new(Semaphore::new(MAX_VISITORS));
    loop {
        let Ok(permit) = Arc::clone(&visitors).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: give others time to free some.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let respond = Arc::clone(&respond);
        tokio::spawn(async move {
            visit(stream, respond).await;
            drop(permit);
        });
    }
}

/// Answers one visitor until it leaves or its time is over.
pub(crate) async fn visit<S: AsyncRead + AsyncWrite + Unpin>(stream: S, respond: Respond) {
    let service = service_fn(move |request| {
        let answer = answer(&request, &respond);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    // How a visitor leaves is its own affair.
    let _left = tokio::time::timeout(PATIENCE * 6, connection).await;
}

fn answer(request: &Request<Incoming>, respond: &Respond) -> Response<Full<Bytes>> {
    let page = if matches!(*request.method(), Method::GET | Method::HEAD) {
        respond(request.uri().path())
    } else {
        Page::text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n")
    };
    let mut response = Response::new(Full::new(page.body));
    *response.status_mut() = page.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(page.kind));
    response
}
