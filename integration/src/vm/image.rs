//! The initial file system of a virtual machine; it has no other.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::arch::Arch;
use super::kept::Kept;
use super::{guest, tool};

/// A packed file system; gone when dropped.
pub struct Image(TempDir);

impl Image {
    /// busybox, convis, the scenarios, the kernel's modules, and a shell script to run for no longer than `limit`.
    pub fn pack(kernel: &Kept, script: &str, limit: Duration) -> Result<Self, String> {
        tool::present("cpio")?;
        let programs = [
            guest::busybox(kernel.arch)?,
            guest::program("convis", kernel.arch)?,
            guest::program("scenario", kernel.arch)?,
        ];
        let image = Self(tempfile::tempdir().expect("a temporary folder"));
        let root = image.0.path().join("root");
        for folder in ["bin", "dev", "etc", "modules", "mnt", "proc", "sys", "tmp"] {
            fs::create_dir_all(root.join(folder)).expect("a folder of the image");
        }
        for program in programs {
            let name = program.file_name().expect("a program has a name");
            fs::copy(&program, root.join("bin").join(name)).expect("the program can be copied");
        }
        for module in fs::read_dir(kernel.modules()).expect("the modules are in the cache").flatten() {
            fs::copy(module.path(), root.join("modules").join(module.file_name())).expect("a copied module");
        }
        write(&root.join("init"), include_str!("init.sh"));
        write(&root.join("command"), script);
        write(&root.join("settings"), &settings(kernel.arch, limit));
        write(&root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
        archive(&root, &image.file())?;
        Ok(image)
    }

    /// The archive.
    pub fn file(&self) -> PathBuf {
        self.0.path().join("initramfs")
    }
}

/// The serial port for the command: on q35 the second of two, on virt, whose own is of another kind, the first of its
/// kind.
fn settings(arch: Arch, limit: Duration) -> String {
    let port = match arch {
        Arch::X86_64 => "ttyS1",
        Arch::Aarch64 => "ttyS0",
    };
    format!("LIMIT_SECONDS={}\nPORT=/dev/{port}\n", limit.as_secs())
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file of the image");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode for it");
}

/// Not compressed: reading more costs QEMU less than unpacking costs an interpreted kernel.
fn archive(root: &Path, into: &Path) -> Result<(), String> {
    let mut command = Command::new("sh");
    command.current_dir(root).args(["-c", "find . | cpio --quiet -o -H newc -R 0:0 >\"$0\""]).arg(into);
    tool::output(command).map(drop)?;
    File::open(into).map(drop).map_err(|error| format!("{}: {error}", into.display()))
}
