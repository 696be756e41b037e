//! What capturing starts with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::net::TcpListener;

use super::PROC;
use super::input::Input;
use crate::cli::{Admin, Containers, Run};
use crate::clock::{Clock, boot_now, iso_millis};
use crate::container::{self, Choice, Directory, root_of_host};
use crate::fatal::Fatal;
use crate::identity::process::Describer;
use crate::identity::users::Users;
use crate::identity::{Host, ProcessTable, Workloads};
use crate::kernel::{self, Options};
use crate::metrics::{Aggregator, Limits};
use crate::own::{OwnListener, network_namespace};
use crate::recording::{Contents, Header, Instant, Player, Step, Tape};
use crate::settings::{self, Resolved};
use crate::track::{Tracker, Translator};
use crate::{admin, say};

const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8469);
/// Attribute sets per Resource and instrument, as the OpenTelemetry SDKs have it.
const CARDINALITY: usize = 2000;

/// What the capture task starts from: this host now, or another one when it was recorded.
pub(super) struct Start {
    pub(super) host: Host,
    /// When the programs were attached.
    pub(super) attached: Instant,
    /// convis's own listener, if its visitors are left out.
    pub(super) own_listener: Option<OwnListener>,
    pub(super) input: Input,
}

/// Loads and attaches the programs, and begins a recording if one is asked for.
pub(super) fn attach(resolved: &Resolved, listener: Option<&TcpListener>) -> Result<Start, Fatal> {
    let options = &resolved.options;
    let host = Host::detect(Path::new(PROC), &settings::environment, resolved.attributes.everywhere.clone());
    let own_listener = own_listener(options, listener)?;
    // Before the first program is attached, so that no metric begins after what it counts.
    let clock = Clock::read();
    let attached = Instant { ahead_ns: clock.ahead_ns(), boot_ns: boot_now() };
    let header = || Header {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: (&host).into(),
        attached,
        seed: resolved.shared.seed,
        own_listener: own_listener.map(|own| (own.address, own.network_namespace)),
    };
    let tape = options.record.as_deref().map(|path| Tape::create(path, &header())).transpose()?;
    let (source, report) = kernel::load(&Options {
        ring_bytes: options.ring_bytes,
        max_connections: options.max_connections,
        leave_out: (!options.include_self).then(std::process::id),
        probes: options.probes,
    })?;
    if let Some(why) = report.no_live_totals {
        say::line(&format!("warning: bytes are counted only when connections close: {why}"));
    }
    let mut input = Input::kernel(source, tape, clock);
    input.begin(Step::Start);
    Ok(Start { host, attached, own_listener, input })
}

/// Opens a recording.
pub(super) fn open(path: &Path, resolved: &mut Resolved) -> Result<Start, Fatal> {
    let named = |source| Fatal::Replay { path: path.display().to_string(), source };
    let player = Player::open(path).map_err(named)?;
    let Contents { header, records, is_complete, torn_bytes, .. } = player.contents();
    // The same connections are told of those that are sampled.
    resolved.shared.seed = header.seed;
    let ended = match (is_complete, torn_bytes) {
        (true, 0) => String::new(),
        (_, 0) => "; the recording was not ended, as after a kill".to_owned(),
        _ => format!(
            "; the recording ends in the middle, as after a kill: its last {torn_bytes} bytes are left out"
        ),
    };
    say::line(&format!(
        "replaying {records} records of {} from {}{ended}",
        header.host.name.escape_debug(),
        iso_millis(header.attached.unix_nanos())
    ));
    Ok(recorded(player, resolved.attributes.everywhere.clone()))
}

/// What a recorded capture task started from; `extra` is what this user wants to say of every Resource.
pub(super) fn recorded(player: Player, extra: Vec<(String, String)>) -> Start {
    let header = &player.contents().header;
    Start {
        host: header.host(extra),
        attached: header.attached,
        own_listener: header.own_listener(),
        input: Input::recording(player),
    }
}

/// Where visitors of convis come to, if they are left out.
fn own_listener(options: &Run, listener: Option<&TcpListener>) -> Result<Option<OwnListener>, Fatal> {
    let Some(Ok(address)) = listener.map(TcpListener::local_addr).filter(|_| !options.include_self) else {
        return Ok(None);
    };
    let network_namespace = network_namespace(&Path::new(PROC).join("self/ns/net"))
        .map_err(|error| Fatal::Internal(format!("cannot read /proc/self/ns/net: {error}")))?;
    Ok(Some(OwnListener { address, network_namespace }))
}

/// Between records and events.
pub(super) fn tracker(options: &Run, exponential: bool, start: &Start) -> Result<Tracker, Fatal> {
    let outside = start.input.outside();
    let is_host = outside.is_host();
    let describer = Describer {
        host: start.host.clone(),
        users: Users::from_file(root_of_host(Path::new(PROC)).join("etc/passwd")).told_by(outside.clone()),
        k8s_labels: options.containers.k8s_labels,
        clock: start.attached.clock(),
    };
    let mut processes = ProcessTable::new(PROC).told_by(outside.clone());
    processes.scan().map_err(|error| Fatal::Internal(format!("cannot read /proc: {error}")))?;
    let limits = Limits {
        resources: options.max_resources as usize,
        cardinality: CARDINALITY,
        series_ttl: options.series_ttl,
    };
    let metrics = Aggregator::new(options.metric_resource, limits, start.attached.unix_nanos())
        .with_exponential(exponential);
    let directory = if is_host { directory(&options.containers) } else { Directory::none() };
    let (_, now_ns) = start.input.now();
    let workloads = Workloads::told_by(outside.clone(), PROC, directory, options.containers.wait, now_ns);
    let translator = if is_host { Translator::open(Path::new(PROC)) } else { Translator::none() };
    let translator = translator.told_by(outside);
    Ok(Tracker::new(processes, workloads, translator, metrics, describer, start.own_listener))
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
        root: root_of_host(Path::new(PROC)),
        runtime_dir: settings::environment("XDG_RUNTIME_DIR").map(Into::into),
        labels: options.labels.clone(),
        seed: boot_now() ^ u64::from(std::process::id()),
        ..container::Settings::default()
    })
}

/// An address that the user chose must work; the default one may be taken by another convis.
pub(super) async fn bind_admin(options: &Run) -> Result<Option<TcpListener>, Fatal> {
    match options.admin {
        Some(Admin::Off) => Ok(None),
        // A replay is over soon, and nothing is captured.
        None if options.replay.is_some() => Ok(None),
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
    if let Some(path) = &resolved.options.record {
        say::line(&format!("recording to {}", path.display()));
    }
    if resolved.is_default {
        say::line(
            "showing each TCP connection of this host as it opens, closes or fails; to send events and metrics to an \
             OpenTelemetry Collector: --sink otlp,endpoint=http://localhost:4317",
        );
    } else {
        say::line("capturing TCP connections of this host");
    }
}
