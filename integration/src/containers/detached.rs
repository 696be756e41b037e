//! A container that needs no daemon while it runs: its lines go to a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::names::{Container, Named};
use super::player::{IMAGE, PROC, PROGRAM, Part};
use crate::clock::wait_for;
use crate::process::built;
use crate::runtimes::{Containerd, Docker, PodSpec};
use crate::truth::Report;

const PATIENCE: Duration = Duration::from_secs(90);
/// Where the container finds the folder for its lines.
const LINES: &str = "/lines";
const SCRIPT: &str = "exec \"$@\" >/lines/file";

/// Such a container.
pub struct Detached {
    container: Container,
    lines: PathBuf,
}

impl Detached {
    pub(super) fn in_docker(docker: &Docker, name: &str, part: &Part) -> Self {
        let folder = new_folder(docker.folder(), name);
        let mounts = mounts(&folder).map(|(from, to)| format!("{}:{to}", from.display()));
        let mut words = vec!["run", "-d", "--name", name];
        words.extend(mounts.iter().flat_map(|mount| ["-v", mount]));
        let image = format!("{IMAGE}:v1");
        words.push(&image);
        words.extend(command(part));
        let id = docker.docker(&words);
        Self::begun(Container::named(docker.kind().runtime(), &id, name, IMAGE), &folder)
    }

    /// In a container of this name in a pod.
    pub fn in_pod(containerd: &Containerd, pod: &str, spec: PodSpec<'_>, name: &str, part: &Part) -> Self {
        let folder = new_folder(containerd.folder(), &format!("{}.{name}", spec.name));
        let mounts = mounts(&folder);
        let mounts = mounts.each_ref().map(|(from, to)| (from.as_path(), *to));
        let command: Vec<_> = command(part).collect();
        let id = containerd.run_command(pod, spec, (name, 0), &command, &mounts);
        let attributes = [
            ("container.id", id.as_str()),
            ("container.image.name", IMAGE),
            ("k8s.namespace.name", spec.namespace),
            ("k8s.pod.name", spec.name),
            ("k8s.pod.uid", spec.uid),
            ("k8s.container.name", name),
        ];
        let container = Container {
            runtime: "containerd",
            service: Some((name.to_owned(), Some(spec.namespace.to_owned()))),
            attributes: attributes.map(|(key, value)| (key, value.to_owned())).into(),
        };
        Self::begun(container, &folder)
    }

    fn begun(container: Container, folder: &Path) -> Self {
        let lines = folder.join("file");
        wait_for("a first line", PATIENCE, || {
            fs::read_to_string(&lines).is_ok_and(|text| text.contains('\n')).then_some(())
        });
        Self { container, lines }
    }

    /// Waits until it has reported so many connections: who it was, and what it did.
    pub fn finish(self, count: usize) -> Named {
        let reports = wait_for("reports of a container", PATIENCE, || {
            let text = fs::read_to_string(&self.lines).expect("its lines");
            let reports: Vec<_> = text.lines().filter_map(Report::from_json).collect();
            (reports.len() == count).then_some(reports)
        });
        Named { reports, container: Some(self.container) }
    }
}

fn new_folder(parent: &Path, name: &str) -> PathBuf {
    let folder = parent.join(format!("{name}.lines"));
    fs::create_dir(&folder).expect("a folder");
    folder
}

fn mounts(folder: &Path) -> [(PathBuf, &'static str); 3] {
    [(built("traffic"), PROGRAM), ("/proc".into(), PROC), (folder.to_owned(), LINES)]
}

fn command(part: &Part) -> impl Iterator<Item = &str> {
    ["/bin/sh", "-c", SCRIPT, "-"].into_iter().chain(part.words())
}
