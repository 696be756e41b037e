use proptest::prelude::*;

use super::*;

/// Scenario: a file of several exporters, most of them wrong.
/// Guarantees: all errors at once, each with the line of its key, in the words of the file, and no secret.
#[test]
fn errors_of_sinks_stand_at_their_keys() {
    let text = "\
exporters:
  otlp:
    endpoint: ftp://h
  otlp/b:
    timeout: 5
    headers:
      content-type: hunter2
  otlphttp:
    endpoint: h:4318
  otlp/c:
    tls:
      cert_file: /cert.pem
  otlp/d:
    headers:
      'bad name': hunter2
      host: hunter2
  otlp/e:
    sending_queue: {storage_size: 1G}
  otlp/f:
    sending_queue: {enabled: false, num_consumers: 10}
    tls: {insecure_skip_verify: true, ca_file: '${env:TOKEN}'}
  otlpp:
    endpoint: x
  stdout:
    fromat: json
  otlp/g:
    headers:
      host: hunter2
";
    let want = [
        "3: exporters.otlp.endpoint: unknown scheme; valid: http://HOST[:PORT][/PATH], https://HOST[:PORT][/PATH], or \
         HOST:PORT for gRPC",
        "5: exporters.otlp/b.timeout: `5` is not valid; valid: a duration of whole milliseconds with units, such as \
         500ms, 10s or 1m30s",
        "9: exporters.otlphttp.endpoint: HTTP needs http:// or https:// before the host; or set protocol=grpc",
        "12: exporters.otlp/c.tls.cert_file: a certificate and its key need each other; set `tls.key_file` too",
        "15: exporters.otlp/d.headers.***: invalid header name; valid: letters, digits and !#$%&'*+-.^_`|~",
        "16: exporters.otlp/d.headers.host: header `host` is set by convis itself and cannot be given",
        "18: exporters.otlp/e.sending_queue.storage_size: there is no `sending_queue.storage`; set both",
        "20: exporters.otlp/f.sending_queue.enabled: it cannot be switched off: the queue keeps a slow receiver from \
         holding up the capture",
        "20: exporters.otlp/f.sending_queue.num_consumers: requests go out one after the other, in order; take it out",
        "21: exporters.otlp/f.tls.insecure_skip_verify: certificates are always verified; give `ca_file` the \
         certificate to trust",
        "22: exporters: unknown name `otlpp`; did you mean `otlp`?",
        "25: exporters.stdout: unknown key `fromat`; did you mean `format`?",
        "28: exporters.otlp/g.headers.host: header `host` is set by convis itself and cannot be given",
    ];
    let lines = read(text).unwrap_err();
    assert_eq!(lines, want.map(|line| format!("convis.yaml:{line}")));
}

/// Scenario: a value that came from the environment is wrong, where a sink repeats what is wrong.
/// Guarantees: it is not repeated.
#[test]
fn what_a_reference_brought_is_not_repeated() {
    let table = [
        (
            "otlp: {tls: {ca_file: '${env:TOKEN}'}}",
            "exporters.otlp.tls.ca_file: file `***`: entity not found",
        ),
        (
            "otlp: {compression: '${env:TOKEN}'}",
            "exporters.otlp.compression: its value is not valid; valid: none, gzip, zstd",
        ),
    ];
    for (entry, want) in table {
        assert_eq!(read(&format!("exporters: {{{entry}}}")).unwrap_err(), [format!("convis.yaml:1: {want}")]);
    }
}

/// Scenario: several settings of one sink are wrong, some only because of each other.
/// Guarantees: all that is wrong by itself is told, and nothing else.
#[test]
fn all_that_is_wrong_with_one_sink_is_told() {
    let text = "\
exporters:
  otlp:
    endpoint: ftp://h
    tls:
      ca_file: /key
      cert_file: /key.pem
      key_file: /key.pem
    sending_queue:
      storage: ''
      storage_size: 1G
      queue_size: 0
";
    let want = [
        "3: exporters.otlp.endpoint: unknown scheme; valid: http://HOST[:PORT][/PATH], https://HOST[:PORT][/PATH], or \
         HOST:PORT for gRPC",
        "5: exporters.otlp.tls.ca_file: file `/key`: no PEM certificate in it",
        "6: exporters.otlp.tls.cert_file: file `/key.pem`: no PEM certificate in it",
        "9: exporters.otlp.sending_queue.storage: empty; valid: the path of a directory",
        "11: exporters.otlp.sending_queue.queue_size: valid: a whole number of records from 1",
    ];
    assert_eq!(read(text).unwrap_err(), want.map(|line| format!("convis.yaml:{line}")));
}

/// Scenario: native histograms where the protocol has none.
/// Guarantees: one line that says so at the line of the key.
#[test]
fn native_histograms_are_refused_where_there_are_none() {
    let table = [
        (
            "prometheus: {native_histograms: true}",
            "exporters.prometheus.native_histograms: Prometheus's text format has no native histograms; use \
             `prometheus_remote_write`, or take it out",
        ),
        (
            "prometheus_remote_write: {endpoint: 'http://h', version: 1, native_histograms: true}",
            "exporters.prometheus_remote_write.native_histograms: remote write 1.0 has no native histograms; set `version` \
             to 2 or take it out",
        ),
    ];
    for (entry, want) in table {
        assert_eq!(read(&format!("exporters: {{{entry}}}")).unwrap_err(), [format!("convis.yaml:1: {want}")]);
    }
}

/// Scenario: signatures without a region, without credentials, with half of them, with what Prometheus has besides.
/// Guarantees: one line that says so where it stands; none goes without signatures.
#[test]
fn signatures_that_cannot_be_are_refused() {
    let no_region = "sigv4: no region; valid: that of the workspace, such as eu-central-1";
    let table = [
        ("", no_region),
        ("{}", no_region),
        ("{access_key: A, secret_key: '${env:TOKEN}'}", no_region),
        (
            "{region: r}",
            "sigv4.region: no credentials: AWS_ACCESS_KEY_ID is not set; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
             `sigv4.access_key` and `sigv4.secret_key`",
        ),
        (
            "{region: r, access_key: A}",
            "sigv4.access_key: an access key and its secret need each other; set `sigv4.secret_key` too",
        ),
        (
            "{region: r, role_arn: x}",
            "sigv4.role_arn: roles are not assumed; write an access key that may aps:RemoteWrite, or have aws-sigv4-proxy sign \
             on the way",
        ),
    ];
    for (sigv4, want) in table {
        let text =
            format!("exporters: {{prometheus_remote_write: {{endpoint: 'http://h', sigv4: {sigv4}}}}}");
        let want = format!("convis.yaml:1: exporters.prometheus_remote_write.{want}");
        assert_eq!(read(&text).unwrap_err(), [want], "{sigv4}");
    }
}

/// Scenario: the shapes that `exporters:` must not have.
/// Guarantees: one line each.
#[test]
fn exporters_is_a_map_of_maps() {
    let table = [
        ("exporters: [otlp]", "exporters: it is a list; valid: a map, `key: value` in lines of their own"),
        (
            "exporters: otlp",
            "exporters: it is a single value; valid: a map, `key: value` in lines of their own",
        ),
        (
            "exporters: {otlp: 'http://h'}",
            "exporters.otlp: it is a single value; valid: a map, `key: value` in lines of their own",
        ),
        ("exporter: {otlp: {}}", "unknown key `exporter`; did you mean `exporters`?"),
        ("intreval: 5s", "unknown key `intreval`; did you mean `interval`?"),
    ];
    for (text, want) in table {
        assert_eq!(read(text).unwrap_err(), [format!("convis.yaml:1: {want}")], "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_safe_and_errors_are_one_line(
        text in "((exporters|otlp|otlp_http|stdout|file|newrelic|prometheus|/a|endpoint|headers|tls|insecure|timeout|events|interval|:|: |, |\\{|\\}|\\[|\\]| |\n|\n  |.){0,3}){0,20}"
    ) {
        for line in read(&text).err().unwrap_or_default() {
            prop_assert_eq!(line.lines().count(), 1);
        }
    }

    /// Scenario: a secret at any setting of any exporter, with typing mistakes around it.
    /// Guarantees: no error has it, nor has what was read.
    #[test]
    fn no_error_has_a_secret(
        exporter in "otlp|otlp_http|prometheus_remote_write|newrelic",
        secret in "headers: \\{api-key|sigv4: \\{secret_key|headers: \\{authorization|headers: \\{host|password|key|bearer|headers",
        colon in ": |:| |: \\[|: \\{",
        quote in "|'",
        rest in "|\\}|\\]|, x: 1|: ",
    ) {
        let text = format!("exporters:\n  {exporter}:\n    {secret}{colon}{quote}hunter2{quote}{rest}\n");
        match read(&text) {
            Ok(file) => prop_assert!(!format!("{file:?}").contains("hunter2"), "{text}"),
            Err(lines) => for line in lines {
                prop_assert!(!line.contains("hunter2"), "{}: {}", text, line);
            }
        }
    }
}
