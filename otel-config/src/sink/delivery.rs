//! What every sink has: which events it takes, and for those that send, how records wait and are tried again.
//!
//! | key | meaning | default |
//! |---|---|---|
//! | `events` | `opened+updated+closed+failed`, some of them | `opened+closed+failed` |
//! | `queue_size` | events, and metric points, that wait at most | 131,072 |
//! | `storage` | directory in which waiting events outlive convis | none: they wait in memory |
//! | `storage_size` | bytes of it at most; K, M and G are understood | 1G |
//! | `retry` | whether a failure that may pass is tried again | true |
//! | `retry_initial`, `retry_max` | first and longest wait between attempts | 1s, 30s |
//! | `retry_elapsed` | time after which records are given up; 0 never does | 5m; never with `storage` |

use std::path::PathBuf;
use std::time::Duration;

use crate::{Problem, Spec, decode::choose, intervals::parse_duration, spec::Key};

/// Keys of a sink that takes events.
pub(crate) const EVENT_KEYS: &[Key] = &[Key::plain("events")];

/// Keys of a sink that sends.
pub(crate) const KEYS: &[Key] = &[
    Key::plain("queue_size"),
    Key::plain("storage"),
    Key::plain("storage_size"),
    Key::plain("retry"),
    Key::plain("retry_initial"),
    Key::plain("retry_max"),
    Key::plain("retry_elapsed"),
];

/// Kinds of events, by the last word of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventKinds {
    /// A connection is usable.
    pub opened: bool,
    /// Bytes moved.
    pub updated: bool,
    /// A connection ended.
    pub closed: bool,
    /// An attempt failed.
    pub failed: bool,
}

impl EventKinds {
    /// None.
    pub const NONE: Self = Self { opened: false, updated: false, closed: false, failed: false };
    /// All.
    pub const ALL: Self = Self { opened: true, updated: true, closed: true, failed: true };
    /// All but `updated`, which costs by the number of live connections.
    pub const DEFAULT: Self = Self { opened: true, updated: false, closed: true, failed: true };

    /// Reads words joined by `+`, or by `,` where the grammar leaves commas alone.
    ///
    /// # Errors
    /// One line that names the valid words.
    pub fn parse(text: &str) -> Result<Self, String> {
        type Field = fn(&mut EventKinds) -> &mut bool;
        const WORDS: [(&str, Field); 4] = [
            ("opened", |kinds| &mut kinds.opened),
            ("updated", |kinds| &mut kinds.updated),
            ("closed", |kinds| &mut kinds.closed),
            ("failed", |kinds| &mut kinds.failed),
        ];
        let mut kinds = Self::NONE;
        for word in text.split(['+', ',']) {
            *choose(word.trim(), &WORDS)?(&mut kinds) = true;
        }
        Ok(kinds)
    }
}

impl Default for EventKinds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How records of a sink wait and are tried again. What is `None` is the program's default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivery {
    /// Events, and metric points, that wait at most.
    pub queue_records: Option<usize>,
    /// Where waiting events outlive the process.
    pub storage: Option<Storage>,
    /// Limits of retrying.
    pub retry: Retry,
}

/// A directory for waiting events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The directory; made when it is not there.
    pub directory: PathBuf,
    /// Its size at most, in bytes.
    pub max_bytes: u64,
}

/// Bytes of a storage directory unless `storage_size` says otherwise.
pub const DEFAULT_STORAGE_BYTES: u64 = 1 << 30;

/// Limits of retrying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Whether a failure that may pass is tried again.
    pub enabled: bool,
    /// Wait after the first failure.
    pub initial: Option<Duration>,
    /// Longest wait.
    pub max: Option<Duration>,
    /// Records are given up after this; zero never does.
    pub max_elapsed: Option<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { enabled: true, initial: None, max: None, max_elapsed: None }
    }
}

/// Reads `events`.
pub(super) fn events(spec: &Spec) -> Result<Option<EventKinds>, Problem> {
    parsed(spec, "events", EventKinds::parse)
}

impl Delivery {
    /// Reads the keys of [`KEYS`]; a sink without them has none, since it refuses them.
    pub(super) fn from_spec(spec: &Spec) -> Result<Self, Problem> {
        let storage_size = parsed(spec, "storage_size", bytes)?;
        let directory = parsed(spec, "storage", |text| match text {
            "" => Err("empty; valid: the path of a directory".to_owned()),
            path => Ok(PathBuf::from(path)),
        })?;
        if directory.is_none() && storage_size.is_some() {
            return Err(Problem::setting("storage_size", "there is no `storage`; set both"));
        }
        let max_bytes = storage_size.unwrap_or(DEFAULT_STORAGE_BYTES);
        Ok(Self {
            queue_records: parsed(spec, "queue_size", |text| match text.parse() {
                Ok(records) if records > 0 => Ok(records),
                _ => Err("valid: a whole number of records from 1".to_owned()),
            })?,
            storage: directory.map(|directory| Storage { directory, max_bytes }),
            retry: Retry {
                enabled: parsed(spec, "retry", |text| choose(text, &[("true", true), ("false", false)]))?
                    .unwrap_or(true),
                initial: parsed(spec, "retry_initial", positive)?,
                max: parsed(spec, "retry_max", positive)?,
                max_elapsed: parsed(spec, "retry_elapsed", |text| {
                    parse_duration(text).map_err(|error| error.to_string())
                })?,
            },
        })
    }
}

fn parsed<T>(
    spec: &Spec,
    key: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Problem> {
    spec.get(key).map(parse).transpose().map_err(|why| Problem::setting(key, why))
}

fn positive(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("it must be more than 0".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

/// A size in bytes, with a unit or without.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let shift = match unit {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        _ => 64,
    };
    let number = digits.parse::<u64>().ok().filter(|number| *number > 0);
    let bytes = number.and_then(|number| number.checked_mul(1_u64.checked_shl(shift)?));
    bytes.ok_or_else(|| "valid: a whole number of bytes, such as 4096, 512M or 2G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Outside;

    #[test]
    fn what_is_not_given_stays_open() {
        let sink = Outside::default().sink("otlp,endpoint=http://h:4318").unwrap();
        assert_eq!((sink.events, sink.delivery), (None, Delivery::default()));
    }

    #[test]
    fn everything_is_read() {
        let sink = Outside::default()
            .sink(
                "otlp,endpoint=http://h:4318,events=opened+updated,queue_size=10,storage=/var/lib/convis,\
                 storage_size=2M,retry=false,retry_initial=10ms,retry_max=1s,retry_elapsed=0",
            )
            .unwrap();
        assert_eq!(sink.events, Some(EventKinds { opened: true, updated: true, ..EventKinds::NONE }));
        let storage = Storage { directory: "/var/lib/convis".into(), max_bytes: 2 << 20 };
        let retry = Retry {
            enabled: false,
            initial: Some(Duration::from_millis(10)),
            max: Some(Duration::from_secs(1)),
            max_elapsed: Some(Duration::ZERO),
        };
        assert_eq!(sink.delivery, Delivery { queue_records: Some(10), storage: Some(storage), retry });
    }

    #[test]
    fn mistakes_name_what_is_valid() {
        let table = [
            (
                "stdout,events=gone",
                "--sink stdout: events: `gone` is unknown; valid: opened, updated, closed, failed",
            ),
            ("stdout,storage=/x", "--sink stdout: unknown key `storage`; valid keys: format, events"),
            ("otlp,queue_size=0", "--sink otlp: queue_size: valid: a whole number of records from 1"),
            ("otlp,storage=", "--sink otlp: storage: empty; valid: the path of a directory"),
            ("otlp,storage_size=1M", "--sink otlp: storage_size: there is no `storage`; set both"),
            ("otlp,retry_max=0s", "--sink otlp: retry_max: it must be more than 0"),
            ("otlp,retry=yes", "--sink otlp: retry: `yes` is unknown; valid: true, false"),
        ];
        for (spec, line) in table {
            assert_eq!(Outside::default().refusal(spec), line);
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, want) in [("1", 1), ("4K", 4096), ("2m", 2 << 20), ("3G", 3 << 30)] {
            assert_eq!(bytes(text), Ok(want), "{text}");
        }
        for text in ["", "0", "K", "1T", "-1", "1.5G", "99999999999999999999", "99999999999G"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
