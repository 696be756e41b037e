//! Certificates: files in PEM form, read once at start.

use std::{fmt, path::Path};

use super::settings::{Found, Settings};
use crate::{Problem, Secret, error::shown};

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

/// Reads the trusted certificates and the client's identity of a signal.
pub(super) fn read(settings: &Settings<'_>) -> Result<(Option<Vec<u8>>, Option<Identity>), Problem> {
    let ca = settings.key("ca").or_else(|| settings.variable("CERTIFICATE"));
    let ca = ca.map(|found| read_pem(settings, &found, CERTIFICATE)).transpose()?;

    let own = (settings.key("cert"), settings.key("key"));
    let identity = match own {
        // A pair is never half from the sink and half from the environment: the halves would not fit.
        (None, None) => pair(
            settings,
            settings.variable("CLIENT_CERTIFICATE"),
            settings.variable("CLIENT_KEY"),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_KEY"),
        )?,
        (cert, key) => pair(settings, cert, key, ("cert", "key"))?,
    };
    Ok((ca, identity))
}

fn pair(
    settings: &Settings<'_>,
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
            cert: read_pem(settings, &cert, CERTIFICATE)?,
            key: Secret::new(read_pem(settings, &key, PRIVATE_KEY)?),
        })),
    }
}

/// Reads a file and makes sure that it is the kind of PEM wanted, so that a mix-up is found at start.
fn read_pem(settings: &Settings<'_>, found: &Found, wanted: &str) -> Result<Vec<u8>, Problem> {
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
    let content = (settings.sources.read_file)(path).map_err(|error| refuse(&error.to_string()))?;
    if content.windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
        return Ok(content);
    }
    let missing = if wanted == CERTIFICATE { "certificate" } else { "private key" };
    Err(refuse(&format!("no PEM {missing} in it")))
}
