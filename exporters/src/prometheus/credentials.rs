//! Credentials as headers.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use convis_otel_config::{Credentials, Header, RemoteWrite, Secret};

/// What goes with every request, and what must appear in no message: the same and what it was made of.
pub(super) fn headers(config: &RemoteWrite) -> (Vec<Header>, Vec<Header>) {
    let header = |value: String| Header { name: "authorization".to_owned(), value: Secret::new(value) };
    let mut headers = config.headers.clone();
    let mut secrets = Vec::new();
    match &config.credentials {
        None => {}
        Some(Credentials::Bearer(token)) => headers.push(header(format!("Bearer {}", token.expose()))),
        Some(Credentials::Basic { username, password }) => {
            let pair = format!("{username}:{}", password.expose());
            headers.push(header(format!("Basic {}", BASE64_STANDARD.encode(pair))));
            secrets.push(header(password.expose().clone()));
        }
        // Made for each request: see `sigv4`.
        Some(Credentials::SigV4(sigv4)) => {
            let parts = std::iter::once(&sigv4.secret_key).chain(&sigv4.session_token);
            secrets.extend(parts.map(|part| header(part.expose().clone())));
        }
    }
    secrets.extend(headers.iter().cloned());
    (headers, secrets)
}
