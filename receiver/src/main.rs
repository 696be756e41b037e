//! The program `convis`: reads its settings, then captures until it is stopped.

use std::process::ExitCode;

use convis::cli::{self, Asked};
use convis::{check, mask, run, say};

fn main() -> ExitCode {
    // A copy, read before the originals lose what is secret in them.
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Err(why) = mask::hide_secrets(&arguments) {
        say::line(&format!("warning: {why}"));
    }
    let outcome = cli::parse(arguments).and_then(|asked| match asked {
        Asked::Text(text) => {
            say::out(&text);
            Ok(())
        }
        Asked::Run(options) => run::run(&options),
        Asked::Check(options) => check::check(&options),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            fatal.to_string().lines().for_each(say::line);
            ExitCode::from(fatal.exit_code())
        }
    }
}
