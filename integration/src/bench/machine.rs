//! The machine, the kernel and the convis that were measured.

use std::fs;
use std::process::Command;

use super::Size;
use super::figure::Table;
use crate::convis::{binary, command};

pub(super) const VALUE: &str = "value";
pub(super) const BINARY: &str = "binary, MiB";

pub(super) fn measure(_: Size) -> Table {
    let mut table = Table::default();
    let mut say = |row: &str, text: String| table.say(row, VALUE, text);
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    say("processor", format!("{}, {processors} cores", named("/proc/cpuinfo", "model name")));
    let kib: f64 = named("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    say("memory", format!("{:.0} GiB", kib / 1024.0 / 1024.0));
    say("kernel", read("/proc/sys/kernel/osrelease"));
    let system = read("/etc/os-release");
    let system = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    say("system", system.unwrap_or("unknown").trim_matches('"').to_owned());
    say("day", output(Command::new("date").args(["-u", "+%Y-%m-%d"])));
    say(
        "convis",
        format!(
            "{}, commit {}",
            version(),
            output(Command::new("git").args(["describe", "--always", "--dirty"]))
        ),
    );
    say(
        "load before, 1 minute",
        read("/proc/loadavg").split_whitespace().next().unwrap_or_default().to_owned(),
    );
    let bytes = fs::metadata(binary()).map_or(0, |metadata| metadata.len());
    table.put(BINARY, VALUE, vec![bytes as f64 / 1024.0 / 1024.0]);
    table
}

fn version() -> String {
    output(command().arg("--version"))
}

fn output(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output).trim().to_owned();
    if text.is_empty() { "unknown".to_owned() } else { text }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The value of a field of a file of `name : value` lines.
fn named(path: &str, name: &str) -> String {
    let text = read(path);
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
    value.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}
