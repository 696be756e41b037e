//! A page that Prometheus fetches.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::plan::Form;
use super::text;
use crate::batch::Slice;
use crate::model::MetricBatch;
use crate::outcome::{Exporter, Outcome, Payload};
use crate::web::server::{self, EXPOSITION, Page};

/// Holds the page of the last batch.
pub(super) struct Scrape {
    form: Form,
    page: watch::Sender<Bytes>,
    /// Not yet served: nothing starts before everything can.
    listener: Option<TcpListener>,
    serving: Option<JoinHandle<()>>,
}

impl Scrape {
    /// Binds the address, inside a Tokio runtime.
    ///
    /// # Errors
    /// One line, when the address cannot be bound.
    pub(super) fn bind(address: SocketAddr, resource_labels: &[String]) -> Result<Self, String> {
        let bind = || {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        let listener = bind()
            .map_err(|error| format!("cannot listen on {address}: {error}; choose another `listen`"))?;
        Ok(Self {
            form: Form { keys: resource_labels.to_vec(), native: false },
            page: watch::Sender::default(),
            listener: Some(listener),
            serving: None,
        })
    }

    /// Where it listens.
    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        self.listener.as_ref().unwrap().local_addr().unwrap()
    }

    /// Answers from now on.
    pub(super) fn serve(&mut self) {
        let page = self.page.subscribe();
        let respond = move |path: &str| match path {
            "/metrics" => Page { status: StatusCode::OK, kind: EXPOSITION, body: page.borrow().clone() },
            _ => Page::text(StatusCode::NOT_FOUND, "try /metrics\n"),
        };
        self.serving =
            self.listener.take().map(|listener| tokio::spawn(server::serve(listener, Arc::new(respond))));
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

impl Exporter for Scrape {
    type Batch = MetricBatch;

    fn encode(&mut self, slices: &[Slice<MetricBatch>]) -> Payload {
        // What remains of a batch is no page; the whole one that pruned it comes right behind.
        if slices.iter().any(|slice| slice.pruned) {
            return Payload::default();
        }
        let page = text::page(slices, &self.form);
        Payload { uncompressed: page.len(), body: page.into() }
    }

    async fn send(&mut self, payload: &Payload) -> Outcome {
        self.page.send_replace(payload.body.clone());
        Outcome::SENT
    }
}
