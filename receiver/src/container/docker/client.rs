//! Requests to Docker, each on a connection of its own, so that one that hangs or tells too much hurts no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{EventMessage, SystemVersion};
use bollard::query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder};
use bollard::{API_DEFAULT_VERSION, BollardRequest, ClientVersion, Docker};
use futures_util::{Stream, StreamExt as _};
use hyper::Uri;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;

use super::super::address::Address;
use super::super::counters::{Counters, Failure};
use super::super::details::{Details, Runtime};
use super::super::id::ContainerId;
use super::super::port::Port;
use super::convert;
use super::limited::{Limited, Meter};

/// Events whose containers are looked at again. The last one is Podman's word for the one before.
const EVENTS: [&str; 5] = ["create", "start", "rename", "destroy", "remove"];
/// Seconds until the stream of events begins: Podman sends nothing before the first event. bollard keeps this time.
const EVENTS_BEGIN: u64 = 1 << 32;

/// A runtime that speaks Docker's language.
#[derive(Debug)]
pub(super) struct Client {
    address: Address,
    version: ClientVersion,
    runtime: Runtime,
    counters: Arc<Counters>,
    timeout: Duration,
    answer_bytes: usize,
    labels: Arc<[String]>,
}

impl Client {
    /// Asks who is there, and agrees on a version of the interface.
    pub(super) async fn connect(address: &Address, port: &Port) -> Result<Self, Failure> {
        let mut client = Self {
            address: address.clone(),
            version: *API_DEFAULT_VERSION,
            runtime: Runtime::default(),
            counters: Arc::clone(&port.counters),
            timeout: port.limits.timeout,
            answer_bytes: port.limits.answer_bytes,
            labels: Arc::clone(&port.labels),
        };
        let meter = Meter::new(client.answer_bytes);
        let version = client.api(&meter, None)?.version().await.map_err(|error| classify(&error, &meter))?;
        client.version = negotiated(&version)?;
        client.runtime = convert::runtime(version);
        Ok(client)
    }

    pub(super) fn runtime(&self) -> &str {
        &self.runtime.name
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Every container, running or not.
    pub(super) async fn list(&self) -> Result<Vec<(ContainerId, Arc<Details>)>, Failure> {
        let meter = Meter::new(self.answer_bytes);
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let answer = self.api(&meter, Some(&self.version))?.list_containers(Some(options)).await;
        let all = answer.map_err(|error| classify(&error, &meter))?;
        let read = |summary| convert::summary(summary, &self.runtime, &self.labels);
        Ok(all.into_iter().filter_map(read).collect())
    }

    /// One container; `None` if there is none with exactly this id.
    pub(super) async fn inspect(&self, id: &ContainerId) -> Result<Option<Details>, Failure> {
        let meter = Meter::new(self.answer_bytes);
        let answer = self.api(&meter, Some(&self.version))?.inspect_container(id.as_str(), None).await;
        match answer {
            // Beginnings of ids and names are understood as well.
            Ok(found) if found.id.as_deref() == Some(id.as_str()) => {
                Ok(Some(convert::inspected(found, &self.runtime, &self.labels)))
            }
            Ok(_) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(classify(&error, &meter)),
        }
    }

    /// What happens to containers from `since` on, in seconds since the Unix epoch; ends with an error.
    pub(super) fn events(&self, since: u64) -> impl Stream<Item = Result<EventMessage, Failure>> + use<> {
        let meter = Meter::new(self.answer_bytes);
        let filters = HashMap::from([("type", vec!["container"]), ("event", EVENTS.to_vec())]);
        let options = EventsOptionsBuilder::new().since(&since.to_string()).filters(&filters).build();
        let api = self.api(&meter, Some(&self.version)).map(|api| {
            let api = api.with_timeout(Duration::from_secs(EVENTS_BEGIN));
            api.events(Some(options))
        });
        futures_util::stream::iter([api]).flat_map(move |api| {
            let meter = Arc::clone(&meter);
            match api {
                Ok(events) => events
                    .map(move |event| {
                        let event = event.map_err(|error| classify(&error, &meter))?;
                        meter.reset();
                        Ok(event)
                    })
                    .left_stream(),
                Err(failure) => futures_util::stream::iter([Err(failure)]).right_stream(),
            }
        })
    }

    /// A client for one request.
    fn api(&self, meter: &Arc<Meter>, version: Option<&ClientVersion>) -> Result<Docker, Failure> {
        let (address, meter) = (self.address.clone(), Arc::clone(meter));
        let prefix = version.map(|version| format!("/v{version}")).unwrap_or_default();
        let transport = move |request| send(address.clone(), Arc::clone(&meter), prefix.clone(), request);
        let seconds = self.timeout.as_secs().saturating_add(1);
        Docker::connect_with_custom_transport(transport, Some("http://localhost"), seconds, &self.version)
            .map_err(|_| Failure::Malformed)
    }
}

async fn send(
    address: Address,
    meter: Arc<Meter>,
    prefix: String,
    request: BollardRequest,
) -> Result<hyper::Response<Incoming>, Error> {
    let stream = address.connect().await?;
    meter.set_connected();
    let (mut sender, connection) = http1::handshake(TokioIo::new(Limited { stream, meter })).await?;
    // Ends with the answer, or when nobody waits for it any more.
    tokio::spawn(connection);
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    // bollard leaves the version out of the path.
    head.uri = format!("{prefix}{path}").parse::<Uri>()?;
    let host = match &address {
        Address::Unix(_) => "localhost",
        Address::Tcp(host) => host,
    };
    if let Ok(host) = HeaderValue::from_str(host) {
        head.headers.insert(HOST, host);
    }
    Ok(sender.send_request(BollardRequest::from_parts(head, body)).await?)
}

/// The newest version of the interface that both sides know.
fn negotiated(version: &SystemVersion) -> Result<ClientVersion, Failure> {
    let text = version.api_version.as_deref().ok_or(Failure::Malformed)?;
    let (major, minor) = text.split_once('.').ok_or(Failure::Malformed)?;
    let number = |text: &str| text.parse().map_err(|_| Failure::Malformed);
    let theirs = ClientVersion { major_version: number(major)?, minor_version: number(minor)? };
    Ok(if theirs < *API_DEFAULT_VERSION { theirs } else { *API_DEFAULT_VERSION })
}

fn classify(error: &Error, meter: &Meter) -> Failure {
    if meter.is_exceeded() {
        return Failure::TooLarge;
    }
    match error {
        Error::DockerResponseServerError { .. } => Failure::Refused,
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. } => Failure::Malformed,
        Error::HyperResponseError { err } if err.is_parse() => Failure::Malformed,
        Error::RequestTimeoutError => Failure::Timeout,
        _ if meter.is_connected() => Failure::Disconnected,
        _ => Failure::Connect,
    }
}
