//! Against a tonic server with the same messages.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream;
use prost::Message;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::super::cache::Answer;
use super::super::counters::Failure;
use super::super::details::Details;
use super::super::directory::Directory;
use super::super::id::ContainerId;
use super::super::settings::{Choice, Limits, Settings};
use super::super::testing::{Place, id, pass, until, until_named};
use super::messages::*;

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Good,
    Hangs,
    Fails,
    /// The interface is turned off, as Docker's containerd has it.
    HasNoCri,
    /// Lists are larger than any sensible one.
    Floods,
}

#[derive(Default)]
struct State {
    mood: Option<Mood>,
    pods: Vec<PodSandbox>,
    containers: Vec<Container>,
    requests: Vec<String>,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<State>>);

/// A running server; says goodbye to whoever is connected, and ends, when dropped.
struct Running(#[expect(dead_code, reason = "that it is dropped is what matters")] oneshot::Sender<()>);

impl NamedService for Fake {
    const NAME: &'static str = "runtime.v1.RuntimeService";
}

impl Fake {
    fn serve(&self, listener: UnixListener) -> Running {
        let incoming = stream::unfold(listener, |listener| async {
            let accepted = listener.accept().await.map(|(stream, _)| stream);
            Some((accepted, listener))
        });
        let server = tonic::transport::Server::builder().add_service(self.clone());
        let (running, end) = oneshot::channel();
        tokio::spawn(async move {
            let end = async { drop(end.await) };
            server.serve_with_incoming_shutdown(incoming, end).await.unwrap();
        });
        Running(running)
    }

    fn set(&self, mood: Mood) {
        self.0.lock().unwrap().mood = Some(mood);
    }

    fn run_pod(&self, number: u32, name: &str) {
        self.0.lock().unwrap().pods.push(PodSandbox {
            id: id(number).to_string(),
            metadata: Some(PodSandboxMetadata {
                name: name.into(),
                uid: format!("uid-{number}"),
                namespace: "shop".into(),
            }),
            labels: map(&[("app.kubernetes.io/name", "nginx"), ("team", "blue")]),
            annotations: map(&[("resource.opentelemetry.io/service.name", "cart"), ("other", "x")]),
        });
    }

    fn run_container(&self, number: u32, pod: u32, name: &str, image: &str) {
        self.0.lock().unwrap().containers.push(Container {
            id: id(number).to_string(),
            pod_sandbox_id: id(pod).to_string(),
            metadata: Some(ContainerMetadata { name: name.into(), attempt: 3 }),
            image: Some(ImageSpec { image: image.into(), ..ImageSpec::default() }),
            image_ref: "sha256:00".into(),
            ..Container::default()
        });
    }

    fn count(&self, method: &str) -> usize {
        self.0.lock().unwrap().requests.iter().filter(|path| path.ends_with(method)).count()
    }
}

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

impl Service<http::Request<Body>> for Fake {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let (mood, pods, mut containers) = {
            let mut state = self.0.lock().unwrap();
            state.requests.push(method.clone());
            (state.mood.unwrap_or(Mood::Good), state.pods.clone(), state.containers.clone())
        };
        Box::pin(async move {
            let status = match mood {
                Mood::Hangs => std::future::pending().await,
                Mood::Fails => Some(Status::failed_precondition("broken")),
                Mood::HasNoCri => Some(Status::unimplemented("unknown service runtime.v1.RuntimeService")),
                Mood::Floods => {
                    containers.resize(10_000, Container { id: id(7).to_string(), ..Container::default() });
                    None
                }
                Mood::Good => None,
            };
            Ok(match method.as_str() {
                "Version" => {
                    let name =
                        VersionResponse { runtime_name: "containerd".into(), runtime_version: "1.7".into() };
                    unary::<VersionRequest, _>(request, status, name).await
                }
                "ListPodSandbox" => {
                    let answer = ListPodSandboxResponse { items: pods };
                    unary::<ListPodSandboxRequest, _>(request, status, answer).await
                }
                "ListContainers" => {
                    unary::<ListContainersRequest, _>(request, status, ListContainersResponse { containers })
                        .await
                }
                "ContainerStatus" => {
                    let image =
                        ImageSpec { image: "docker.io/library/nginx:1.27".into(), ..ImageSpec::default() };
                    let status_of = ContainerStatus { image: Some(image), image_ref: String::new() };
                    let answer = ContainerStatusResponse { status: Some(status_of) };
                    unary::<ContainerStatusRequest, _>(request, status, answer).await
                }
                other => panic!("convis must not call {other}"),
            })
        })
    }
}

/// Answers whatever is asked.
struct Always<A>(Option<Status>, A);

impl<Q, A: Clone> Service<Request<Q>> for Always<A> {
    type Response = Response<A>;
    type Error = Status;
    type Future = Ready<Result<Response<A>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Q>) -> Self::Future {
        ready(self.0.clone().map_or_else(|| Ok(Response::new(self.1.clone())), Err))
    }
}

async fn unary<Q, A>(request: http::Request<Body>, status: Option<Status>, answer: A) -> http::Response<Body>
where
    Q: Message + Default + 'static,
    A: Message + Clone + Default + 'static,
{
    Grpc::new(ProstCodec::<A, Q>::default()).unary(Always(status, answer), request).await
}

fn settings(place: &Place) -> Settings {
    let limits = Limits { answer_bytes: 256 << 10, ..Limits::default() };
    Settings { limits, labels: vec!["team".into()], ..place.settings(Choice::Cri) }
}

fn known(directory: &Directory, id: &ContainerId) -> Arc<Details> {
    match directory.ask(id) {
        Answer::Known(details) => details,
        other => panic!("{id}: {other:?}, {:?}", directory.counters().snapshot()),
    }
}

/// Scenario: a pod with its pause container and two containers, one of them with the id of its image for a name.
/// Guarantees: all known without a question, with the names of the pod; the pause container has no name of a container;
/// the image is looked up once for all that use it.
#[tokio::test(start_paused = true)]
async fn knows_pods() {
    let place = Place::new();
    let fake = Fake::default();
    fake.run_pod(1, "web-1");
    fake.run_container(
        2,
        1,
        "web",
        "sha256:72297848456d5d37d1262630108ab308d3e9ec7ed1c3286a32fe09856619a782",
    );
    fake.run_container(
        3,
        1,
        "init",
        "sha256:72297848456d5d37d1262630108ab308d3e9ec7ed1c3286a32fe09856619a782",
    );
    fake.run_container(4, 1, "side", "localhost:5000/side:2");
    let _running = fake.serve(place.bind());
    let directory = Directory::start(settings(&place));
    pass(&directory, Duration::from_secs(1)).await;
    let web = known(&directory, &id(2));
    assert_eq!((&*web.runtime.name, web.runtime.version.as_deref()), ("containerd", Some("1.7")));
    assert_eq!(
        (web.image_name.as_deref(), web.image_tags.as_slice()),
        (Some("docker.io/library/nginx"), &["1.27".to_owned()][..])
    );
    let pod = web.pod.clone().unwrap();
    assert_eq!(
        (pod.namespace.as_str(), pod.name.as_str(), pod.uid.as_deref()),
        ("shop", "web-1", Some("uid-1"))
    );
    assert_eq!(pod.attributes, [("service.name".to_owned(), "cart".to_owned())]);
    assert_eq!(web.k8s_container.as_ref().unwrap().restart_count, Some(3));
    assert_eq!((web.recommended.name.as_deref(), web.name.as_ref()), (Some("nginx"), None));
    assert_eq!(web.pod_labels, [("team".to_owned(), "blue".to_owned())]);
    assert_eq!(known(&directory, &id(4)).image_name.as_deref(), Some("localhost:5000/side"));
    let pause = known(&directory, &id(1));
    assert_eq!(
        (pause.pod.as_ref(), pause.k8s_container.as_ref(), pause.image_name.as_ref()),
        (Some(&pod), None, None)
    );
    assert_eq!((fake.count("ListContainers"), fake.count("ContainerStatus")), (1, 1));
    assert_eq!(directory.counters().snapshot().lookups, 0);
}

/// Scenario: many containers appear, all asked for again and again for half a minute.
/// Guarantees: at most one list a second, nothing per container, and all are known in the end.
#[tokio::test(start_paused = true)]
async fn lists_at_most_once_a_second() {
    let place = Place::new();
    let fake = Fake::default();
    fake.run_pod(1, "web-1");
    let _running = fake.serve(place.bind());
    let directory = Directory::start(settings(&place));
    pass(&directory, Duration::from_secs(10)).await;
    assert_eq!(fake.count("ListContainers"), 1);
    for second in 0..30 {
        for number in 0..10 {
            let number = 100 + second * 10 + number;
            directory.ask(&id(number));
            fake.run_container(number, 1, "web", "nginx");
            directory.ask(&id(9_999_999 + number));
        }
        pass(&directory, Duration::from_secs(1)).await;
    }
    let lists = fake.count("ListContainers");
    assert!((10..=32).contains(&lists), "{lists}");
    for number in 100..400 {
        until_named(&directory, &id(number), "web").await;
    }
    assert_eq!(fake.count("ContainerStatus"), 0);
}

/// Scenario: a server that hangs, fails or floods from the start, then recovers.
/// Guarantees: nobody can be asked, in bounded time; counted by kind; comes back by itself.
#[tokio::test(start_paused = true)]
async fn survives_a_mad_server() {
    for (mood, failure) in [
        (Mood::Hangs, Failure::Timeout),
        (Mood::Fails, Failure::Refused),
        (Mood::Floods, Failure::TooLarge),
        (Mood::HasNoCri, Failure::Unsupported),
    ] {
        let place = Place::new();
        let fake = Fake::default();
        fake.set(mood);
        fake.run_container(2, 1, "web", "nginx");
        let _running = fake.serve(place.bind());
        let directory = Directory::start(settings(&place));
        pass(&directory, Duration::from_millis(100)).await;
        let asked = tokio::time::Instant::now();
        assert!(until(&directory, &id(2), |answer| *answer == Answer::Unavailable).await, "{mood:?}");
        assert!(asked.elapsed() < Duration::from_secs(16), "{mood:?}: {:?}", asked.elapsed());
        pass(&directory, Duration::from_mins(5)).await;
        let counted = directory.counters().snapshot();
        assert!(counted.failed(failure) > 0, "{mood:?}: {counted:?}");
        assert!(counted.requests < 30, "{mood:?}: {counted:?}");
        fake.set(Mood::Good);
        until_named(&directory, &id(2), "web").await;
    }
}

/// Scenario: something that does not speak HTTP listens there.
/// Guarantees: a failure, no panic, few attempts.
#[tokio::test(start_paused = true)]
async fn survives_babble() {
    let place = Place::new();
    let listener = place.bind();
    let babbling = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            drop(stream.write_all(&[0xA5; 10_000]).await);
        }
    });
    let directory = Directory::start(settings(&place));
    assert!(until(&directory, &id(2), |answer| *answer == Answer::Unavailable).await);
    pass(&directory, Duration::from_mins(5)).await;
    let counted = directory.counters().snapshot();
    assert!((2..30).contains(&counted.requests), "{counted:?}");
    assert_eq!(counted.failures.iter().sum::<u64>(), counted.requests);
    babbling.abort();
}

/// Scenario: the runtime restarts; meanwhile one container went and another came.
/// Guarantees: a question after it is answered, by a new connection; the first is forgotten after its grace.
#[tokio::test(start_paused = true)]
async fn follows_a_restart() {
    let place = Place::new();
    let fake = Fake::default();
    fake.run_container(2, 1, "old", "nginx");
    let running = fake.serve(place.bind());
    let directory = Directory::start(settings(&place));
    until_named(&directory, &id(2), "old").await;
    pass(&directory, Duration::from_secs(30)).await;
    drop(running);
    assert!(until(&directory, &id(3), |answer| *answer == Answer::Unavailable).await);
    assert!(matches!(directory.ask(&id(2)), Answer::Known(_)));
    fake.0.lock().unwrap().containers.clear();
    fake.run_container(3, 1, "new", "nginx");
    let _running = fake.serve(place.bind());
    until_named(&directory, &id(3), "new").await;
    pass(&directory, Duration::from_secs(90)).await;
    assert!(until(&directory, &id(2), |answer| *answer == Answer::Absent).await);
}
