use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use convis_otel_config::{
    Credentials, PrometheusConfig, PrometheusWay, RemoteWrite, RemoteWriteVersion, Secret, SigV4, SinkKind,
};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{Duration, metrics, send, to, version, writer};
use crate::outcome::Outcome;
use crate::retry::RetryPolicy;
use crate::settings::Settings;
use crate::testing::http::{Answer, Asked, Receiver};
use crate::testing::samples::TIME;

const REGION: &str = "eu-central-1";
const ACCESS_KEY: &str = "AKIDEXAMPLE";
const SECRET_KEY: &str = "hunter2/secret+key";
const TOKEN: &str = "hunter2//session==";

/// A clock that only the first test sets.
static CLOCK: AtomicU64 = AtomicU64::new(TIME);
const HOUR_NANOS: u64 = 3_600_000_000_000;

fn signed(base: &str, version: RemoteWriteVersion, region: &str) -> RemoteWrite {
    let sigv4 = SigV4 {
        region: region.to_owned(),
        access_key: ACCESS_KEY.to_owned(),
        secret_key: Secret::new(SECRET_KEY.to_owned()),
        session_token: Some(Secret::new(TOKEN.to_owned())),
    };
    RemoteWrite { credentials: Some(Credentials::SigV4(sigv4)), ..to(base, version) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// HMAC by RFC 2104, of keys up to a block.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |with: u8| -> Vec<u8> {
        let block = key.iter().copied().chain(std::iter::repeat(0)).take(64);
        block.map(|byte| byte ^ with).collect()
    };
    let inner = Sha256::digest([pad(0x36), message.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

/// Makes the signature of what arrived, in AWS's order of steps, and compares. The error is what differs.
fn check(asked: &Asked) -> Result<(), &'static str> {
    let header = |name: &str| asked.headers.get(name).map_or("", |value| value.to_str().unwrap());
    let date_time = header("x-amz-date");
    let (date, _) = date_time.split_at_checked(8).ok_or("date")?;
    let scope = format!("{date}/{REGION}/aps/aws4_request");
    let start = format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders=");
    let rest = header("authorization").strip_prefix(&start).ok_or("scope")?;
    let (names, signature) = rest.split_once(", Signature=").ok_or("form")?;
    let is_signed = |name: &str| names.split(';').any(|signed| signed == name);
    let must = asked.headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with("x-amz-"));
    if !must.chain(["host"]).all(is_signed) || header("x-amz-security-token") != TOKEN {
        return Err("headers");
    }
    let headers = names
        .split(';')
        .fold(String::new(), |lines, name| format!("{lines}{name}:{}\n", header(name).trim()));
    let body = hex(&Sha256::digest(&asked.body));
    let canonical = format!("POST\n{}\n{}\n{headers}\n{names}\n{body}", asked.path, asked.query);
    let to_sign = format!("AWS4-HMAC-SHA256\n{date_time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let key = [date, REGION, "aps", "aws4_request"]
        .iter()
        .fold(format!("AWS4{SECRET_KEY}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    if hex(&hmac(&key, to_sign.as_bytes())) == signature { Ok(()) } else { Err("signature") }
}

/// Answers as AWS would: 403 to what is not signed as it should be, repeating whatever came.
fn judge(asked: &Asked) -> Answer {
    match check(asked) {
        Ok(()) => Answer::status(204),
        Err(why) => Answer::status(403).with_body(format!("{why}: {SECRET_KEY} {TOKEN}")),
    }
}

/// Is busy for an hour where it would take the request.
fn judge_slowly(asked: &Asked) -> Answer {
    CLOCK.fetch_add(HOUR_NANOS, Ordering::SeqCst);
    if check(asked).is_ok() { Answer::status(503) } else { judge(asked) }
}

/// Scenario: a whole sink; the receiver checks each signature by its own computation over what arrived, fails at first for an
/// hour, and then turns out to take 1.0 only.
/// Guarantees: every request is signed anew, at its own time and with its own body; all points are delivered.
#[tokio::test]
async fn a_sink_signs_every_attempt() {
    let answers = vec![Answer::Of(judge_slowly), Answer::Of(judge), Answer::Of(judge)];
    let (receiver, base) = Receiver::start(answers).await;
    let settings = Settings {
        retry: RetryPolicy { initial: Duration::from_millis(1), ..RetryPolicy::default() },
        now: || CLOCK.load(Ordering::SeqCst),
        ..Settings::default()
    };
    let way = PrometheusWay::Write(Box::new(signed(&base, RemoteWriteVersion::V2, REGION)));
    let kind = SinkKind::Prometheus(PrometheusConfig { way, resource_labels: Vec::new() });
    let (sinks, runners) = crate::build(&[kind.into()], &settings).unwrap();
    sinks[0].offer_metrics(&metrics(0));
    let stats = Arc::clone(&sinks[0].stats()[0].stats);
    let idle = async {
        while stats.queued() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), idle).await.unwrap();
    drop(sinks);
    assert!(runners.stop(Instant::now() + Duration::from_secs(20)).await.is_empty());
    let snapshot = stats.snapshot();
    assert!(snapshot.accepted > 0, "{snapshot:?} {:?}", receiver.asked());
    assert_eq!((snapshot.sent, snapshot.dropped_total()), (snapshot.accepted, 0));
    let asked = receiver.asked();
    let told: Vec<_> = asked
        .iter()
        .map(|asked| (version(asked), asked.headers["x-amz-date"].to_str().unwrap(), check(asked)))
        .collect();
    let (first, later) = ("20261124T100000Z", "20261124T110000Z");
    assert_eq!(told, [("2.0.0", first, Ok(())), ("2.0.0", later, Ok(())), ("0.1.0", later, Ok(()))]);
}

/// Scenario: a request is signed for another region, and one is changed on its way.
/// Guarantees: the receiver of these tests refuses both; the line says what to check, without what the receiver repeated.
#[tokio::test]
async fn what_is_signed_otherwise_is_refused() {
    let (receiver, base) = Receiver::start(vec![Answer::Of(judge); 2]).await;
    let outcome = send(&mut writer(&signed(&base, RemoteWriteVersion::V1, "us-east-1")), metrics(0)).await;
    let Outcome::Drop(error) = outcome else { panic!("{outcome:?}") };
    assert_eq!(
        error.text,
        format!(
            "{base}/api/v1/write answers 403 Forbidden (scope: *** ***); check the region, the access key, that it may \
             aps:RemoteWrite, and this host's clock"
        )
    );
    let outcome = send(&mut writer(&signed(&base, RemoteWriteVersion::V1, REGION)), metrics(0)).await;
    assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
    let mut changed = receiver.asked().remove(1);
    assert_eq!(check(&changed), Ok(()));
    changed.body = [&changed.body[..], b"x"].concat().into();
    assert_eq!(check(&changed), Err("signature"));
}
