//! The programs that run inside: linked statically, because the machine has no libraries.

use std::fs;
use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::arch::Arch;
use super::kernels::Suite;
use crate::cache;

/// A program built by `scripts/vm`; an error when that has not run.
pub fn program(name: &str, arch: Arch) -> Result<PathBuf, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let path = target.join("guest").join(arch.target()).join("guest").join(name);
    if path.exists() { Ok(path) } else { Err(format!("{} is missing: run `just vm get`", path.display())) }
}

/// Debian's busybox, which is static: shell, mount, insmod and the rest of what a machine needs.
pub fn busybox(arch: Arch) -> Result<PathBuf, String> {
    match arch {
        Arch::X86_64 => installed(),
        Arch::Aarch64 => kept(arch),
    }
}

fn installed() -> Result<PathBuf, String> {
    let path = PathBuf::from("/bin/busybox");
    if path.exists() { Ok(path) } else { Err("busybox is missing: run `scripts/install vm`".to_owned()) }
}

/// The one in the cache, downloaded when it is not there.
fn kept(arch: Arch) -> Result<PathBuf, String> {
    const SUITE: Suite = Suite("trixie");
    let folder = cache::folder().join("busybox").join(arch.debian());
    let path = folder.join("busybox");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let _lock = cache::lock(&format!("busybox-{}.lock", arch.debian()));
    if !path.exists() {
        let work = tempfile::tempdir_in(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let tree = work.path().join("tree");
        let apt = Apt::open(SUITE, arch, &work.path().join("apt"))?;
        apt.unpack(&["busybox-static".to_owned()], &tree)?;
        let unpacked = ["usr/bin/busybox", "bin/busybox"].map(|place| tree.join(place));
        let unpacked = unpacked.iter().find(|place| place.exists()).ok_or("busybox-static has no busybox")?;
        // Last, so that what is there is whole.
        fs::rename(unpacked, &path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(path)
}
