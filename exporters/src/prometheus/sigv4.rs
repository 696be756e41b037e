//! AWS Signature Version 4, as Amazon Managed Service for Prometheus wants it.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use convis_otel_config::SigV4;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

/// The managed Prometheus by the name that signatures have for it.
const SERVICE: &str = "aps";

/// Signs the requests to one endpoint.
pub(super) struct Signer {
    credentials: Credentials,
    region: String,
    endpoint: Url,
}

impl Signer {
    /// # Errors
    /// One line, when requests to this endpoint cannot be signed.
    pub(super) fn new(sigv4: &SigV4, endpoint: &Url) -> Result<Self, String> {
        let token = sigv4.session_token.as_ref().map(|token| token.expose().clone());
        let (access_key, secret_key) = (sigv4.access_key.as_str(), sigv4.secret_key.expose().as_str());
        let signer = Self {
            credentials: Credentials::new(access_key, secret_key, token, None, "convis"),
            region: sigv4.region.clone(),
            endpoint: endpoint.clone(),
        };
        // What cannot be signed now never can.
        signer.sign(0, &[], &mut HeaderMap::new())?;
        Ok(signer)
    }

    /// Adds the signature of a POST of `body`, as it is sent, at a time in nanoseconds since the Unix epoch. It covers host,
    /// path, query, body and these headers; receivers take it for five minutes.
    ///
    /// # Errors
    /// One line.
    pub(super) fn sign(&self, unix_nanos: u64, body: &[u8], headers: &mut HeaderMap) -> Result<(), String> {
        let failed = "the request cannot be signed; check the endpoint";
        let identity = self.credentials.clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_nanos))
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| failed)?
            .into();
        let given = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let request = SignableRequest::new("POST", self.endpoint.as_str(), given, SignableBody::Bytes(body))
            .map_err(|_| failed)?;
        let (instructions, _) = sign(request, &params).map_err(|_| failed)?.into_parts();
        for header in instructions.into_parts().0 {
            let mut value = HeaderValue::from_str(header.value()).map_err(|_| failed)?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(header.name()), value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
