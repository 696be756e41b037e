//! Visitors of `/metrics` and its neighbours.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use convis_exporters::doors::visit;
use convis_exporters::server::{Page, TEXT};
use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const BODY: &str = "convis_up 1\n";

/// What a visitor sends: it is answered in HTTP or not at all, each request once, and let go.
pub fn page(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let respond = Arc::new(move |path: &str| {
        assert!(path.starts_with('/') || path == "*" || path.is_empty(), "{path}");
        counted.fetch_add(1, Relaxed);
        Page { status: StatusCode::OK, kind: TEXT, body: Bytes::from_static(BODY.as_bytes()) }
    });
    let answer = runtime.block_on(async {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        let server = tokio::spawn(visit(far, respond));
        let _written = near.write_all(bytes).await;
        let _ended = near.shutdown().await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(2), near.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "a visitor that has hung up is held");
        server.await.expect("the server's task");
        answer
    });
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", answer.escape_ascii());
    let bodies = answer.windows(BODY.len()).filter(|part| *part == BODY.as_bytes()).count();
    assert!(bodies <= asked.load(Relaxed));
}
