//! Real databases that take Prometheus remote write, and what they have.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::actors::free_port;
use crate::clock::wait_for;
use crate::http;
use crate::packages;
use crate::process::Process;
use crate::vm::kernels::Suite;

const PATIENCE: Duration = Duration::from_secs(20);

/// The user that [`Options::password`] is about, and the password.
pub const USER: (&str, &str) = ("convis", "test");
/// Of that password, by bcrypt with a cost of 12, from Prometheus's own documentation.
const HASH: &str = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay";

/// Which database.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Prometheus 2.42, which takes remote write 1.0.
    Prometheus2,
    /// Prometheus 3.5 or newer, which takes 2.0 too.
    Prometheus3,
    /// `VictoriaMetrics`, which takes 1.0.
    Victoria,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Prometheus2, Self::Prometheus3, Self::Victoria];

    /// Where its program is, downloaded once; an error says why it cannot be had.
    pub fn program(self) -> Result<PathBuf, String> {
        let suite = match self {
            Self::Prometheus2 => Suite("bookworm"),
            Self::Prometheus3 | Self::Victoria => Suite("forky"),
        };
        packages::program(suite, self.package())
    }

    fn package(self) -> &'static str {
        match self {
            Self::Prometheus2 | Self::Prometheus3 => "prometheus",
            Self::Victoria => "victoria-metrics",
        }
    }
}

/// How Prometheus is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Asks for [`USER`].
    pub password: bool,
    /// Scrapes this address each second.
    pub scrapes: Option<SocketAddr>,
    /// Takes native histograms, which versions before 3.8 do only when told to.
    pub native: bool,
}

/// A running database.
pub struct Database {
    process: Process,
    address: SocketAddr,
    kind: Kind,
    options: Options,
    _folder: TempDir,
}

/// One series: its labels, and its samples as seconds and value; without stale markers.
#[derive(Clone, Debug)]
pub struct Series {
    /// All labels with the name.
    pub labels: BTreeMap<String, String>,
    /// In order of time.
    pub samples: Vec<(f64, f64)>,
}

impl Database {
    /// Starts it with an empty store; an error names what the machine lacks.
    pub fn start(kind: Kind, options: Options) -> Result<Self, String> {
        let program = kind.program()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new(program);
        match kind {
            Kind::Victoria => victoria(&mut command, folder.path(), address),
            Kind::Prometheus2 | Kind::Prometheus3 => {
                prometheus(&mut command, folder.path(), address, options);
            }
        }
        let mut process = Process::start(kind.package(), command);
        wait_for("the database to answer", PATIENCE, || {
            assert!(process.ended().is_none(), "{kind:?} ended: {}", process.stderr());
            http::get(address, "/-/ready").ok().filter(|(code, _)| matches!(code, 200 | 401))
        });
        Ok(Self { process, address, kind, options, _folder: folder })
    }

    /// Where remote write goes.
    pub fn write_url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// The sink's settings to reach it.
    pub fn sink(&self) -> String {
        let endpoint = format!("prometheus,endpoint={}", self.write_url());
        let (user, password) = USER;
        if self.options.password {
            format!("{endpoint},username={user},password={password}")
        } else {
            endpoint
        }
    }

    /// What it is and how it is set up, for messages.
    pub fn name(&self) -> String {
        format!("{:?} {:?}", self.kind, self.options)
    }

    /// All samples of the last minutes of the series that a selector selects.
    pub fn samples(&self, selector: &str) -> Vec<Series> {
        let result = self.query(&format!("{selector}[10m]"));
        result.iter().map(|series| Series::read(series, "values")).collect()
    }

    /// The present value of each series of an expression.
    pub fn now(&self, expression: &str) -> Vec<Series> {
        let result = self.query(expression);
        result.iter().map(|series| Series::read(series, "value")).collect()
    }

    /// The buckets of the native histograms of an expression at present: above what, up to what, and how many.
    pub fn buckets(&self, expression: &str) -> Vec<[f64; 3]> {
        let number = |text: &Value| text.as_str().and_then(|text| text.parse().ok()).expect("a number");
        let bucket = |bucket: &Value| [&bucket[1], &bucket[2], &bucket[3]].map(number);
        let result = self.query(expression);
        result
            .iter()
            .filter_map(|of| of["histogram"][1]["buckets"].as_array())
            .flatten()
            .map(bucket)
            .collect()
    }

    /// Lines of its log that complain.
    pub fn complaints(&self) -> Vec<String> {
        let complains = |line: &&str| {
            let line = line.to_lowercase();
            let words =
                ["level=warn", "level=error", "\terror\t", "\twarn\t", "out of order", "out-of-order"];
            words.iter().any(|word| line.contains(word))
        };
        let log = self.process.stderr() + &self.process.stdout();
        log.lines().filter(complains).map(str::to_owned).collect()
    }

    fn query(&self, expression: &str) -> Vec<Value> {
        let path = format!("/api/v1/query?query={}", encoded(expression));
        let (code, body) = http::get_as(self.address, &path, self.options.password.then_some(USER))
            .expect("the database answers");
        assert_eq!(code, 200, "{}: {expression}: {body}", self.name());
        let answer: Value = serde_json::from_str(&body).expect("the database answers in JSON");
        answer["data"]["result"].as_array().expect("an answer has results").clone()
    }
}

impl Series {
    fn read(series: &Value, key: &str) -> Self {
        let labels = series["metric"].as_object().expect("a series has labels");
        let labels =
            labels.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        let sample = |pair: &Value| {
            let value = pair[1].as_str().and_then(|number| number.parse().ok());
            (pair[0].as_f64().expect("a sample has a time"), value.expect("a sample has a value"))
        };
        let samples = match &series[key] {
            Value::Array(values) if key == "values" => values.iter().map(sample).collect(),
            value => vec![sample(value)],
        };
        Self { labels: labels.collect(), samples }
    }

    /// A label's value; empty when it is not there.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

fn prometheus(command: &mut Command, folder: &Path, address: SocketAddr, options: Options) {
    let [config, web] = ["prometheus.yml", "web.yml"].map(|name| folder.join(name));
    let scrapes = options.scrapes.map_or("{}\n".to_owned(), |target| {
        format!(
            "scrape_configs:\n- job_name: convis\n  honor_labels: true\n  scrape_interval: 1s\n  static_configs:\n  \
             - targets: ['{target}']\n"
        )
    });
    let users =
        if options.password { format!("basic_auth_users:\n  {}: {HASH}\n", USER.0) } else { String::new() };
    fs::write(&config, scrapes).expect("the configuration can be written");
    fs::write(&web, users).expect("the configuration can be written");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--web.config.file={}", web.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--web.enable-remote-write-receiver");
    if options.native {
        command.arg("--enable-feature=native-histograms");
    }
}

fn victoria(command: &mut Command, folder: &Path, address: SocketAddr) {
    command
        .arg(format!("-storageDataPath={}", folder.join("data").display()))
        .arg(format!("-httpListenAddr={address}"))
        // What just came is to be found at once.
        .args(["-search.latencyOffset=0s", "-inmemoryDataFlushInterval=1s", "-search.disableCache"]);
}

/// An expression as a part of a URL.
fn encoded(expression: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => char::from(byte).to_string(),
        other => format!("%{other:02x}"),
    };
    expression.bytes().map(byte).collect()
}
