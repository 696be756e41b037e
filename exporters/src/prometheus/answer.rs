//! What a receiver's answer means.

use reqwest::StatusCode;

use crate::accounting::ErrorType;
use crate::outcome::{ExportError, Outcome};
use crate::web::Reply;

const HISTOGRAMS_WRITTEN: &str = "x-prometheus-remote-write-histograms-written";

/// A receiver of 2.0 says in at least one of these what it stored.
const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    HISTOGRAMS_WRITTEN,
    "x-prometheus-remote-write-exemplars-written",
];

/// Whether a receiver says what it stored. One that does not has stored nothing of a 2.0 message: to a receiver of 1.0 it
/// is an empty one.
pub(super) fn has_written(reply: &Reply) -> bool {
    WRITTEN.iter().any(|name| reply.headers.contains_key(*name))
}

/// The outcome of a 2.0 request that was taken: without what the receiver does not say it stored of the native histograms, of
/// each of which `sent` has the number of samples.
pub(super) fn taken(reply: &Reply, sent: impl Iterator<Item = usize>, endpoint: &str) -> Outcome {
    let (mut series, mut samples) = (0, 0);
    for sent in sent {
        series += 1;
        samples += sent as u64;
    }
    let written =
        reply.headers.get(HISTOGRAMS_WRITTEN).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let written = written.unwrap_or(0).min(samples);
    if written == samples {
        return Outcome::SENT;
    }
    let message = format!(
        "{endpoint} stored {written} of {samples} native histograms; enable them there or take out `native_histograms`"
    );
    Outcome::Sent { rejected: series.min(samples - written), message }
}

/// Whether an error may mean that a receiver does not know 2.0. The specification says 415 and, of receivers of 1.0, 400;
/// some fail on what they cannot read.
pub(super) fn may_want_v1(status: StatusCode, understood: bool) -> bool {
    match status.as_u16() {
        415 => true,
        400 | 406 | 422 | 500 | 501 => !understood,
        _ => false,
    }
}

/// Whether an error excludes that anything was stored.
pub(super) fn stored_nothing(status: StatusCode) -> bool {
    status.is_redirection() || matches!(status.as_u16(), 401 | 403..=405 | 407 | 413 | 415 | 429)
}

/// What to check where a receiver does not know who convis is.
pub(crate) const CHECK_KEYS: &str = "check the credentials in the sink's keys";
/// The same where requests are signed: all of it makes the signature, and AWS refuses one whose time is five minutes off.
pub(super) const CHECK_SIGNATURE: &str =
    "check the region, the access key, that it may aps:RemoteWrite, and this host's clock";

/// The outcome of an error: 429 and all of 5xx may be retried, nothing else. `check` is the advice where a receiver does not
/// know who convis is.
pub(crate) fn refused(reply: &Reply, endpoint: &str, check: &str) -> Outcome {
    let error = |kind, advice| ExportError::answered(kind, endpoint, reply.status, said(reply), advice);
    let retry = |error| Outcome::Retry { after: reply.retry_after(), error };
    match reply.status.as_u16() {
        429 => retry(error(ErrorType::Throttled, "send less or raise the limit there")),
        502..=504 => retry(error(ErrorType::Unavailable, "check the receiver's health")),
        500..=599 => retry(error(ErrorType::ServerError, "look into the receiver's log")),
        401 | 403 | 407 => Outcome::Drop(error(ErrorType::Unauthenticated, check)),
        404 | 405 => Outcome::Drop(error(
            ErrorType::NotFound,
            "check the endpoint's path and that the receiver takes remote write",
        )),
        413 => Outcome::TooLarge(error(ErrorType::TooLarge, "raise the receiver's limit")),
        300..=399 => {
            Outcome::Drop(error(ErrorType::NotFound, "redirects are not followed; set the endpoint itself"))
        }
        _ => Outcome::Drop(error(ErrorType::Rejected, "look into the receiver's log")),
    }
}

/// The first line of what a receiver says.
fn said(reply: &Reply) -> Option<&str> {
    let line = reply.plain_text()?.trim().lines().next()?.trim();
    Some(line).filter(|line| !line.is_empty())
}
