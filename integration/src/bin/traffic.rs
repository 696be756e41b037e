//! Ground truth for the tests: see the library's `traffic` module.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match convis_integration::traffic::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

#[expect(clippy::print_stderr, reason = "a command line tool says here what is wrong")]
fn complain(error: &str) -> ExitCode {
    eprintln!("traffic: {error}");
    ExitCode::from(64)
}
