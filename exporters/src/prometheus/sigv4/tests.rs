use convis_otel_config::Secret;

use super::*;

/// 2026-06-01T10:00:00Z
const TIME: u64 = 1_780_308_000_000_000_000;
const PLAIN: &str = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write";
/// What has to be encoded once more, and a query that is not in order.
const ODD: &str = "http://127.0.0.1:9090/a%20b/write?b=2&a=x%2Fy&a=1";
const TOKEN: &str = "FwoGZXIvYXdz//token==";

fn signed(endpoint: &str, token: Option<&str>, region: &str) -> HeaderMap {
    let sigv4 = SigV4 {
        region: region.to_owned(),
        access_key: "AKIDEXAMPLE".to_owned(),
        secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
        session_token: token.map(|token| Secret::new(token.to_owned())),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let signer = Signer::new(&sigv4, &endpoint.parse().unwrap()).unwrap();
    signer.sign(TIME, b"\x00\x01compressed", &mut headers).unwrap();
    headers
}

fn authorization(token: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260601/eu-central-1/aps/aws4_request, \
         SignedHeaders=content-encoding;content-type;host;x-amz-date;{token}x-prometheus-remote-write-version, \
         Signature={signature}"
    )
}

/// Scenario: requests with and without a session token, to a plain endpoint and to one that needs care.
/// Guarantees: time, token and signature are those that AWS's SDK for Python makes of the same (`SigV4Auth` of botocore 1.44.8,
/// service `aps`, its clock set to the same second), which is another implementation.
#[test]
fn signatures_are_those_of_botocore() {
    let table = [
        (PLAIN, None, "08ee3201e367ce824dd7b82eaf4f9fc43135056c7b58a4e63536fd1399f8ddcb"),
        (PLAIN, Some(TOKEN), "c8758a774e85463039b6303cb0549668cbf083832eeadf717e546e7734ec4fdb"),
        (ODD, None, "dfbc2fbf7d107b51ba5d6ccf018ac4735a333ba26ed29afd0a2a7b58963296a2"),
        (ODD, Some(TOKEN), "cd686d7915f6b71063e64218902e311052ff7ce8bfacc9f546f14aea8ca1bef7"),
    ];
    for (endpoint, token, signature) in table {
        let headers = signed(endpoint, token, "eu-central-1");
        assert_eq!(headers["x-amz-date"], "20260601T100000Z");
        let sent = headers.get("x-amz-security-token").map(|value| value.to_str().unwrap());
        assert_eq!(sent, token);
        let name = if token.is_some() { "x-amz-security-token;" } else { "" };
        assert_eq!(headers["authorization"], authorization(name, signature), "{endpoint} {token:?}");
        let printed = format!("{headers:?}");
        assert!(!printed.contains(TOKEN) && !printed.contains(signature), "{printed}");
    }
}
