use convis_otel_config::{Identity, OtlpSignal, Protocol, Secret};

use super::{brief, send};
use crate::accounting::ErrorType;
use crate::otlp::logs;
use crate::testing::signal;
use crate::testing::tls::Certificates;
use crate::testing::{grpc, http};

fn to(endpoint: &str, protocol: Protocol, trusted: &Certificates) -> OtlpSignal {
    OtlpSignal { ca: Some(trusted.ca.clone()), ..signal(endpoint, protocol) }
}

fn identity(of: &Certificates) -> Identity {
    Identity { cert: of.cert.clone(), key: Secret::new(of.key.clone()) }
}

/// Scenario: a receiver that wants a client certificate, met with one, with none, and by a client that trusts another
/// authority.
/// Guarantees: only the first gets through; the others are told that it is TLS.
async fn check(endpoint: &str, protocol: Protocol, own: &Certificates) {
    let failed = ("retry", Some(ErrorType::Tls), None);
    let trusting = to(endpoint, protocol, own);
    let known = OtlpSignal { identity: Some(identity(own)), ..trusting.clone() };
    assert_eq!(brief(&send(&mut logs(&known).unwrap()).await), ("sent", None, None));
    let outcome = send(&mut logs(&trusting).unwrap()).await;
    assert_eq!(brief(&outcome), failed, "{outcome:?}");
    let other = OtlpSignal { identity: Some(identity(own)), ..to(endpoint, protocol, &Certificates::new()) };
    assert_eq!(brief(&send(&mut logs(&other).unwrap()).await), failed);
}

#[tokio::test]
async fn mutual_tls_over_http() {
    let own = Certificates::new();
    let (_receiver, base) = http::Receiver::start_tls(&own).await;
    check(&format!("{base}/v1/logs"), Protocol::HttpProtobuf, &own).await;
}

#[tokio::test]
async fn mutual_tls_over_grpc() {
    let own = Certificates::new();
    let (_receiver, endpoint) = grpc::Receiver::start_tls(&own).await;
    check(&endpoint, Protocol::Grpc, &own).await;
}

/// Scenario: a certificate that is none, a key that is none, a key that does not fit.
/// Guarantees: an error at start, in one line, that names the setting and nothing of the key.
#[tokio::test]
async fn broken_certificates_are_found_at_start() {
    let own = Certificates::new();
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let good = to("https://localhost:4317", protocol, &own);
        let cert = own.cert.clone();
        let key = |key: &[u8]| Some(Identity { cert: cert.clone(), key: Secret::new(key.to_vec()) });
        let broken = [
            ("`ca`", OtlpSignal { ca: Some(b"nothing".to_vec()), ..good.clone() }),
            ("`key`", OtlpSignal { identity: key(b"nothing"), ..good.clone() }),
            ("`key`", OtlpSignal { identity: key(&Certificates::new().key), ..good }),
        ];
        for (named, settings) in broken {
            let text = logs(&settings).err().unwrap();
            assert!(text.contains(named), "{text}");
            assert_eq!(text.lines().count(), 1);
        }
    }
}
