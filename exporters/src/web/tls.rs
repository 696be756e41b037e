//! TLS with ring: the system's certificates or given ones, and a client certificate where one is configured.

use std::sync::Arc;

use convis_otel_config::Identity;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::Target;

/// The TLS settings of an HTTP client.
///
/// # Errors
/// One line that never repeats any part of a certificate or a key.
pub(crate) fn client_config(target: Target<'_>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots(target)?);
    match target.identity {
        None => Ok(builder.with_no_client_auth()),
        Some(Identity { cert, key }) => {
            let chain =
                certificates(cert).ok_or("the client certificate is no PEM certificate; check `cert`")?;
            let key = PrivateKeyDer::from_pem_slice(key.expose())
                .map_err(|_| "the client's key is no PEM private key; check `key`")?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                format!("the client certificate cannot be used: {error}; check `cert` and `key`")
            })
        }
    }
}

fn roots(target: Target<'_>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if target.endpoint.scheme() != "https" {
        return Ok(roots);
    }
    let trusted = match target.ca {
        Some(pem) => certificates(pem).ok_or("no PEM certificate to trust; check `ca`")?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(trusted);
    if roots.is_empty() {
        return Err("no usable certificate to trust; install ca-certificates or set `ca`".to_owned());
    }
    Ok(roots)
}

/// All certificates of a PEM text; `None` when there is none or one is broken.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    certificates.ok().filter(|certificates| !certificates.is_empty())
}
