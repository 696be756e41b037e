//! The command line of the traffic tool.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::exchange::Exchange;

const PROC: &str = "/proc";

/// `traffic serve`
pub(super) struct Serve {
    pub(super) listen: SocketAddr,
    pub(super) count: usize,
    pub(super) workers: usize,
    pub(super) proc_root: PathBuf,
    pub(super) exchange: Exchange,
}

/// `traffic connect`
pub(super) struct Connect {
    pub(super) to: SocketAddr,
    pub(super) from: Vec<SocketAddr>,
    pub(super) count: usize,
    pub(super) parallel: usize,
    pub(super) every: Duration,
    pub(super) proc_root: PathBuf,
    pub(super) exchange: Exchange,
}

pub(super) fn parse_serve(arguments: &[String]) -> Result<Serve, String> {
    let mut serve = Serve {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        count: 1,
        workers: 1,
        proc_root: PROC.into(),
        exchange: Exchange::default(),
    };
    let mut words = Words(arguments.iter());
    while let Some(flag) = words.flag() {
        match flag {
            "--listen" => serve.listen = words.value(flag)?,
            "--count" => serve.count = words.value(flag)?,
            "--workers" => serve.workers = words.value(flag)?,
            "--proc" => serve.proc_root = words.value(flag)?,
            _ => words.exchange(flag, &mut serve.exchange)?,
        }
    }
    Ok(serve)
}

pub(super) fn parse_connect(arguments: &[String]) -> Result<Connect, String> {
    let (mut to, mut from, mut count, mut parallel) = (None, Vec::new(), 1, 1);
    let (mut every, mut proc_root) = (Duration::ZERO, PROC.into());
    let mut exchange = Exchange::default();
    let mut words = Words(arguments.iter());
    while let Some(flag) = words.flag() {
        match flag {
            "--to" => to = Some(words.value(flag)?),
            "--from" => from.push(words.value(flag)?),
            "--count" => count = words.value(flag)?,
            "--parallel" => parallel = words.value(flag)?,
            "--every-ms" => every = Duration::from_millis(words.value(flag)?),
            "--proc" => proc_root = words.value(flag)?,
            _ => words.exchange(flag, &mut exchange)?,
        }
    }
    let to = to.ok_or("--to is missing")?;
    Ok(Connect { to, from, count, parallel, every, proc_root, exchange })
}

struct Words<'a>(std::slice::Iter<'a, String>);

impl<'a> Words<'a> {
    fn flag(&mut self) -> Option<&'a str> {
        self.0.next().map(String::as_str)
    }

    fn value<T: FromStr>(&mut self, flag: &str) -> Result<T, String> {
        let word = self.0.next().ok_or_else(|| format!("{flag} wants a value"))?;
        word.parse().map_err(|_| format!("{word:?} is no value for {flag}"))
    }

    fn exchange(&mut self, flag: &str, exchange: &mut Exchange) -> Result<(), String> {
        match flag {
            "--send" => exchange.send = self.value(flag)?,
            "--expect" => exchange.expect = self.value(flag)?,
            "--close-first" => exchange.first = self.value(flag)?,
            "--half-close" => exchange.half_close = true,
            "--linger0" => exchange.linger0 = true,
            "--hold-ms" => exchange.hold = Duration::from_millis(self.value(flag)?),
            "--pieces" => exchange.pieces = self.value(flag)?,
            "--pause-ms" => exchange.pause = Duration::from_millis(self.value(flag)?),
            other => return Err(format!("unknown flag {other}")),
        }
        Ok(())
    }
}
