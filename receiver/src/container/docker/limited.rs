//! A connection from which no more is read than is sensible.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much was read, shared with whoever judges the outcome.
#[derive(Debug, Default)]
pub(super) struct Meter {
    read: AtomicUsize,
    limit: usize,
    connected: AtomicBool,
}

impl Meter {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, ..Self::default() })
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.read.load(Relaxed) > self.limit
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Relaxed)
    }

    pub(super) fn set_connected(&self) {
        self.connected.store(true, Relaxed);
    }

    /// Something whole was read; what follows is counted anew.
    pub(super) fn reset(&self) {
        self.read.store(0, Relaxed);
    }

    fn add(&self, bytes: usize) -> io::Result<()> {
        let before = self.read.fetch_add(bytes, Relaxed);
        if before.saturating_add(bytes) > self.limit {
            return Err(io::Error::other("more than any sensible answer has"));
        }
        Ok(())
    }
}

/// A connection with a meter.
pub(super) struct Limited<S> {
    pub(super) stream: S,
    pub(super) meter: Arc<Meter>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Limited<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(self.meter.add(buffer.filled().len() - before)),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Limited<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
