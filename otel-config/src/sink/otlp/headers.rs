//! Headers of every request: `header.NAME=` and `OTEL_EXPORTER_OTLP_HEADERS`.

use http::HeaderName;

use super::{Protocol, settings::Settings};
use crate::{
    Problem, Secret,
    decode::{members, percent_decode},
};

/// Made by the transport; a second opinion would break the request.
const RESERVED: [&str; 10] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// One header, or metadata entry of gRPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// A valid name in lower case.
    pub name: String,
    /// A valid value: printable ASCII and blanks.
    pub value: Secret,
}

impl Header {
    /// Checks name and value. The error repeats neither, except for a reserved name.
    fn new(name: &str, value: &str) -> Result<Self, String> {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| "invalid header name; valid: letters, digits and !#$%&'*+-.^_`|~")?;
        if RESERVED.contains(&name.as_str()) || name.as_str().starts_with("grpc-") {
            return Err(format!("header `{name}` is set by convis itself and cannot be given"));
        }
        // What gRPC takes: a little less than HTTP, which has no character set for the rest either.
        if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err("invalid header value; valid: printable ASCII characters and blanks".to_owned());
        }
        Ok(Self { name: name.as_str().to_owned(), value: Secret::new(value.to_owned()) })
    }
}

/// Reads the form of `OTEL_EXPORTER_OTLP_HEADERS`: `name=value,name2=value2` as in W3C Baggage, values percent-decoded,
/// without its `;` metadata (a `;` is part of the value). The last of equal names wins.
///
/// # Errors
/// One line that names the pair by its position and repeats nothing of it.
pub fn parse_headers(list: &str) -> Result<Vec<Header>, String> {
    let mut headers = Vec::new();
    for member in members(list) {
        let (position, name, value) =
            member.map_err(|position| format!("pair {position} has no `=`; write name=value,..."))?;
        let header = percent_decode(value)
            .ok_or_else(|| "broken percent-encoding; a literal `%` is written `%25`".to_owned())
            .and_then(|value| Header::new(name, &value))
            .map_err(|why| format!("pair {position}: {why}"))?;
        put(&mut headers, header);
    }
    Ok(headers)
}

/// The headers of a signal: those of its variable, each of them replaced where the sink has one of that name.
/// A broken variable is an error, since going on without a credential fails later and less clearly.
pub(super) fn read(settings: &Settings<'_>, protocol: Protocol) -> Result<Vec<Header>, Problem> {
    let mut headers = Vec::new();
    if let Some(found) = settings.variable("HEADERS") {
        headers = parse_headers(&found.value).map_err(|why| Problem::setting(&found.setting, why))?;
        check_for(protocol, &headers).map_err(|why| Problem::setting(&found.setting, why))?;
    }
    let mut own: Vec<Header> = Vec::new();
    for item in &settings.spec.items {
        let Some(name) = item.key.strip_prefix("header.") else {
            continue;
        };
        let refuse = |why: String| Problem::setting(crate::error::shown(&item.key), why);
        let header = Header::new(name, item.value.expose()).map_err(refuse)?;
        if own.iter().any(|other| other.name == header.name) {
            return Err(refuse("given twice; names differ only in case".to_owned()));
        }
        own.push(header);
        check_for(protocol, &own).map_err(refuse)?;
    }
    for header in own {
        put(&mut headers, header);
    }
    Ok(headers)
}

/// gRPC takes names that end in `-bin` as binary metadata, which no setting here can write.
fn check_for(protocol: Protocol, headers: &[Header]) -> Result<(), String> {
    if protocol == Protocol::Grpc && headers.iter().any(|header| header.name.ends_with("-bin")) {
        return Err("a header name that ends in `-bin` is binary in gRPC; valid: any other name".to_owned());
    }
    Ok(())
}

fn put(headers: &mut Vec<Header>, header: Header) {
    match headers.iter_mut().find(|known| known.name == header.name) {
        Some(known) => *known = header,
        None => headers.push(header),
    }
}
