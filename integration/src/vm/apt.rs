//! A private apt, so that the machine's own neither changes nor learns of other suites.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::arch::Arch;
use super::kernels::Suite;
use super::{mirror, tool};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with one suite, for one architecture, and nothing installed.
pub(crate) struct Apt {
    suite: Suite,
    arch: Arch,
    folder: PathBuf,
}

impl Apt {
    /// Reads the suite's index into `folder`.
    pub(crate) fn open(suite: Suite, arch: Arch, folder: &Path) -> Result<Self, String> {
        let apt = Self { suite, arch, folder: folder.to_owned() };
        apt.configure().map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut update = apt.command("apt-get");
        // Without it a suite that is gone would be a warning.
        update.args(["update", "-qq", "-o", "APT::Update::Error-Mode=any"]);
        tool::output(update).map_err(|error| format!("{} cannot be had: {error}", suite.0))?;
        Ok(apt)
    }

    /// The suite it reads.
    pub(crate) fn suite(&self) -> Suite {
        self.suite
    }

    /// All packages whose name starts so.
    pub(crate) fn packages(&self, prefix: &str) -> Result<Vec<String>, String> {
        let mut names = self.command("apt-cache");
        names.args(["pkgnames", prefix]);
        Ok(tool::output(names)?.lines().map(str::to_owned).collect())
    }

    /// Downloads packages and unpacks them, without installing anything.
    pub(crate) fn unpack(&self, packages: &[String], into: &Path) -> Result<(), String> {
        let downloads = tempfile::tempdir_in(&self.folder).map_err(|error| error.to_string())?;
        let mut download = self.command("apt-get");
        download.current_dir(downloads.path()).args(["download", "-qq"]).args(packages);
        tool::output(download)?;
        let files = fs::read_dir(downloads.path()).map_err(|error| error.to_string())?;
        for file in files.flatten() {
            let mut extract = Command::new("dpkg-deb");
            extract.arg("--extract").arg(file.path()).arg(into);
            tool::output(extract)?;
        }
        Ok(())
    }

    fn configure(&self) -> std::io::Result<()> {
        let folder = self.folder.display();
        fs::create_dir_all(self.folder.join("lists/partial"))?;
        fs::create_dir_all(self.folder.join("cache/archives/partial"))?;
        let Suite(suite) = self.suite;
        let source = format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirror::of(self.suite));
        fs::write(self.folder.join("sources.list"), source)?;
        let arch = self.arch.debian();
        let settings = format!(
            "Dir::Etc::sourcelist \"{folder}/sources.list\";\n\
             Dir::Etc::sourceparts \"-\";\n\
             Dir::State::status \"/dev/null\";\n\
             Dir::State::lists \"{folder}/lists\";\n\
             Dir::Cache \"{folder}/cache\";\n\
             APT::Architecture \"{arch}\";\n\
             APT::Architectures {{ \"{arch}\"; }};\n\
             APT::Sandbox::User \"\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::Retries \"3\";\n\
             Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
             Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled \"false\";\n"
        );
        fs::write(self.folder.join("apt.conf"), settings)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf"));
        command
    }
}
