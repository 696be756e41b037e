//! Which runtimes this host has.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::address::Address;
use super::cache::Trust;
use super::settings::Settings;

/// Docker and Podman, as the system runs them.
const DOCKER: [&str; 4] =
    ["run/docker.sock", "var/run/docker.sock", "run/podman/podman.sock", "var/run/podman/podman.sock"];
/// The same below the folder of each user.
const OF_USERS: [&str; 2] = ["docker.sock", "podman/podman.sock"];
/// Where those folders are.
const USERS: &str = "run/user";
/// containerd, CRI-O, cri-dockerd, k3s and rke2, k0s, microk8s.
const CRI: [&str; 9] = [
    "run/containerd/containerd.sock",
    "var/run/containerd/containerd.sock",
    "run/crio/crio.sock",
    "var/run/crio/crio.sock",
    "run/cri-dockerd.sock",
    "var/run/cri-dockerd.sock",
    "run/k3s/containerd/containerd.sock",
    "run/k0s/containerd.sock",
    "var/snap/microk8s/common/run/containerd.sock",
];
/// Users whose runtimes are asked.
const MOST_USERS: usize = 32;

/// How a runtime is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Docker,
    Cri,
}

/// A runtime that may be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) protocol: Protocol,
    pub(super) address: Address,
    pub(super) trust: Trust,
    /// Whether the user named it, and it therefore should be there.
    pub(super) named: bool,
}

/// The runtimes that the user named and, for a kind that has none named, those whose sockets are there.
pub(super) fn find(settings: &Settings) -> Vec<Found> {
    let mut all = Vec::new();
    let kinds = [
        (Protocol::Docker, settings.choice.docker(), &settings.docker_hosts),
        (Protocol::Cri, settings.choice.cri(), &settings.cri_endpoints),
    ];
    for (protocol, wanted, named) in kinds {
        if !wanted {
            continue;
        }
        let mut seen = Vec::new();
        let mut add = |(path, file): (PathBuf, FileId), trust| {
            if !seen.contains(&file) {
                seen.push(file);
                all.push(Found { protocol, address: Address::Unix(path), trust, named: false });
            }
        };
        match protocol {
            _ if !named.is_empty() => {
                let as_named = |address: &Address| Found {
                    protocol,
                    address: address.clone(),
                    trust: Trust::System,
                    named: true,
                };
                all.extend(named.iter().map(as_named));
            }
            Protocol::Docker => {
                sockets(&settings.root, &DOCKER).for_each(|found| add(found, Trust::System));
                for folder in user_folders(settings) {
                    sockets(&folder, &OF_USERS).for_each(|found| add(found, Trust::User));
                }
            }
            Protocol::Cri => sockets(&settings.root, &CRI).for_each(|found| add(found, Trust::System)),
        }
    }
    all
}

/// Each runtime that may be there: how it is talked to, and where it listens.
pub fn runtimes(settings: &Settings) -> Vec<String> {
    let one = |found: Found| match found.protocol {
        Protocol::Docker => format!("Docker API at {}", found.address),
        Protocol::Cri => format!("CRI at {}", found.address),
    };
    find(settings).into_iter().map(one).collect()
}

/// Device and inode: several names may lead to one socket.
type FileId = (u64, u64);

/// The sockets that are there. Their paths stay as they are: what `/proc/1/root` leads to has no other name in a container.
fn sockets(folder: &Path, names: &[&str]) -> impl Iterator<Item = (PathBuf, FileId)> {
    names.iter().filter_map(move |name| {
        let path = folder.join(name);
        let file = fs::metadata(&path).ok().filter(|file| file.file_type().is_socket())?;
        Some((path, (file.dev(), file.ino())))
    })
}

fn user_folders(settings: &Settings) -> Vec<PathBuf> {
    let all = fs::read_dir(settings.root.join(USERS)).into_iter().flatten().flatten();
    let mut folders: Vec<_> = all.map(|entry| entry.path()).collect();
    folders.sort();
    folders.truncate(MOST_USERS);
    settings.runtime_dir.iter().cloned().chain(folders).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::super::settings::Choice;
    use super::*;

    fn socket(root: &Path, name: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        drop(UnixListener::bind(path).unwrap());
    }

    fn found(settings: &Settings) -> Vec<(Protocol, String, Trust)> {
        let short = |address: &Address| match address {
            Address::Unix(path) => path.strip_prefix(&settings.root).unwrap_or(path).display().to_string(),
            Address::Tcp(host) => host.clone(),
        };
        find(settings).iter().map(|one| (one.protocol, short(&one.address), one.trust)).collect()
    }

    /// Scenario: sockets of several runtimes, one of them under two names, a plain file where another would be.
    /// Guarantees: each is found once, users' ones are marked; a choice leaves out the other kind.
    #[test]
    fn finds_sockets() {
        let root = tempfile::tempdir().unwrap();
        let settings = Settings { root: root.path().to_owned(), ..Settings::default() };
        assert_eq!(found(&settings), []);
        for name in
            ["run/docker.sock", "run/k3s/containerd/containerd.sock", "run/user/1000/podman/podman.sock"]
        {
            socket(root.path(), name);
        }
        fs::create_dir_all(root.path().join("var")).unwrap();
        symlink(root.path().join("run"), root.path().join("var/run")).unwrap();
        fs::create_dir_all(root.path().join("run/crio")).unwrap();
        fs::write(root.path().join("run/crio/crio.sock"), "").unwrap();
        let docker = (Protocol::Docker, "run/docker.sock".to_owned(), Trust::System);
        let podman = (Protocol::Docker, "run/user/1000/podman/podman.sock".to_owned(), Trust::User);
        let k3s = (Protocol::Cri, "run/k3s/containerd/containerd.sock".to_owned(), Trust::System);
        assert_eq!(found(&settings), [docker.clone(), podman.clone(), k3s.clone()]);
        let only = |choice| Settings { choice, ..settings.clone() };
        assert_eq!(found(&only(Choice::Docker)), [docker, podman]);
        assert_eq!(found(&only(Choice::Cri)), [k3s]);
        assert_eq!(found(&only(Choice::None)), []);
    }

    /// Scenario: the user names a Docker host that is not there.
    /// Guarantees: it is the only one of its kind, and the other kind is still found.
    #[test]
    fn a_named_one_replaces_the_found_ones() {
        let root = tempfile::tempdir().unwrap();
        socket(root.path(), "run/docker.sock");
        socket(root.path(), "run/containerd/containerd.sock");
        let settings = Settings {
            root: root.path().to_owned(),
            docker_hosts: vec![Address::Tcp("h:1".into())],
            ..Settings::default()
        };
        assert_eq!(
            found(&settings),
            [
                (Protocol::Docker, "h:1".into(), Trust::System),
                (Protocol::Cri, "run/containerd/containerd.sock".into(), Trust::System)
            ]
        );
    }
}
