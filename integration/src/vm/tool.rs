//! Programs of the host, run to their end.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use crate::process::{exists, run};

const PATIENCE: Duration = Duration::from_mins(10);

/// What the program printed; an error when it is missing or complained.
pub(super) fn output(mut command: Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    present(&name)?;
    // Messages are shown, not parsed, but what is printed is.
    command.env("LC_ALL", "C");
    let (status, process) = run(&name, command, PATIENCE);
    if status.success() {
        Ok(process.stdout())
    } else {
        Err(format!("{name}: {status}: {}", process.stderr().trim()))
    }
}

/// An error that says how to get the program, when the host lacks it.
pub(super) fn present(name: &str) -> Result<(), String> {
    if exists(OsStr::new(name)) {
        Ok(())
    } else {
        Err(format!("{name} is missing: run `scripts/install vm`"))
    }
}
