//! Ways in for benches and fuzz targets, which see only what is public. Nothing else uses them.

mod answers;
mod encoders;

pub use answers::{ENDPOINT, Receiver, grpc, grpc_status, http, visit};
pub use encoders::{RemoteWrite, json_lines, newrelic};
