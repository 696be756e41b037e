//! HTTP as the sinks speak it: one request, one answer, bounded, without redirects and without secrets in messages.

mod failure;
mod redact;
pub mod server;
mod tls;

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use convis_otel_config::{Header, Identity};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use url::Url;

use crate::accounting::ErrorType;
use crate::outcome::{ExportError, Outcome};
use crate::settings::unix_nanos;

pub(crate) use failure::connection_failed;
pub(crate) use redact::Redact;
pub(crate) use tls::client_config;

/// Sent with every request.
pub(crate) const USER_AGENT: &str = concat!("convis/", env!("CARGO_PKG_VERSION"));
/// Largest answer that is read, in bytes, as OTLP's specification recommends.
pub(crate) const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Where requests go, and what goes with each of them.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) endpoint: &'a Url,
    pub(crate) headers: &'a [Header],
    /// PEM certificates to trust instead of the system's.
    pub(crate) ca: Option<&'a [u8]>,
    /// Client certificate for mutual TLS.
    pub(crate) identity: Option<&'a Identity>,
}

/// A client for one endpoint.
pub(crate) struct Web {
    client: Client,
    endpoint: Url,
    /// The endpoint for messages.
    shown: String,
}

/// No answer.
pub(crate) struct Failure {
    /// Whether there was a connection, so that the request may have arrived.
    pub(crate) connected: bool,
    pub(crate) outcome: Outcome,
}

/// An answer, whatever its status.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// When it came, by our clock.
    pub(crate) received: SystemTime,
}

impl Web {
    /// # Errors
    /// One line, when a certificate or a header cannot be used.
    pub(crate) fn new(target: Target<'_>) -> Result<Self, String> {
        Ok(Self { client: client(target)?, endpoint: target.endpoint.clone(), shown: shown(target.endpoint) })
    }

    /// The endpoint for messages: without user, password and query.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Posts once. An error is a connection without an answer, or an answer beyond all bounds.
    pub(crate) async fn post(&self, body: Bytes, headers: HeaderMap) -> Result<Reply, Outcome> {
        self.post_once(body, headers).await.map_err(|failure| failure.outcome)
    }

    /// As [`post`](Self::post), for those who have to know whether an attempt that failed may have had an effect.
    pub(crate) async fn post_once(&self, body: Bytes, headers: HeaderMap) -> Result<Reply, Failure> {
        let request = self.client.post(self.endpoint.clone()).headers(headers).body(body);
        let response = request.send().await.map_err(|error| {
            let connected = !error.is_connect();
            Failure { connected, outcome: self.broken(error) }
        })?;
        self.read(response).await.map_err(|outcome| Failure { connected: true, outcome })
    }

    async fn read(&self, mut response: Response) -> Result<Reply, Outcome> {
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
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
        let received = SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_nanos());
        Ok(Reply { status, headers, body: body.freeze(), received })
    }

    fn broken(&self, error: reqwest::Error) -> Outcome {
        connection_failed(&self.shown, &error.without_url())
    }
}

impl Reply {
    /// Whether the body is of this media type, whatever its parameters.
    pub(crate) fn is(&self, media_type: &str) -> bool {
        self.text(&CONTENT_TYPE).is_some_and(|value| value.starts_with(media_type))
    }

    /// The value of a header, if it is text.
    pub(crate) fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long to wait, by `Retry-After`: seconds, or a date, which is compared with the answer's own date so that no
    /// clock of ours matters, unless it has none.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let after = self.text(&RETRY_AFTER)?.trim();
        if let Ok(seconds) = after.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let then = httpdate::parse_http_date(after).ok()?;
        let own = self.text(&DATE).and_then(|date| httpdate::parse_http_date(date).ok());
        let now = own.unwrap_or(self.received);
        then.duration_since(now).ok()
    }

    /// The body as plain text for a message; a page of HTML says nothing.
    pub(crate) fn plain_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok().filter(|text| !text.trim_start().starts_with('<'))
    }
}

/// A client with the target's TLS and headers.
pub(crate) fn client(target: Target<'_>) -> Result<Client, String> {
    Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(header_map(target.headers)?)
        // A redirect would carry the headers, and the secrets in them, to another place.
        .redirect(Policy::none())
        .no_proxy()
        .tls_backend_preconfigured(client_config(target)?)
        .build()
        .map_err(|error| format!("the HTTP client cannot be set up: {}", error.without_url()))
}

fn header_map(headers: &[Header]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for header in headers {
        let unusable = || format!("header `{}` cannot be sent; check its name and value", header.name);
        let name = HeaderName::try_from(&header.name).map_err(|_| unusable())?;
        let mut value = HeaderValue::try_from(header.value.expose()).map_err(|_| unusable())?;
        value.set_sensitive(true);
        map.insert(name, value);
    }
    Ok(map)
}

/// An endpoint for messages: without user, password and query, which may hold secrets.
pub(crate) fn shown(endpoint: &Url) -> String {
    let host = endpoint.host_str().unwrap_or_default();
    let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", endpoint.scheme(), endpoint.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: `Retry-After` as seconds and as dates, with a date of the answer that is far from our clock, without one, and
    /// with one that is none.
    /// Guarantees: the answer's own date counts where there is one, else our clock; what has passed or makes no sense asks for
    /// nothing.
    #[test]
    fn a_date_is_compared_with_the_answers_or_ours() {
        let asked = |after: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, after.parse().unwrap());
            date.map(|date| headers.insert(DATE, date.parse().unwrap()));
            // Mon, 01 Jun 2026 10:00:00 GMT
            let received = SystemTime::UNIX_EPOCH + Duration::from_hours(494_530);
            let reply = Reply { status: StatusCode::OK, headers, body: Bytes::new(), received };
            reply.retry_after().map(|after| after.as_secs())
        };
        let at = "Mon, 01 Jun 2026 10:01:30 GMT";
        assert_eq!(asked("7", None), Some(7));
        assert_eq!(asked(at, Some("Mon, 01 Jun 2026 10:01:20 GMT")), Some(10));
        assert_eq!(asked(at, None), Some(90));
        assert_eq!(asked(at, Some("today")), Some(90));
        assert_eq!(asked("Mon, 01 Jun 2026 09:59:59 GMT", None), None);
        assert_eq!(asked("soon", None), None);
    }
}
