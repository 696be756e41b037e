//! OTLP over HTTP with protobuf or JSON bodies.

use std::io::Write as _;

use bytes::Bytes;
use convis_otel_config::{Compression, OtlpSignal};
use flate2::write::GzEncoder;
use prost::Message as _;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::target;
use super::transport::{Answer, Format};
use crate::accounting::ErrorType;
use crate::outcome::{ExportError, Outcome};
use crate::web::{Reply, Web};

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const ZSTD: HeaderValue = HeaderValue::from_static("zstd");

/// A client for one endpoint.
pub(super) struct Http {
    web: Web,
    headers: HeaderMap,
    format: Format,
    compression: Compression,
}

impl Http {
    pub(super) fn new(signal: &OtlpSignal, format: Format) -> Result<Self, String> {
        let content_type = match format {
            Format::Protobuf => PROTOBUF,
            Format::Json => JSON,
        };
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
        match signal.compression {
            Compression::None => {}
            Compression::Gzip => _ = headers.insert(CONTENT_ENCODING, GZIP),
            Compression::Zstd => _ = headers.insert(CONTENT_ENCODING, ZSTD),
        }
        Ok(Self { web: Web::new(target(signal))?, headers, format, compression: signal.compression })
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// The body of a request, compressed where that is configured.
    pub(super) fn body(&self, message: Vec<u8>) -> Bytes {
        match self.compression {
            Compression::None => message.into(),
            Compression::Gzip => gzip(&message).into(),
            Compression::Zstd => zstd(&message).into(),
        }
    }

    pub(super) async fn send(&self, body: Bytes) -> Result<Answer, Outcome> {
        let reply = self.web.post(body, self.headers.clone()).await?;
        understood(reply, self.format, self.web.shown())
    }
}

/// The answer to a request in `format`, if it is one of success.
pub(super) fn understood(reply: Reply, format: Format, endpoint: &str) -> Result<Answer, Outcome> {
    if !reply.status.is_success() {
        return Err(refused(&reply, endpoint));
    }
    let is_json = match reply.text(&CONTENT_TYPE) {
        Some(_) => reply.is("application/json"),
        None => format == Format::Json,
    };
    Ok(Answer { body: reply.body, is_json })
}

/// What an error status means: only 429, 502, 503 and 504 may be retried.
fn refused(reply: &Reply, endpoint: &str) -> Outcome {
    let error = |kind, advice| {
        ExportError::answered(kind, endpoint, reply.status, status_message(reply).as_deref(), advice)
    };
    let retry = |error| Outcome::Retry { after: reply.retry_after(), error };
    match reply.status.as_u16() {
        429 => retry(error(ErrorType::Throttled, "send less or raise the limit there")),
        502..=504 => retry(error(ErrorType::Unavailable, "check the receiver's health")),
        401 | 403 | 407 => {
            Outcome::Drop(error(ErrorType::Unauthenticated, "check the header with the credentials"))
        }
        404 | 405 | 415 | 501 => {
            Outcome::Drop(error(ErrorType::NotFound, "check the endpoint's path and protocol"))
        }
        413 => Outcome::TooLarge(error(ErrorType::TooLarge, "raise the receiver's limit")),
        300..=399 => {
            Outcome::Drop(error(ErrorType::NotFound, "redirects are not followed; set the endpoint itself"))
        }
        500..=599 => Outcome::Drop(error(ErrorType::ServerError, "look into the receiver's log")),
        _ => Outcome::Drop(error(ErrorType::Rejected, "look into the receiver's log")),
    }
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 8), flate2::Compression::fast());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(message);
    encoder.finish().unwrap_or_default()
}

fn zstd(message: &[u8]) -> Vec<u8> {
    // Compressing in memory cannot fail.
    zstd::encode_all(message, zstd::DEFAULT_COMPRESSION_LEVEL).unwrap_or_default()
}

/// What the body of an error says: a `google.rpc.Status` in protobuf or JSON, or plain text. A page of HTML says nothing.
fn status_message(reply: &Reply) -> Option<String> {
    let text = if reply.is("application/json") {
        json_status(&reply.body)
    } else {
        tonic_types::Status::decode(&reply.body[..]).ok().map(|status| status.message)
    };
    match text {
        Some(message) => Some(message),
        None => reply.plain_text().map(str::to_owned),
    }
}

fn json_status(body: &[u8]) -> Option<String> {
    let status: serde_json::Value = serde_json::from_slice(body).ok()?;
    status.get("message")?.as_str().map(str::to_owned)
}
