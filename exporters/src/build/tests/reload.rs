use super::super::reload;
use super::*;

/// An OTLP sink for events over HTTP, under a name.
fn named(name: &str, base: &str) -> SinkConfig {
    SinkConfig { name: Some(name.to_owned()), ..otlp(Some(http(base, "v1/logs")), None) }
}

fn names(sinks: &[crate::Sink]) -> Vec<&str> {
    sinks.iter().map(crate::Sink::name).collect()
}

/// Scenario: sinks of equal and of chosen names, beside one that chose nothing.
/// Guarantees: each name once, and chosen ones as they are.
#[tokio::test]
async fn names_are_unique() {
    let base = "http://127.0.0.1:1";
    let configs = [
        named("otlp/backup", base),
        named("otlp", base),
        otlp(None, None),
        otlp(None, None),
        named("x", base),
    ];
    let (sinks, _runners) = build(&configs, &settings()).unwrap();
    assert_eq!(names(&sinks), ["otlp/backup", "otlp", "otlp/2", "otlp/3", "x"]);
}

/// Scenario: of two sinks one changes its address under the same name, while events wait in the old one; then it is taken
/// away.
/// Guarantees: the other is the same queue with the same counters; what was offered before arrives at the old address
/// once, what comes after at the new one; the lanes that parted end without a stop.
#[tokio::test]
async fn what_stays_stays_and_what_parts_sends_what_it_holds() {
    let (kept, kept_base) = Receiver::start(Vec::new()).await;
    let (before, before_base) = Receiver::start(vec![Answer::Hang]).await;
    let (after, after_base) = Receiver::start(Vec::new()).await;
    let (sinks, mut runners) =
        build(&[named("a", &kept_base), named("b", &before_base)], &settings()).unwrap();
    for sink in &sinks {
        sink.offer_events(&samples::events());
    }
    let old = sinks[1].stats();

    let configs = [named("b", &after_base), named("a", &kept_base)];
    let reloaded = reload(&configs, &settings(), &sinks, &mut runners).unwrap();
    runners.part(&reloaded, Instant::now() + Duration::from_mins(1));
    assert_eq!(names(&reloaded), ["b", "a"]);
    assert!(std::sync::Arc::ptr_eq(&sinks[0].stats()[0].stats, &reloaded[1].stats()[0].stats));
    drop(sinks);
    for sink in &reloaded {
        sink.offer_events(&samples::events());
    }
    idle(&reloaded).await;

    let only = reload(&configs[1..], &settings(), &reloaded, &mut runners).unwrap();
    runners.part(&only, Instant::now() + Duration::from_mins(1));
    drop(reloaded);
    assert_eq!(names(&only), ["a"]);
    drop(only);
    assert!(runners.failed().await.is_none());
    assert_eq!(old[0].stats.snapshot().sent, samples::EVENTS);
    let requests = |receiver: &Receiver| receiver.asked().len();
    // The hanging attempt, and the one after it.
    assert_eq!((requests(&before), requests(&after)), (2, 1));
    assert!((1..=2).contains(&requests(&kept)));
}

/// Scenario: settings go from one address to another and back while the first sink still holds events, and are then read
/// again as they are.
/// Guarantees: the sink that parts never comes back, and the one that follows it stays.
#[tokio::test]
async fn what_has_parted_is_not_taken_for_what_runs() {
    let (_hanging, base) = Receiver::start(vec![Answer::Hang; 9]).await;
    let configs = [named("a", &base)];
    let (first, mut runners) = build(&configs, &settings()).unwrap();
    first[0].offer_events(&samples::events());
    let mut running = first;
    for base in ["http://127.0.0.1:1", &base] {
        let next = reload(&[named("a", base)], &settings(), &running, &mut runners).unwrap();
        assert!(!next[0].is(&running[0]));
        runners.part(&next, Instant::now() + Duration::from_mins(1));
        running = next;
    }
    let same = reload(&configs, &settings(), &running, &mut runners).unwrap();
    assert!(same[0].is(&running[0]));
    drop((running, same));
    let _given_up = runners.stop(Instant::now()).await;
}

/// Scenario: a new sink beside an old one cannot be built.
/// Guarantees: the error names it; the old sinks go on.
#[tokio::test]
async fn a_reload_that_fails_changes_nothing() {
    let (receiver, base) = Receiver::start(Vec::new()).await;
    let (sinks, mut runners) = build(&[named("a", &base)], &settings()).unwrap();
    let mut broken = signal("https://localhost", Protocol::HttpProtobuf);
    broken.ca = Some(b"nothing".to_vec());
    let error = reload(&[otlp(Some(broken), None)], &settings(), &sinks, &mut runners).err().unwrap();
    assert_eq!(error.to_string(), "sink otlp: no PEM certificate to trust; check `ca`");
    sinks[0].offer_events(&samples::events());
    idle(&sinks).await;
    assert_eq!((receiver.asked().len(), sinks[0].stats()[0].stats.snapshot().sent), (1, samples::EVENTS));
}

/// Scenario: a sink parts whose receiver never answers.
/// Guarantees: at the deadline what it holds is counted as dropped, and its lane ends.
#[tokio::test]
async fn a_deadline_ends_what_cannot_be_sent() {
    let (sinks, mut runners) = build(&[named("a", "http://127.0.0.1:1")], &settings()).unwrap();
    sinks[0].offer_events(&samples::events());
    let stats = sinks[0].stats();
    runners.part(&[], Instant::now() + Duration::from_millis(50));
    drop(sinks);
    assert!(runners.failed().await.is_none());
    assert_eq!(stats[0].stats.snapshot().dropped_for(DropReason::Shutdown), samples::EVENTS);
}
