//! The folder for what is expensive to make, outside the repository.

use std::fs::{self, File};
use std::path::PathBuf;

/// `$CONVIS_CACHE`, else `convis` in the user's cache folder; made when missing.
pub fn folder() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = variable("CONVIS_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("convis")))
        .or_else(|| Some(variable("HOME")?.join(".cache/convis")))
        .expect("one of CONVIS_CACHE, XDG_CACHE_HOME and HOME is set");
    fs::create_dir_all(&folder).expect("the cache folder can be made");
    folder
}

/// Held while something is put into the cache, across processes; released on drop.
pub fn lock(name: &str) -> File {
    let file = File::create(folder().join(name)).expect("the lock file can be made");
    file.lock().expect("the lock file can be locked");
    file
}
