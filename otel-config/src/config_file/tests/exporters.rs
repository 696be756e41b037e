use super::*;
use crate::SinkConfig;

/// The one sink of a file.
fn sink(text: &str) -> SinkConfig {
    let mut sinks = read(text).unwrap_or_else(|lines| panic!("{text}: {lines:#?}")).sinks;
    assert_eq!(sinks.len(), 1, "{text}");
    sinks.remove(0)
}

/// Scenario: entries of every kind, and what `--sink` says for the same.
/// Guarantees: both are the same sink, but for the name, which is the entry's.
#[test]
fn an_entry_is_what_sink_says() {
    let table = [
        ("otlp_grpc: {endpoint: 'h:4317'}", "otlp,endpoint=h:4317,protocol=grpc"),
        ("otlp:", "otlp,protocol=grpc"),
        // The name decides, whatever the port.
        ("otlp: {endpoint: 'http://h:4318'}", "otlp,endpoint=http://h:4318,protocol=grpc"),
        ("otlp_http: {endpoint: 'http://h:4317'}", "otlp,endpoint=http://h:4317,protocol=http/protobuf"),
        (
            "otlphttp: {endpoint: 'http://h/p/', encoding: PROTO}",
            "otlp,endpoint=http://h/p/,protocol=http/protobuf",
        ),
        ("otlp_http: {endpoint: 'h:1', protocol: grpc, encoding: json}", "otlp,endpoint=h:1,protocol=grpc"),
        (
            "otlp_http: {logs_endpoint: 'http://h/l', metrics_endpoint: 'http://h/m', timeout: 1m30s}",
            "otlp,logs_endpoint=http://h/l,metrics_endpoint=http://h/m,protocol=http/protobuf,timeout=90s",
        ),
        (
            "otlp/backup: {endpoint: 'h:1', tls: {insecure: true}, compression: none, timeout: 0}",
            "otlp,endpoint=h:1,insecure=true,compression=none,timeout=0,protocol=grpc",
        ),
        (
            "otlp: {endpoint: 'https://h', tls: {ca_file: /ca.pem, cert_file: /cert.pem, key_file: /key.pem, \
             insecure_skip_verify: false}}",
            "otlp,endpoint=https://h,ca=/ca.pem,cert=/cert.pem,key=/key.pem,protocol=grpc",
        ),
        (
            "otlp: {headers: {Api-Key: '${env:TOKEN}', x: 'a,b=c', x-both: file, n: 0x10}}",
            "otlp,header.Api-Key=${env:TOKEN},header.x=a\\,b=c,header.x-both=file,header.n=0x10,protocol=grpc",
        ),
        (
            "otlp: {signals: [logs], events: [opened, updated], temporality: delta}",
            "otlp,signals=logs,events=opened+updated,temporality=delta,protocol=grpc",
        ),
        (
            "otlp: {signals: metrics, histogram: explicit_bucket_histogram}",
            "otlp,signals=metrics,protocol=grpc",
        ),
        (
            "otlp: {sending_queue: {enabled: true, queue_size: 10, num_consumers: 1, storage: /s, storage_size: 2MiB}}",
            "otlp,queue_size=10,storage=/s,storage_size=2M,protocol=grpc",
        ),
        (
            "otlp: {retry_on_failure: {enabled: false, initial_interval: 1.5s, max_interval: 1m, max_elapsed_time: 0s, \
             multiplier: 2, randomization_factor: 0.5}}",
            "otlp,retry=false,retry_initial=1500ms,retry_max=1m,retry_elapsed=0,protocol=grpc",
        ),
        (
            "prometheus_remote_write: {endpoint: 'http://h', sigv4: {region: eu-west-1, access_key: A, secret_key: '${env:TOKEN}'}}",
            "prometheus,endpoint=http://h,sigv4=eu-west-1,aws_access_key=A,aws_secret_key=${env:TOKEN}",
        ),
        ("stdout: {format: json, events: closed}", "stdout,format=json,events=closed"),
        ("stdout: ~", "stdout"),
    ];
    for (entry, spec) in table {
        let sink = sink(&format!("exporters: {{{entry}}}"));
        assert_eq!(sink.name.as_deref(), entry.split(':').next(), "{entry}");
        let want = outside().sink(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
        assert_eq!(SinkConfig { name: None, ..sink }, want, "{entry}");
    }
}

/// Scenario: several entries, in block style, of one kind and of two.
/// Guarantees: all are sinks, in the file's order.
#[test]
fn every_entry_is_active() {
    let file = read("exporters:\n  otlp/b:\n  stdout:\n  otlp/a:\n    endpoint: http://h\n").unwrap();
    let names: Vec<_> = file.sinks.iter().map(|sink| sink.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["otlp/b", "stdout", "otlp/a"]);
    assert!(read("interval: 5s").unwrap().sinks.is_empty());
}

/// Scenario: secrets written in the file, and secrets that it refers to.
/// Guarantees: only the former make it a file that others should not read.
#[test]
fn secrets_in_the_file_are_noticed() {
    for (text, want) in [
        ("exporters: {otlp: {headers: {api-key: hunter2}}}", true),
        ("exporters: {otlp: {headers: {api-key: '${env:TOKEN}'}}}", false),
        ("exporters: {otlp: {headers: {api-key: '${file:/key}'}}}", false),
        ("exporters: {otlp: {endpoint: 'http://h'}}", false),
        (
            "exporters: {prometheus_remote_write: {endpoint: 'http://h', sigv4: {region: r, access_key: A, secret_key: x}}}",
            true,
        ),
    ] {
        assert_eq!(read(text).unwrap().has_secret, want, "{text}");
    }
}

/// Scenario: every exporter with every key that its table has.
/// Guarantees: each leads to a key that its sink knows: the two never drift apart.
#[test]
fn every_key_of_the_tables_is_a_key_of_the_sink() {
    use super::super::{exporters::Translation, tables::EXPORTERS};
    use crate::yaml::Shape;

    fn sample(shape: &Shape) -> Option<String> {
        Some(match shape {
            Shape::Text | Shape::Secret | Shape::Texts => "x".to_owned(),
            Shape::Boolean => "true".to_owned(),
            Shape::Integer | Shape::Number => "1".to_owned(),
            Shape::Duration => "1s".to_owned(),
            Shape::Size => "1M".to_owned(),
            Shape::Word(words) | Shape::Words(words) => words[0].to_owned(),
            Shape::Only(value, _) => (*value).to_owned(),
            Shape::Named(shape) => format!("{{a: {}}}", sample(shape)?),
            Shape::OneOrMore(shape) | Shape::List(shape) => format!("[{}]", sample(shape)?),
            Shape::Map(groups) => {
                let fields = groups.iter().copied().flatten();
                let entries =
                    fields.filter_map(|field| Some(format!("{}: {}", field.name, sample(&field.shape)?)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
            Shape::Typed(_) | Shape::Refused(_) => return None,
        })
    }

    for exporter in EXPORTERS {
        let text = sample(&exporter.field.shape).unwrap();
        outside().read(|sources| {
            let errors = Errors::new("f");
            let node = yaml::parse(text.as_bytes(), sources, &errors).unwrap();
            assert!(exporter.field.shape.check(&node, &errors), "{text}: {:#?}", errors.into_lines());
            let translation = Translation::of(exporter, &node);
            let unknown = translation.unknown_keys(sources);
            assert_eq!(unknown, Vec::<String>::new(), "{}", exporter.field.name);
        });
    }
}
