//! The command line.

mod replay;
mod underlay;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use convis_otel_config::EventKinds;
use convis_otel_config::parse_duration;

use crate::container::{Address, Choice};
use crate::fatal::Fatal;
use crate::kernel::Probes;
use crate::metrics::ResourceMode;
pub use replay::Speed;

/// Which process talks to whom: every TCP connection of this host as OpenTelemetry events and metrics.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Capture and send until stopped; also without this word.
    #[command(after_help = EXAMPLES)]
    Run(Box<Run>),
    /// Show what this kernel lets convis see, and how: every way is tried on a connection of its own; with --config whether a
    /// file is right
    Check(Check),
}

/// Bytes of the ring.
pub const DEFAULT_RING_BYTES: u32 = 2 << 20;

const EXAMPLES: &str = "\
Examples:
  convis                                                     show live traffic as a table
  convis --sink stdout,format=json                           one JSON object a line
  convis --sink otlp,endpoint=http://localhost:4317          to an OpenTelemetry Collector over gRPC
  convis --sink otlp,endpoint=http://localhost:4318          the same over HTTP
  convis --sink otlp,endpoint=https://otlp.example.com,header.api-key=@/run/secrets/key
  convis --sink prometheus,endpoint=http://localhost:9090/api/v1/write   metrics by remote write
  convis --sink newrelic,account=1234567,key=@/run/secrets/key   events to New Relic
  convis --sink file,path=/var/log/convis.jsonl              JSON lines in a file that is rotated
  convis --config /etc/convis/convis.yaml                    sinks and options from a file
  convis --replay recording                                  what another convis captured with --record recording
  convis check --config /etc/convis/convis.yaml              say what is wrong with the file

Settings that a sink does not name come from OTEL_EXPORTER_OTLP_*, OTEL_RESOURCE_ATTRIBUTES, OTEL_METRIC_EXPORT_INTERVAL
and OTEL_BLRP_SCHEDULE_DELAY.
Exit codes: 0 ok, 64 wrong usage or configuration, 69 the kernel lacks what is needed, 70 internal error, 77 not permitted.";

const SINK_HELP: &str = "\
Where events and metrics go, repeatable: stdout[,format=table|json], file,path=PATH, otlp[,endpoint=URL][,KEY=VALUE]..., prometheus,endpoint=URL, \
prometheus,listen=ADDR or newrelic,account=ID,key=KEY; KEY=@FILE reads a value from a file, ${env:NAME} from the environment, \\, is a comma [default: stdout]";

/// Options of `run`.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// The command line itself.
    #[arg(skip)]
    pub arguments: Vec<OsString>,
    /// YAML file with sinks under `exporters:` and options beside it; SIGHUP reads it again. What the command line says
    /// comes first, and its sinks come on top
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Sink specifications, as `convis_otel_config` reads them.
    #[arg(long = "sink", value_name = "SPEC", help = SINK_HELP)]
    pub sinks: Vec<String>,
    /// Time between two exports of metrics, such as 500ms, 10s or 1m [default: `OTEL_METRIC_EXPORT_INTERVAL`, else 10s]
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub interval: Option<Duration>,
    /// Events that are sent, by comma: opened, updated, closed, failed; a sink's own `events=` wins [default:
    /// opened,closed,failed]
    #[arg(long, value_name = "NAMES", value_parser = event_kinds)]
    pub events: Option<EventKinds>,
    /// Time between two updated events of a connection whose bytes move, where a sink takes them
    #[arg(long, value_name = "TIME", value_parser = positive_duration, default_value = "1m")]
    pub update_interval: Duration,
    /// How connections are seen: the best that this kernel offers, or only one of the ways
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Probes::Auto)]
    pub probes: Probes,
    /// What the Resource of metrics is
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = ResourceMode::Executable)]
    pub metric_resource: ResourceMode,
    /// Address of /livez, /readyz and /metrics, or `off` [default: 127.0.0.1:8469 if it is free]
    #[arg(long, value_name = "ADDR", value_parser = admin)]
    pub admin: Option<Admin>,
    /// Size of the ring between kernel and user space: a power of two of at least 4096 bytes; K and M are understood
    #[arg(long, value_name = "BYTES", value_parser = ring_bytes, default_value = "2M")]
    pub ring_bytes: u32,
    /// Ends of connections that can be open at one time [default: 131072; before Linux 6.1, which takes their memory at
    /// start, 65536]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub max_connections: Option<u32>,
    /// Metric Resources that are held; further ones are counted together on the host's
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..), default_value_t = 10_000)]
    pub max_resources: u32,
    /// Time after which the metrics of an executable end whose last process is gone
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "5m")]
    pub series_ttl: Duration,
    /// Who names containers.
    #[command(flatten)]
    pub containers: Containers,
    /// What is told, and how.
    #[command(flatten)]
    pub policy: Policy,
    /// Show convis's own connections as well
    #[arg(long)]
    pub include_self: bool,
    /// Write what the kernel tells, as it is, to a new file, for --replay; it holds names of processes and users, and
    /// addresses
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub record: Option<PathBuf>,
    /// Tell what was recorded in this file instead of capturing: needs no rights, and ends with the file
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// How fast a recording goes by: as fast as sinks take it, or as it did, such as 1x or 10x
    #[arg(long, value_name = "max|Nx", value_parser = Speed::parse, default_value = "max", hide_default_value = true,
          requires = "replay")]
    pub replay_speed: Speed,
    /// Stop by itself after this time
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub duration: Option<Duration>,
    /// Time that sending what is left may take when stopping
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10s")]
    pub shutdown_timeout: Duration,
}

/// Options about containers.
#[derive(Debug, Clone, Args)]
pub struct Containers {
    /// Which container runtimes are asked for names
    #[arg(
        id = "container_runtime",
        long = "container-runtime",
        value_name = "KIND",
        value_enum,
        default_value_t
    )]
    pub runtime: Choice,
    /// Where Docker or Podman listens, repeatable: `unix:///PATH` or `tcp://HOST:PORT` [default: wherever a socket is found]
    #[arg(long, value_name = "URL", value_parser = Address::docker)]
    pub docker_host: Vec<Address>,
    /// Where a CRI runtime (containerd, CRI-O) listens, repeatable: `unix:///PATH` [default: wherever a socket is found]
    #[arg(long, value_name = "URL", value_parser = Address::cri)]
    pub cri_endpoint: Vec<Address>,
    /// Time that an event may wait for the names of its container, and of its peer's; then it goes out with ids alone
    #[arg(id = "container_wait", long = "container-wait", value_name = "TIME", value_parser = parse_duration,
          default_value = "2s")]
    pub wait: Duration,
    /// Labels that become attributes, by comma: `container.label.KEY` of containers, `k8s.pod.label.KEY` of pods
    #[arg(id = "container_labels", long = "container-labels", value_name = "KEYS", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Let the labels app.kubernetes.io/instance and app.kubernetes.io/name name services
    #[arg(long)]
    pub k8s_labels: bool,
}

/// Options about what is told, as `convis_otel_config::policy` reads them.
#[derive(Debug, Clone, Args)]
pub struct Policy {
    /// What a network is called in `convis.peer.network`, repeatable: `NAME=CIDR[,CIDR]...`; the longest prefix counts, and names
    /// given here come before loopback, private, `link_local` and public
    #[arg(long = "network", value_name = "NAME=CIDR")]
    pub networks: Vec<String>,
    /// Tell only of connections that match this rule or another --include: conditions `key=value[,key=value]...` that must all
    /// hold. Keys: executable, container, namespace, role, network, cidr, `local_cidr`, port; one that comes again is a list;
    /// `*` in a name stands for any text
    #[arg(long, value_name = "RULE")]
    pub include: Vec<String>,
    /// Leave out connections that match this rule, from events and metrics
    #[arg(long, value_name = "RULE")]
    pub exclude: Vec<String>,
    /// What is expected of the processes that executable, container, namespace and role name, by network, cidr, `local_cidr` and
    /// port, repeatable; any other connection of theirs is told with severity WARN and counted as unexpected
    #[arg(long = "expect", value_name = "RULE")]
    pub expectations: Vec<String>,
    /// Send the events of one in so many of the connections that match, repeatable, the first that matches counts:
    /// `keep=1/100[,CONDITION]...`; `per=` executable, container, namespace, role, network or port says what is counted
    /// together, `also=` failed or unexpected samples these as well; metrics count everything
    #[arg(long = "sample", value_name = "RULE")]
    pub sampling: Vec<String>,
}

/// Options of `check`.
#[derive(Debug, Clone, Args)]
pub struct Check {
    /// Only read this file as a start does, and say what is wrong with it: exit code 64, or 0 if nothing is. Needs no
    /// privileges
    #[arg(long, value_name = "FILE", conflicts_with = "probes")]
    pub config: Option<PathBuf>,
    /// How to see what tracepoints of the network stack do not show
    #[arg(long, value_name = "PLAN", value_enum, default_value_t = Probes::Auto)]
    pub probes: Probes,
}

/// `--admin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admin {
    /// No listener.
    Off,
    /// A listener there.
    At(SocketAddr),
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// Capture.
    Run(Box<Run>),
    /// Say what can be seen here.
    Check(Check),
    /// Only this text, for help and version.
    Text(String),
}

/// Reads the command line.
///
/// # Errors
/// It is wrong; the error is one line.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, Fatal> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    match Cli::try_parse_from(&arguments) {
        Ok(Cli { command: Some(Command::Run(run)), .. }) => {
            Ok(Asked::Run(Box::new(Run { arguments, ..*run })))
        }
        Ok(Cli { command: None, run }) => Ok(Asked::Run(Box::new(Run { arguments, ..run }))),
        Ok(Cli { command: Some(Command::Check(check)), .. }) => Ok(Asked::Check(check)),
        Err(error) if !error.use_stderr() => Ok(Asked::Text(error.render().to_string())),
        Err(error) => Err(Fatal::Usage(one_line(&error.render().to_string()))),
    }
}

/// clap's message without its usage text, on one line.
fn one_line(message: &str) -> String {
    let message = message.split("\n\nUsage").next().unwrap_or(message);
    let message = message.split("\n\nFor more").next().unwrap_or(message);
    let words: Vec<_> = message.split_whitespace().collect();
    let text = words.join(" ");
    format!("{}; see convis --help", text.strip_prefix("error: ").unwrap_or(&text))
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("it must be more than 0".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

fn event_kinds(text: &str) -> Result<EventKinds, String> {
    EventKinds::parse(text).map_err(|_| "valid events: opened, updated, closed, failed".to_owned())
}

fn admin(text: &str) -> Result<Admin, String> {
    if text == "off" {
        return Ok(Admin::Off);
    }
    text.parse().map(Admin::At).map_err(|_| "expected an address such as 127.0.0.1:8469, or off".to_owned())
}

fn ring_bytes(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1024),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1024 * 1024),
        _ => (text, 1),
    };
    let bytes = digits.parse().ok().and_then(|count: u32| count.checked_mul(unit));
    bytes
        .filter(|bytes| bytes.is_power_of_two() && (4096..=1 << 30).contains(bytes))
        .ok_or_else(|| "expected a power of two from 4096 to 1024M, such as 256K or 8M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Run, String> {
        let all = std::iter::once("convis").chain(arguments.iter().copied()).map(Into::into);
        match parse(all) {
            Ok(Asked::Run(run)) => Ok(*run),
            Ok(Asked::Check(check)) => Err(format!("{check:?}")),
            Ok(Asked::Text(text)) => Err(text),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Scenario: no argument, and the word `run`.
    /// Guarantees: the documented defaults both times.
    #[test]
    fn defaults() {
        for arguments in [&[][..], &["run"][..]] {
            let run = run(arguments).unwrap();
            assert!(run.sinks.is_empty() && run.admin.is_none() && run.duration.is_none());
            assert_eq!(run.ring_bytes, DEFAULT_RING_BYTES);
            assert_eq!(run.max_connections, None);
            assert_eq!(run.events, None);
            assert_eq!(run.update_interval, Duration::from_mins(1));
            assert_eq!(run.metric_resource, ResourceMode::Executable);
            assert_eq!(run.probes, Probes::Auto);
        }
    }

    /// Scenario: events by name.
    /// Guarantees: these and no others.
    #[test]
    fn events_are_chosen_by_name() {
        let chosen = run(&["--events", "updated, failed"]).unwrap().events;
        assert_eq!(chosen, Some(EventKinds { updated: true, failed: true, ..EventKinds::NONE }));
    }

    /// Scenario: values that are wrong, and an option that does not exist.
    /// Guarantees: one line that names what is valid.
    #[test]
    fn mistakes_are_one_line() {
        for (arguments, hint) in [
            (&["--ring-bytes", "5000"][..], "power of two"),
            (&["--events", "opened,gone"][..], "opened, updated, closed, failed"),
            (&["--update-interval", "0s"][..], "more than 0"),
            (&["--admin", "here"][..], "127.0.0.1:8469"),
            (&["--metric-resource", "pod"][..], "executable, process, container, host"),
            (&["--probes", "magic"][..], "auto, fentry, kprobe, tracepoint"),
            (&["--duration", "0s"][..], "more than 0"),
            (&["--interval"][..], "--interval"),
            (&["--sink"][..], "--sink"),
            (&["--nonsense"][..], "--nonsense"),
            (&["top"][..], "top"),
        ] {
            let error = run(arguments).unwrap_err();
            assert!(error.contains(hint) && error.contains("convis --help"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    /// Scenario: sizes with and without units.
    /// Guarantees: bytes.
    #[test]
    fn ring_sizes() {
        assert_eq!(ring_bytes("4096"), Ok(4096));
        assert_eq!(ring_bytes("256K"), Ok(256 << 10));
        assert_eq!(ring_bytes("8M"), Ok(8 << 20));
        assert!(ring_bytes("4096M").is_err() && ring_bytes("").is_err() && ring_bytes("M").is_err());
    }
}
