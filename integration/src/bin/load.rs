//! Connections for measures: see the library's `bench::actors`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match convis_integration::bench::actors::main(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

#[expect(clippy::print_stderr, reason = "a command line tool says here what is wrong")]
fn complain(error: &str) -> ExitCode {
    eprintln!("load: {error}");
    ExitCode::from(64)
}
