//! OTLP over HTTP with protobuf bodies.

use std::io::Write as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use convis_otel_config::{Compression, OtlpSignal};
use flate2::write::GzEncoder;
use prost::Message as _;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use super::USER_AGENT;
use super::response::{MAX_ANSWER_BYTES, connection_failed};
use super::tls;
use super::transport::Answer;
use crate::accounting::ErrorType;
use crate::outcome::{ExportError, Outcome, one_line};

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// A client for one endpoint.
pub(super) struct Http {
    client: Client,
    endpoint: Url,
    /// The endpoint for messages, without its query.
    shown: String,
    compression: Compression,
}

impl Http {
    pub(super) fn new(signal: &OtlpSignal) -> Result<Self, String> {
        Ok(Self {
            client: client(signal)?,
            endpoint: signal.endpoint.clone(),
            shown: super::shown(&signal.endpoint),
            compression: signal.compression,
        })
    }

    /// The body of a request, compressed where that is configured.
    pub(super) fn body(&self, message: Vec<u8>) -> Bytes {
        match self.compression {
            Compression::None => message.into(),
            Compression::Gzip => gzip(&message).into(),
        }
    }

    pub(super) async fn send(&self, body: Bytes) -> Result<Answer, Outcome> {
        let mut request = self.client.post(self.endpoint.clone()).body(body);
        if self.compression == Compression::Gzip {
            request = request.header(CONTENT_ENCODING, GZIP);
        }
        let response = request.send().await.map_err(|error| self.broken(error))?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = self.read(response).await?;
        if status.is_success() {
            let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let is_json = content_type.is_some_and(|value| value.starts_with("application/json"));
            return Ok(Answer { body, is_json });
        }
        Err(self.refused(status, &headers, &body))
    }

    /// The answer's body, up to a limit.
    async fn read(&self, mut response: Response) -> Result<Bytes, Outcome> {
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER_BYTES {
                let text = format!(
                    "the answer of {} is over {MAX_ANSWER_BYTES} bytes; check the endpoint",
                    self.shown
                );
                return Err(Outcome::Drop(ExportError::new(ErrorType::InvalidResponse, text)));
            }
        }
        Ok(body.freeze())
    }

    fn broken(&self, error: reqwest::Error) -> Outcome {
        connection_failed(&self.shown, &error.without_url())
    }

    /// What an error status means: only 429, 502, 503 and 504 may be retried.
    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Outcome {
        let error = |kind, advice| {
            let said = status_message(body).map(|said| format!(" ({said})")).unwrap_or_default();
            ExportError::new(kind, format!("{} answers {status}{said}; {advice}", self.shown))
        };
        let retry = |error| Outcome::Retry { after: retry_after(headers), error };
        match status.as_u16() {
            429 => retry(error(ErrorType::Throttled, "send less or raise the limit there")),
            502..=504 => retry(error(ErrorType::Unavailable, "check the receiver's health")),
            401 | 403 | 407 => {
                Outcome::Drop(error(ErrorType::Unauthenticated, "check the header with the credentials"))
            }
            404 | 405 | 415 | 501 => {
                Outcome::Drop(error(ErrorType::NotFound, "check the endpoint's path and protocol"))
            }
            413 => Outcome::TooLarge(error(ErrorType::TooLarge, "raise the receiver's limit")),
            300..=399 => Outcome::Drop(error(
                ErrorType::NotFound,
                "redirects are not followed; set the endpoint itself",
            )),
            500..=599 => Outcome::Drop(error(ErrorType::ServerError, "look into the receiver's log")),
            _ => Outcome::Drop(error(ErrorType::Rejected, "look into the receiver's log")),
        }
    }
}

/// A client with the signal's TLS and headers.
pub(super) fn client(signal: &OtlpSignal) -> Result<Client, String> {
    Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(headers(signal)?)
        // A redirect would carry the headers, and the secrets in them, to another place.
        .redirect(Policy::none())
        .no_proxy()
        .tls_backend_preconfigured(tls::client_config(signal)?)
        .build()
        .map_err(|error| format!("the HTTP client cannot be set up: {}", error.without_url()))
}

fn headers(signal: &OtlpSignal) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(signal.headers.len() + 1);
    for header in &signal.headers {
        let unusable = || format!("header `{}` cannot be sent; check its name and value", header.name);
        let name = HeaderName::try_from(&header.name).map_err(|_| unusable())?;
        let mut value = HeaderValue::try_from(header.value.expose()).map_err(|_| unusable())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    headers.insert(CONTENT_TYPE, PROTOBUF);
    Ok(headers)
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 8), flate2::Compression::fast());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(message);
    encoder.finish().unwrap_or_default()
}

/// How long to wait: seconds, or a date, which is compared with the answer's own date so that no clock of ours matters.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let after = text(RETRY_AFTER)?.trim();
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = httpdate::parse_http_date(after).ok()?;
    let now = httpdate::parse_http_date(text(DATE)?).ok()?;
    then.duration_since(now).ok()
}

/// What the body of an error says: a `google.rpc.Status`, or plain text. A page of HTML says nothing.
fn status_message(body: &[u8]) -> Option<String> {
    let status = tonic_types::Status::decode(body).map(|status| status.message);
    let text = match status {
        Ok(message) => message,
        Err(_) => {
            std::str::from_utf8(body).ok().filter(|text| !text.trim_start().starts_with('<'))?.to_owned()
        }
    };
    Some(one_line(&text)).filter(|text| !text.is_empty())
}
