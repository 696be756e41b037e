//! Small disks, to be filled.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A small disk, gone on drop.
pub struct Disk(tempfile::TempDir);

impl Disk {
    /// One of this size, mounted. Needs root.
    pub fn of(bytes: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = std::ffi::CString::new(format!("size={bytes}")).expect("no zero in it");
        mount("convis-test", folder.path(), "tmpfs", MountFlags::empty(), options.as_c_str())
            .expect("a mount");
        Self(folder)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A test that failed has said so already.
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

/// Fills the disk of `path` with it, but for two pages: others on this host have connections, too.
pub fn fill_but_for_two_pages(path: &Path) {
    let mut ballast = File::create(path).expect("a file");
    while ballast.write_all(&[0; 4096]).is_ok() {}
    let size = ballast.metadata().expect("a file").len();
    ballast.set_len(size.saturating_sub(8192)).expect("a smaller file");
}
