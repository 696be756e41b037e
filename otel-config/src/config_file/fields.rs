//! The keys of each exporter, as in the Collector where it has them.

use crate::yaml::{Field, Shape};

const EVENTS: Field = Field::new(
    "events",
    Shape::Words(&["opened", "updated", "closed", "failed"]),
    "Events that this exporter takes; without it the file's `events`, else what suits the exporter.",
);
const TIMEOUT: Field =
    Field::new("timeout", Shape::Duration, "Longest time of one request; 10s by default, 0 for ever.");
const HEADERS: Field =
    Field::new("headers", Shape::Named(&Shape::Secret), "Headers, or metadata of gRPC, of every request.");

const CA: Field =
    Field::new("ca_file", Shape::Text, "PEM file of certificates to trust instead of the system's.");
const CERT: Field =
    Field::new("cert_file", Shape::Text, "PEM file of the client's certificate, for mutual TLS.");
const KEY: Field = Field::new("key_file", Shape::Text, "PEM file of the client's private key.");
const VERIFIED: Field = Field::new(
    "insecure_skip_verify",
    Shape::Only("false", "certificates are always verified; give `ca_file` the certificate to trust"),
    "Certificates are always verified.",
);

/// TLS of a client, with the switch that OTLP has.
const OTLP_TLS: &[Field] = &[
    Field::new("insecure", Shape::Boolean, "Whether an endpoint without a scheme is spoken to without TLS."),
    CA,
    CERT,
    KEY,
    VERIFIED,
];
const TLS: &[Field] = &[CA, CERT, KEY, VERIFIED];
const CA_ONLY: &[Field] = &[CA, VERIFIED];

/// How records wait and are tried again.
const DELIVERY: &[Field] = &[
    Field::new("sending_queue", Shape::Map(&[QUEUE]), "How records wait for the receiver."),
    Field::new("retry_on_failure", Shape::Map(&[RETRY]), "How a failure that may pass is tried again."),
];
const QUEUE: &[Field] = &[
    Field::new(
        "enabled",
        Shape::Only(
            "true",
            "it cannot be switched off: the queue keeps a slow receiver from holding up the capture",
        ),
        "Always true.",
    ),
    Field::new(
        "queue_size",
        Shape::Integer,
        "Events, and metric points, that wait at most; 131072 by default.",
    ),
    Field::new(
        "num_consumers",
        Shape::Only("1", "requests go out one after the other, in order; take it out"),
        "Always 1: requests go out one after the other.",
    ),
    Field::new(
        "storage",
        Shape::Text,
        "A directory in which waiting events outlive convis. In the Collector this names an extension.",
    ),
    Field::new("storage_size", Shape::Size, "Bytes of that directory at most; 1G by default."),
];
const RETRY: &[Field] = &[
    Field::new("enabled", Shape::Boolean, "Whether a failure that may pass is tried again; true by default."),
    Field::new("initial_interval", Shape::Duration, "Wait after the first failure; 1s by default."),
    Field::new("max_interval", Shape::Duration, "Longest wait between attempts; 30s by default."),
    Field::new(
        "max_elapsed_time",
        Shape::Duration,
        "Time after which records are given up; 5m by default, 0 never, which is the default with `storage`.",
    ),
    Field::new("multiplier", Shape::Only("2", "waits always double; take it out"), "Always 2."),
    Field::new(
        "randomization_factor",
        Shape::Only("0.5", "waits are always spread by half; take it out"),
        "Always 0.5.",
    ),
];

const OTLP: &[Field] = &[
    Field::new("logs_endpoint", Shape::Text, "Where events go, taken as it is."),
    Field::new("metrics_endpoint", Shape::Text, "Where metrics go, taken as it is."),
    Field::new(
        "protocol",
        Shape::Word(&["grpc", "http/protobuf", "http/json"]),
        "What is spoken, when it is not what the exporter's name says.",
    ),
    HEADERS,
    Field::new("tls", Shape::Map(&[OTLP_TLS]), "TLS of the connection."),
    Field::new(
        "compression",
        Shape::Word(&["none", "gzip", "zstd"]),
        "How requests are compressed; gzip by default, none to this host.",
    ),
    TIMEOUT,
    Field::new("signals", Shape::Words(&["logs", "metrics"]), "What this exporter takes; both by default."),
    Field::new(
        "temporality",
        Shape::Word(&["cumulative", "delta", "lowmemory"]),
        "What counters count from; cumulative by default.",
    ),
    Field::new(
        "histogram",
        Shape::Word(&["explicit_bucket_histogram", "base2_exponential_bucket_histogram"]),
        "What histograms are sent as; explicit_bucket_histogram by default.",
    ),
    EVENTS,
];

/// `otlp_grpc`.
pub(super) const OTLP_GRPC: &[&[Field]] = &[
    &[Field::new(
        "endpoint",
        Shape::Text,
        "HOST:PORT, with TLS unless tls.insecure is true, or a URL with http:// or https://.",
    )],
    OTLP,
    DELIVERY,
];

/// `otlp_http`.
pub(super) const OTLP_HTTP: &[&[Field]] = &[
    &[
        Field::new("endpoint", Shape::Text, "A base URL, to which /v1/logs and /v1/metrics are added."),
        Field::new("encoding", Shape::Word(&["proto", "json"]), "How bodies are encoded; proto by default."),
    ],
    OTLP,
    DELIVERY,
];

const RESOURCE_LABELS: Field = Field::new(
    "resource_labels",
    Shape::Texts,
    "Attributes of the Resource that become labels of every series; none for no attribute.",
);
const NO_AUTH: &str =
    "there are no authenticators; write `username` and `password`, `bearer`, or `sigv4` beside it";
const SIGV4: &[Field] = &[
    Field::new("region", Shape::Text, "Region of the workspace, such as eu-central-1."),
    Field::new("access_key", Shape::Text, "Id of the access key; by default AWS_ACCESS_KEY_ID."),
    Field::new("secret_key", Shape::Secret, "Secret of the access key; by default AWS_SECRET_ACCESS_KEY."),
    Field::new("profile", Shape::Refused(NO_PROFILE), ""),
    Field::new("role_arn", Shape::Refused(NO_ROLE), ""),
];
const NO_PROFILE: &str = "files of AWS are not read; write `access_key` and `secret_key`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
const NO_ROLE: &str = "roles are not assumed; write an access key that may aps:RemoteWrite, or have aws-sigv4-proxy sign on the way";

/// `prometheus_remote_write`.
pub(super) const REMOTE_WRITE: &[&[Field]] = &[
    &[
        Field::new(
            "endpoint",
            Shape::Text,
            "URL of remote write, such as http://localhost:9090/api/v1/write.",
        ),
        Field::new(
            "version",
            Shape::Word(&["1", "2"]),
            "Version of remote write; by default 2 where it is taken.",
        ),
        Field::new(
            "native_histograms",
            Shape::Boolean,
            "Whether histograms are native ones, which version 2 has; false by default.",
        ),
        Field::new("username", Shape::Text, "User of basic authentication."),
        Field::new("password", Shape::Secret, "Password of basic authentication."),
        Field::new("bearer", Shape::Secret, "Token of bearer authentication."),
        Field::new("sigv4", Shape::Map(&[SIGV4]), "Signatures of AWS, for its managed Prometheus."),
        Field::new("auth", Shape::Refused(NO_AUTH), ""),
        HEADERS,
        Field::new("tls", Shape::Map(&[TLS]), "TLS of the connection."),
        TIMEOUT,
        RESOURCE_LABELS,
    ],
    DELIVERY,
];

const NO_NATIVE: &str =
    "Prometheus's text format has no native histograms; use `prometheus_remote_write`, or take it out";

/// `prometheus`.
pub(super) const SCRAPE: &[&[Field]] = &[&[
    Field::new("endpoint", Shape::Text, "Address of /metrics, such as 127.0.0.1:9464."),
    Field::new("native_histograms", Shape::Refused(NO_NATIVE), ""),
    RESOURCE_LABELS,
]];

/// `newrelic`.
pub(super) const NEW_RELIC: &[&[Field]] = &[
    &[
        Field::new("account", Shape::Text, "The account's number."),
        Field::new("key", Shape::Secret, "A license key of the account."),
        Field::new(
            "region",
            Shape::Word(&["US", "EU", "JP", "FedRAMP"]),
            "Where the account lives; by default what the key says, else US.",
        ),
        Field::new("endpoint", Shape::Text, "A gateway's base URL instead of the region's."),
        Field::new("tls", Shape::Map(&[CA_ONLY]), "TLS of the connection."),
        TIMEOUT,
        EVENTS,
    ],
    DELIVERY,
];

/// `file`.
pub(super) const FILE: &[&[Field]] = &[
    &[
        Field::new("path", Shape::Text, "The file; lines are appended to it."),
        Field::new("rotation", Shape::Map(&[ROTATION]), "When a new file is begun."),
        EVENTS,
    ],
    DELIVERY,
];
const ROTATION: &[Field] = &[
    Field::new("max_megabytes", Shape::Integer, "Size of a file at most; 100 by default."),
    Field::new("max_backups", Shape::Integer, "Full files that stay; 5 by default."),
];

/// `stdout`.
pub(super) const STDOUT: &[&[Field]] = &[&[
    Field::new("format", Shape::Word(&["table", "json"]), "How a line looks; table by default."),
    EVENTS,
]];
