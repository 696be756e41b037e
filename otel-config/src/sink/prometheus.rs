//! `prometheus,endpoint=URL[,key=value]...` sends metrics by remote write; `prometheus,listen=ADDRESS` serves them.
//!
//! | key | meaning | default |
//! |---|---|---|
//! | `endpoint` | URL of remote write, taken as it is | |
//! | `version` | 1, or 2, which falls back to 1 where the receiver does not take it | 2 |
//! | `native_histograms` | `true`: histograms go out as native ones, which 2.0 has | `false` |
//! | `username`, `password` | basic authentication | none |
//! | `bearer` | a token for `Authorization: Bearer` | none |
//! | `sigv4` | a region of AWS, for which requests are signed | none |
//! | `aws_access_key`, `aws_secret_key` | what they are signed with | `AWS_ACCESS_KEY_ID` and the like |
//! | `header.NAME` | sent with every request | none |
//! | `timeout` | of one request: milliseconds, or a number with a unit; 0 waits for ever | 10 s |
//! | `ca`, `cert`, `key` | PEM files | the system's certificates |
//! | `listen` | serves `/metrics` there, instead of sending | |
//! | `resource_labels` | Resource attributes that are labels of every series, joined by `+`; `none` | [`DEFAULT_RESOURCE_LABELS`] |

mod credentials;

use std::{fmt, net::SocketAddr, time::Duration};

use url::Url;

pub use self::credentials::{Credentials, SigV4};

use super::{
    delivery,
    headers::{self, Header},
    otlp::DEFAULT_TIMEOUT,
    tls::{self, Identity},
};
use crate::{Problem, Sources, Spec, decode::choose, intervals::parse_duration, spec::Key};

pub(super) const KEYS: &[Key] = &[
    Key::plain("endpoint"),
    Key::plain("version"),
    Key::plain("native_histograms"),
    Key::plain("username"),
    Key::secret("password"),
    Key::secret("bearer"),
    Key::plain("sigv4"),
    Key::plain("aws_access_key"),
    Key::secret("aws_secret_key"),
    Key::secret("header.NAME"),
    Key::plain("timeout"),
    Key::plain("ca"),
    Key::plain("cert"),
    Key::plain("key"),
    Key::plain("listen"),
    Key::plain("resource_labels"),
];

/// Keys that go with either way.
const COMMON: [&str; 2] = ["listen", "resource_labels"];

/// Resource attributes that every series has as labels, when known.
pub const DEFAULT_RESOURCE_LABELS: [&str; 6] = [
    "container.name",
    "host.name",
    "k8s.namespace.name",
    "k8s.node.name",
    "k8s.pod.name",
    "process.executable.name",
];

/// Settings of the `prometheus` sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusConfig {
    /// Which way metrics go.
    pub way: PrometheusWay,
    /// Keys of Resource attributes that every series has as labels, when known.
    pub resource_labels: Vec<String>,
}

/// Sent, or fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrometheusWay {
    /// Remote write.
    Write(Box<RemoteWrite>),
    /// A page for scraping.
    Listen(SocketAddr),
}

/// Where and how remote write is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteWrite {
    /// Full URL, `http` or `https`, without user and password.
    pub endpoint: Url,
    /// What is tried first.
    pub version: RemoteWriteVersion,
    /// Whether histograms are native ones as long as 2.0 is spoken.
    pub native_histograms: bool,
    /// Who convis is there.
    pub credentials: Option<Credentials>,
    /// Sent with every request, besides the credentials; names are in lower case, each once.
    pub headers: Vec<Header>,
    /// Longest time of one request; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// PEM certificates to trust instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// Client certificate for mutual TLS.
    pub identity: Option<Identity>,
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RemoteWriteVersion {
    /// 1.0
    V1,
    /// 2.0, and 1.0 where the receiver does not take it.
    #[default]
    V2,
}

impl PrometheusConfig {
    pub(super) fn from_spec(spec: &Spec, sources: &Sources<'_>) -> Result<Self, Problem> {
        spec.check_keys(&[KEYS, delivery::KEYS])?;
        let way = match (spec.get("endpoint"), spec.get("listen")) {
            (Some(_), None) => PrometheusWay::Write(Box::new(RemoteWrite::read(spec, sources)?)),
            (None, Some(address)) => PrometheusWay::Listen(listen(spec, address)?),
            (None, None) => {
                let why = "neither `endpoint` nor `listen` is given; set `endpoint` to the URL of remote write, such as \
                           http://localhost:9090/api/v1/write, or `listen` to an address, such as 127.0.0.1:9464";
                return Err(Problem::setting("endpoint", why));
            }
            (Some(_), Some(_)) => {
                return Err(Problem::setting("listen", "there is an `endpoint` too; use a sink for each"));
            }
        };
        Ok(Self { way, resource_labels: resource_labels(spec)? })
    }
}

impl RemoteWrite {
    fn read(spec: &Spec, sources: &Sources<'_>) -> Result<Self, Problem> {
        let endpoint = endpoint(spec)?;
        let credentials = credentials::read(spec, sources)?;
        let (ca, identity) = tls::from_keys(spec, sources)?;
        if endpoint.scheme() == "http" && (ca.is_some() || identity.is_some()) {
            (sources.warn)("certificates are not used: the endpoint is http, without TLS".to_owned());
        }
        let version = version(spec)?;
        Ok(Self {
            headers: headers::from_keys(spec, |header| check_header(header, credentials.as_ref()))?,
            version,
            native_histograms: native_histograms(spec, version)?,
            timeout: timeout(spec)?,
            endpoint,
            credentials,
            ca,
            identity,
        })
    }
}

/// Without what the endpoint's query may hold in secret, and without pages of PEM.
impl fmt::Debug for RemoteWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut endpoint = self.endpoint.clone();
        if endpoint.query().is_some() {
            endpoint.set_query(Some("***"));
        }
        f.debug_struct("RemoteWrite")
            .field("endpoint", &endpoint.as_str())
            .field("version", &self.version)
            .field("native_histograms", &self.native_histograms)
            .field("credentials", &self.credentials)
            .field("headers", &self.headers)
            .field("timeout", &self.timeout)
            .field("ca_bytes", &self.ca.as_ref().map(Vec::len))
            .field("identity", &self.identity)
            .finish()
    }
}

/// Errors never repeat the text: a URL that does not parse may hold a password anywhere.
fn endpoint(spec: &Spec) -> Result<Url, Problem> {
    const FORMS: &str = "valid: http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH";
    let refuse = |why: String| Problem::setting("endpoint", why);
    let text = spec.get("endpoint").unwrap_or_default().trim();
    let url = Url::parse(text).map_err(|error| refuse(format!("{error}; {FORMS}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse(format!("unknown scheme; {FORMS}")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let why = "user and password do not belong in a URL; use the keys `username` and `password`";
        return Err(refuse(why.to_owned()));
    }
    Ok(url)
}

/// What belongs to the protocol cannot be given, and credentials not twice.
fn check_header(header: &Header, credentials: Option<&Credentials>) -> Result<(), String> {
    match (header.name.as_str(), credentials) {
        ("x-prometheus-remote-write-version", _) => {
            Err(format!("header `{}` is set by convis itself; use the key `version`", header.name))
        }
        ("authorization", Some(_)) => {
            Err("there are credentials in other keys too; set one way only".to_owned())
        }
        // AWS refuses a request where one of these is not signed.
        (name, Some(Credentials::SigV4(_))) if name.starts_with("x-amz-") => {
            Err("headers `x-amz-` belong to the signature and cannot be given with `sigv4`".to_owned())
        }
        _ => Ok(()),
    }
}

fn version(spec: &Spec) -> Result<RemoteWriteVersion, Problem> {
    let words = [("1", RemoteWriteVersion::V1), ("2", RemoteWriteVersion::V2)];
    let given = spec.get("version").map(|text| choose(text, &words)).transpose();
    Ok(given.map_err(|why| Problem::setting("version", why))?.unwrap_or_default())
}

/// In 1.0 they would be a field that no specification has and any receiver may pass over without a word.
fn native_histograms(spec: &Spec, version: RemoteWriteVersion) -> Result<bool, Problem> {
    let refuse = |why| Problem::setting("native_histograms", why);
    let given = spec.get("native_histograms").map(|text| choose(text, &[("true", true), ("false", false)]));
    match given.transpose().map_err(refuse)? {
        Some(true) if version == RemoteWriteVersion::V1 => Err(refuse(
            "remote write 1.0 has no native histograms; set `version` to 2 or take it out".to_owned(),
        )),
        given => Ok(given.unwrap_or_default()),
    }
}

fn timeout(spec: &Spec) -> Result<Option<Duration>, Problem> {
    let Some(text) = spec.get("timeout") else {
        return Ok(Some(DEFAULT_TIMEOUT));
    };
    let millis = text.parse().map(Duration::from_millis);
    let timeout = millis
        .or_else(|_| parse_duration(text))
        .map_err(|error| Problem::setting("timeout", format!("{error}, or milliseconds without one")))?;
    Ok(Some(timeout).filter(|timeout| !timeout.is_zero()))
}

fn listen(spec: &Spec, address: &str) -> Result<SocketAddr, Problem> {
    let other = KEYS
        .iter()
        .find(|key| !COMMON.contains(&key.name()) && spec.items.iter().any(|item| key.matches(&item.key)));
    if spec.get("native_histograms").is_some() {
        let why = "Prometheus's text format has no native histograms: a page at `listen` has classic ones; use an `endpoint`";
        return Err(Problem::setting("native_histograms", why));
    }
    if let Some(other) = other {
        let why = format!("`{}` belongs to an `endpoint`; it has no use with `listen`", other.name());
        return Err(Problem::setting("listen", why));
    }
    address
        .trim()
        .parse()
        .map_err(|_| Problem::setting("listen", "valid: ADDRESS:PORT, such as 127.0.0.1:9464 or [::]:9464"))
}

fn resource_labels(spec: &Spec) -> Result<Vec<String>, Problem> {
    let mut keys: Vec<String> = match spec.get("resource_labels") {
        None => DEFAULT_RESOURCE_LABELS.map(str::to_owned).into(),
        Some("none") => Vec::new(),
        Some(text) => text.split('+').map(|key| key.trim().to_owned()).collect(),
    };
    if keys.iter().any(String::is_empty) {
        let why =
            "valid: keys of Resource attributes joined by `+`, such as host.name+container.name, or none";
        return Err(Problem::setting("resource_labels", why));
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

#[cfg(test)]
mod tests;
