//! What a test needs from the machine, and how it says aloud that it did not run.
//!
//! A skipped test prints `SKIPPED: <test>: <reason>` past the capture of the test runner, and appends the line to
//! the file `CONVIS_SKIP_LOG` names, if it does. With `CONVIS_NO_SKIP=1`, as in CI, a skip is a failure.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;

/// Ends the test here, because the machine lacks something.
#[macro_export]
macro_rules! skip {
    ($reason:expr) => {{
        fn here() {}
        $crate::need::skipped(std::any::type_name_of_val(&here), &$reason.to_string());
        return;
    }};
}

/// The value of a `Result`; ends the test where it is an error that names what the machine lacks.
#[macro_export]
macro_rules! need {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(lacking) => $crate::skip!(lacking),
        }
    };
}

/// What [`skip!`] does before it returns; `place` is the path of a function inside the test.
pub fn skipped(place: &str, reason: &str) {
    let test = place.strip_suffix("::here").unwrap_or(place);
    let line = format!("SKIPPED: {test}: {reason}");
    // Not `eprintln!`: the test runner would keep it to itself.
    writeln!(std::io::stderr(), "{line}").expect("stderr takes a line");
    if let Some(path) = std::env::var_os("CONVIS_SKIP_LOG") {
        let mut log =
            OpenOptions::new().create(true).append(true).open(path).expect("CONVIS_SKIP_LOG can be opened");
        writeln!(log, "{line}").expect("CONVIS_SKIP_LOG takes a line");
    }
    let forbidden = std::env::var_os("CONVIS_NO_SKIP").is_some_and(|value| value == OsStr::new("1"));
    assert!(!forbidden, "{line}, and CONVIS_NO_SKIP=1 forbids that");
}

/// Capturing needs root.
pub fn root() -> Result<(), String> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err("needs root: run the tests with sudo".to_owned())
    }
}
