//! A container that needs no daemon while it runs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::names::{Container, Named, Names};
use super::player::{IMAGE, Part, mounts};
use crate::clock::wait_for;
use crate::runtimes::Docker;
use crate::truth::Report;

const PATIENCE: Duration = Duration::from_secs(90);

/// A container whose lines go to a file, not through its daemon.
pub struct Detached {
    name: String,
    id: String,
    lines: PathBuf,
}

impl Detached {
    pub(super) fn start(docker: &Docker, name: &str, part: &Part) -> Self {
        let folder = docker.folder().join(format!("{name}.lines"));
        fs::create_dir(&folder).expect("a folder");
        let shared = format!("{}:/lines", folder.display());
        let mounts = mounts();
        let mut words = vec!["run", "-d", "--name", name, "-v", &shared];
        words.extend(mounts.iter().map(String::as_str));
        let image = format!("{IMAGE}:v1");
        words.extend([&image, "/bin/sh", "-c", "exec \"$@\" >/lines/file", "-"]);
        words.extend(part.words());
        let id = docker.docker(&words);
        let lines = folder.join("file");
        wait_for("a first line", PATIENCE, || {
            fs::read_to_string(&lines).is_ok_and(|text| text.contains('\n')).then_some(())
        });
        Self { name: name.to_owned(), id, lines }
    }

    /// Waits for its end: who it was, and what it did.
    pub fn finish(self, docker: &Docker) -> Named {
        let status = docker.docker(&["wait", &self.name]);
        assert_eq!(status, "0", "{}", docker.docker(&["logs", &self.name]));
        let text = fs::read_to_string(&self.lines).expect("its lines");
        let names = Names { name: self.name, image: IMAGE.to_owned() };
        Named {
            reports: text.lines().filter_map(Report::from_json).collect(),
            container: Some(Container { id: self.id, names: Some(names) }),
        }
    }
}
