//! Downloads the databases that tests write to: `scripts/test` does so before they run.

use std::io::Write;
use std::process::ExitCode;

use convis_integration::database::Kind;

/// Mirrors now and then do not answer.
const ATTEMPTS: usize = 3;

fn main() -> ExitCode {
    for _ in 0..ATTEMPTS {
        match Kind::ALL.into_iter().try_for_each(get) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => complain(&error),
        }
    }
    ExitCode::FAILURE
}

fn get(kind: Kind) -> Result<(), String> {
    let program = kind.program()?;
    writeln!(std::io::stdout(), "{kind:?}: {}", program.display()).map_err(|error| error.to_string())
}

#[expect(clippy::print_stderr, reason = "a command line tool says here what is wrong")]
fn complain(error: &str) {
    eprintln!("databases: {error}");
}
