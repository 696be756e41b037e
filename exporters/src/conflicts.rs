//! What two sinks cannot both have: a file to write, an address to listen on.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use convis_otel_config::{FileConfig, PrometheusWay, SinkConfig, SinkKind};

/// Something of which there is one.
enum Thing {
    File { path: PathBuf, max_backups: u32 },
    Address(SocketAddr),
}

/// For the first sink that wants what one before it has: its place, that one's, and one line without their names.
pub(crate) fn find(configs: &[SinkConfig]) -> Option<(usize, usize, String)> {
    let things: Vec<_> = configs.iter().map(thing).collect();
    things.iter().enumerate().find_map(|(second, wanted)| {
        let wanted = wanted.as_ref()?;
        things[..second].iter().enumerate().find_map(|(first, taken)| {
            let why = conflict(taken.as_ref()?, wanted)?;
            Some((second, first, why))
        })
    })
}

fn thing(config: &SinkConfig) -> Option<Thing> {
    match &config.kind {
        SinkKind::File(FileConfig { path, max_backups, .. }) => {
            // A device is not renamed, and takes from many.
            let is_file = path.metadata().map_or(true, |data| data.is_file());
            is_file.then(|| Thing::File { path: real(path), max_backups: *max_backups })
        }
        SinkKind::Prometheus(prometheus) => match prometheus.way {
            PrometheusWay::Listen(address) if address.port() != 0 => Some(Thing::Address(address)),
            PrometheusWay::Listen(_) | PrometheusWay::Write(_) => None,
        },
        SinkKind::Stdout(_) | SinkKind::Otlp(_) | SinkKind::NewRelic(_) => None,
    }
}

fn conflict(first: &Thing, second: &Thing) -> Option<String> {
    match (first, second) {
        (Thing::Address(first), Thing::Address(second)) if first == second => {
            Some(format!("listens on {first}; give each its own `listen`"))
        }
        (
            Thing::File { path: first, max_backups: of_first },
            Thing::File { path: second, max_backups: of_second },
        ) => {
            let is_one = first == second
                || is_backup(first, *of_first, second)
                || is_backup(second, *of_second, first);
            is_one.then(|| {
                format!(
                    "writes {}, or renames it when it is full; give each its own `path`",
                    second.display()
                )
            })
        }
        _ => None,
    }
}

/// Whether the file at `path` is renamed to `other` at some time.
fn is_backup(path: &Path, max_backups: u32, other: &Path) -> bool {
    let number = other.as_os_str().as_encoded_bytes().strip_prefix(path.as_os_str().as_encoded_bytes());
    let number = number.and_then(|rest| std::str::from_utf8(rest.strip_prefix(b".")?).ok());
    let number = number.filter(|number| !number.starts_with(['0', '+']));
    number.and_then(|number| number.parse().ok()).is_some_and(|number: u32| number <= max_backups)
}

/// One name for a file, however its path is written, also before it exists.
fn real(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let resolved = whole.canonicalize().ok().or_else(|| {
        let folder = whole.parent()?.canonicalize().ok()?;
        Some(folder.join(whole.file_name()?))
    });
    resolved.unwrap_or(whole)
}
