//! Against a server that answers as Docker does, or not at all, or nonsense.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use super::super::cache::Answer;
use super::super::counters::Failure;
use super::super::directory::Directory;
use super::super::id::ContainerId;
use super::super::settings::{Choice, Limits, Settings};
use super::super::testing::{Place, id, pass, until, until_named};

type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Good,
    /// Takes requests and never answers.
    Hangs,
    /// Answers with bytes that are no HTTP.
    Babbles,
    /// Answers with JSON that means nothing.
    MakesNoSense,
    /// Answers without end.
    Floods,
    /// Answers with an error.
    Fails,
    /// The list makes no sense, everything else does.
    ListMakesNoSense,
    /// Answers questions about a container with another one.
    Confuses,
}

struct State {
    mood: Mood,
    names: BTreeMap<String, String>,
    requests: Vec<String>,
    events: broadcast::Sender<String>,
}

/// A Docker that can be told what to do; ends when dropped, as a process does.
struct Fake {
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

impl Fake {
    fn start(listener: UnixListener, mood: Mood) -> Self {
        let events = broadcast::channel(16).0;
        let state = State { mood, names: BTreeMap::new(), requests: Vec::new(), events };
        let state = Arc::new(Mutex::new(state));
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, Arc::clone(&state)));
        Self { state, _serving: serving }
    }

    fn set(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    fn name(&self, id: &ContainerId, name: &str) {
        self.state.lock().unwrap().names.insert(id.to_string(), name.to_owned());
    }

    fn tell(&self, id: &ContainerId, action: &str) {
        let event = json!({"Type": "container", "Action": action, "Actor": {"ID": id.as_str()}, "time": 1});
        // Before anybody listens, nobody needs to know.
        drop(self.state.lock().unwrap().events.send(format!("{event}\n")));
    }

    fn remove(&self, id: &ContainerId) {
        self.state.lock().unwrap().names.remove(id.as_str());
        self.tell(id, "destroy");
    }

    fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }
}

async fn accept(listener: UnixListener, state: Arc<Mutex<State>>) {
    let mut visitors = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        visitors.spawn(async move {
            if state.lock().unwrap().mood == Mood::Babbles {
                drop(stream.write_all(b"\x00\x01 no HTTP at all\r\n\r\n").await);
                return;
            }
            let service = service_fn(move |request| answer(request, Arc::clone(&state)));
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path_and_query().unwrap().to_string();
    let (mood, names, events) = {
        let mut state = state.lock().unwrap();
        state.requests.push(path.clone());
        (state.mood, state.names.clone(), state.events.subscribe())
    };
    match mood {
        Mood::Hangs => std::future::pending().await,
        Mood::Fails => return Ok(whole(500, json!({"message": "broken"}).to_string())),
        Mood::MakesNoSense => return Ok(whole(200, json!([[["Id"], 7]]).to_string())),
        Mood::Floods => {
            let endless = stream::repeat_with(|| Ok(Frame::data(Bytes::from(vec![b' '; 4096]))));
            return Ok(Response::new(StreamBody::new(endless.boxed())));
        }
        Mood::ListMakesNoSense if path.contains("/containers/json") => {
            return Ok(whole(200, json!([{"Id": 7}]).to_string()));
        }
        _ => {}
    }
    let about = |id: &str, name: &str| json!({"Id": id, "Name": format!("/{name}"), "Config": {"Image": "nginx:1", "Env": ["A=secret"]}});
    if path == "/version" {
        return Ok(whole(200, json!({"Version": "20.10", "ApiVersion": "1.41"}).to_string()));
    }
    let Some(path) = path.strip_prefix("/v1.41/") else {
        return Ok(whole(404, json!({"message": "no version"}).to_string()));
    };
    if path.starts_with("containers/json?") {
        let all: Vec<Value> = names
            .iter()
            .map(|(id, name)| json!({"Id": id, "Names": [format!("/{name}")], "Image": "nginx:1"}))
            .collect();
        return Ok(whole(200, Value::from(all).to_string()));
    }
    if path.starts_with("events?") {
        let lines = stream::unfold(events, |mut events| async {
            let line = events.recv().await.ok()?;
            Some((Ok(Frame::data(Bytes::from(line))), events))
        });
        return Ok(Response::new(StreamBody::new(lines.boxed())));
    }
    let asked = path.strip_prefix("containers/").and_then(|path| path.strip_suffix("/json")).unwrap();
    let found = names.get(asked).map(|name| match mood {
        Mood::Confuses => about(&asked.replace('0', "1"), name),
        _ => about(asked, name),
    });
    Ok(match found {
        Some(found) => whole(200, found.to_string()),
        None => whole(404, json!({"message": "No such container"}).to_string()),
    })
}

fn whole(status: u16, text: String) -> Response<Body> {
    let body = StreamBody::new(stream::once(async { Ok(Frame::data(Bytes::from(text))) }).boxed());
    Response::builder().status(status).body(body).unwrap()
}

fn settings(place: &Place) -> Settings {
    let limits = Limits { answer_bytes: 64 << 10, ..Limits::default() };
    Settings { limits, ..place.settings(Choice::Docker) }
}

/// Scenario: containers that run when convis starts, one that appears later without an event, one that does not exist.
/// Guarantees: the first need no question; the second is inspected once; the third is absent; requests carry the version
/// of the interface that both know.
#[tokio::test(start_paused = true)]
async fn lists_then_inspects() {
    let place = Place::new();
    let fake = Fake::start(place.bind(), Mood::Good);
    fake.name(&id(1), "one");
    let directory = Directory::start(settings(&place));
    pass(&directory, Duration::from_secs(1)).await;
    let Answer::Known(details) = directory.ask(&id(1)) else {
        panic!("{:?}", directory.counters().snapshot())
    };
    assert_eq!((details.name.as_deref(), &*details.runtime.name), (Some("one"), "docker"));
    assert_eq!(details.runtime.version.as_deref(), Some("20.10"));
    fake.name(&id(2), "two");
    assert_eq!(directory.ask(&id(2)), Answer::Pending);
    until_named(&directory, &id(2), "two").await;
    assert!(until(&directory, &id(3), |answer| *answer == Answer::Absent).await);
    let paths = fake.requests();
    assert_eq!(paths.iter().filter(|path| path.contains(id(1).as_str())).count(), 0, "{paths:?}");
    assert_eq!(paths.iter().filter(|path| path.contains(id(2).as_str())).count(), 1, "{paths:?}");
    let counted = directory.counters().snapshot();
    assert_eq!(
        (counted.lookups, counted.known, counted.connected, counted.failures.iter().sum()),
        (2, 2, 1, 0_u64)
    );
}

/// Scenario: a container is created, renamed and removed, each with its event.
/// Guarantees: known without a question, by its new name when it has one, and forgotten after its grace.
#[tokio::test(start_paused = true)]
async fn follows_events() {
    let place = Place::new();
    let fake = Fake::start(place.bind(), Mood::Good);
    let directory = Directory::start(settings(&place));
    pass(&directory, Duration::from_secs(1)).await;
    fake.name(&id(1), "old");
    fake.tell(&id(1), "create");
    pass(&directory, Duration::from_millis(200)).await;
    assert!(matches!(directory.ask(&id(1)), Answer::Known(_)));
    assert_eq!(directory.counters().snapshot().lookups, 0);
    fake.name(&id(1), "new");
    fake.tell(&id(1), "rename");
    until_named(&directory, &id(1), "new").await;
    fake.remove(&id(1));
    pass(&directory, Duration::from_secs(30)).await;
    assert!(matches!(directory.ask(&id(1)), Answer::Known(_)), "its connections are told late");
    pass(&directory, Duration::from_secs(50)).await;
    assert!(until(&directory, &id(1), |answer| *answer == Answer::Absent).await);
}

/// Scenario: a server that hangs, babbles, floods, fails or talks nonsense, from the start; it recovers.
/// Guarantees: the answer is that nobody can be asked, within bounded time; the failure is counted under its kind; it
/// comes back by itself; waits grow, so that a broken server is left alone.
#[tokio::test(start_paused = true)]
async fn survives_a_mad_server() {
    for (mood, failure) in [
        (Mood::Hangs, Failure::Timeout),
        (Mood::Babbles, Failure::Disconnected),
        (Mood::MakesNoSense, Failure::Malformed),
        (Mood::Floods, Failure::TooLarge),
        (Mood::Fails, Failure::Refused),
    ] {
        let place = Place::new();
        let fake = Fake::start(place.bind(), mood);
        fake.name(&id(1), "one");
        let directory = Directory::start(settings(&place));
        pass(&directory, Duration::from_millis(100)).await;
        let asked = tokio::time::Instant::now();
        assert!(until(&directory, &id(1), |answer| *answer == Answer::Unavailable).await, "{mood:?}");
        assert!(asked.elapsed() < Duration::from_secs(11), "{mood:?}: {:?}", asked.elapsed());
        pass(&directory, Duration::from_mins(10)).await;
        let counted = directory.counters().snapshot();
        assert!(counted.failed(failure) > 5, "{mood:?}: {counted:?}");
        assert!(counted.requests < 40, "{mood:?}: {counted:?}");
        assert_eq!(counted.connected, 0, "{mood:?}");
        fake.set(Mood::Good);
        until_named(&directory, &id(1), "one").await;
    }
}

/// Scenario: after a good start the server hangs on questions, then recovers.
/// Guarantees: who is known stays known meanwhile; questions are answered in bounded time.
#[tokio::test(start_paused = true)]
async fn a_hang_costs_only_new_names() {
    let place = Place::new();
    let fake = Fake::start(place.bind(), Mood::Good);
    fake.name(&id(1), "one");
    let directory = Directory::start(settings(&place));
    pass(&directory, Duration::from_secs(20)).await;
    fake.set(Mood::Hangs);
    fake.name(&id(2), "two");
    assert!(until(&directory, &id(2), |answer| *answer == Answer::Unavailable).await);
    assert!(matches!(directory.ask(&id(1)), Answer::Known(_)));
    fake.set(Mood::Good);
    until_named(&directory, &id(2), "two").await;
}

/// Scenario: the list cannot be read, or answers are about other containers than asked for.
/// Guarantees: single questions still work in the first case, and nobody gets another's name in the second.
#[tokio::test(start_paused = true)]
async fn takes_what_makes_sense() {
    let place = Place::new();
    let fake = Fake::start(place.bind(), Mood::ListMakesNoSense);
    fake.name(&id(1), "one");
    let directory = Directory::start(settings(&place));
    until_named(&directory, &id(1), "one").await;
    assert_eq!(directory.counters().snapshot().failed(Failure::Malformed), 1);
    fake.set(Mood::Confuses);
    fake.name(&id(2), "two");
    assert!(until(&directory, &id(2), |answer| *answer == Answer::Absent).await);
}

/// Scenario: the daemon is stopped; meanwhile a container is renamed, one removed, one made; it starts again.
/// Guarantees: convis finds it by itself; all three are told; the events asked for begin before the new list.
#[tokio::test(start_paused = true)]
async fn follows_a_restart() {
    let place = Place::new();
    let fake = Fake::start(place.bind(), Mood::Good);
    fake.name(&id(1), "old");
    fake.name(&id(2), "gone");
    let directory = Directory::start(settings(&place));
    until_named(&directory, &id(1), "old").await;
    pass(&directory, Duration::from_secs(20)).await;
    drop(fake);
    pass(&directory, Duration::from_secs(5)).await;
    assert!(directory.counters().snapshot().failed(Failure::Connect) > 0);
    assert!(matches!(directory.ask(&id(2)), Answer::Known(_)));
    let fake = Fake::start(place.bind(), Mood::Good);
    fake.name(&id(1), "new");
    fake.name(&id(3), "made");
    until_named(&directory, &id(1), "new").await;
    until_named(&directory, &id(3), "made").await;
    pass(&directory, Duration::from_secs(70)).await;
    assert!(!matches!(directory.ask(&id(2)), Answer::Known(_)));
    let events: Vec<_> = fake.requests().into_iter().filter(|path| path.contains("/events?since=")).collect();
    assert_eq!(events.len(), 1, "{events:?}");
}

/// Scenario: nobody listens for long, while containers are asked for all the time; then the daemon is there again.
/// Guarantees: whoever is asked for then is named at once; until then the socket is tried now and again, no more.
#[tokio::test(start_paused = true)]
async fn a_question_finds_a_daemon_that_is_back() {
    let place = Place::new();
    drop(place.bind());
    let directory = Directory::start(settings(&place));
    pass(&directory, Duration::from_mins(10)).await;
    let tried = || directory.counters().snapshot().failed(Failure::Connect);
    let before = tried();
    for number in 100..200 {
        directory.ask(&id(number));
        pass(&directory, Duration::from_millis(50)).await;
    }
    assert!((5..=25).contains(&(tried() - before)), "in 5 s: {}", tried() - before);
    pass(&directory, Duration::from_secs(1)).await;
    let fake = Fake::start(place.bind(), Mood::Good);
    fake.name(&id(1), "one");
    let asked = tokio::time::Instant::now();
    until_named(&directory, &id(1), "one").await;
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
}

/// Scenario: nothing is there, as on most hosts; then a runtime is installed.
/// Guarantees: a named one that is missing is unavailable; it is found when it comes.
#[tokio::test(start_paused = true)]
async fn waits_for_a_runtime() {
    let place = Place::new();
    let directory = Directory::start(settings(&place));
    assert!(until(&directory, &id(1), |answer| *answer == Answer::Unavailable).await);
    pass(&directory, Duration::from_mins(5)).await;
    let fake = Fake::start(place.bind(), Mood::Good);
    fake.name(&id(1), "one");
    until_named(&directory, &id(1), "one").await;
    assert_eq!(Directory::none().ask(&id(1)), Answer::Unavailable);
}

/// Scenario: more questions at once than wait for a runtime, while it hangs.
/// Guarantees: the rest is given up at once and counted; nothing blocks.
#[tokio::test(start_paused = true)]
async fn questions_are_bounded() {
    let place = Place::new();
    let _fake = Fake::start(place.bind(), Mood::Hangs);
    let directory = Directory::start(settings(&place));
    pass(&directory, Duration::from_millis(100)).await;
    let answers: Vec<_> = (0..1000).map(|number| directory.ask(&id(number))).collect();
    assert!(answers.iter().all(|answer| *answer == Answer::Pending));
    assert_eq!(directory.ask(&id(999)), Answer::Unavailable);
    assert!(directory.counters().snapshot().failed(Failure::QueueFull) > 700);
}
