//! The scenario suite: see the library's `scenario` module.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match convis_integration::scenario::main(&arguments, &mut std::io::stdout()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => complain(&error),
    }
}

#[expect(clippy::print_stderr, reason = "a command line tool says here what is wrong")]
fn complain(error: &str) -> ExitCode {
    eprintln!("scenario: {error}");
    ExitCode::from(64)
}
