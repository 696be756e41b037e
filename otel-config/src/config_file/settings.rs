//! Settings that are flags of the command line, by the same names in snake case. There is one reader for both: each is
//! handed over as the text that its flag takes.

use crate::yaml::{Field, Node, Shape};

/// The keys, which the command line knows as `--key-in-kebab-case`. A flag that is given wins.
pub const SETTINGS: &[Field] = &[
    Field::new("interval", Shape::Duration, "Time between two exports of metrics; 10s by default."),
    Field::new(
        "events",
        Shape::Words(&["opened", "updated", "closed", "failed"]),
        "Events that are sent; opened, closed and failed by default. An exporter's own `events` wins.",
    ),
    Field::new(
        "update_interval",
        Shape::Duration,
        "Time between two updated events of a connection whose bytes move; 1m by default.",
    ),
    Field::new(
        "metric_resource",
        Shape::Word(&["executable", "process", "container", "host"]),
        "What the Resource of metrics is; executable by default.",
    ),
    Field::new(
        "probes",
        Shape::Word(&["auto", "fentry", "kprobe", "tracepoint"]),
        "How connections are seen; by default the best way that the kernel offers.",
    ),
    Field::new(
        "admin",
        Shape::Text,
        "Address of /livez, /readyz and /metrics, or off; 127.0.0.1:8469 by default.",
    ),
    Field::new(
        "ring_bytes",
        Shape::Size,
        "Size of the ring between kernel and user space, a power of two; 2M by default.",
    ),
    Field::new(
        "max_connections",
        Shape::Integer,
        "Ends of connections that can be open at one time; 131072 by default, 65536 before Linux 6.1.",
    ),
    Field::new(
        "max_resources",
        Shape::Integer,
        "Metric Resources that are held; further ones are counted together on the host's. 10000 by default.",
    ),
    Field::new(
        "series_ttl",
        Shape::Duration,
        "Time after which the metrics of an executable end whose last process is gone; 5m by default.",
    ),
    Field::new(
        "container_runtime",
        Shape::Word(&["auto", "docker", "cri", "none"]),
        "Which container runtimes are asked for names; auto by default.",
    ),
    Field::new(
        "docker_host",
        Shape::Texts,
        "Where Docker or Podman listens, unix:///PATH or tcp://HOST:PORT; by default wherever a socket is found.",
    ),
    Field::new(
        "cri_endpoint",
        Shape::Texts,
        "Where a CRI runtime listens, unix:///PATH; by default wherever a socket is found.",
    ),
    Field::new(
        "container_wait",
        Shape::Duration,
        "Time that an event may wait for the names of its container; 2s by default.",
    ),
    Field::new("container_labels", Shape::Texts, "Labels of containers and pods that become attributes."),
    Field::new(
        "k8s_labels",
        Shape::Boolean,
        "Let the labels app.kubernetes.io/instance and app.kubernetes.io/name name services.",
    ),
    Field::new("include_self", Shape::Boolean, "Show convis's own connections as well."),
    Field::new(
        "shutdown_timeout",
        Shape::Duration,
        "Time that sending what is left may take when stopping; 10s by default.",
    ),
];

/// One setting as its flag takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The flag without its dashes, such as `update-interval`.
    pub flag: String,
    /// Its values: one for each time that the flag would be given; `None` for a flag without a value.
    pub values: Vec<Option<String>>,
    /// Where it stands, for errors.
    pub node: Node,
}

/// The settings of a file; those that do not fit their shape are left out, since that is an error already.
pub(super) fn read(root: &Node) -> Vec<Setting> {
    let known = |entry: &crate::yaml::Entry| {
        let field = SETTINGS.iter().find(|field| field.name == entry.key)?;
        let values = values(field.shape, &entry.node).ok()?;
        Some(Setting { flag: field.name.replace('_', "-"), values, node: entry.node.clone() })
    };
    root.entries().iter().filter_map(known).collect()
}

fn values(shape: Shape, node: &Node) -> Result<Vec<Option<String>>, String> {
    Ok(match shape {
        Shape::Boolean if node.boolean()? => vec![None],
        Shape::Boolean => Vec::new(),
        Shape::Words(_) => vec![Some(node.texts()?.join(","))],
        Shape::Duration => vec![Some(format!("{}ms", node.duration()?.as_millis()))],
        Shape::Size => vec![Some(node.size()?.to_string())],
        _ => node.texts()?.into_iter().map(|text| Some(text.to_owned())).collect(),
    })
}
