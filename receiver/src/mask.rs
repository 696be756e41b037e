//! Secrets on the command line, taken out of where every user of the host can read them: `/proc/PID/cmdline` and `ps`.
//!
//! The kernel shows the memory that the arguments were put into, so the secrets there are overwritten with stars. What is
//! shown until then, a moment after the start, and the arguments of a parent, such as `sudo`, are out of reach: a file or a
//! variable is the better place.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;

use convis_otel_config::secrets_in;
use procfs::process::Process;

const CMDLINE: &str = "/proc/self/cmdline";
const MEMORY: &str = "/proc/self/mem";

/// Hides the secrets of all `--sink` from whoever looks at this process. `arguments` are a copy of the process's own, and
/// stay as they are.
///
/// # Errors
/// One line, when there are secrets and they still show.
pub fn hide_secrets(arguments: &[OsString]) -> Result<(), String> {
    let secrets = positions(arguments);
    if secrets.is_empty() {
        return Ok(());
    }
    overwrite(&bytes(arguments), &secrets).map_err(|error| {
        format!(
            "secrets of --sink show in {CMDLINE} and ps, since they cannot be overwritten there: {error}; write \
             KEY=@FILE or KEY=${{env:NAME}} instead"
        )
    })
}

/// The arguments as the kernel shows them.
fn bytes(arguments: &[OsString]) -> Vec<u8> {
    arguments.iter().flat_map(|argument| argument.as_bytes().iter().chain(&[0])).copied().collect()
}

/// Where in [`bytes`] the secrets are.
fn positions(arguments: &[OsString]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut is_spec = false;
    for argument in arguments {
        // A text that is no UTF-8 is refused later on.
        let text = argument.to_str().unwrap_or_default();
        let spec = if is_spec { Some(text) } else { text.strip_prefix("--sink=") };
        if let Some(spec) = spec {
            let start = start + text.len() - spec.len();
            found.extend(secrets_in(spec).iter().map(|span| start + span.start..start + span.end));
        }
        is_spec = !is_spec && text == "--sink";
        start += argument.len() + 1;
    }
    found
}

fn overwrite(shown: &[u8], secrets: &[Range<usize>]) -> io::Result<()> {
    let unexpected = || io::Error::other("the kernel shows something else than the arguments");
    let stat = Process::myself().and_then(|myself| myself.stat()).map_err(io::Error::other)?;
    let first = stat.arg_start.filter(|address| *address != 0).ok_or_else(unexpected)?;
    // What is not there must not be overwritten.
    if fs::read(CMDLINE)? != shown {
        return Err(unexpected());
    }
    let memory = File::options().write(true).open(MEMORY)?;
    for secret in secrets {
        memory.write_all_at(&vec![b'*'; secret.len()], first + secret.start as u64)?;
    }
    let now = fs::read(CMDLINE)?;
    let hidden = |secret: &Range<usize>| {
        now.get(secret.clone()).is_some_and(|shown| shown.iter().all(|byte| *byte == b'*'))
    };
    if secrets.iter().all(hidden) { Ok(()) } else { Err(unexpected()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(arguments: &[&str]) -> String {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        let mut shown = bytes(&arguments);
        for secret in positions(&arguments) {
            shown[secret].fill(b'*');
        }
        String::from_utf8(shown).unwrap().replace('\0', " ")
    }

    /// Scenario: sinks with secrets, in both forms of an option, between other arguments.
    /// Guarantees: exactly the secrets are found.
    #[test]
    fn secrets_are_found_in_the_arguments() {
        let arguments = [
            "convis",
            "run",
            "--sink",
            "newrelic,account=1,key=abc",
            "--sink=otlp,header.x=\u{e9}",
            "--admin",
        ];
        assert_eq!(
            masked(&arguments),
            "convis run --sink newrelic,account=1,key=*** --sink=otlp,header.x=** --admin "
        );
        assert_eq!(masked(&["convis", "newrelic,key=abc"]), "convis newrelic,key=abc ");
        assert_eq!(masked(&["convis", "--sink"]), "convis --sink ");
    }

    /// Scenario: this process, whose arguments are others.
    /// Guarantees: nothing is overwritten, and one line says so and what to do.
    #[test]
    fn foreign_arguments_are_left_alone() {
        let before = fs::read(CMDLINE).unwrap();
        let arguments = ["convis", "--sink", "newrelic,key=abc"].map(OsString::from);
        let error = hide_secrets(&arguments).unwrap_err();
        assert!(error.contains("KEY=@FILE"), "{error}");
        assert!(!error.contains("abc") && error.lines().count() == 1, "{error}");
        assert_eq!(fs::read(CMDLINE).unwrap(), before);
        assert_eq!(hide_secrets(&["convis".into()]), Ok(()));
    }
}
