//! The way out by remote write.

use bytes::Bytes;
use convis_otel_config::{Credentials, RemoteWrite, RemoteWriteVersion};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::answer;
use super::credentials;
use super::encode::{encode_v1, encode_v2};
use super::line::Line;
use super::plan::Form;
use super::sigv4::Signer;
use super::streams::Streams;
use crate::accounting::ErrorType;
use crate::batch::Slice;
use crate::model::MetricBatch;
use crate::outcome::{ExportError, Exporter, Outcome, Payload};
use crate::web::{Redact, Reply, Target, Web};

const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");

/// The sender of one endpoint.
pub(super) struct RemoteWriter {
    pub(super) web: Web,
    redact: Redact,
    signer: Option<Signer>,
    /// The wall clock, for signatures: nanoseconds since the Unix epoch.
    now: fn() -> u64,
    streams: Streams,
    speaks: Speaks,
    /// The last encoded request.
    request: Request,
    /// Whether the receiver may have taken some of it.
    doubtful: bool,
}

/// The version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    V1,
    V2 {
        /// The receiver has shown that it understands 2.0.
        understood: bool,
        /// It has stored native histograms.
        native: bool,
    },
}

/// A request, to be encoded again if the receiver turns out to speak another version.
struct Request {
    lines: Vec<Line>,
    encoded_as: Speaks,
    as_v1: Option<Bytes>,
}

impl RemoteWriter {
    /// # Errors
    /// One line, when a certificate or a header cannot be used, or requests cannot be signed.
    pub(super) fn new(
        config: &RemoteWrite,
        resource_labels: &[String],
        now: fn() -> u64,
    ) -> Result<Self, String> {
        let (headers, secrets) = credentials::headers(config);
        let target = Target {
            endpoint: &config.endpoint,
            headers: &headers,
            ca: config.ca.as_deref(),
            identity: config.identity.as_ref(),
        };
        let speaks = match config.version {
            RemoteWriteVersion::V1 => Speaks::V1,
            RemoteWriteVersion::V2 => Speaks::V2 { understood: false, native: false },
        };
        let signer = match &config.credentials {
            Some(Credentials::SigV4(sigv4)) => Some(Signer::new(sigv4, &config.endpoint)?),
            Some(Credentials::Basic { .. } | Credentials::Bearer(_)) | None => None,
        };
        Ok(Self {
            web: Web::new(target)?,
            redact: Redact::new(&secrets),
            signer,
            now,
            streams: Streams::new(Form { keys: resource_labels.to_vec(), native: config.native_histograms }),
            speaks,
            request: Request { lines: Vec::new(), encoded_as: speaks, as_v1: None },
            doubtful: false,
        })
    }

    /// As [`Speaks::V2`]; where the receiver does not take that, the same again as [`Speaks::V1`].
    async fn send_v2(&mut self, body: Bytes, understood: bool, native: bool) -> Outcome {
        let reply = match self.post(body, Speaks::V2 { understood, native }).await {
            Ok(reply) => reply,
            Err(outcome) => return outcome,
        };
        let histograms =
            || self.request.lines.iter().map(|line| line.histograms().len()).filter(|of| *of > 0);
        let has_native = histograms().next().is_some();
        if reply.status.is_success() && answer::has_written(&reply) {
            self.speaks = Speaks::V2 { understood: true, native: native || has_native };
            return answer::taken(&reply, histograms(), self.web.shown());
        }
        // Prometheus answers 500 where native histograms are switched off.
        let understood = understood && (native || !has_native);
        if !reply.status.is_success() && !answer::may_want_v1(reply.status, understood) {
            return self.refused(&reply);
        }
        let outcome = self.send_v1(None).await;
        if matches!(outcome, Outcome::Sent { .. }) {
            self.speaks = Speaks::V1;
            let what = if has_native {
                "no native histograms, or remote write 1.0 only"
            } else {
                "remote write 1.0 only"
            };
            tracing::info!("{} takes {what}; sending 1.0 from now on", self.web.shown());
        }
        outcome
    }

    /// `body` is the request as 1.0, if it is encoded already.
    async fn send_v1(&mut self, body: Option<Bytes>) -> Outcome {
        let body = match body {
            Some(body) => body,
            None => {
                self.request.as_v1.get_or_insert_with(|| compress(&encode_v1(&self.request.lines))).clone()
            }
        };
        match self.post(body, Speaks::V1).await {
            Ok(reply) if reply.status.is_success() => Outcome::SENT,
            Ok(reply) => self.refused(&reply),
            Err(outcome) => outcome,
        }
    }

    /// Posts once. While there is no answer, and after one that does not exclude it, something may have been stored.
    async fn post(&mut self, body: Bytes, speaks: Speaks) -> Result<Reply, Outcome> {
        if body.is_empty() {
            let text = "the request is too large for snappy; this is a defect of convis";
            return Err(Outcome::TooLarge(ExportError::new(ErrorType::TooLarge, text)));
        }
        let mut headers = headers(speaks);
        if let Some(signer) = &self.signer {
            // Anew each time: a signature grows old while attempts wait.
            let signed = signer.sign((self.now)(), &body, &mut headers);
            signed.map_err(|why| Outcome::Drop(ExportError::new(ErrorType::Unauthenticated, why)))?;
        }
        let before = std::mem::replace(&mut self.doubtful, true);
        let reply = self.web.post_once(body, headers).await;
        let stored_nothing = match &reply {
            Ok(reply) => answer::stored_nothing(reply.status),
            Err(failure) => !failure.connected,
        };
        self.doubtful = before || !stored_nothing;
        reply.map_err(|failure| failure.outcome)
    }

    fn refused(&self, reply: &Reply) -> Outcome {
        let check = if self.signer.is_some() { answer::CHECK_SIGNATURE } else { answer::CHECK_KEYS };
        answer::refused(reply, self.web.shown(), check)
    }
}

impl Exporter for RemoteWriter {
    type Batch = MetricBatch;

    fn encode(&mut self, slices: &[Slice<MetricBatch>]) -> Payload {
        self.doubtful = false;
        let lines = self.streams.lines(slices);
        let encoded = match self.speaks {
            Speaks::V1 => encode_v1(&lines),
            Speaks::V2 { .. } => encode_v2(&lines),
        };
        let payload = Payload {
            body: if lines.is_empty() { Bytes::new() } else { compress(&encoded) },
            uncompressed: encoded.len(),
        };
        self.request = Request { lines, encoded_as: self.speaks, as_v1: None };
        payload
    }

    async fn send(&mut self, payload: &Payload) -> Outcome {
        let body = payload.body.clone();
        let outcome = match (self.speaks, self.request.encoded_as) {
            (Speaks::V2 { understood, native }, _) => self.send_v2(body, understood, native).await,
            (Speaks::V1, Speaks::V1) => self.send_v1(Some(body)).await,
            (Speaks::V1, Speaks::V2 { .. }) => self.send_v1(None).await,
        };
        self.redact.outcome(outcome)
    }

    fn settled(&mut self, acknowledged: bool) {
        // What certainly was not stored is as if it had never been told.
        if acknowledged || self.doubtful {
            self.streams.sent(acknowledged);
        }
    }
}

fn headers(speaks: Speaks) -> HeaderMap {
    let (kind, version) = match speaks {
        Speaks::V1 => ("application/x-protobuf", "0.1.0"),
        Speaks::V2 { .. } => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
    };
    HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CONTENT_ENCODING, HeaderValue::from_static("snappy")),
        (VERSION, HeaderValue::from_static(version)),
    ])
}

/// Snappy's block format. It fails beyond 4 GiB, which the limit of a request excludes.
fn compress(message: &[u8]) -> Bytes {
    snap::raw::Encoder::new().compress_vec(message).unwrap_or_default().into()
}
