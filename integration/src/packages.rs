//! Programs of Debian packages, unpacked into the cache without being installed.

use std::fs;
use std::path::PathBuf;

use crate::cache;
use crate::vm::apt::Apt;
use crate::vm::arch::Arch;
use crate::vm::kernels::Suite;

/// `/usr/bin/<package>` of a package of a suite; an error says why it cannot be had. What is in the cache is used as it is;
/// remove the folder `packages` to get newer ones.
pub fn program(suite: Suite, package: &str) -> Result<PathBuf, String> {
    let folder = cache::folder().join("packages");
    let kept = folder.join(format!("{}-{package}", suite.0));
    let program = kept.join("usr/bin").join(package);
    let _lock = cache::lock("packages.lock");
    if !program.exists() {
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(failed)?;
        let work = tempfile::tempdir_in(&folder).map_err(failed)?;
        let apt = Apt::open(suite, host()?, work.path())?;
        let tree = work.path().join("tree");
        apt.unpack(&[package.to_owned()], &tree)?;
        // Last, so that what is there is whole.
        fs::rename(tree, &kept).map_err(failed)?;
    }
    if program.exists() { Ok(program) } else { Err(format!("{package} of {} has no such program", suite.0)) }
}

fn host() -> Result<Arch, String> {
    [Arch::X86_64, Arch::Aarch64]
        .into_iter()
        .find(|arch| arch.target().starts_with(std::env::consts::ARCH))
        .ok_or_else(|| format!("no packages for {}", std::env::consts::ARCH))
}
