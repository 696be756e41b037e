//! OTLP over gRPC.

use std::error::Error as _;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use convis_otel_config::{Compression, OtlpSignal};
use http::uri::PathAndQuery;
use tonic::client::Grpc as Client;
use tonic::codec::{BufferSettings, Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::transport::Answer;
use super::{MAX_REQUEST_BYTES, target};
use crate::accounting::ErrorType;
use crate::outcome::{ExportError, Outcome};
use crate::web::{self, MAX_ANSWER_BYTES, USER_AGENT, connection_failed, shown};

/// Finds out about a peer that went away without a word while nothing is sent.
const KEEPALIVE: Duration = Duration::from_mins(1);
const INITIAL_BUFFER: usize = 8 * 1024;

/// A client for one method of one endpoint.
pub(super) struct Grpc {
    endpoint: Endpoint,
    client: Client<Channel>,
    path: PathAndQuery,
    metadata: MetadataMap,
    timeout: Option<Duration>,
    compression: Compression,
    /// The endpoint for messages.
    shown: String,
    /// An attempt began and has not ended; still set at the next one when it was given up.
    under_way: bool,
}

impl Grpc {
    pub(super) fn new(signal: &OtlpSignal, path: &'static str) -> Result<Self, String> {
        let endpoint = endpoint(signal)?;
        Ok(Self {
            client: client(&endpoint, signal.compression),
            endpoint,
            path: PathAndQuery::from_static(path),
            metadata: metadata(signal)?,
            timeout: signal.timeout,
            compression: signal.compression,
            shown: shown(&signal.endpoint),
            under_way: false,
        })
    }

    pub(super) async fn send(&mut self, body: Bytes) -> Result<Answer, Outcome> {
        if self.under_way {
            // The last attempt got no answer: its connection may be dead, which TCP finds out only after minutes.
            self.client = client(&self.endpoint, self.compression);
        }
        self.under_way = true;
        let answer = self.call(body).await;
        self.under_way = false;
        match answer {
            Ok(body) => Ok(Answer { body, is_json: false }),
            Err(status) => Err(failed(&status, &self.shown)),
        }
    }

    async fn call(&mut self, body: Bytes) -> Result<Bytes, Status> {
        self.client.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let codec = Raw { size: body.len() };
        let mut request = Request::new(body);
        *request.metadata_mut() = self.metadata.clone();
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        let response = self.client.unary(request, self.path.clone(), codec).await?;
        Ok(response.into_inner())
    }
}

/// What a status means, by the specification's table of what may be retried.
pub(super) fn failed(status: &Status, endpoint: &str) -> Outcome {
    if let Some(source) = status.source() {
        return connection_failed(endpoint, source);
    }
    let error = |kind, advice| {
        let code = format!("{:?}", status.code());
        ExportError::answered(kind, endpoint, code, Some(status.message()), advice)
    };
    let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let retry = |kind, advice| Outcome::Retry { after: asked, error: error(kind, advice) };
    let never = |kind, advice| Outcome::Drop(error(kind, advice));
    match status.code() {
        Code::OutOfRange if is_about_the_answer(status.message()) => {
            never(ErrorType::InvalidResponse, "the answer is too large; check the endpoint")
        }
        Code::ResourceExhausted | Code::OutOfRange if is_about_size(status.message()) => {
            Outcome::TooLarge(error(ErrorType::TooLarge, "raise the receiver's limit"))
        }
        Code::ResourceExhausted if asked.is_some() => {
            retry(ErrorType::Throttled, "send less or raise the limit there")
        }
        Code::ResourceExhausted => never(ErrorType::Throttled, "send less or raise the limit there"),
        Code::DeadlineExceeded => retry(ErrorType::Timeout, "check the receiver's load or raise the timeout"),
        Code::Unavailable | Code::Cancelled | Code::Aborted | Code::OutOfRange | Code::DataLoss => {
            retry(ErrorType::Unavailable, "check the receiver's health")
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            never(ErrorType::Unauthenticated, "check the header with the credentials")
        }
        Code::Unimplemented | Code::NotFound => {
            never(ErrorType::NotFound, "check the endpoint, its protocol and compression")
        }
        Code::Internal | Code::Unknown => never(ErrorType::ServerError, "look into the receiver's log"),
        _ => never(ErrorType::Rejected, "look into the receiver's log"),
    }
}

/// gRPC has no code of its own for a message over the receiver's limit: these are the texts of the Go, C++, Java and Rust
/// implementations.
fn is_about_size(message: &str) -> bool {
    ["larger than max", "message exceeds maximum size", "message length too large"]
        .iter()
        .any(|text| message.contains(text))
}

/// Tonic finds an answer too large with the words in which a receiver made of it finds a request too large. One with our
/// limit has no reason to: no request of ours is as large.
fn is_about_the_answer(message: &str) -> bool {
    const { assert!(MAX_REQUEST_BYTES < MAX_ANSWER_BYTES, "the limit tells requests from answers") };
    is_about_size(message) && message.ends_with(&format!("the limit is: {MAX_ANSWER_BYTES} bytes"))
}

pub(super) fn endpoint(signal: &OtlpSignal) -> Result<Endpoint, String> {
    let unusable = |error: tonic::transport::Error| {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        format!(
            "{} cannot be used: {error}: {cause}; check endpoint, ca, cert and key",
            shown(&signal.endpoint)
        )
    };
    let endpoint = Endpoint::from_shared(signal.endpoint.as_str().to_owned()).map_err(unusable)?;
    let endpoint = endpoint.user_agent(USER_AGENT).map_err(unusable)?.tcp_keepalive(Some(KEEPALIVE));
    if signal.endpoint.scheme() != "https" {
        return Ok(endpoint);
    }
    if signal.ca.is_some() || signal.identity.is_some() {
        // Tonic takes text that holds no certificate for an empty list of them.
        web::client_config(target(signal))?;
    }
    let mut client_tls = match &signal.ca {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let Some(identity) = &signal.identity {
        client_tls = client_tls.identity(Identity::from_pem(&identity.cert, identity.key.expose()));
    }
    endpoint.tls_config(client_tls).map_err(unusable)
}

/// Connects when the first request is sent, and again whenever the connection is lost.
fn client(endpoint: &Endpoint, compression: Compression) -> Client<Channel> {
    let client = Client::with_origin(endpoint.connect_lazy(), endpoint.uri().clone())
        .max_decoding_message_size(MAX_ANSWER_BYTES)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd);
    match compression {
        Compression::None => client,
        Compression::Gzip => client.send_compressed(CompressionEncoding::Gzip),
        Compression::Zstd => client.send_compressed(CompressionEncoding::Zstd),
    }
}

pub(super) fn metadata(signal: &OtlpSignal) -> Result<MetadataMap, String> {
    let mut metadata = MetadataMap::with_capacity(signal.headers.len());
    for header in &signal.headers {
        let unusable = || format!("header `{}` cannot be sent; check its name and value", header.name);
        let key: AsciiMetadataKey = header.name.parse().map_err(|_| unusable())?;
        let mut value: AsciiMetadataValue = header.value.expose().parse().map_err(|_| unusable())?;
        value.set_sensitive(true);
        metadata.insert(key, value);
    }
    Ok(metadata)
}

/// Messages as bytes: a request is encoded once, however often it is sent.
#[derive(Debug, Clone, Copy)]
struct Raw {
    size: usize,
}

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        Self { size: INITIAL_BUFFER }
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(self.size + INITIAL_BUFFER, self.size + INITIAL_BUFFER)
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
