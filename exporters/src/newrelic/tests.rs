mod split;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use convis_otel_config::{NewRelicConfig, Secret, SinkConfig, SinkKind, Storage};
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::accounting::{DropReason, ErrorType};
use crate::model::Value;
use crate::model::{Event, OwnedValue};
use crate::retry::RetryPolicy;
use crate::testing::http::{Answer, Asked, Receiver};
use crate::testing::newrelic::{self as rules, Account, Flat, MAX_BYTES, Request, TAKEN};
use crate::testing::{assert_golden, samples};

/// No message may repeat it.
const KEY: &str = "0123456789abcdef0123456789abcdef0123NRAL";
const ACCOUNT: Account<'static> = Account { number: "42", key: KEY, max_bytes: MAX_BYTES };
const NOW_MILLIS: u64 = samples::TIME / 1_000_000;
const DAY_NANOS: u64 = 86_400_000_000_000;

fn config(base: &str) -> NewRelicConfig {
    NewRelicConfig {
        endpoint: format!("{base}/v1/accounts/42/events").parse().unwrap(),
        key: Secret::new(KEY.to_owned()),
        timeout: Some(Duration::from_secs(10)),
        ca: None,
    }
}

fn exporter(base: &str) -> NewRelic {
    NewRelic::new(&config(base), || samples::TIME).unwrap()
}

/// Answers as New Relic would, and 400 where it would complain later.
fn judged(asked: &Asked, max_bytes: usize) -> Answer {
    match judge(asked, max_bytes) {
        Ok(_) => Answer::status(200).with_body(TAKEN),
        Err((status, body)) => Answer::status(status).with_body(body),
    }
}

fn judge(asked: &Asked, max_bytes: usize) -> Result<Vec<Flat>, rules::Refusal> {
    let header = |name| asked.headers.get(name).map(|value| value.to_str().unwrap());
    let request = Request {
        path: &asked.path,
        key: header("api-key"),
        content_type: header("content-type"),
        content_encoding: header("content-encoding"),
        body: &asked.body,
    };
    rules::judge(&request, &Account { max_bytes, ..ACCOUNT }, NOW_MILLIS)
}

fn batch(events: Vec<Event>) -> Arc<EventBatch> {
    Arc::new(EventBatch { events })
}

/// The request's JSON and how many events were left out.
fn encoded(events: Vec<Event>) -> (String, u64) {
    let encoded = Encoder::default().encode(&[Slice::whole(batch(events))], samples::TIME);
    (String::from_utf8(encoded.json).unwrap(), encoded.expired)
}

/// The one event, which must keep all rules.
fn flat(event: Event) -> Flat {
    let (json, expired) = encoded(vec![event]);
    assert_eq!(expired, 0);
    let mut events = rules::events(&json, NOW_MILLIS).unwrap();
    assert_eq!(events.len(), 1);
    events.remove(0)
}

/// The first sample event, with these attributes in its Resource.
fn with(attributes: impl IntoIterator<Item = (String, OwnedValue)>) -> Event {
    let builder = crate::model::Resource::builder();
    let resource = attributes.into_iter().fold(builder, |builder, (key, value)| builder.with(key, value));
    Event { resource: Arc::new(resource.build()), ..samples::events().events[0].clone() }
}

/// Scenario: events of all kinds.
/// Guarantees: the request is the one on file, it keeps every rule, and nothing but its form differs from the model.
#[test]
fn the_request_equals_the_golden_file() {
    let events = samples::events().events.clone();
    let (json, expired) = encoded(events.clone());
    assert_eq!(expired, 0);
    assert_golden("newrelic.json", &(json.replace("},{", "},\n{") + "\n"));
    let flats = rules::events(&json, NOW_MILLIS).unwrap();
    assert_eq!(flats.len(), events.len());
    for (flat, event) in flats.iter().zip(&events) {
        assert_eq!(flat["eventType"], "ConvisConnection");
        assert_eq!(flat["timestamp"], NOW_MILLIS);
        assert_eq!(flat["event.name"], event.name().as_str());
        let mut count = 3;
        let mut check = |key: &str, value: Value<'_>| {
            count += 1;
            match value {
                Value::Int(number) => assert_eq!(flat[key], number, "{key}"),
                Value::Double(number) => assert_eq!(flat[key], number, "{key}"),
                _ => assert_eq!(flat[key], value.to_string(), "{key}"),
            }
        };
        event.visit(&mut check);
        event.resource.attributes().for_each(|(key, value)| check(key, value));
        assert_eq!(flat.len(), count, "{flat:?}");
    }
}

/// Scenario: attributes that New Relic would not take: booleans, lists, long strings, odd and reserved names, names that an
/// event has itself, names that become equal.
/// Guarantees: each arrives in the closest form that is taken, and what the event says wins.
#[test]
fn awkward_attributes_are_fitted() {
    let long = "\u{e9}".repeat(5000);
    let text = |text: &str| OwnedValue::from(text);
    let flat = flat(with([
        ("a.flag".to_owned(), true.into()),
        ("a.list".to_owned(), vec!["x".to_owned(), "y".to_owned()].into()),
        ("a.long".to_owned(), text(&long)),
        ("a-b".to_owned(), text("first")),
        ("a_b".to_owned(), text("second")),
        ("accountId".to_owned(), text("7")),
        ("entity.guid".to_owned(), text("g")),
        ("timestamp".to_owned(), text("t")),
        ("eventType".to_owned(), text("e")),
        ("server.port".to_owned(), text("mine")),
        ("quote\"".to_owned(), text("a\"\n\u{1b}")),
        (String::new(), text("nameless")),
        ("least".to_owned(), i64::MIN.into()),
    ]));
    assert_eq!(flat["a.flag"], "true");
    assert_eq!(flat["a.list"], "x,y");
    assert_eq!(flat["a.long"], "\u{e9}".repeat(4096));
    assert_eq!(flat["a_b"], "first");
    assert_eq!(flat["resource.accountId"], "7");
    assert_eq!(flat["resource.entity.guid"], "g");
    assert_eq!(flat["resource.timestamp"], "t");
    assert_eq!(flat["resource.eventType"], "e");
    assert_eq!(flat["server.port"], 443);
    assert_eq!(flat["quote_"], "a\"\n\u{1b}");
    assert_eq!(flat["least"], i64::MIN);
    assert!(flat.values().all(|value| value != "nameless"));
}

/// Scenario: a Resource with far too many attributes.
/// Guarantees: 250 remain, the event's own and the first of the Resource by name.
#[test]
fn surplus_attributes_are_left_out() {
    let many = (0..400).map(|index| (format!("label.{index:03}"), OwnedValue::from("x")));
    let own = flat(with([])).len();
    let flat = flat(with(many));
    assert_eq!(flat.len(), 250);
    assert!(flat.contains_key("server.port"));
    let last = 250 - own - 1;
    assert!(flat.contains_key(&format!("label.{last:03}")));
    assert!(!flat.contains_key(&format!("label.{:03}", last + 1)));
}

/// Scenario: events a day old and a day ahead, and a millisecond more.
/// Guarantees: only the latter are left out, and counted; with all of them left out there is no request.
#[test]
fn events_out_of_time_are_left_out() {
    let at = |time_unix_nanos| Event { time_unix_nanos, ..with([]) };
    let (old, new) = (samples::TIME - DAY_NANOS, samples::TIME + DAY_NANOS);
    let out = [at(old - 1_000_000), at(new + 1_000_000), at(0)];
    let (json, expired) = encoded([vec![at(old), at(new)], out.to_vec()].concat());
    assert_eq!(expired, 3);
    assert_eq!(rules::events(&json, NOW_MILLIS).unwrap().len(), 2);
    assert_eq!(encoded(out.to_vec()), (String::new(), 3));
}

proptest! {
    /// Scenario: any attributes of a Resource.
    /// Guarantees: every rule is kept, whatever they are.
    #[test]
    fn any_resource_keeps_the_rules(
        attributes in proptest::collection::vec((".{0,8}|[ -~]{250,260}|server\\.port|appId", ".{0,20}"), 0..300),
    ) {
        let attributes = attributes.into_iter().map(|(key, value)| (key, OwnedValue::from(value)));
        let flat = flat(with(attributes));
        prop_assert!(flat.len() <= 250);
        prop_assert_eq!(&flat["server.port"], 443);
    }
}

/// Scenario: one request, judged by what New Relic documents.
/// Guarantees: it is taken, path, headers and compression included.
#[tokio::test]
async fn requests_are_as_documented() {
    let (receiver, base) = Receiver::start(vec![Answer::Of(|asked| judged(asked, MAX_BYTES))]).await;
    let mut exporter = exporter(&base);
    let payload = exporter.encode(&[Slice::whole(samples::events())]);
    let outcome = exporter.send(&payload).await;
    assert!(matches!(outcome, Outcome::Sent { rejected: 0, .. }), "{outcome:?}");
    let asked = receiver.asked().remove(0);
    assert_eq!(judge(&asked, MAX_BYTES).unwrap().len() as u64, samples::EVENTS);
    assert_eq!(asked.headers["user-agent"], concat!("convis/", env!("CARGO_PKG_VERSION")));
}

/// Scenario: each answer that is documented, and some that are not.
/// Guarantees: only what may pass is retried, `Retry-After` is honoured, 429 waits for the minute's end without it, a success
/// that New Relic does not speak is none, and no message repeats the key.
#[tokio::test]
async fn answers_mean_what_is_documented() {
    use ErrorType as E;
    let status = Answer::status;
    let table = [
        (status(200).with_body(TAKEN), ("sent", None, None)),
        (status(202).with_body("{\"success\":true}"), ("sent", None, None)),
        (status(200), ("drop", Some(E::InvalidResponse), None)),
        (status(200).with_body("{\"success\":false}"), ("drop", Some(E::InvalidResponse), None)),
        (status(200).with_body("<html>welcome"), ("drop", Some(E::InvalidResponse), None)),
        (status(204), ("drop", Some(E::InvalidResponse), None)),
        (status(301).with_header("location", "/"), ("drop", Some(E::NotFound), None)),
        (status(400).with_body("bad\nrequest"), ("drop", Some(E::Rejected), None)),
        (status(401), ("drop", Some(E::Unauthenticated), None)),
        (status(403).with_body(format!("bad key {KEY}")), ("drop", Some(E::Unauthenticated), None)),
        (status(404), ("drop", Some(E::NotFound), None)),
        (status(408), ("retry", Some(E::Timeout), None)),
        (status(413), ("too_large", Some(E::TooLarge), None)),
        (status(415), ("drop", Some(E::Rejected), None)),
        (status(429).with_header("retry-after", "7"), ("retry", Some(E::Throttled), Some(7))),
        // It is 10:00:00.
        (status(429), ("retry", Some(E::Throttled), Some(60))),
        (status(500), ("retry", Some(E::ServerError), None)),
        (status(503).with_header("retry-after", "3"), ("retry", Some(E::Unavailable), Some(3))),
        (Answer::Disconnect, ("retry", Some(E::Unreachable), None)),
    ];
    let (answers, expected): (Vec<_>, Vec<_>) = table.into_iter().unzip();
    let (_receiver, base) = Receiver::start(answers.clone()).await;
    let mut exporter = exporter(&base);
    for (answer, expected) in answers.iter().zip(expected) {
        let payload = exporter.encode(&[Slice::whole(samples::events())]);
        let outcome = exporter.send(&payload).await;
        assert_eq!(brief(&outcome), expected, "{outcome:?} to {answer:?}");
    }
}

/// An outcome in a form for tables: what, `error.type`, seconds to wait.
fn brief(outcome: &Outcome) -> (&'static str, Option<ErrorType>, Option<u64>) {
    let (what, error, after) = match outcome {
        Outcome::Sent { .. } => return ("sent", None, None),
        Outcome::Fatal(_) => return ("fatal", None, None),
        Outcome::Retry { error, after } => ("retry", error, after.map(|after| after.as_secs())),
        Outcome::TooLarge(error) => ("too_large", error, None),
        Outcome::Drop(error) => ("drop", error, None),
    };
    assert!(!error.text.contains(KEY) && error.text.lines().count() == 1, "{error}");
    (what, Some(error.kind), after)
}

/// Scenario: a whole sink; the receiver takes no more than 20 kB, and some events are of another day.
/// Guarantees: what is in time arrives once, in requests the receiver takes; the rest is counted as expired; the accounts
/// are exact.
#[tokio::test]
async fn a_sink_delivers_and_counts() {
    let small = Answer::Of(|asked| judged(asked, 20_000));
    let (receiver, base) = Receiver::start(vec![small; 64]).await;
    let settings = Settings {
        event_delay: Duration::ZERO,
        retry: RetryPolicy { initial: Duration::from_millis(1), ..RetryPolicy::default() },
        now: || samples::TIME,
        ..Settings::default()
    };
    let (sinks, runners) = crate::build(&[SinkKind::NewRelic(config(&base)).into()], &settings).unwrap();
    assert_eq!(sinks[0].name(), "newrelic");
    let mut events = samples::many_events(100).events.clone();
    for (event, id) in events.iter_mut().zip(0..) {
        event.connection.id = id;
        if id % 10 == 3 {
            event.time_unix_nanos -= 2 * DAY_NANOS;
        }
    }
    sinks[0].offer_events(&batch(events));
    let stats = Arc::clone(&sinks[0].stats()[0].stats);
    drop(sinks);
    assert!(runners.stop(Instant::now() + Duration::from_secs(20)).await.is_empty());
    let snapshot = stats.snapshot();
    assert_eq!((snapshot.accepted, snapshot.sent, snapshot.queued()), (100, 90, 0));
    assert_eq!(snapshot.dropped_for(DropReason::Expired), 10);
    assert_eq!(snapshot.dropped_total(), 10);
    let taken: Vec<_> =
        receiver.asked().iter().filter_map(|asked| judge(asked, 20_000).ok()).flatten().collect();
    assert_eq!(taken.len(), 90);
    assert_eq!(rules::values_of(&taken, "convis.connection.id").len(), 90);
}

/// A clock that only the test below sets.
static CLOCK: AtomicU64 = AtomicU64::new(samples::TIME);

/// Fails an attempt, which takes an hour.
fn fails_slowly(_: &Asked) -> Answer {
    CLOCK.fetch_add(DAY_NANOS / 24, Ordering::SeqCst);
    Answer::status(503)
}

/// Scenario: an attempt at events of different ages fails again and again, while the clock goes on; once in memory, once with
/// storage, where what was tried waits with the rest.
/// Guarantees: each attempt has what is in time at its beginning and nothing else; what became too old is counted as expired
/// once, the rest as sent; no request is made for nothing.
#[tokio::test]
async fn what_grows_too_old_between_attempts_expires() {
    let folder = tempfile::tempdir().unwrap();
    for storage in [None, Some(Storage { directory: folder.path().to_owned(), max_bytes: 1 << 20 })] {
        CLOCK.store(samples::TIME, Ordering::SeqCst);
        let mut answers = vec![Answer::Of(fails_slowly); 3];
        answers.push(Answer::status(200).with_body(TAKEN));
        answers.extend(vec![Answer::Of(fails_slowly); 2]);
        let (receiver, base) = Receiver::start(answers).await;
        let settings = Settings {
            event_delay: Duration::ZERO,
            retry: RetryPolicy {
                initial: Duration::from_millis(1),
                max: Duration::from_millis(1),
                ..RetryPolicy::default()
            },
            now: || CLOCK.load(Ordering::SeqCst),
            ..Settings::default()
        };
        let mut config = SinkConfig::from(SinkKind::NewRelic(config(&base)));
        config.delivery.storage = storage;
        let (sinks, runners) = crate::build(&[config], &settings).unwrap();
        let stats = Arc::clone(&sinks[0].stats()[0].stats);
        // Hours that are left to each: half an hour more than these.
        let aged = |hours_left: u64| {
            let age = DAY_NANOS - DAY_NANOS / 48 - hours_left * DAY_NANOS / 24;
            Event { time_unix_nanos: CLOCK.load(Ordering::SeqCst) - age, ..with([]) }
        };
        let idle = async || {
            let idle = async {
                while stats.queued() > 0 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), idle).await.unwrap();
        };
        sinks[0].offer_events(&batch([0, 9, 1, 9, 1].map(aged).to_vec()));
        idle().await;
        // These grow too old before any attempt succeeds.
        sinks[0].offer_events(&batch([0, 1].map(aged).to_vec()));
        idle().await;
        let asked = receiver.asked();
        let count = |asked: &Asked| {
            let json = flate2::read::GzDecoder::new(&asked.body[..]);
            serde_json::from_reader::<_, Vec<Flat>>(json).unwrap().len()
        };
        assert_eq!(asked.iter().map(count).collect::<Vec<_>>(), [5, 4, 2, 2, 2, 1]);
        let snapshot = stats.snapshot();
        assert_eq!((snapshot.accepted, snapshot.sent, snapshot.requests), (7, 2, 6));
        assert_eq!((snapshot.dropped_for(DropReason::Expired), snapshot.dropped_total()), (5, 5));
        drop(sinks);
        assert!(runners.stop(Instant::now() + Duration::from_secs(20)).await.is_empty());
    }
}
