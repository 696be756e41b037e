//! The two ways to carry a request.

use bytes::Bytes;
use convis_otel_config::{OtlpSignal, Protocol};

use super::grpc::Grpc;
use super::http::Http;
use crate::outcome::{Outcome, Payload};

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Protobuf,
    Json,
}

/// gRPC or HTTP.
pub(super) enum Transport {
    Grpc(Box<Grpc>),
    Http(Box<Http>),
}

impl Transport {
    /// `grpc_path` is the method; for HTTP the endpoint has its path already.
    pub(super) fn new(signal: &OtlpSignal, grpc_path: &'static str) -> Result<Self, String> {
        match signal.protocol {
            Protocol::Grpc => Grpc::new(signal, grpc_path).map(Box::new).map(Self::Grpc),
            Protocol::HttpProtobuf => Http::new(signal, Format::Protobuf).map(Box::new).map(Self::Http),
            Protocol::HttpJson => Http::new(signal, Format::Json).map(Box::new).map(Self::Http),
        }
    }

    /// How requests are written.
    pub(super) fn format(&self) -> Format {
        match self {
            Self::Grpc(_) => Format::Protobuf,
            Self::Http(http) => http.format(),
        }
    }

    /// The body as it is sent.
    pub(super) fn payload(&self, message: Vec<u8>) -> Payload {
        let uncompressed = message.len();
        let body = match self {
            Self::Grpc(_) => message.into(),
            Self::Http(http) => http.body(message),
        };
        Payload { body, uncompressed }
    }

    /// The answer's message, or what else came of it.
    pub(super) async fn send(&mut self, body: Bytes) -> Result<Answer, Outcome> {
        match self {
            Self::Grpc(grpc) => grpc.send(body).await,
            Self::Http(http) => http.send(body).await,
        }
    }
}

/// The body of a successful answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Bytes,
    /// The answer has the request's format, yet some receivers answer a protobuf request in JSON.
    pub(super) is_json: bool,
}
