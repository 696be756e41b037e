//! Kernels in the cache. What is there is used as it is; remove the folder `kernels` to get newer builds.

use std::fs;
use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::arch::Arch;
use super::kernels::{Kernel, numbers};
use super::{modules, vmlinux};
use crate::cache;

/// A kernel ready to be booted.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Suite and release, as in `bookworm-security_6.1.0-56`.
    pub build: String,
    /// What it runs on.
    pub arch: Arch,
    folder: PathBuf,
}

/// A build that a suite has.
struct Choice {
    apt: Apt,
    arch: Arch,
    release: String,
    packages: Vec<String>,
}

impl Kept {
    /// The kernel itself, not compressed.
    pub fn vmlinux(&self) -> PathBuf {
        self.folder.join("vmlinux")
    }

    /// The folder with its modules, named so that they can be inserted in order.
    pub fn modules(&self) -> PathBuf {
        self.folder.join("modules")
    }
}

impl Kernel {
    /// This kernel, downloaded when it is not in the cache; an error says why it cannot be had.
    pub fn get(&self) -> Result<Kept, String> {
        let folder = cache::folder().join("kernels").join(self.name);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let _lock = cache::lock(&format!("kernel-{}.lock", self.name));
        if let Some(kept) = kept(&folder, self.arch) {
            return Ok(kept);
        }
        // The lock is held: what lies there is from a call that was killed.
        let work = folder.join(".work");
        drop(fs::remove_dir_all(&work));
        let got = self.choose(&work).and_then(|choice| choice.make(&work, &folder));
        drop(fs::remove_dir_all(&work));
        got
    }

    /// The newest build in any of its suites.
    fn choose(&self, work: &Path) -> Result<Choice, String> {
        let mut choices = Vec::new();
        for suite in self.suites {
            let apt = Apt::open(*suite, self.arch, &work.join(suite.0))?;
            choices.extend(self.choose_in(apt)?);
        }
        let newest = choices.into_iter().max_by_key(|choice| numbers(&choice.release));
        newest.ok_or_else(|| format!("Linux {} is in none of {:?}", self.name, self.suites))
    }

    /// Since 7.x the image is split: the kernel itself is in another package, the modules in a third.
    fn choose_in(&self, apt: Apt) -> Result<Option<Choice>, String> {
        let images = apt.packages("linux-image-")?;
        let flavour = flavour(self.arch);
        let releases =
            images.iter().filter_map(|name| name.strip_prefix("linux-image-")?.strip_suffix(&flavour));
        let Some(release) = self.newest(releases).map(str::to_owned) else { return Ok(None) };
        let mut packages = vec![format!("linux-image-{release}{flavour}")];
        for prefix in ["linux-binary-", "linux-modules-"] {
            let name = format!("{prefix}{release}{flavour}");
            packages.extend(apt.packages(&name)?.into_iter().filter(|found| *found == name));
        }
        Ok(Some(Choice { apt, arch: self.arch, release, packages }))
    }
}

/// Small, without drivers for real hardware, and what runs in clouds.
fn flavour(arch: Arch) -> String {
    format!("-cloud-{}", arch.debian())
}

impl Choice {
    fn make(&self, work: &Path, folder: &Path) -> Result<Kept, String> {
        let (tree, result) = (work.join("tree"), work.join("result"));
        fs::create_dir_all(&result).map_err(|error| format!("{}: {error}", result.display()))?;
        self.apt.unpack(&self.packages, &tree)?;
        let full = format!("{}{}", self.release, flavour(self.arch));
        let found = |places: [String; 2]| {
            let found = places.iter().map(|place| tree.join(place)).find(|path| path.exists());
            found.ok_or_else(|| format!("{:?} lack {places:?}", self.packages))
        };
        let vmlinuz = found([format!("boot/vmlinuz-{full}"), format!("usr/lib/modules/{full}/vmlinuz")])?;
        vmlinux::unpack(&vmlinuz, &result.join("vmlinux"))?;
        let tree = found([format!("lib/modules/{full}"), format!("usr/lib/modules/{full}")])?;
        modules::collect(&tree, &result.join("modules"))?;
        let build = format!("{}_{}", self.apt.suite().0, self.release);
        let kept = folder.join(&build);
        // Last, so that what is there is whole.
        fs::rename(result, &kept).map_err(|error| format!("{}: {error}", kept.display()))?;
        Ok(Kept { build, arch: self.arch, folder: kept })
    }
}

fn kept(folder: &Path, arch: Arch) -> Option<Kept> {
    let names =
        fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let build = names.filter(|name| !name.starts_with('.')).max_by_key(|name| numbers(name))?;
    Some(Kept { folder: folder.join(&build), build, arch })
}
