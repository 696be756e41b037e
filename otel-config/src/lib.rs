//! Settings of convis: what the user writes, turned into typed values before anything starts.
//!
//! Nothing here opens a connection, prints, or reads the process environment by itself: a caller hands in [`Sources`],
//! so that every rule can be tested with a table. Mistakes are a [`ConfigError`] of one line; what the OpenTelemetry
//! specification wants ignored is a warning given to [`Sources::warn`].
//!
//! ```
//! use convis_otel_config::{SinkConfig, Sources};
//!
//! let sources = Sources { env: &|_| None, read_file: &|path| std::fs::read(path), warn: &|_| () };
//! let sink = SinkConfig::from_spec("otlp,endpoint=https://otlp.example.com,header.api-key=abc", &sources)?;
//! assert!(!format!("{sink:?}").contains("abc"));
//! # Ok::<(), convis_otel_config::ConfigError>(())
//! ```

#![forbid(unsafe_code)]

mod config_file;
mod decode;
mod error;
mod intervals;
pub mod policy;
mod resource;
mod secret;
mod sink;
mod sources;
mod spec;
#[cfg(test)]
mod testing;
pub mod yaml;

pub use config_file::{ConfigFile, SETTINGS, Setting};
pub use error::{ConfigError, ItemFault, Problem};
pub use intervals::{
    DEFAULT_METRIC_INTERVAL, DurationError, MAX_BATCH_DELAY, batch_delay, metric_interval, parse_duration,
};
pub use resource::ResourceAttributes;
pub use secret::Secret;
pub use sink::delivery::{DEFAULT_STORAGE_BYTES, Delivery, EventKinds, Retry, Storage};
pub use sink::file::{DEFAULT_FILE_BACKUPS, DEFAULT_FILE_BYTES, FileConfig};
pub use sink::headers::{Header, parse_headers};
pub use sink::newrelic::NewRelicConfig;
pub use sink::otlp::{
    Compression, DEFAULT_TIMEOUT, HistogramForm, OtlpConfig, OtlpSignal, Protocol, Temporality,
};
pub use sink::prometheus::{
    Credentials, DEFAULT_RESOURCE_LABELS, PrometheusConfig, PrometheusWay, RemoteWrite, RemoteWriteVersion,
    SigV4,
};
pub use sink::stdout::{StdoutConfig, StdoutFormat};
pub use sink::tls::Identity;
pub use sink::{SinkConfig, SinkKind, secrets_in};
pub use sources::Sources;
pub use spec::{Item, Spec};
