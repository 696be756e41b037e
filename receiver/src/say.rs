//! Lines to the user.

use std::io::Write as _;

/// One line on standard error, with the program's name in front.
pub fn line(text: &str) {
    // Whoever closed standard error does not want to know.
    let _closed = writeln!(std::io::stderr(), "convis: {text}");
}

/// Text on standard output.
pub fn out(text: &str) {
    let _closed = write!(std::io::stdout(), "{text}");
}
