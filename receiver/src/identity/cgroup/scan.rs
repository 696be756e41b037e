//! A walk of the hierarchy: which cgroups there are.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::rc::Rc;

use super::Mount;

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Id and path of each cgroup, from the root down.
    pub(super) found: Vec<(u64, Rc<str>)>,
    /// Nothing was left out, so what is not here is not there.
    pub(super) complete: bool,
}

/// Walks at most `max` cgroups, those with the shortest paths first.
pub(super) fn scan(mount: &Mount, max: usize) -> Scan {
    let mut scan = Scan::default();
    let Ok(root) = fs::metadata(&mount.directory) else { return scan };
    let mut waiting = VecDeque::from([(root.ino(), mount.directory.clone(), mount.prefix.clone())]);
    scan.complete = true;
    while let Some((id, directory, path)) = waiting.pop_front() {
        match children(&directory, root.dev()) {
            Ok(children) => {
                for (id, name) in children {
                    if scan.found.len() + waiting.len() + 1 < max {
                        waiting.push_back((id, directory.join(&name), format!("{path}/{}", name.display())));
                    } else {
                        scan.complete = false;
                    }
                }
            }
            // Removed meanwhile, with all that was in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(_) => scan.complete = false,
        }
        scan.found.push((id, if path.is_empty() { "/".into() } else { path.into() }));
    }
    scan
}

/// The directories in `directory` that are of the same file system.
fn children(directory: &Path, device: u64) -> io::Result<Vec<(u64, OsString)>> {
    let mut children = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        match entry.metadata() {
            Ok(data) if data.dev() == device => children.push((data.ino(), entry.file_name())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
    }
    Ok(children)
}
