//! `convis check`: what this kernel lets convis see, and how; with a file, whether it is right.

use std::fmt::Write as _;
use std::path::Path;

use crate::cli::{Asked, Check};
use crate::container;
use crate::fatal::Fatal;
use crate::identity::cgroup::Mount;
use crate::kernel::{self, Options, Report, Seen, Verdict, privilege};
use crate::track::Translator;
use crate::{cli, say, settings};

/// Width of the first column: the longest name and two blanks.
const NAME_WIDTH: usize = 28;

/// Attaches everything, tests it, prints what was found, and detaches again; or tries a file.
///
/// # Errors
/// Capturing is not possible here, or the file is wrong; see [`Fatal`].
pub fn check(options: &Check) -> Result<(), Fatal> {
    match &options.config {
        Some(path) => check_file(path),
        None => check_kernel(options),
    }
}

/// Reads a file as a start does; nothing is opened for writing, nothing is asked.
fn check_file(path: &Path) -> Result<(), Fatal> {
    let arguments = ["convis".into(), "--config".into(), path.into()];
    let Asked::Run(given) = cli::parse(arguments)? else {
        return Err(Fatal::Internal("the options of a start cannot be made".to_owned()));
    };
    let resolved = settings::resolve(&given)?;
    convis_exporters::check(&resolved.sinks)?;
    say::out(&format!("{} is valid\n", path.display()));
    Ok(())
}

fn check_kernel(options: &Check) -> Result<(), Fatal> {
    let missing = privilege::missing().map_err(|error| Fatal::Internal(error.to_string()))?;
    if !missing.is_empty() {
        return Err(Fatal::NotPermitted { missing: missing.join(" and ") });
    }
    // The ring waits in a runtime.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(|error| Fatal::Internal(format!("cannot start the runtime: {error}")))?;
    let _within = runtime.enter();
    let (_source, report) = kernel::load(&Options {
        ring_bytes: cli::DEFAULT_RING_BYTES,
        max_connections: None,
        leave_out: Some(std::process::id()),
        probes: options.probes,
    })?;
    say::out(&text(&kernel_name(), &report, &Names::find(Path::new("/proc"))));
    Ok(())
}

/// What names containers and leads through address translation. Capturing does without.
struct Names {
    runtimes: Vec<String>,
    cgroups: Option<Mount>,
    no_translation: Option<String>,
}

impl Names {
    fn find(proc_root: &Path) -> Self {
        let settings = container::Settings {
            root: container::root_of_host(proc_root),
            ..container::Settings::default()
        };
        Self {
            runtimes: container::runtimes(&settings),
            cgroups: Mount::find(proc_root),
            no_translation: Translator::open(proc_root).unavailable(),
        }
    }

    fn write(&self, text: &mut String) {
        let cgroups =
            self.cgroups.as_ref().map(|mount| format!("version 2 at {}", mount.directory.display()));
        line(text, "cgroups", &cgroups.unwrap_or_else(|| "version 1, by /proc only".to_owned()));
        let runtimes = match self.runtimes.as_slice() {
            [] => "none found".to_owned(),
            some => some.join(", "),
        };
        line(text, "container runtimes", &runtimes);
        let translation = match &self.no_translation {
            None => "the kernel's connection tracking is asked".to_owned(),
            Some(why) => format!("NOT KNOWN: {why}"),
        };
        line(text, "address translation", &translation);
    }
}

fn kernel_name() -> String {
    let names = rustix::system::uname();
    format!("{} {}", names.release().to_string_lossy(), names.machine().to_string_lossy())
}

/// The report as a table for people.
fn text(kernel: &str, report: &Report, names: &Names) -> String {
    let mut text = String::new();
    line(&mut text, "kernel", kernel);
    for seen in &report.hooks {
        line(&mut text, seen.what.as_str(), &way(seen));
        for (way, why) in &seen.passed_over {
            line(&mut text, "", &format!("not by {way}: {why}"));
        }
    }
    line(
        &mut text,
        "already open",
        &match &report.already_open {
            Some(Ok(1)) => "found, 1 socket".to_owned(),
            Some(Ok(count)) => format!("found, {count} sockets"),
            Some(Err(why)) => format!("NOT SEEN: {why}"),
            None => "not looked for".to_owned(),
        },
    );
    line(
        &mut text,
        "live totals",
        &match &report.no_live_totals {
            None => "read at each interval".to_owned(),
            Some(why) => format!("NOT SEEN: {why}"),
        },
    );
    let memory =
        if report.on_demand { "taken as connections open" } else { "taken for all connections at start" };
    line(&mut text, "memory of the ledger", memory);
    names.write(&mut text);
    text.push_str(if is_whole(report) {
        "convis can capture here.\n"
    } else {
        "convis can capture here, but for what is not seen.\n"
    });
    text
}

fn way(seen: &Seen) -> String {
    let Some(way) = seen.way else {
        return "NOT SEEN".to_owned();
    };
    match &seen.verdict {
        None => way.to_owned(),
        Some(Verdict::Right) => format!("{way}, tested"),
        Some(Verdict::Wrong(what)) => format!("{way}, WRONG: {what}"),
        Some(Verdict::Untried(why)) => format!("{way}, not tested: {why}"),
    }
}

fn is_whole(report: &Report) -> bool {
    let is_seen = |seen: &Seen| seen.way.is_some() && !seen.verdict.as_ref().is_some_and(Verdict::is_wrong);
    report.hooks.iter().all(is_seen)
        && matches!(report.already_open, Some(Ok(_)))
        && report.no_live_totals.is_none()
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a string cannot fail.
    let _written = writeln!(text, "{name:NAME_WIDTH$}{value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::hooks::What;

    fn seen(what: What, way: Option<&'static str>, verdict: Option<Verdict>) -> Seen {
        Seen { what, way, verdict, passed_over: vec![("fentry f", "refused".to_owned())] }
    }

    /// Scenario: reports of a kernel that shows everything, and of one that lacks a hook and the walks.
    /// Guarantees: each line says how or that it is not seen, with the reasons, and the last line sums it up.
    #[test]
    fn says_how_everything_is_seen() {
        let mut report = Report {
            hooks: vec![seen(What::Accepts, Some("kprobe k"), Some(Verdict::Right))],
            on_demand: true,
            already_open: Some(Ok(3)),
            no_live_totals: None,
        };
        let names = Names {
            runtimes: vec!["CRI at unix:///run/a.sock".to_owned(), "Docker API at tcp://h:1".to_owned()],
            cgroups: None,
            no_translation: Some("CAP_NET_ADMIN is missing".to_owned()),
        };
        let whole = text("6.1.0 x86_64", &report, &names);
        let lines: Vec<_> = whole.lines().collect();
        assert_eq!(lines[1], "who accepts                 kprobe k, tested");
        assert_eq!(lines[2], "                            not by fentry f: refused");
        let runtimes = "container runtimes          CRI at unix:///run/a.sock, Docker API at tcp://h:1";
        assert!(lines.contains(&runtimes), "{whole}");
        assert!(lines.contains(&"cgroups                     version 1, by /proc only"), "{whole}");
        assert!(lines.contains(&"memory of the ledger        taken as connections open"), "{whole}");
        assert!(
            lines.contains(&"address translation         NOT KNOWN: CAP_NET_ADMIN is missing"),
            "{whole}"
        );
        assert_eq!(lines.last(), Some(&"convis can capture here."));
        report.hooks.push(seen(What::Unsent, None, None));
        report.no_live_totals = Some("no iterators".to_owned());
        report.on_demand = false;
        let partial = text("5.8.0 x86_64", &report, &names);
        assert!(partial.contains("attempts without a segment  NOT SEEN\n"), "{partial}");
        assert!(partial.contains("live totals                 NOT SEEN: no iterators\n"), "{partial}");
        assert!(
            partial.contains("memory of the ledger        taken for all connections at start\n"),
            "{partial}"
        );
        assert!(partial.ends_with("but for what is not seen.\n"), "{partial}");
    }
}
