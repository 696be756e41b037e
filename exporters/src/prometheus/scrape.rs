//! A page that Prometheus fetches.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

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

/// The addresses at which sinks of this process have pages.
#[derive(Debug, Default)]
pub(crate) struct Sites(Vec<Weak<Site>>);

/// An address and the page there. A sink that follows another one at its address takes both over as they are.
#[derive(Debug)]
struct Site {
    address: SocketAddr,
    page: watch::Sender<Written>,
    /// Not yet served: nothing starts before everything can.
    listener: Mutex<Option<TcpListener>>,
    serving: OnceLock<JoinHandle<()>>,
}

/// A page, and which of the sinks that follow each other wrote it.
#[derive(Debug, Default)]
struct Written {
    by: u64,
    page: Bytes,
}

/// Keeps the page of the last batch at a site.
pub(super) struct Scrape {
    form: Form,
    site: Arc<Site>,
    number: u64,
}

impl Sites {
    /// Binds the address, inside a Tokio runtime, unless another sink of this process has it, which hands it over when the
    /// new one starts.
    ///
    /// # Errors
    /// One line, when the address cannot be bound.
    pub(super) fn bind(&mut self, address: SocketAddr, resource_labels: &[String]) -> Result<Scrape, String> {
        self.0.retain(|site| site.strong_count() > 0);
        let scrape =
            |site| Scrape { form: Form { keys: resource_labels.to_vec(), native: false }, site, number: 0 };
        let is_it = |site: &Arc<Site>| site.address == address && address.port() != 0;
        if let Some(site) = self.0.iter().filter_map(Weak::upgrade).find(is_it) {
            return Ok(scrape(site));
        }
        let bind = || {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        let listener = bind()
            .map_err(|error| format!("cannot listen on {address}: {error}; choose another `listen`"))?;
        let site = Arc::new(Site {
            address,
            page: watch::Sender::default(),
            listener: Mutex::new(Some(listener)),
            serving: OnceLock::new(),
        });
        self.0.push(Arc::downgrade(&site));
        Ok(scrape(site))
    }
}

impl Site {
    /// Answers from now on.
    fn serve(&self) {
        let Some(listener) = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let written = self.page.subscribe();
        let respond = move |path: &str| match path {
            "/metrics" => {
                Page { status: StatusCode::OK, kind: EXPOSITION, body: written.borrow().page.clone() }
            }
            _ => Page::text(StatusCode::NOT_FOUND, "try /metrics\n"),
        };
        self.serving.get_or_init(|| tokio::spawn(server::serve(listener, Arc::new(respond))));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.get() {
            serving.abort();
        }
    }
}

impl Scrape {
    /// Where it listens.
    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        self.site.listener.lock().unwrap().as_ref().unwrap().local_addr().unwrap()
    }

    /// Answers from now on; the page of the sink before it stays until there is a newer one.
    pub(super) fn serve(&mut self) {
        self.site.page.send_modify(|written| {
            written.by += 1;
            self.number = written.by;
        });
        self.site.serve();
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
        self.site.page.send_if_modified(|written| {
            // The page of a sink that another one has followed is none any more.
            let is_newest = written.by == self.number;
            if is_newest {
                written.page = payload.body.clone();
            }
            is_newest
        });
        Outcome::SENT
    }
}
