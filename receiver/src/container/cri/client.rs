//! Requests to a CRI runtime.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::super::address::Address;
use super::super::counters::{Counters, Failure};
use super::super::details::{Details, Runtime};
use super::super::id::ContainerId;
use super::super::image::Reference;
use super::super::port::{Port, request};
use super::convert;
use super::messages::{
    Container, ContainerStatusRequest, ContainerStatusResponse, ListContainersRequest,
    ListContainersResponse, ListPodSandboxRequest, ListPodSandboxResponse, VersionRequest, VersionResponse,
};

/// Images whose names are held.
const MOST_IMAGES: usize = 4096;

/// A runtime that speaks CRI.
pub(super) struct Client {
    grpc: Grpc<Channel>,
    runtime: Runtime,
    counters: Arc<Counters>,
    timeout: Duration,
    labels: Arc<[String]>,
    /// Names of images by how containers refer to them.
    images: HashMap<String, Option<Reference>>,
}

impl Client {
    /// Connects and asks who is there.
    pub(super) async fn connect(address: &Address, port: &Port) -> Result<Self, Failure> {
        let endpoint = Endpoint::from_shared(address.to_string()).map_err(|_| Failure::Connect)?;
        let channel = endpoint.connect().await.map_err(|_| Failure::Connect)?;
        let mut client = Self {
            grpc: Grpc::new(channel).max_decoding_message_size(port.limits.answer_bytes),
            runtime: Runtime::default(),
            counters: Arc::clone(&port.counters),
            timeout: port.limits.timeout,
            labels: Arc::clone(&port.labels),
            images: HashMap::new(),
        };
        let version: VersionResponse =
            unary(&mut client.grpc, "/runtime.v1.RuntimeService/Version", VersionRequest {}).await?;
        client.runtime = convert::runtime(&version);
        Ok(client)
    }

    pub(super) fn runtime(&self) -> &str {
        &self.runtime.name
    }

    /// Every pod and container, running or not.
    pub(super) async fn list(&mut self) -> Result<Vec<(ContainerId, Arc<Details>)>, Failure> {
        let pods: ListPodSandboxResponse =
            self.call("/runtime.v1.RuntimeService/ListPodSandbox", ListPodSandboxRequest {}).await?;
        let all: ListContainersResponse =
            self.call("/runtime.v1.RuntimeService/ListContainers", ListContainersRequest {}).await?;
        self.name_images(&all.containers).await?;
        let image_of = |container: &Container| {
            let named = convert::image(container.image.as_ref());
            named.or_else(|| self.images.get(image_key(container))?.clone())
        };
        Ok(convert::all(pods.items, &all.containers, image_of, &self.runtime, &self.labels))
    }

    /// Finds the names of images that the list only has ids of, one request for each image.
    async fn name_images(&mut self, containers: &[Container]) -> Result<(), Failure> {
        if self.images.len() > MOST_IMAGES {
            self.images.clear();
        }
        for container in containers {
            let key = image_key(container);
            if convert::image(container.image.as_ref()).is_some() || self.images.contains_key(key) {
                continue;
            }
            let asked = ContainerStatusRequest { container_id: container.id.clone() };
            let answer = self.call("/runtime.v1.RuntimeService/ContainerStatus", asked).await;
            let status = match answer {
                Ok(ContainerStatusResponse { status }) => status.unwrap_or_default(),
                Err(failure) if failure.is_of_connection() => return Err(failure),
                // Gone meanwhile; another container may tell.
                Err(_) => continue,
            };
            let named = convert::image_of_status(&status);
            self.images.insert(key.to_owned(), named);
        }
        Ok(())
    }

    async fn call<Q, A>(&mut self, path: &'static str, question: Q) -> Result<A, Failure>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        request(&self.counters, self.timeout, unary(&mut self.grpc, path, question)).await
    }
}

/// How a container refers to its image.
fn image_key(container: &Container) -> &str {
    container.image.as_ref().map_or(&container.image_ref, |spec| &spec.image)
}

async fn unary<Q, A>(grpc: &mut Grpc<Channel>, path: &'static str, question: Q) -> Result<A, Failure>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    grpc.ready().await.map_err(|_| Failure::Disconnected)?;
    let codec = ProstCodec::<Q, A>::default();
    let answer = grpc.unary(Request::new(question), PathAndQuery::from_static(path), codec).await;
    answer.map(tonic::Response::into_inner).map_err(|status| classify(&status))
}

fn classify(status: &Status) -> Failure {
    match status.code() {
        Code::Unimplemented => Failure::Unsupported,
        Code::OutOfRange | Code::ResourceExhausted => Failure::TooLarge,
        Code::DeadlineExceeded | Code::Cancelled => Failure::Timeout,
        Code::Unavailable => Failure::Disconnected,
        // tonic's own: no gRPC, or a message that cannot be read.
        Code::Internal | Code::Unknown if std::error::Error::source(status).is_some() => {
            Failure::Disconnected
        }
        Code::Internal => Failure::Malformed,
        _ => Failure::Refused,
    }
}
