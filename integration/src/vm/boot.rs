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

/// How often a machine is started whose processor turns out to be broken.
const ATTEMPTS: usize = 3;

/// Runs the script on the kernel and keeps what it prints.
///
/// A machine that was brought down by its emulator is started again, which is said aloud: QEMU's interpreter now and then
/// delivers an exception with a flags register that no processor can hold, and no kernel survives that.
pub fn run(kernel: &Kept, script: &str, limit: Duration) -> Result<Outcome, String> {
    for _ in 1..ATTEMPTS {
        let outcome = once(kernel, script, limit)?;
        let Some(flags) = outcome.impossible_flags() else { return Ok(outcome) };
        complain(&format!(
            "{}: the emulated processor had EFLAGS {flags:#010x}, which cannot be; starting the machine again\n{}",
            kernel.build, outcome.console
        ));
    }
    once(kernel, script, limit)
}

fn once(kernel: &Kept, script: &str, limit: Duration) -> Result<Outcome, String> {
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

impl Outcome {
    /// The flags register of a kernel that died of its emulator: the first one on the console with a bit that an x86
    /// processor always holds at 0, or without the one that is always 1 (Intel SDM, volume 1, section 3.4.3).
    fn impossible_flags(&self) -> Option<u32> {
        const ALWAYS_CLEAR: u32 = 0xffc0_8028;
        const ALWAYS_SET: u32 = 1 << 1;
        let dead = self.status.is_none() && self.console.contains("Kernel panic");
        let printed = self.console.split("EFLAGS: ").skip(1);
        let flags = printed.filter_map(|rest| u32::from_str_radix(rest.get(..8)?, 16).ok());
        let mut broken = flags.filter(|flags| flags & ALWAYS_CLEAR != 0 || flags & ALWAYS_SET == 0);
        broken.next().filter(|_| dead)
    }
}

#[expect(clippy::print_stderr, reason = "whoever reads a test's output should see it")]
fn complain(text: &str) {
    eprintln!("vm: {text}");
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

    /// Scenario: kernels that died with flags that a processor can hold, with one that none can, and one that lives on.
    /// Guarantees: only the emulator's own defect is told apart.
    #[test]
    fn only_an_impossible_processor_is_the_emulators_defect() {
        let ended = |console: &str, status| {
            let console = console.to_owned();
            Outcome { status, output: String::new(), console, took: Duration::ZERO }.impossible_flags()
        };
        let oops = |flags: &str| {
            format!(
                "[ 9.0] traps: PANIC: double fault, error_code: 0x0\n\
                 [ 9.0] RSP: 0018:ffffc9000092f860 EFLAGS: {flags}\n\
                 [ 9.0] RSP: 002b:00007fa5932cd5b8 EFLAGS: 00000246 ORIG_RAX: 000000000000002a\n\
                 [ 9.1] Kernel panic - not syncing: Fatal exception in interrupt\n"
            )
        };
        assert_eq!(ended(&oops("04f76e02"), None), Some(0x04f7_6e02));
        assert_eq!(ended(&oops("00010000"), None), Some(0x0001_0000));
        assert_eq!(ended(&oops("00010246"), None), None);
        assert_eq!(ended(&oops("00250fd7"), None), None);
        assert_eq!(ended(&oops("04f76e02"), Some(1)), None);
        assert_eq!(ended("[ 9.0] EFLAGS: 04f76e02\n", None), None);
        assert_eq!(ended("[ 9.0] Kernel panic, EFLAGS: 04", None), None);
    }
}
