//! Random and deliberate mixes of connections against what convis says of them.
//!
//! ```text
//! scenario --convis PATH [--probes auto|fentry|kprobe|tracepoint] [--seed N] [--connections N] [--only NAME,..] [--list]
//! ```
//!
//! The suite starts actor processes (itself under another word), tells their hands what to do with their sockets, keeps
//! book of what these sockets did, and compares the book with convis's events: the same connections, bytes, owners and
//! endings, each end exactly once, and nothing else about its ports and processes. It needs root, a loopback link and
//! `/proc`; what a machine lacks beyond that is a skipped scenario.

mod actor;
mod bytes;
mod compare;
mod control;
mod deeds;
mod dice;
mod end;
mod endings;
mod expect;
mod failures;
mod flood;
mod hands;
mod judge;
mod landlock;
mod links;
mod mix;
mod mounts;
mod mptcp;
mod netlink;
mod owners;
pub mod plan;
mod preexisting;
mod quality;
mod raw;
mod stage;
mod stampede;
mod suite;
mod updated;
mod uring;
mod watch;

use std::io::Write;
use std::net::TcpListener;

pub use suite::{Options, Tally, names, run};

use plan::Plan;

const DEFAULT_CONNECTIONS: usize = 2000;

/// What the executable does with its arguments; true when nothing failed, an error is for its stderr.
pub fn main(arguments: &[String], out: &mut dyn Write) -> Result<bool, String> {
    let text = |error: std::io::Error| error.to_string();
    match arguments.split_first() {
        Some((word, rest)) if word == hands::ACT => hands::act(rest).map_err(text).map(|()| true),
        Some((word, rest)) if word == hands::DASH => {
            let to = rest.first().ok_or("dash where?")?;
            hands::dash(to).map_err(text).map(|()| true)
        }
        Some((word, rest)) if word == suite::GROUP => {
            let (group, rest) = rest.split_first().ok_or("which group?")?;
            let options = parse(rest)?.ok_or("a group is not listed")?;
            suite::play_group(group, &options, out).map(|()| true)
        }
        _ => match parse(arguments)? {
            None => {
                names().try_for_each(|name| writeln!(out, "{name}")).map_err(text)?;
                Ok(true)
            }
            Some(options) => {
                prepare_machine()?;
                run(&options, out).map(|tally| tally.failed == 0).map_err(text)
            }
        },
    }
}

/// A machine that has only just booted lacks a loopback link and a folder for temporary files.
fn prepare_machine() -> Result<(), String> {
    std::fs::create_dir_all(std::env::temp_dir()).map_err(|error| format!("no temporary folder: {error}"))?;
    if TcpListener::bind("127.0.0.1:0").is_err() {
        netlink::set_up("lo", true).map_err(|error| format!("no loopback link: {error}"))?;
    }
    Ok(())
}

/// `None` when only the names are asked for.
fn parse(arguments: &[String]) -> Result<Option<Options>, String> {
    let mut options = Options {
        convis: std::path::PathBuf::new(),
        plan: Plan::Auto,
        seed: u64::from(std::process::id()),
        connections: DEFAULT_CONNECTIONS,
        only: Vec::new(),
    };
    let mut words = arguments.iter();
    while let Some(flag) = words.next() {
        if flag == "--list" {
            return Ok(None);
        }
        let value = words.next().ok_or_else(|| format!("{flag} wants a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{value:?} is no number"));
        match flag.as_str() {
            "--convis" => options.convis = value.into(),
            "--probes" => options.plan = value.parse()?,
            "--seed" => options.seed = number()?,
            "--connections" => {
                options.connections = usize::try_from(number()?).map_err(|error| error.to_string())?;
            }
            "--only" => options.only = value.split(',').map(str::to_owned).collect(),
            other => return Err(format!("unknown flag {other}")),
        }
    }
    if !options.convis.is_file() {
        return Err(format!("--convis {} is no file", options.convis.display()));
    }
    let known = |only: &&String| names().any(|name| name == *only || name.starts_with(&format!("{only}.")));
    match options.only.iter().find(|only| !known(only)) {
        Some(only) => Err(format!("no scenario {only:?}; --list shows them")),
        None => Ok(Some(options)),
    }
}
