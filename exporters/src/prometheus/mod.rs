//! Prometheus: metrics by remote write 1.0 and 2.0, or as a page for scraping.
//!
//! ```text
//! batch -> plan (labels, streams that are one) -> streams (zeros, ends, times) -> lines -> wire
//! ```
//!
//! Sources: <https://prometheus.io/docs/specs/prw/remote_write_spec/>,
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/> (2.0-rc.4) and
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>.

pub(crate) mod answer;
mod credentials;
pub(crate) mod door;
mod encode;
mod exporter;
mod identity;
mod labels;
mod line;
mod names;
mod native;
mod plan;
mod scrape;
mod sigv4;
mod streams;
mod text;
mod wire;

use std::time::Duration;

use convis_otel_config::{PrometheusConfig, PrometheusWay};
use exporter::RemoteWriter;
pub(crate) use scrape::Sites;

use crate::build::{Parts, Start, lane};
use crate::runner::Pace;
use crate::settings::Settings;

/// Largest request, in bytes before compression: some services stop at 1 MB of compressed ones, and series compress well.
const MAX_REQUEST_BYTES: usize = 2_000_000;

/// The ways out of a sink, inside a Tokio runtime.
///
/// # Errors
/// One line, when the endpoint, a certificate or the address cannot be used.
pub(crate) fn parts(
    config: &PrometheusConfig,
    settings: &Settings,
    sites: &mut Sites,
) -> Result<Parts, String> {
    let pace = |timeout, max_bytes| Pace {
        // One collection per request: a later one is another point in time of the same series.
        delay: Duration::ZERO,
        max_records: 1,
        max_bytes,
        timeout,
        retry: settings.retry,
    };
    let metrics: Start<_> = match &config.way {
        PrometheusWay::Write(write) => {
            let writer = RemoteWriter::new(write, &config.resource_labels, settings.now)?;
            lane(writer, pace(write.timeout, MAX_REQUEST_BYTES))
        }
        PrometheusWay::Listen(address) => {
            let mut scrape = sites.bind(*address, &config.resource_labels)?;
            let pace = pace(None, usize::MAX);
            Box::new(move |opening| {
                scrape.serve();
                lane(scrape, pace)(opening)
            })
        }
    };
    Ok(Parts { events: None, metrics: Some(metrics) })
}

#[cfg(test)]
mod tests;
