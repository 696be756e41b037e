//! An HTTP receiver that answers as it is told and remembers what it was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::tls::Certificates;

/// One answer.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Depends on what was asked.
    Of(fn(&Asked) -> Answer),
    /// Never comes.
    Hang,
    /// The connection ends instead.
    Disconnect,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self::Status { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn with_header(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Status { status, mut headers, body } => {
                headers.push((name, value.to_owned()));
                Self::Status { status, headers, body }
            }
            other => other,
        }
    }

    pub(crate) fn with_body(self, content: impl Into<Vec<u8>>) -> Self {
        match self {
            Self::Status { status, headers, .. } => Self::Status { status, headers, body: content.into() },
            other => other,
        }
    }
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// Without its `?`; empty when there is none.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The receiver: answers in turn, then always with 200 and an empty body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receiver {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Receiver {
    /// Listens; returns its base URL too.
    pub(crate) async fn start(answers: Vec<Answer>) -> (Self, String) {
        let receiver = Self { answers: Arc::new(Mutex::new(answers.into())), ..Self::default() };
        let (listener, port) = listen().await;
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        (receiver, format!("http://127.0.0.1:{port}"))
    }

    /// As [`start`](Self::start), with TLS and a client certificate asked for.
    pub(crate) async fn start_tls(certificates: &Certificates) -> (Self, String) {
        let receiver = Self::default();
        let (listener, port) = listen().await;
        let acceptor = TlsAcceptor::from(Arc::new(certificates.server_config()));
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, serving) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serving.serve(stream).await;
                    }
                });
            }
        });
        (receiver, format!("https://localhost:{port}"))
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(move |request| self.clone().answer(request));
        // An error is a client that went away, or one told to.
        let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Disconnected> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Disconnected)?.to_bytes();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let asked = Asked { path: parts.uri.path().to_owned(), query, headers: parts.headers, body };
        self.asked.lock().unwrap().push(asked.clone());
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Answer::status(200));
        match if let Answer::Of(judge) = answer { judge(&asked) } else { answer } {
            Answer::Hang => std::future::pending::<Result<_, Infallible>>().await.map_err(|_| Disconnected),
            Answer::Of(_) | Answer::Disconnect => Err(Disconnected),
            Answer::Status { status, headers, body } => {
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                Ok(response.body(Full::new(body.into())).unwrap())
            }
        }
    }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[derive(Debug, thiserror::Error)]
#[error("told to disconnect")]
struct Disconnected;
