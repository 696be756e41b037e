//! Which exporters a file may have, their keys, and what sinks call them.

use super::fields;
use crate::yaml::{Field, Shape};

/// One name under `exporters:`.
pub(super) struct Exporter {
    /// The name with what it takes.
    pub(super) field: Field,
    /// The sink behind it, as `--sink` names it.
    pub(super) sink: &'static str,
    /// Settings that the name implies, unless they are given.
    pub(super) implied: &'static [(&'static str, &'static str)],
    /// Keys that only this exporter calls otherwise.
    own: &'static [Key<'static>],
}

/// What a place in the file is called by the sink.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    /// Keys of the file, joined by dots.
    place: &'a str,
    /// The sink's key; the start of it for a map of names.
    pub(super) name: &'a str,
    /// What stands behind the number for the sink.
    pub(super) unit: &'static str,
    /// Words of the file with what the sink calls them.
    words: &'static [(&'static str, &'static str)],
}

const fn key<'a>(place: &'a str, name: &'a str) -> Key<'a> {
    Key { place, name, unit: "", words: &[] }
}

/// The rest has the same name at the top of its entry as in `--sink`.
const KEYS: &[Key<'static>] = &[
    key("headers", "header."),
    key("tls.insecure", "insecure"),
    key("tls.ca_file", "ca"),
    key("tls.cert_file", "cert"),
    key("tls.key_file", "key"),
    Key { words: &[("proto", "http/protobuf"), ("json", "http/json")], ..key("encoding", "protocol") },
    key("sigv4.region", "sigv4"),
    key("sigv4.access_key", "aws_access_key"),
    key("sigv4.secret_key", "aws_secret_key"),
    key("sending_queue.queue_size", "queue_size"),
    key("sending_queue.storage", "storage"),
    key("sending_queue.storage_size", "storage_size"),
    key("retry_on_failure.enabled", "retry"),
    key("retry_on_failure.initial_interval", "retry_initial"),
    key("retry_on_failure.max_interval", "retry_max"),
    key("retry_on_failure.max_elapsed_time", "retry_elapsed"),
    key("rotation.max_backups", "max_backups"),
    Key { unit: "M", ..key("rotation.max_megabytes", "max_size") },
];

/// Maps that switch on what they are about, which the sink does by a key of the same name. Without a value for that the sink
/// says what is missing, instead of going without.
const SWITCHES: &[&str] = &["sigv4"];

impl Key<'_> {
    /// A word as the sink knows it.
    pub(super) fn word(&self, text: &str) -> String {
        let known = self.words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        known.map_or(text, |(_, word)| word).to_owned()
    }
}

impl Exporter {
    /// How a place of the file is called by the sink.
    pub(super) fn key<'a>(&self, place: &'a str) -> Key<'a> {
        self.keys().find(|key| key.place == place).copied().unwrap_or(key(place, place))
    }

    /// How a sink's key is called in the file.
    pub(super) fn place_of<'a>(&self, name: &'a str) -> &'a str {
        self.keys().find(|key| key.name == name).map_or(name, |key| key.place)
    }

    /// The sink's key that a map at this place switches on.
    pub(super) fn switched_on_by(place: &str) -> Option<&'static str> {
        SWITCHES.iter().copied().find(|switch| *switch == place)
    }

    /// Sinks speak of their own keys, in backticks.
    pub(super) fn in_words_of_the_file(&self, text: &str) -> String {
        self.keys().fold(text.to_owned(), |text, key| {
            text.replace(&format!("`{}`", key.name), &format!("`{}`", key.place))
        })
    }

    fn keys(&self) -> impl Iterator<Item = &'static Key<'static>> {
        self.own.iter().chain(KEYS)
    }
}

const GRPC: &[(&str, &str)] = &[("protocol", "grpc")];
const HTTP: &[(&str, &str)] = &[("protocol", "http/protobuf")];

const fn exporter(
    name: &'static str,
    groups: &'static [&'static [Field]],
    about: &'static str,
    sink: &'static str,
    implied: &'static [(&'static str, &'static str)],
) -> Exporter {
    Exporter { field: Field::new(name, Shape::Map(groups), about), sink, implied, own: &[] }
}

const ABOUT_GRPC: &str = "OTLP over gRPC.";
const ABOUT_HTTP: &str = "OTLP over HTTP.";
const ABOUT_WRITE: &str = "Metrics by Prometheus remote write.";

/// Every name, in the order that errors list them; those that the Collector knows as older ones stand beside the newer.
pub(super) const EXPORTERS: &[Exporter] = &[
    exporter("otlp_grpc", fields::OTLP_GRPC, ABOUT_GRPC, "otlp", GRPC),
    exporter("otlp", fields::OTLP_GRPC, ABOUT_GRPC, "otlp", GRPC),
    exporter("otlp_http", fields::OTLP_HTTP, ABOUT_HTTP, "otlp", HTTP),
    exporter("otlphttp", fields::OTLP_HTTP, ABOUT_HTTP, "otlp", HTTP),
    exporter("prometheus_remote_write", fields::REMOTE_WRITE, ABOUT_WRITE, "prometheus", &[]),
    exporter("prometheusremotewrite", fields::REMOTE_WRITE, ABOUT_WRITE, "prometheus", &[]),
    Exporter {
        own: &[key("endpoint", "listen")],
        ..exporter("prometheus", fields::SCRAPE, "Metrics for Prometheus to scrape.", "prometheus", &[])
    },
    exporter("newrelic", fields::NEW_RELIC, "Events to New Relic.", "newrelic", &[]),
    exporter("file", fields::FILE, "Events as JSON lines in a file.", "file", &[]),
    exporter("stdout", fields::STDOUT, "Events as lines on standard output.", "stdout", &[]),
];

/// The same for the shape of `exporters:`.
pub(super) const FIELDS: &[Field] = &{
    let mut fields = [EXPORTERS[0].field; EXPORTERS.len()];
    let mut index = 0;
    while index < fields.len() {
        fields[index] = EXPORTERS[index].field;
        index += 1;
    }
    fields
};
