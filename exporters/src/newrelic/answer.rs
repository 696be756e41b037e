//! What an answer of the Event API means.

use std::time::Duration;

use serde_json::Value;

use crate::accounting::ErrorType;
use crate::outcome::{ExportError, Outcome};
use crate::web::Reply;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The outcome of a request that was answered at `now`, nanoseconds since the Unix epoch.
pub(crate) fn read(reply: &Reply, endpoint: &str, now: u64) -> Outcome {
    if reply.status.is_success() {
        return taken(reply, endpoint);
    }
    let error =
        |kind, advice| ExportError::answered(kind, endpoint, reply.status, reply.plain_text(), advice);
    let retry = |error| Outcome::Retry { after: reply.retry_after(), error };
    match reply.status.as_u16() {
        401 | 403 => Outcome::Drop(error(
            ErrorType::Unauthenticated,
            "check that `key` is a license key of `account`, in `region`",
        )),
        408 => retry(error(ErrorType::Timeout, "the network may be too slow")),
        413 => Outcome::TooLarge(error(ErrorType::TooLarge, "the request is over the API's limit")),
        429 => Outcome::Retry {
            // The limit is one of requests per minute and holds until the minute ends.
            after: Some(reply.retry_after().unwrap_or_else(|| rest_of_minute(now))),
            error: error(ErrorType::Throttled, "the account's limit of requests is reached"),
        },
        300..=399 => {
            Outcome::Drop(error(ErrorType::NotFound, "redirects are not followed; set the endpoint itself"))
        }
        404 | 405 => Outcome::Drop(error(ErrorType::NotFound, "check `endpoint`, `region` and `account`")),
        502..=504 => retry(error(ErrorType::Unavailable, "check the state of New Relic or of the gateway")),
        500..=599 => retry(error(ErrorType::ServerError, "check the state of New Relic or of the gateway")),
        _ => Outcome::Drop(error(ErrorType::Rejected, "the request is not as the API wants it")),
    }
}

/// Only `"success":true` says that it was New Relic that took the request.
fn taken(reply: &Reply, endpoint: &str) -> Outcome {
    let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if answer["success"] != true {
        let text = format!("the answer of {endpoint} is not New Relic's; check `endpoint`");
        return Outcome::Drop(ExportError::new(ErrorType::InvalidResponse, text));
    }
    // An event that is found wrong later is told as an `NrIntegrationError` with this as its requestId.
    tracing::debug!(uuid = answer["uuid"].as_str().unwrap_or_default(), "taken");
    Outcome::SENT
}

fn rest_of_minute(now: u64) -> Duration {
    Duration::from_secs(60 - now / NANOS_PER_SECOND % 60)
}
