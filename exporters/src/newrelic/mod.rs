//! New Relic: events as an array of flat JSON objects, to the Event API.
//!
//! Source: <https://docs.newrelic.com/docs/data-apis/ingest-apis/event-api/introduction-event-api/> and its limits,
//! <https://docs.newrelic.com/docs/data-apis/custom-data/custom-events/data-requirements-limits-custom-event-data/>. The API
//! answers 200 to events that break its rules and drops them later, so everything it asks for is made sure of here.

pub(crate) mod answer;
pub(crate) mod encode;
mod members;
mod name;

use std::io::Write as _;

use bytes::Bytes;
use convis_otel_config::{Header, NewRelicConfig};
use flate2::write::GzEncoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::batch::Slice;
use crate::build::{Parts, lane};
use crate::model::EventBatch;
use crate::outcome::{Exporter, Outcome, Payload};
use crate::runner::Pace;
use crate::settings::Settings;
use crate::web::{Redact, Target, Web};
use encode::Encoder;

/// Events in one request: with the attributes of a pod on both ends they come close to the limit of bytes.
const MAX_EVENTS: u64 = 512;
/// Largest request, in bytes. The documentation does not say whether compressed or not, so before compression.
const MAX_REQUEST_BYTES: usize = 1_000_000;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// The way out of a sink: events only.
///
/// # Errors
/// One line, when the endpoint or a certificate cannot be used.
pub(crate) fn parts(config: &NewRelicConfig, settings: &Settings) -> Result<Parts, String> {
    let pace = Pace {
        delay: settings.event_delay,
        max_records: MAX_EVENTS,
        max_bytes: MAX_REQUEST_BYTES,
        timeout: config.timeout,
        retry: settings.retry,
    };
    Ok(Parts { events: Some(lane(NewRelic::new(config, settings.now)?, pace)), metrics: None })
}

/// The way out of events.
struct NewRelic {
    web: Web,
    headers: HeaderMap,
    redact: Redact,
    encoder: Encoder,
    expired: u64,
    /// Time of the oldest event of the last request, milliseconds since the Unix epoch.
    oldest: Option<u64>,
    now: fn() -> u64,
}

impl NewRelic {
    fn new(config: &NewRelicConfig, now: fn() -> u64) -> Result<Self, String> {
        let key = [Header { name: "api-key".to_owned(), value: config.key.clone() }];
        let target =
            Target { endpoint: &config.endpoint, headers: &key, ca: config.ca.as_deref(), identity: None };
        Ok(Self {
            web: Web::new(target)?,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, JSON), (CONTENT_ENCODING, GZIP)]),
            redact: Redact::new(&key),
            encoder: Encoder::default(),
            expired: 0,
            oldest: None,
            now,
        })
    }
}

impl Exporter for NewRelic {
    type Batch = EventBatch;

    fn encode(&mut self, slices: &[Slice<EventBatch>]) -> Payload {
        let encoded = self.encoder.encode(slices, (self.now)());
        (self.expired, self.oldest) = (encoded.expired, encoded.oldest);
        if encoded.json.is_empty() {
            return Payload::default();
        }
        Payload { uncompressed: encoded.json.len(), body: gzip(&encoded.json) }
    }

    async fn send(&mut self, payload: &Payload) -> Outcome {
        let outcome = match self.web.post(payload.body.clone(), self.headers.clone()).await {
            Ok(reply) => answer::read(&reply, self.web.shown(), (self.now)()),
            Err(outcome) => outcome,
        };
        self.redact.outcome(outcome)
    }

    fn expired(&self) -> u64 {
        self.expired
    }

    fn is_stale(&self) -> bool {
        self.oldest.is_some_and(|oldest| !encode::is_taken(oldest, (self.now)()))
    }
}

fn gzip(json: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(json.len() / 8), flate2::Compression::fast());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(json);
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
