//! Certificates made on the spot: an authority of the test's own, and what it signed.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// A folder with `ca.pem`, and `cert.pem` with `key.pem` that serve for a server on 127.0.0.1 and for its clients.
pub struct Certificates(TempDir);

impl Certificates {
    /// Of a new authority.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters without names");
        // A certificate with its issuer's name would count as its own issuer.
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = || KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key()).expect("a certificate of the authority");
        let own = key();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).expect("parameters with names");
        let cert = params.signed_by(&own, &authority).expect("a signed certificate");
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, pem) in
            [("ca.pem", authority.pem()), ("cert.pem", cert.pem()), ("key.pem", own.serialize_pem())]
        {
            fs::write(folder.path().join(name), pem).expect("the folder takes a file");
        }
        Self(folder)
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// The path of `ca.pem`, `cert.pem` or `key.pem`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}
