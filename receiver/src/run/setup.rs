//! What capturing starts with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::net::TcpListener;

use super::PROC;
use crate::cli::{Admin, Containers, Run};
use crate::clock::boot_now;
use crate::container::{self, Choice, Directory};
use crate::fatal::Fatal;
use crate::identity::process::Describer;
use crate::identity::{ProcessTable, Workloads};
use crate::metrics::{Aggregator, Limits};
use crate::own::{OwnListener, network_namespace};
use crate::settings::{self, Resolved};
use crate::track::{Tracker, Translator};
use crate::{admin, say};

const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8469);
/// Attribute sets per Resource and instrument, as the OpenTelemetry SDKs have it.
const CARDINALITY: usize = 2000;

pub(super) fn tracker(
    options: &Run,
    describer: Describer,
    listener: Option<&TcpListener>,
    attached_unix_nanos: u64,
    exponential: bool,
) -> Result<Tracker, Fatal> {
    let mut processes = ProcessTable::new(PROC);
    processes.scan().map_err(|error| Fatal::Internal(format!("cannot read /proc: {error}")))?;
    let limits = Limits {
        resources: options.max_resources as usize,
        cardinality: CARDINALITY,
        series_ttl: options.series_ttl,
    };
    let metrics =
        Aggregator::new(options.metric_resource, limits, attached_unix_nanos).with_exponential(exponential);
    let own_listener = match listener.map(TcpListener::local_addr) {
        Some(Ok(address)) if !options.include_self => {
            let network_namespace = network_namespace(&Path::new(PROC).join("self/ns/net"))
                .map_err(|error| Fatal::Internal(format!("cannot read /proc/self/ns/net: {error}")))?;
            Some(OwnListener { address, network_namespace })
        }
        _ => None,
    };
    let workloads = Workloads::new(PROC, directory(&options.containers), options.containers.wait, boot_now());
    let translator = Translator::open(Path::new(PROC));
    Ok(Tracker::new(processes, workloads, translator, metrics, describer, own_listener))
}

/// Who names containers.
fn directory(options: &Containers) -> Directory {
    if options.runtime == Choice::None {
        return Directory::none();
    }
    Directory::start(container::Settings {
        choice: options.runtime,
        docker_hosts: options.docker_host.clone(),
        cri_endpoints: options.cri_endpoint.clone(),
        root: container::root_of_host(Path::new(PROC)),
        runtime_dir: settings::environment("XDG_RUNTIME_DIR").map(Into::into),
        labels: options.labels.clone(),
        seed: boot_now() ^ u64::from(std::process::id()),
        ..container::Settings::default()
    })
}

/// An address that the user chose must work; the default one may be taken by another convis.
pub(super) async fn bind_admin(asked: Option<Admin>) -> Result<Option<TcpListener>, Fatal> {
    match asked {
        Some(Admin::Off) => Ok(None),
        Some(Admin::At(address)) => {
            let bound = admin::bind(address).await;
            bound.map(Some).map_err(|source| Fatal::Admin { address, source })
        }
        None => match admin::bind(DEFAULT_ADMIN).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                say::line(&format!("warning: no admin listener, {DEFAULT_ADMIN} cannot be used: {error}"));
                Ok(None)
            }
        },
    }
}

pub(super) fn announce(resolved: &Resolved) {
    if resolved.is_default {
        say::line(
            "showing each TCP connection of this host as it opens, closes or fails; to send events and metrics to an \
             OpenTelemetry Collector: --sink otlp,endpoint=http://localhost:4317",
        );
    } else {
        say::line("capturing TCP connections of this host");
    }
}
