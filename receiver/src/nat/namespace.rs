//! Sockets in the host's network namespace.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{Unavailable, socket};
use crate::own::network_namespace;

/// A socket in the network namespace of pid 1, in the procfs at `proc_root`, and that namespace's inode.
pub(super) fn of_host(proc_root: &Path) -> Result<(OwnedFd, Option<u32>), Unavailable> {
    let own = socket::open().map_err(|errno| Unavailable::Socket(errno.into()))?;
    let (own, inode) = inode(own);
    // Which namespace pid 1 is in takes the rights of a debugger to see; which sockets are there does not.
    if inode.is_some_and(|inode| is_listed(&proc_root.join("1/net/netlink"), inode)) {
        return Ok((own, network_namespace(Path::new("/proc/self/ns/net")).ok()));
    }
    let namespace = proc_root.join("1/ns/net");
    Ok((enter(&namespace)?, network_namespace(&namespace).ok()))
}

/// A socket in the network namespace at `namespace`.
pub(super) fn enter(namespace: &Path) -> Result<OwnedFd, Unavailable> {
    let namespace = File::open(namespace).map_err(Unavailable::Namespace)?;
    let visit = move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|errno| Unavailable::Namespace(errno.into()))?;
        socket::open().map_err(|errno| Unavailable::Socket(errno.into()))
    };
    // A thread enters alone, and this one ends with it.
    let visitor = std::thread::Builder::new().spawn(visit).map_err(Unavailable::Namespace)?;
    visitor.join().unwrap_or_else(|_| Err(Unavailable::Namespace(io::Error::other("the thread ended early"))))
}

fn inode(socket: OwnedFd) -> (OwnedFd, Option<u64>) {
    let file = File::from(socket);
    let inode = file.metadata().ok().map(|metadata| metadata.ino());
    (file.into(), inode)
}

/// Whether a socket is in a list as in `/proc/net/netlink`, where inodes stand last.
fn is_listed(list: &Path, inode: u64) -> bool {
    let inode = inode.to_string();
    fs::read_to_string(list)
        .is_ok_and(|list| list.lines().any(|line| line.split_whitespace().next_back() == Some(&*inode)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a host whose pid 1 shares convis's network namespace, and may not be looked at beyond its sockets.
    /// Guarantees: convis's own socket will do.
    #[test]
    fn takes_its_own_where_it_is_on_the_host() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/proc/self", root.path().join("1")).unwrap();
        of_host(root.path()).unwrap();
        fs::remove_file(root.path().join("1")).unwrap();
        fs::create_dir(root.path().join("1")).unwrap();
        std::os::unix::fs::symlink("/proc/self/net", root.path().join("1/net")).unwrap();
        of_host(root.path()).unwrap();
    }

    /// Scenario: pid 1 is elsewhere and its namespace out of reach; then it is none.
    /// Guarantees: no socket of another namespace, and the reason.
    #[test]
    fn never_takes_another_for_the_hosts() {
        let root = tempfile::tempdir().unwrap();
        let first = root.path().join("1");
        fs::create_dir_all(first.join("net")).unwrap();
        fs::create_dir_all(first.join("ns")).unwrap();
        fs::write(first.join("net/netlink"), "sk Eth Pid Inode\n00000000dead0000 12 0 1\n").unwrap();
        assert!(matches!(of_host(root.path()), Err(Unavailable::Namespace(_))));
        fs::write(first.join("ns/net"), "").unwrap();
        assert!(matches!(of_host(root.path()), Err(Unavailable::Namespace(_))));
    }

    /// Scenario: a list with other inodes, and with the number in another column.
    /// Guarantees: only the last column counts, as a whole.
    #[test]
    fn finds_inodes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let listed = |text: &str| {
            fs::write(file.path(), text).unwrap();
            is_listed(file.path(), 42)
        };
        assert!(listed("sk Eth Pid Inode\nffff 12 1 1\nffff 12 42 42      \n"));
        assert!(!listed("sk Eth Pid Inode\nffff 12 42 420\nffff 42 42 142\n"));
        assert!(!is_listed(Path::new("/nonexistent"), 42));
    }
}
