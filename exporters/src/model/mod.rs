//! The contract between the receiver and the sinks.

pub mod community_id;
pub mod event;
pub mod exponential;
pub mod metric;
pub mod network;
pub mod peer;
pub mod resource;
pub(crate) mod text;
pub mod value;

pub use event::{
    Attribution, CloseReason, Closer, ConnectError, Connection, Detail, Event, EventBatch, EventName, Role,
    Totals,
};
pub use exponential::ExponentialBuckets;
pub use metric::{
    Descriptor, Histogram, Instrument, Metric, MetricBatch, MetricResource, Number, Point, PointValue,
};
pub use network::PeerNetwork;
pub use peer::Peer;
pub use resource::{Resource, ResourceBuilder};
pub use value::{OwnedValue, Value};

/// Instrumentation scope of everything observed.
pub const SCOPE_NAME: &str = "convis";
/// Version of the instrumentation scope.
pub const SCOPE_VERSION: &str = env!("CARGO_PKG_VERSION");
/// Semantic conventions that the attribute keys follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";
