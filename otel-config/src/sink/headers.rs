//! Headers of every request: `header.NAME=`, and the form of `OTEL_EXPORTER_OTLP_HEADERS`.

use http::HeaderName;

use crate::{
    Problem, Secret, Spec,
    decode::{members, percent_decode},
    error::shown,
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

/// The headers of a sink's own keys, `header.NAME=`, each of which must pass `check`.
pub(super) fn from_keys(
    spec: &Spec,
    check: impl Fn(&Header) -> Result<(), String>,
) -> Result<Vec<Header>, Problem> {
    let mut headers: Vec<Header> = Vec::new();
    for item in &spec.items {
        let Some(name) = item.key.strip_prefix("header.") else {
            continue;
        };
        let refuse = |why: String| Problem::setting(shown(&item.key), why);
        let header = Header::new(name, item.value.expose()).map_err(refuse)?;
        if headers.iter().any(|other| other.name == header.name) {
            return Err(refuse("given twice; names differ only in case".to_owned()));
        }
        check(&header).map_err(refuse)?;
        headers.push(header);
    }
    Ok(headers)
}

/// Adds a header, in the place of one of the same name.
pub(super) fn put(headers: &mut Vec<Header>, header: Header) {
    match headers.iter_mut().find(|known| known.name == header.name) {
        Some(known) => *known = header,
        None => headers.push(header),
    }
}
