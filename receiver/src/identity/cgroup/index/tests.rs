use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::super::Place;
use super::*;

const ID: &str = "6f0d2f4a1c3b5e7d9f8a0b2c4d6e8f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d2e";
const SECOND: u64 = 1_000_000_000;

fn mkdir(root: &Path, path: &str) -> u64 {
    let directory = root.join(path);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("cgroup.procs"), "").unwrap();
    fs::metadata(directory).unwrap().ino()
}

fn mount(root: &Path) -> Mount {
    Mount { directory: root.to_owned(), prefix: String::new() }
}

fn path(index: &mut CgroupIndex, id: u64, now_ns: u64) -> Option<String> {
    index.resolve(id, now_ns).map(|path| path.to_string())
}

/// Scenario: a tree of directories, with files and a link in it, found at start.
/// Guarantees: each directory by its inode number, the root as well; of a mount that shows a part, the whole paths.
#[test]
fn finds_what_is_there() {
    let root = tempfile::tempdir().unwrap();
    let container = mkdir(root.path(), &format!("docker/{ID}"));
    let unit = mkdir(root.path(), "system.slice/nginx.service");
    std::os::unix::fs::symlink(root.path(), root.path().join("loop")).unwrap();
    let mut index = CgroupIndex::new(Some(mount(root.path())), 0);
    assert_eq!(index.len(), 5);
    let found = index.resolve(container, 0).unwrap();
    assert_eq!(&*found, format!("/docker/{ID}"));
    assert_eq!(Place::of(&found).container_id.as_deref(), Some(ID));
    assert_eq!(path(&mut index, unit, 0).as_deref(), Some("/system.slice/nginx.service"));
    assert_eq!(path(&mut index, fs::metadata(root.path()).unwrap().ino(), 0).as_deref(), Some("/"));
    let part = Mount { directory: root.path().join("docker"), prefix: "/lxc/a/docker".into() };
    let mut index = CgroupIndex::new(Some(part), 0);
    assert_eq!(path(&mut index, container, 0), Some(format!("/lxc/a/docker/{ID}")));
    assert_eq!(path(&mut index, unit, 0), None);
}

/// Scenario: cgroups that are made after the start, asked for at once and again; ids that nobody has.
/// Guarantees: a walk finds the new one once the time is there; an id that a walk did not find causes none for a minute.
#[test]
fn a_miss_walks_again_but_rarely() {
    let root = tempfile::tempdir().unwrap();
    let mut index = CgroupIndex::new(Some(mount(root.path())), 0);
    let first = mkdir(root.path(), "first");
    assert_eq!(path(&mut index, first, SECOND - 1), None);
    assert_eq!(path(&mut index, first, SECOND).as_deref(), Some("/first"));
    assert_eq!(path(&mut index, u64::MAX, 2 * SECOND), None);
    let second = mkdir(root.path(), "second");
    assert_eq!(path(&mut index, u64::MAX, 10 * SECOND), None);
    assert_eq!(index.len(), 2);
    assert_eq!(path(&mut index, 0, 10 * SECOND), None);
    assert_eq!(index.len(), 2);
    assert_eq!(path(&mut index, u64::MAX, 62 * SECOND), None);
    assert_eq!(index.len(), 3);
    assert_eq!(path(&mut index, second, 62 * SECOND).as_deref(), Some("/second"));
}

/// Scenario: the kernel tells of a container that comes and goes between two walks, and again late; another one goes
/// unannounced.
/// Guarantees: both are known for ten minutes after they were seen to be gone, and then no more.
#[test]
fn what_is_gone_stays_a_while() {
    let root = tempfile::tempdir().unwrap();
    let unannounced = mkdir(root.path(), "docker/unannounced");
    let mut index = CgroupIndex::new(Some(mount(root.path())), 0);
    index.learn(77, "/docker/brief");
    index.removed(77, SECOND);
    index.removed(77, 2 * SECOND);
    index.learn(77, "/docker/late");
    index.removed(78, 2 * SECOND);
    assert_eq!(path(&mut index, 77, 2 * SECOND).as_deref(), Some("/docker/brief"));
    fs::remove_dir_all(root.path().join("docker/unannounced")).unwrap();
    assert_eq!(path(&mut index, 99, 5 * SECOND), None);
    assert_eq!(path(&mut index, unannounced, 5 * SECOND).as_deref(), Some("/docker/unannounced"));
    index.reap(600 * SECOND);
    assert_eq!(path(&mut index, 77, 600 * SECOND).as_deref(), Some("/docker/brief"));
    index.reap(601 * SECOND);
    assert_eq!(path(&mut index, 77, 601 * SECOND), None);
    assert!(path(&mut index, unannounced, 601 * SECOND).is_some());
    index.reap(605 * SECOND);
    assert_eq!(path(&mut index, unannounced, 605 * SECOND), None);
    assert_eq!(index.len(), 2);
}

/// Scenario: an id whose cgroup was removed belongs to a new directory, as inode numbers of other file systems do.
/// Guarantees: the walk's path, for as long as it is there.
#[test]
fn a_walk_corrects_an_id() {
    let root = tempfile::tempdir().unwrap();
    let id = mkdir(root.path(), "new");
    let mut index = CgroupIndex::default();
    index.learn(id, "/old");
    index.removed(id, 0);
    index.mount = Some(mount(root.path()));
    index.rescan(SECOND);
    index.reap(1_000 * SECOND);
    assert_eq!(path(&mut index, id, 1_000 * SECOND).as_deref(), Some("/new"));
    assert_eq!((index.live, index.gone.len()), (2, 0));
}

/// Scenario: more cgroups come and go than are kept; more live than are known at a time; more than a walk takes.
/// Guarantees: the newest are kept, the rest is counted; a walk that left something out marks nothing as gone.
#[test]
fn is_bounded() {
    let mut index = CgroupIndex::new(None, 0);
    for id in 1..=MAX_GONE as u64 + 10 {
        index.learn(id, "/a");
        index.removed(id, id);
    }
    assert_eq!(index.len(), MAX_GONE);
    assert_eq!(path(&mut index, 10, 0), None);
    assert!(path(&mut index, 11, 0).is_some());
    for id in 0..=MAX_LIVE as u64 {
        index.learn(1_000_000 + id, "/b");
    }
    assert_eq!((index.len(), index.left_out()), (MAX_GONE + MAX_LIVE, 1));
    for id in 0..3 * MAX_MISSING as u64 {
        index.missing.insert(id, u64::MAX);
    }
    let root = tempfile::tempdir().unwrap();
    for path in ["a/b/c", "d", "e"] {
        mkdir(root.path(), path);
    }
    let whole = scan(&mount(root.path()), 6);
    assert_eq!((whole.found.len(), whole.complete), (6, true));
    let part = scan(&mount(root.path()), 4);
    assert_eq!((part.found.len(), part.complete), (4, false));
    assert!(part.found.iter().all(|(_, path)| path.len() <= 2));
    let none = scan(&mount(&root.path().join("none")), 4);
    assert_eq!((none.found.len(), none.complete), (0, false));
    index.mount = Some(mount(&root.path().join("none")));
    assert_eq!(path(&mut index, 9_999_999, SECOND), None);
    assert_eq!((index.live, index.missing.len()), (MAX_LIVE, 1));
}

/// Scenario: this host's own hierarchy, where it has one.
/// Guarantees: the cgroup of this process is found by the number of its directory, without one being left out.
#[test]
fn knows_this_host() {
    let Some(mount) = Mount::find(Path::new("/proc")) else { return };
    let root = fs::metadata(&mount.directory).unwrap().ino();
    let mut index = CgroupIndex::new(Some(mount), 0);
    assert!(index.resolve(root, 0).is_some());
    assert_eq!(index.left_out(), 0);
}
