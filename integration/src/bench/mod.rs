//! Measures of the whole: what convis costs the host, beside its peers, and the report of it.
//!
//! Each section is a table. `bench SECTION` measures one and prints a JSON line per cell; `bench report` puts the lines
//! of all sections into `docs/performance.md`. Ratios are of runs side by side, in turn, since a machine's speed drifts.

pub mod actors;
mod agent;
mod budgets;
mod divan;
mod figure;
mod fleet;
mod growth;
mod helpers;
mod live;
mod load;
mod loss;
mod machine;
mod messages;
mod overhead;
mod peers;
mod proc;
mod processes;
mod programs;
mod report;
mod sink;
mod start;
mod statistics;
mod streams;
mod wire;

use std::io::Write as _;
use std::path::Path;

use figure::Table;

/// What the program says of itself.
pub const USAGE: &str =
    "bench SECTION [--quick]           measures one section and prints its cells as JSON lines
bench list                        the sections
bench report FOLDER DOCUMENT      puts what is in a folder of results into a document";

type Section = (&'static str, fn(Size) -> Table);

/// In the order in which they are measured.
const SECTIONS: [Section; 9] = [
    ("machine", machine::measure),
    ("start", start::measure),
    ("overhead", overhead::measure),
    ("streams", streams::measure),
    ("programs", programs::measure),
    ("wire", wire::measure),
    ("live", live::measure),
    ("processes", processes::measure),
    ("loss", loss::measure),
];

/// How much is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Size {
    /// For figures worth keeping: minutes.
    Full,
    /// To see that it works: seconds.
    Quick,
}

impl Size {
    /// The one value or the other.
    const fn pick<T: Copy>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

/// Does what the arguments say; an error is for whoever called it.
pub fn main(arguments: &[String], to: &mut impl std::io::Write) -> Result<(), String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let failed = |error: std::io::Error| error.to_string();
    match words.as_slice() {
        [] | ["-h" | "--help"] => writeln!(to, "{USAGE}").map_err(failed),
        ["list"] => SECTIONS.iter().try_for_each(|(name, _)| writeln!(to, "{name}")).map_err(failed),
        ["report", folder, document] => report::write(Path::new(folder), Path::new(document)),
        [name] => measure(name, Size::Full, to),
        [name, "--quick"] => measure(name, Size::Quick, to),
        _ => Err(format!("wrong arguments; one of\n{USAGE}")),
    }
}

fn measure(name: &str, size: Size, to: &mut impl std::io::Write) -> Result<(), String> {
    let names = || SECTIONS.map(|(name, _)| name).join(", ");
    let (_, section) = SECTIONS
        .iter()
        .find(|(section, _)| *section == name)
        .ok_or_else(|| format!("no section {name}; there are {}", names()))?;
    crate::need::root()?;
    for line in section(size).lines(name) {
        writeln!(to, "{line}").map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Tells whoever waits what is being measured.
fn progress(what: &str) {
    // A closed stderr is no reason to stop.
    drop(writeln!(std::io::stderr(), "bench: {what}"));
}
