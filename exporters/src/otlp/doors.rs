//! What OTLP receivers answer, from bytes to outcomes: see [`crate::doors`].

use tonic::{Code, Status};

use super::exporter::{Kind as _, Logs, Metrics};
use super::transport::{Answer, Format};
use super::{grpc, http, response};
use crate::outcome::Outcome;
use crate::web::Reply;

/// To logs and to metrics sent over HTTP; an error means the same to both.
pub(crate) fn over_http(reply: Reply, format: Format, endpoint: &str) -> Vec<Outcome> {
    match http::understood(reply, format, endpoint) {
        Ok(answer) => taken(&answer).into(),
        Err(outcome) => vec![outcome],
    }
}

/// To logs and to metrics sent over gRPC, with success.
pub(crate) fn over_grpc(body: &[u8]) -> [Outcome; 2] {
    taken(&Answer { body: body.to_vec().into(), is_json: false })
}

/// Over gRPC, with an error.
pub(crate) fn status(code: i32, message: &str, details: &[u8], endpoint: &str) -> Outcome {
    let status = Status::with_details(Code::from_i32(code), message, details.to_vec().into());
    grpc::failed(&status, endpoint)
}

fn taken(answer: &Answer) -> [Outcome; 2] {
    [
        response::read(answer, Logs::refused, Logs::JSON_REJECTED),
        response::read(answer, Metrics::refused, Metrics::JSON_REJECTED),
    ]
}
