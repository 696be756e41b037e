//! `/livez`, `/readyz` and `/metrics` over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use convis_exporters::server::{self, EXPOSITION, Page};
use hyper::StatusCode;
use tokio::net::TcpListener;

use crate::status::Status;

/// Binds the listener.
///
/// # Errors
/// The address is taken or not this host's.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers until the runtime ends.
pub async fn serve(listener: TcpListener, status: Arc<Status>) {
    server::serve(listener, Arc::new(move |path: &str| respond(path, &status))).await;
}

fn respond(path: &str, status: &Status) -> Page {
    match path {
        "/livez" => Page::text(StatusCode::OK, "ok\n"),
        "/readyz" if status.is_ready() => Page::text(StatusCode::OK, "capturing\n"),
        "/readyz" => Page::text(StatusCode::SERVICE_UNAVAILABLE, "not capturing\n"),
        "/metrics" => {
            Page { status: StatusCode::OK, kind: EXPOSITION, body: status.prometheus_text().into() }
        }
        _ => Page::text(StatusCode::NOT_FOUND, "try /livez, /readyz or /metrics\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every path, before and after capturing began.
    /// Guarantees: the code each deserves.
    #[test]
    fn answers_by_path() {
        let status = Status::new(Vec::new());
        let code = |path, status: &Status| respond(path, status).status;
        assert_eq!(code("/livez", &status), StatusCode::OK);
        assert_eq!(code("/readyz", &status), StatusCode::SERVICE_UNAVAILABLE);
        status.set_ready();
        assert_eq!(code("/readyz", &status), StatusCode::OK);
        assert_eq!(code("/metrics", &status), StatusCode::OK);
        assert_eq!(code("/", &status), StatusCode::NOT_FOUND);
    }
}
