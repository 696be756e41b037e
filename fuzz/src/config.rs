//! What users write: flags, a file, variables.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use convis::cli;
use convis_otel_config::yaml::Errors;
use convis_otel_config::{
    ConfigFile, MAX_BATCH_DELAY, ResourceAttributes, Secret, SinkConfig, Sources, batch_delay,
    metric_interval, parse_duration, parse_headers, secrets_in,
};

use super::{assert_one_line, text};

/// What stands for a secret. With it, no name is a variable's, which may be told.
const SECRET: &str = "hunter2-canary";

/// Certificates and keys, and otherwise nothing.
fn file(path: &Path) -> io::Result<Vec<u8>> {
    match path.to_str() {
        Some("/ca") => Ok(b"-----BEGIN CERTIFICATE-----".to_vec()),
        Some("/key") => Ok(b"-----BEGIN PRIVATE KEY-----\n".to_vec()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    }
}

fn variable(name: &str) -> Option<String> {
    name.starts_with('A').then(|| format!(",{name}=@\\: [\n${{env:A}}"))
}

/// The text of a `--sink`: an error of one line, secrets where they are looked for to be hidden, and no header's value, in
/// which `~` stands for a secret, in what is told.
pub fn sink_spec(bytes: &[u8]) {
    let text = text(bytes);
    let sources = Sources { env: &variable, read_file: &file, warn: &|line| assert_one_line(&line) };
    if let Err(error) = SinkConfig::from_spec(text, &sources) {
        assert_one_line(&error.to_string());
    }
    let mut last = 0;
    for span in secrets_in(text) {
        assert!(span.start >= last && !text[span.clone()].is_empty());
        last = span.end;
    }
    if text.contains(',') {
        // What begins behind it is another setting, which may be shown.
        return;
    }
    let told = RefCell::new(String::new());
    let sources = Sources { warn: &|line| told.borrow_mut().push_str(&line), ..sources };
    let secret = text.replace('~', SECRET);
    let said = match SinkConfig::from_spec(&format!("otlp,header.api-key={secret}"), &sources) {
        Ok(sink) => format!("{sink:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!(said + &told.into_inner()).contains(SECRET), "{secret}");
}

/// A configuration file: every error is one line and says where.
pub fn config_file(bytes: &[u8]) {
    let sources = Sources { env: &variable, read_file: &file, warn: &|line| assert_one_line(&line) };
    let errors = Errors::new("f");
    let file = ConfigFile::read(bytes, &sources, &errors);
    let lines = errors.into_lines();
    for line in &lines {
        assert_one_line(line);
        assert!(line.starts_with("f:"), "{line}");
    }
    // Nothing is read otherwise the second time.
    let errors = Errors::new("f");
    let again = ConfigFile::read(bytes, &sources, &errors);
    assert_eq!((format!("{:?}", again.sinks), errors.into_lines()), (format!("{:?}", file.sinks), lines));
}

/// `OTEL_EXPORTER_OTLP_HEADERS`: what passes is fit to send.
pub fn headers(bytes: &[u8]) {
    for header in parse_headers(text(bytes)).unwrap_or_default() {
        assert!(!header.name.is_empty() && header.name.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(header.value.expose().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        // A secret shows as any other.
        let [shown, other] =
            [header.value, Secret::new("other".to_owned())].map(|secret| format!("{secret:?}"));
        assert_eq!(shown, other);
    }
}

/// `OTEL_RESOURCE_ATTRIBUTES`: no empty and no repeated key.
pub fn resource_attributes(bytes: &[u8]) {
    let list = text(bytes);
    let sources = Sources {
        env: &|name| (name == "OTEL_RESOURCE_ATTRIBUTES").then(|| list.to_owned()),
        read_file: &file,
        warn: &|line| assert_one_line(&line),
    };
    let attributes = ResourceAttributes::from_env(&sources);
    let mut keys = BTreeSet::new();
    for (key, _) in attributes.everywhere.iter().chain(&attributes.own) {
        assert!(!key.is_empty() && keys.insert(key));
    }
}

/// The other variables, `NAME=VALUE` a line, where `~` stands for a secret: intervals stay within their bounds, lines are
/// lines, and a header's value is in none of them.
pub fn variables(bytes: &[u8]) {
    let text = text(bytes);
    let value = |name: &str| {
        let named = text.lines().filter_map(|line| line.split_once('='));
        named.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
    };
    let told = RefCell::new(Vec::new());
    let warn = |line: String| {
        assert_one_line(&line);
        told.borrow_mut().push(line);
    };
    let sources = Sources { env: &value, read_file: &file, warn: &warn };
    assert!(!metric_interval(&sources).is_zero());
    let delay = batch_delay(&sources);
    assert!(!delay.is_zero() && delay <= MAX_BATCH_DELAY);
    if let Err(error) = SinkConfig::from_spec("otlp", &sources) {
        assert_one_line(&error.to_string());
    }
    for line in text.lines() {
        match parse_duration(line) {
            Ok(duration) => assert_eq!(parse_duration(&format!("{}ms", duration.as_millis())), Ok(duration)),
            Err(error) => assert_one_line(&error.to_string()),
        }
    }
    let secret = |name: &str| {
        let is_list = name.ends_with("_HEADERS");
        value(name).map(|value| if is_list { value.replace('~', SECRET) } else { value })
    };
    let sources = Sources { env: &secret, ..sources };
    // A name may show: only values are secret.
    let in_names = value("OTEL_EXPORTER_OTLP_HEADERS")
        .into_iter()
        .chain(["LOGS", "METRICS"].iter().filter_map(|of| value(&format!("OTEL_EXPORTER_OTLP_{of}_HEADERS"))))
        .any(|list| list.split(',').any(|member| member.split('=').next().unwrap_or_default().contains('~')));
    let said = match SinkConfig::from_spec("otlp", &sources) {
        Ok(sink) => format!("{sink:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    let said = said + &told.borrow().concat();
    assert!(in_names || !said.contains(SECRET), "{said}");
}

/// A command line, an argument a line: an error is one line, and nothing starts because of one.
pub fn command_line(bytes: &[u8]) {
    let arguments = std::iter::once("convis").chain(text(bytes).lines());
    match cli::parse(arguments.map(Into::into)) {
        Ok(cli::Asked::Run(run)) => {
            assert!(run.ring_bytes.is_power_of_two() && run.ring_bytes >= 4096);
            assert!(
                run.max_connections.is_none_or(|most| most > 0)
                    && run.duration.is_none_or(|time| !time.is_zero())
            );
            assert!(run.interval.is_none_or(|time| !time.is_zero()));
        }
        Ok(cli::Asked::Check(_) | cli::Asked::Text(_)) => {}
        Err(error) => {
            assert_one_line(&error.to_string());
            assert_eq!(error.exit_code(), 64);
        }
    }
}
