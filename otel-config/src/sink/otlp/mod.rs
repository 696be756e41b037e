//! `otlp[,key=value]...`: an OTLP endpoint for each signal.
//!
//! Each setting is looked for in this order, and the first place that has it wins: the sink's own key, the signal's
//! variable (`OTEL_EXPORTER_OTLP_LOGS_...`), the generic variable (`OTEL_EXPORTER_OTLP_...`), the default. A wrong value
//! in the sink is an error; a wrong enumeration, boolean or number in a variable is a warning, and the search goes on.
//! Rules: <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.
//!
//! | setting | default |
//! |---|---|
//! | protocol | `grpc` when the endpoint has no scheme or its port is 4317, else `http/protobuf` |
//! | endpoint | `http://localhost:4317` for gRPC, `http://localhost:4318` for HTTP |
//! | compression | `none` to this host, `gzip` to any other |
//! | timeout | 10 s |
//! | signals | `metrics+logs` |
//! | temporality | `cumulative` |
//! | histogram | `explicit_bucket_histogram` |

mod endpoint;
mod headers;
mod options;
mod settings;
#[cfg(test)]
mod tests;
mod tls;

use std::{cell::RefCell, fmt, time::Duration};

use url::Url;

pub use self::options::{Compression, DEFAULT_TIMEOUT, HistogramForm, Protocol, Temporality};
use self::{options::Signals, settings::Settings};
use super::{delivery, headers::Header, tls::Identity};
use crate::{Problem, Sources, Spec, spec::Key};

pub(super) const KEYS: &[Key] = &[
    Key::plain("endpoint"),
    Key::plain("logs_endpoint"),
    Key::plain("metrics_endpoint"),
    Key::plain("protocol"),
    Key::secret("header.NAME"),
    Key::plain("compression"),
    Key::plain("timeout"),
    Key::plain("ca"),
    Key::plain("cert"),
    Key::plain("key"),
    Key::plain("insecure"),
    Key::plain("signals"),
    Key::plain("temporality"),
    Key::plain("histogram"),
];

/// Settings of the `otlp` sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    /// Where events go as log records, if they do.
    pub logs: Option<OtlpSignal>,
    /// Where metrics go, if they do.
    pub metrics: Option<OtlpSignal>,
    /// What counters and histograms count from.
    pub temporality: Temporality,
    /// What histograms are sent as.
    pub histogram: HistogramForm,
}

/// Where and how one signal is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpSignal {
    /// Full URL, `http` or `https`, without user and password. For HTTP it has the signal's path; for gRPC `https`
    /// means TLS.
    pub endpoint: Url,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Sent with every request; names are in lower case, each once.
    pub headers: Vec<Header>,
    /// How request bodies are compressed.
    pub compression: Compression,
    /// Longest time for one batch; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// PEM certificates to trust instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// Client certificate for mutual TLS.
    pub identity: Option<Identity>,
}

impl OtlpConfig {
    pub(super) fn from_spec(spec: &Spec, sources: &Sources<'_>) -> Result<Self, Problem> {
        spec.check_keys(&[KEYS, delivery::EVENT_KEYS, delivery::KEYS])?;
        // Both signals read the generic variables: say once what is wrong with those.
        let said = RefCell::new(Vec::new());
        let warn = |line: String| {
            if !said.borrow().contains(&line) {
                said.borrow_mut().push(line.clone());
                (sources.warn)(line);
            }
        };
        let sources = Sources { warn: &warn, ..*sources };
        let logs = Settings { spec, sources, signal: "logs" };
        let metrics = Settings { signal: "metrics", ..logs };

        let signals = Signals::read(spec)?;
        let temporality = options::temporality(&metrics)?;
        let histogram = options::histogram(&metrics)?;
        Ok(Self {
            logs: signals.logs.then(|| OtlpSignal::read(&logs)).transpose()?,
            metrics: signals.metrics.then(|| OtlpSignal::read(&metrics)).transpose()?,
            temporality,
            histogram,
        })
    }
}

impl OtlpSignal {
    fn read(settings: &Settings<'_>) -> Result<Self, Problem> {
        let (endpoint, protocol) = endpoint::read(settings)?;
        let (ca, identity) = tls::read(settings)?;
        if endpoint.scheme() == "http" && (ca.is_some() || identity.is_some()) {
            (settings.sources.warn)(format!(
                "certificates are not used for {}: its endpoint is http, without TLS",
                settings.signal
            ));
        }
        Ok(Self {
            headers: headers::read(settings, protocol)?,
            compression: options::compression(settings, &endpoint)?,
            timeout: options::timeout(settings)?,
            endpoint,
            protocol,
            ca,
            identity,
        })
    }
}

/// Without what an endpoint's query may hold in secret, and without pages of PEM.
impl fmt::Debug for OtlpSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut endpoint = self.endpoint.clone();
        if endpoint.query().is_some() {
            endpoint.set_query(Some("***"));
        }
        f.debug_struct("OtlpSignal")
            .field("endpoint", &endpoint.as_str())
            .field("protocol", &self.protocol)
            .field("headers", &self.headers)
            .field("compression", &self.compression)
            .field("timeout", &self.timeout)
            .field("ca_bytes", &self.ca.as_ref().map(Vec::len))
            .field("identity", &self.identity)
            .finish()
    }
}
