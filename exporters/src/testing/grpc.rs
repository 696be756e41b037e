//! A gRPC receiver that answers as it is told and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::tls::Certificates;

/// One answer.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Partial(i64, &'static str),
    Status(Status),
    /// Never comes.
    Hang,
}

/// The receiver of logs: answers in turn, then always takes everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receiver {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<(MetadataMap, ExportLogsServiceRequest)>>>,
}

impl Receiver {
    /// Listens; returns its URL too.
    pub(crate) async fn start(answers: Vec<Answer>) -> (Self, String) {
        let receiver = Self { answers: Arc::new(Mutex::new(answers.into())), ..Self::default() };
        let port = receiver.clone().serve(Server::builder()).await;
        (receiver, format!("http://127.0.0.1:{port}"))
    }

    /// As [`start`](Self::start), with TLS and a client certificate asked for.
    pub(crate) async fn start_tls(certificates: &Certificates) -> (Self, String) {
        let receiver = Self::default();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(&certificates.cert, &certificates.key))
            .client_ca_root(Certificate::from_pem(&certificates.ca));
        let port = receiver.clone().serve(Server::builder().tls_config(tls).unwrap()).await;
        (receiver, format!("https://localhost:{port}"))
    }

    async fn serve(self, mut server: Server) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = LogsServiceServer::new(self)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd);
        tokio::spawn(server.add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
        port
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<(MetadataMap, ExportLogsServiceRequest)> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.asked.lock().unwrap().push((metadata, message));
        let answer = self.answers.lock().unwrap().pop_front();
        match answer.unwrap_or(Answer::Partial(0, "")) {
            Answer::Hang => std::future::pending().await,
            Answer::Status(status) => Err(status),
            Answer::Partial(rejected, message) => Ok(Response::new(ExportLogsServiceResponse {
                partial_success: Some(ExportLogsPartialSuccess {
                    rejected_log_records: rejected,
                    error_message: message.to_owned(),
                }),
            })),
        }
    }
}
