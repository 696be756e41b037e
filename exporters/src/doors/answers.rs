//! What receivers answer, from bytes to outcomes: for fuzz targets, which see only what is public.

use std::pin::Pin;
use std::time::SystemTime;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::outcome::Outcome;
use crate::server::Respond;
use crate::web::{self, Reply};
use crate::{newrelic, otlp, prometheus};

/// Where answers come from.
pub const ENDPOINT: &str = "http://h/p";

/// Who answers over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// To OTLP in protobuf.
    OtlpProtobuf,
    /// To OTLP in JSON.
    OtlpJson,
    /// To remote write, with an error.
    RemoteWrite,
    /// New Relic's Event API.
    NewRelic,
}

/// What comes of an answer over HTTP: to logs and metrics, or to the only signal there is. Headers that HTTP does not
/// allow are left out; `None` for a status it does not allow, and for success where nothing is read of that.
pub fn http(
    receiver: Receiver,
    status: u16,
    headers: &[(&[u8], &[u8])],
    body: &[u8],
) -> Option<Vec<Outcome>> {
    let headers = headers.iter().filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    });
    let reply = Reply {
        status: StatusCode::from_u16(status).ok()?,
        headers: headers.collect::<HeaderMap>(),
        body: Bytes::copy_from_slice(body),
        received: SystemTime::UNIX_EPOCH,
    };
    Some(match receiver {
        Receiver::OtlpProtobuf => otlp::doors::over_http(reply, otlp::Format::Protobuf, ENDPOINT),
        Receiver::OtlpJson => otlp::doors::over_http(reply, otlp::Format::Json, ENDPOINT),
        Receiver::RemoteWrite if reply.status.is_success() => return None,
        Receiver::RemoteWrite => {
            vec![prometheus::answer::refused(&reply, ENDPOINT, prometheus::answer::CHECK_KEYS)]
        }
        Receiver::NewRelic => vec![newrelic::answer::read(&reply, ENDPOINT, 0)],
    })
}

/// What comes of a message over gRPC, to logs and to metrics.
pub fn grpc(body: &[u8]) -> [Outcome; 2] {
    otlp::doors::over_grpc(body)
}

/// What comes of a status over gRPC that is none of success, with the bytes of `grpc-status-details-bin`.
pub fn grpc_status(code: i32, message: &str, details: &[u8]) -> Outcome {
    otlp::doors::status(code, message, details, ENDPOINT)
}

/// Serves one visitor of [`crate::server`] on a connection of any kind.
pub fn visit<S>(stream: S, respond: Respond) -> Pin<Box<dyn Future<Output = ()> + Send>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    Box::pin(web::server::visit(stream, respond))
}
