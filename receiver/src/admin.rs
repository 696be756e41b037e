//! `/livez`, `/readyz` and `/metrics` over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::status::Status;

/// Visitors at one time; further ones wait in the listener's queue.
const MAX_VISITORS: usize = 16;
/// A visitor that takes longer is cut off.
const PATIENCE: Duration = Duration::from_secs(10);

/// Binds the listener.
///
/// # Errors
/// The address is taken or not this host's.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers until the runtime ends.
pub async fn serve(listener: TcpListener, status: Arc<Status>) {
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
        let status = Arc::clone(&status);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, &status);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service);
            // How a visitor leaves is its own affair.
            let _left = tokio::time::timeout(PATIENCE * 6, connection).await;
            drop(permit);
        });
    }
}

fn answer(request: &Request<Incoming>, status: &Status) -> Response<Full<Bytes>> {
    let (code, kind, body) = respond(request.method(), request.uri().path(), status);
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(kind));
    response
}

fn respond(method: &Method, path: &str, status: &Status) -> (StatusCode, &'static str, String) {
    const TEXT: &str = "text/plain; charset=utf-8";
    const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".into());
    }
    match path {
        "/livez" => (StatusCode::OK, TEXT, "ok\n".into()),
        "/readyz" if status.is_ready() => (StatusCode::OK, TEXT, "capturing\n".into()),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, TEXT, "not capturing\n".into()),
        "/metrics" => (StatusCode::OK, EXPOSITION, status.prometheus_text()),
        _ => (StatusCode::NOT_FOUND, TEXT, "try /livez, /readyz or /metrics\n".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every path, before and after capturing began, and other methods.
    /// Guarantees: the code each deserves.
    #[test]
    fn answers_by_path() {
        let status = Status::new(Vec::new());
        let code = |method, path, status: &Status| respond(&method, path, status).0;
        assert_eq!(code(Method::GET, "/livez", &status), StatusCode::OK);
        assert_eq!(code(Method::GET, "/readyz", &status), StatusCode::SERVICE_UNAVAILABLE);
        status.set_ready();
        assert_eq!(code(Method::GET, "/readyz", &status), StatusCode::OK);
        assert_eq!(code(Method::GET, "/metrics", &status), StatusCode::OK);
        assert_eq!(code(Method::GET, "/", &status), StatusCode::NOT_FOUND);
        assert_eq!(code(Method::POST, "/livez", &status), StatusCode::METHOD_NOT_ALLOWED);
    }
}
