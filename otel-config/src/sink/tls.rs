//! Certificates: files in PEM form, read once at start.

use std::{fmt, path::Path};

use crate::{Problem, Secret, Sources, Spec, error::shown, spec::Found};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
const PRIVATE_KEY: &str = "PRIVATE KEY-----";

/// A client certificate with its key, for mutual TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// PEM of the certificate and its chain.
    pub cert: Vec<u8>,
    /// PEM of the private key.
    pub key: Secret<Vec<u8>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("cert_bytes", &self.cert.len()).field("key", &self.key).finish()
    }
}

/// The trusted certificates and the client's identity of a sink's own keys: `ca`, `cert`, `key`.
pub(super) fn from_keys(
    spec: &Spec,
    sources: &Sources<'_>,
) -> Result<(Option<Vec<u8>>, Option<Identity>), Problem> {
    let ca = spec.found("ca").map(|found| read_ca(sources, &found)).transpose()?;
    Ok((ca, pair(sources, spec.found("cert"), spec.found("key"), ("cert", "key"))?))
}

/// Reads certificates to trust.
pub(super) fn read_ca(sources: &Sources<'_>, found: &Found) -> Result<Vec<u8>, Problem> {
    read_pem(sources, found, CERTIFICATE)
}

/// Reads a client's certificate and its key, of which neither comes alone.
pub(super) fn pair(
    sources: &Sources<'_>,
    cert: Option<Found>,
    key: Option<Found>,
    names: (&str, &str),
) -> Result<Option<Identity>, Problem> {
    let lonely = |found: &Found, other| {
        Problem::setting(
            &found.setting,
            format!("a certificate and its key need each other; set `{other}` too"),
        )
    };
    match (cert, key) {
        (None, None) => Ok(None),
        (Some(cert), None) => Err(lonely(&cert, names.1)),
        (None, Some(key)) => Err(lonely(&key, names.0)),
        (Some(cert), Some(key)) => Ok(Some(Identity {
            cert: read_pem(sources, &cert, CERTIFICATE)?,
            key: Secret::new(read_pem(sources, &key, PRIVATE_KEY)?),
        })),
    }
}

/// Reads a file and makes sure that it is the kind of PEM wanted, so that a mix-up is found at start.
fn read_pem(sources: &Sources<'_>, found: &Found, wanted: &str) -> Result<Vec<u8>, Problem> {
    if found.value.contains("-----BEGIN") {
        // What `key=@path` gives: a key, not to be repeated as the name of a missing file.
        return Err(Problem::setting(
            &found.setting,
            "this is PEM; valid: the path of a PEM file, without `@`",
        ));
    }
    let path = Path::new(&found.value);
    let refuse =
        |why: &str| Problem::setting(&found.setting, format!("file `{}`: {why}", shown(&found.value)));
    let content = (sources.read_file)(path).map_err(|error| refuse(&error.to_string()))?;
    if content.windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
        return Ok(content);
    }
    let missing = if wanted == CERTIFICATE { "certificate" } else { "private key" };
    Err(refuse(&format!("no PEM {missing} in it")))
}
