//! `file,path=PATH[,max_size=SIZE][,max_backups=COUNT]`: events as JSON lines in a file.
//!
//! | key | meaning | default |
//! |---|---|---|
//! | `path` | the file; appended to when it is there | none: it must be given |
//! | `max_size` | a file grows no larger; K, M and G are understood | 100M |
//! | `max_backups` | full files that stay: `PATH.1`, the newest, to `PATH.COUNT`; 0 keeps none | 5 |
//!
//! `max_size` and `max_backups` are what `max_megabytes` and `max_backups` are under `rotation:` of the Collector's file
//! exporter.

use std::path::PathBuf;

use super::delivery;
use crate::{Problem, Spec, spec::Key};

pub(super) const KEYS: &[Key] = &[Key::plain("path"), Key::plain("max_size"), Key::plain("max_backups")];

/// Size of a file unless `max_size` says otherwise, in bytes.
pub const DEFAULT_FILE_BYTES: u64 = 100 << 20;
/// Full files that stay unless `max_backups` says otherwise.
pub const DEFAULT_FILE_BACKUPS: u32 = 5;
/// A file has room for the largest line.
const LEAST_BYTES: u64 = 64 << 10;
/// Each of them is renamed when a file is full.
const MOST_BACKUPS: u32 = 1000;

/// Settings of the `file` sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileConfig {
    /// Where the lines go.
    pub path: PathBuf,
    /// The file grows no larger, in bytes.
    pub max_bytes: u64,
    /// Full files that stay.
    pub max_backups: u32,
}

impl FileConfig {
    pub(super) fn from_spec(spec: &Spec) -> Result<Self, Problem> {
        spec.check_keys(&[KEYS, delivery::EVENT_KEYS, delivery::KEYS])?;
        let path = match spec.get("path") {
            None | Some("") => return Err(Problem::setting("path", "missing; set it to the file's path")),
            Some(path) => PathBuf::from(path),
        };
        let max_bytes = match spec.get("max_size").map(delivery::bytes).transpose() {
            Ok(bytes) => bytes.unwrap_or(DEFAULT_FILE_BYTES),
            Err(why) => return Err(Problem::setting("max_size", why)),
        };
        if max_bytes < LEAST_BYTES {
            return Err(Problem::setting("max_size", "too small for the longest lines; valid: from 64K"));
        }
        let max_backups = spec.get("max_backups").map_or(Ok(DEFAULT_FILE_BACKUPS), str::parse);
        match max_backups {
            Ok(max_backups) if max_backups <= MOST_BACKUPS => Ok(Self { path, max_bytes, max_backups }),
            _ => Err(Problem::setting("max_backups", "valid: a whole number of files from 0 to 1000")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SinkKind, testing::Outside};

    #[test]
    fn what_is_given_is_read() {
        let read = |spec: &str| Outside::default().sink(spec).map(|sink| sink.kind);
        let path = PathBuf::from("/var/log/convis.jsonl");
        assert_eq!(
            read("file,path=/var/log/convis.jsonl"),
            Ok(SinkKind::File(FileConfig { path: path.clone(), max_bytes: 100 << 20, max_backups: 5 }))
        );
        assert_eq!(
            read("file,path=/var/log/convis.jsonl,max_size=64K,max_backups=0,events=closed,queue_size=9"),
            Ok(SinkKind::File(FileConfig { path, max_bytes: 64 << 10, max_backups: 0 }))
        );
    }

    #[test]
    fn mistakes_name_what_is_valid() {
        let table = [
            ("file", "path: missing; set it to the file's path"),
            ("file,path=", "path: missing; set it to the file's path"),
            ("file,path=/x,max_size=1K", "max_size: too small for the longest lines; valid: from 64K"),
            (
                "file,path=/x,max_size=big",
                "max_size: valid: a whole number of bytes, such as 4096, 512M or 2G",
            ),
            ("file,path=/x,max_backups=-1", "max_backups: valid: a whole number of files from 0 to 1000"),
            ("file,path=/x,max_backups=1001", "max_backups: valid: a whole number of files from 0 to 1000"),
        ];
        for (spec, line) in table {
            assert_eq!(Outside::default().refusal(spec), format!("--sink file: {line}"));
        }
    }
}
