//! Runs convis on other kernels: `just vm`, which also builds what runs there.

use std::io::Write;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use convis_integration::vm::kernels::{KERNELS, Kernel};
use convis_integration::vm::{boot, guest, matrix};

const USAGE: &str = "vm                    the scenarios on every kernel
vm KERNEL             the scenarios on one
vm KERNEL COMMAND...  a command on it, such as `convis` or `sh`
vm list               the kernels there are
vm get                downloads them all";
/// For a command that somebody watches.
const LIMIT: Duration = Duration::from_hours(8);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] => scenarios(&KERNELS),
        ["-h" | "--help"] => say(USAGE),
        ["list"] => KERNELS
            .iter()
            .try_for_each(|kernel| say(&format!("{:12} {}", kernel.name, kernel.why)).map(drop))
            .map(|()| 0),
        ["get"] => get(),
        [name] => Kernel::named(name).and_then(|kernel| scenarios(&[kernel])),
        [name, command @ ..] => Kernel::named(name).and_then(|kernel| attach(&kernel, command)),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(error) => complain(&error),
    }
}

fn get() -> Result<u8, String> {
    for kernel in KERNELS {
        let kept = kernel.get().and_then(|kept| guest::busybox(kernel.arch).map(|_| kept));
        let kept = kept.map_err(|error| format!("Linux {}: {error}", kernel.name))?;
        say(&format!("{:12} {}", kernel.name, kept.build))?;
    }
    Ok(0)
}

/// All at once; as many run as the machine has place for.
fn scenarios(kernels: &[Kernel]) -> Result<u8, String> {
    thread::scope(|scope| {
        let runs: Vec<_> = kernels.iter().map(|kernel| scope.spawn(|| scenarios_on(kernel))).collect();
        let mut worst = 0;
        for run in runs {
            worst = worst.max(run.join().map_err(|_| "a kernel's run panicked")??);
        }
        Ok(worst)
    })
}

fn scenarios_on(kernel: &Kernel) -> Result<u8, String> {
    let report = matrix::run(kernel).map_err(|error| format!("Linux {}: {error}", kernel.name))?;
    say(&report.to_string())?;
    if report.is_good() {
        return Ok(0);
    }
    say(&format!("{}\n{}", report.outcome.output, report.outcome.console))?;
    Ok(1)
}

fn attach(kernel: &Kernel, command: &[&str]) -> Result<u8, String> {
    let outcome = boot::attach(&kernel.get()?, &script(command), LIMIT)?;
    outcome.status.ok_or_else(|| format!("the machine ended early:\n{}", outcome.console))
}

/// Word by word what was typed here.
fn script(command: &[&str]) -> String {
    let words: Vec<String> =
        command.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    words.join(" ") + "\n"
}

fn say(line: &str) -> Result<u8, String> {
    writeln!(std::io::stdout(), "{line}").map(|()| 0).map_err(|error| error.to_string())
}

#[expect(clippy::print_stderr, reason = "a command line tool says here what is wrong")]
fn complain(error: &str) -> ExitCode {
    eprintln!("vm: {error}");
    ExitCode::FAILURE
}
