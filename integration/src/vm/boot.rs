//! One virtual machine, from power on to power off.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::arch::Arch;
use super::image::Image;
use super::kept::Kept;
use super::{slot, tool};
use crate::clock::{now, poll};
use crate::process::Process;

/// What the first process says at the end.
const EXIT: &str = "convis-vm: exit ";
/// Power on, power off and a busy host, beyond the time of the command.
const BOOT_PATIENCE: Duration = Duration::from_mins(2);

/// How a command in a virtual machine went.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit status; none when the machine did not get that far, or in time.
    pub status: Option<u8>,
    /// What it printed, on stdout and stderr.
    pub output: String,
    /// What the kernel printed.
    pub console: String,
    /// From power on to power off.
    pub took: Duration,
}

/// Runs the script on the kernel and keeps what it prints.
pub fn run(kernel: &Kept, script: &str, limit: Duration) -> Result<Outcome, String> {
    let machine = Machine::new(kernel, script, limit)?;
    let _slot = slot::take();
    let began = now();
    let mut process = Process::start(qemu(kernel.arch), machine.command());
    poll(limit + BOOT_PATIENCE, || process.ended());
    let took = began.elapsed();
    // It complains about itself there, as of a missing file; the kernel's own words come behind.
    let console = process.stderr() + &machine.console();
    Ok(Outcome { status: status(&console), output: process.stdout(), console, took })
}

/// Runs the script on the kernel with this process's own stdin and stdout.
pub fn attach(kernel: &Kept, script: &str, limit: Duration) -> Result<Outcome, String> {
    let machine = Machine::new(kernel, script, limit)?;
    let _slot = slot::take();
    let began = now();
    machine.command().status().map_err(|error| format!("{}: {error}", qemu(kernel.arch)))?;
    let console = machine.console();
    Ok(Outcome { status: status(&console), output: String::new(), console, took: began.elapsed() })
}

struct Machine<'a> {
    kernel: &'a Kept,
    image: Image,
    folder: TempDir,
}

impl<'a> Machine<'a> {
    fn new(kernel: &'a Kept, script: &str, limit: Duration) -> Result<Self, String> {
        tool::present(qemu(kernel.arch))?;
        let image = Image::pack(kernel, script, limit)?;
        Ok(Self { kernel, image, folder: tempfile::tempdir().expect("a temporary folder") })
    }

    /// Interpreted (`tcg`) always: where hardware virtualization is offered it need not work, and where it does a
    /// test would not be the same everywhere.
    fn command(&self) -> Command {
        let arch = self.kernel.arch;
        let (machine, processor, console, port) = match arch {
            Arch::X86_64 => ("q35", "max", "ttyS0", ["-serial", "chardev:command"]),
            // Pointers are authenticated by a cipher that is quick to compute. Of its own serial ports Linux gets one.
            Arch::Aarch64 => {
                ("virt", "max,pauth-impdef=on", "ttyAMA0", ["-device", "pci-serial,chardev=command"])
            }
        };
        let mut command = Command::new(qemu(arch));
        command.args(["-M", machine, "-cpu", processor, "-accel", "tcg", "-smp", "2", "-m", "1024"]);
        command.args(["-nic", "none", "-display", "none", "-monitor", "none", "-no-reboot", "-append"]);
        command.arg(format!("console={console} panic=-1 quiet"));
        command.arg("-serial").arg(format!("file:{}", self.console_file().display()));
        command.args(["-chardev", "stdio,id=command,signal=off"]).args(port);
        command.arg("-kernel").arg(self.kernel.vmlinux()).arg("-initrd").arg(self.image.file());
        command
    }

    fn console_file(&self) -> PathBuf {
        self.folder.path().join("console")
    }

    fn console(&self) -> String {
        let bytes = fs::read(self.console_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }
}

fn qemu(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "qemu-system-x86_64",
        Arch::Aarch64 => "qemu-system-aarch64",
    }
}

/// The last such line counts, and only a whole one.
fn status(console: &str) -> Option<u8> {
    let (_, rest) = console.rsplit_once(EXIT)?;
    rest.split_once('\n')?.0.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: consoles of machines that ended well, ended badly and never ended.
    /// Guarantees: the exit status of the command, or none.
    #[test]
    fn the_console_tells_the_exit_status() {
        assert_eq!(status("[ 1.0] hello\n[ 9.0] convis-vm: exit 0\n[ 9.1] Power down\n"), Some(0));
        assert_eq!(status("[ 9.0] convis-vm: exit 69\n"), Some(69));
        assert_eq!(status("[ 9.0] convis-vm: exit 6"), None);
        assert_eq!(status("[ 1.0] Kernel panic\n"), None);
    }
}
