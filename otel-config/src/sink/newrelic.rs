//! `newrelic,account=ID,key=KEY[,key=value]...`: events to New Relic's Event API.
//!
//! | key | meaning | default |
//! |---|---|---|
//! | `account` | the account's number | none: it must be given |
//! | `key` | its license key | none: it must be given |
//! | `region` | `US`, `EU`, `JP` or `FedRAMP`: where the account lives | what the key's first letters say, else `US` |
//! | `endpoint` | a gateway's base URL, to which `/v1/accounts/ID/events` is added unless it ends so | the region's |
//! | `timeout` | of one request | 10s |
//! | `ca` | PEM file of certificates to trust instead of the system's | the system's |
//!
//! Source: <https://docs.newrelic.com/docs/data-apis/ingest-apis/event-api/introduction-event-api/>.

use std::time::Duration;

use url::Url;

use super::{delivery, otlp::DEFAULT_TIMEOUT, tls};
use crate::{Problem, Secret, Sources, Spec, decode::choose, intervals::parse_duration, spec::Key};

pub(super) const KEYS: &[Key] = &[
    Key::plain("account"),
    Key::secret("key"),
    Key::plain("region"),
    Key::plain("endpoint"),
    Key::plain("timeout"),
    Key::plain("ca"),
];

/// Settings of the `newrelic` sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRelicConfig {
    /// Full URL, `http` or `https`, without user, password and query.
    pub endpoint: Url,
    /// The license key: printable ASCII without blanks, never empty.
    pub key: Secret,
    /// Longest time for one request; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// PEM certificates to trust instead of the system's.
    pub ca: Option<Vec<u8>>,
}

/// Where an account's data lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Region {
    Us,
    Eu,
    Jp,
    FedRamp,
}

/// As errors list them.
const REGIONS: [(&str, Region); 4] =
    [("US", Region::Us), ("EU", Region::Eu), ("JP", Region::Jp), ("FedRAMP", Region::FedRamp)];

impl Region {
    const fn host(self) -> &'static str {
        match self {
            Self::Us => "insights-collector.newrelic.com",
            Self::Eu => "insights-collector.eu01.nr-data.net",
            Self::Jp => "insights-collector.jp.nr-data.net",
            Self::FedRamp => "gov-insights-collector.newrelic.com",
        }
    }

    const fn name(self) -> &'static str {
        REGIONS[self as usize].0
    }

    /// The region that a license key names, such as `eu01xx...`; keys of the first region name none and are
    /// hexadecimal, so that none of these words can be meant otherwise.
    fn of_key(key: &str) -> Option<Self> {
        const PREFIXES: [(&str, Region); 3] =
            [("eu", Region::Eu), ("jp", Region::Jp), ("gov", Region::FedRamp)];
        PREFIXES.iter().find(|(prefix, _)| key.starts_with(prefix)).map(|(_, region)| *region)
    }
}

impl NewRelicConfig {
    pub(super) fn from_spec(spec: &Spec, sources: &Sources<'_>) -> Result<Self, Problem> {
        spec.check_keys(&[KEYS, delivery::EVENT_KEYS, delivery::KEYS])?;
        let account = account(spec)?;
        let key = key(spec, sources)?;
        let region = region(spec, &key, sources)?;
        Ok(Self {
            endpoint: endpoint(spec, account, region)?,
            key: Secret::new(key),
            timeout: timeout(spec)?,
            ca: spec.found("ca").map(|found| tls::read_ca(sources, &found)).transpose()?,
        })
    }
}

fn account(spec: &Spec) -> Result<&str, Problem> {
    match spec.get("account") {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(digits),
        Some(_) => Err(Problem::setting("account", "valid: the account's number, digits only")),
        None => Err(Problem::setting("account", "missing; set it to the account's number")),
    }
}

/// Errors repeat nothing of the key.
fn key(spec: &Spec, sources: &Sources<'_>) -> Result<String, Problem> {
    let refuse = |why: &str| Err(Problem::setting("key", why));
    let key = match spec.get("key") {
        None => return refuse("missing; set it to a license key, best by key=@FILE or key=${env:NAME}"),
        Some("") => return refuse("empty; valid: a license key of the account"),
        Some(key) if !key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            return refuse("it has blanks, line breaks or other characters that no license key has");
        }
        Some(key) => key,
    };
    if key.starts_with("NRAK-") {
        (sources.warn)("newrelic key is a user key; data is taken with a license key only".to_owned());
    }
    Ok(key.to_owned())
}

fn region(spec: &Spec, key: &str, sources: &Sources<'_>) -> Result<Region, Problem> {
    let of_key = Region::of_key(key);
    let given = spec.get("region").map(|text| choose(text, &REGIONS)).transpose();
    let given = given.map_err(|why| Problem::setting("region", why))?;
    if let (Some(given), Some(of_key)) = (given, of_key)
        && given != of_key
    {
        (sources.warn)(format!(
            "newrelic region is {}, yet the key is one of {}; requests will be refused unless that is meant",
            given.name(),
            of_key.name()
        ));
    }
    Ok(given.or(of_key).unwrap_or(Region::Us))
}

/// Errors never repeat the text: a URL that does not parse may hold a password anywhere.
fn endpoint(spec: &Spec, account: &str, region: Region) -> Result<Url, Problem> {
    const FORMS: &str = "valid: http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH]";
    let refuse = |why: &str| Problem::setting("endpoint", format!("{why}; {FORMS}"));
    let base = spec
        .get("endpoint")
        .map_or_else(|| format!("https://{}", region.host()), |text| text.trim().to_owned());
    let mut url = Url::parse(&base).map_err(|error| refuse(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("unknown scheme"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("user and password do not belong in this URL"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("a query or fragment does not belong in this URL"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let own = format!("/v1/accounts/{account}/events");
    url.set_path(&if path.ends_with(&own) { path } else { path + &own });
    Ok(url)
}

/// Milliseconds or a number with a unit; zero is no limit.
fn timeout(spec: &Spec) -> Result<Option<Duration>, Problem> {
    let Some(text) = spec.get("timeout") else {
        return Ok(Some(DEFAULT_TIMEOUT));
    };
    let timeout = text.parse().map(Duration::from_millis).or_else(|_| parse_duration(text));
    let timeout = timeout
        .map_err(|error| Problem::setting("timeout", format!("{error}, or milliseconds without one")))?;
    Ok(Some(timeout).filter(|timeout| !timeout.is_zero()))
}

#[cfg(test)]
mod tests;
