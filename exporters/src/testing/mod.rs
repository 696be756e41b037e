//! What tests of this crate share: sample data, golden files, and receivers on the loopback that answer as told.

pub(crate) mod grpc;
pub(crate) mod http;
/// The rules by which the end-to-end tests' New Relic judges requests, too.
#[expect(unreachable_pub, reason = "the end-to-end tests' library shows it")]
#[path = "../../../integration/src/newrelic/rules.rs"]
pub(crate) mod newrelic;
pub(crate) mod samples;
pub(crate) mod split;
pub(crate) mod tls;

use std::path::Path;

use convis_otel_config::{Compression, OtlpSignal, Protocol};

/// Compares with a file under `testdata/`; `UPDATE_GOLDEN=1` writes it instead.
pub(crate) fn assert_golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{} differs; UPDATE_GOLDEN=1 rewrites it", path.display());
}

/// Settings for an endpoint, without TLS, compression or headers.
pub(crate) fn signal(endpoint: &str, protocol: Protocol) -> OtlpSignal {
    OtlpSignal {
        endpoint: endpoint.parse().unwrap(),
        protocol,
        headers: Vec::new(),
        compression: Compression::None,
        timeout: None,
        ca: None,
        identity: None,
    }
}
