//! Connections through docker-proxy, which reports nothing itself.

use std::fs;

use super::names::Named;
use crate::truth::{Report, Side};

/// A docker-proxy.
#[derive(Debug, Clone)]
pub struct Proxied {
    pid: u32,
    parent_pid: u32,
    executable: String,
}

impl Proxied {
    /// The one that publishes a port at every IPv4 address.
    pub fn find(port: u16) -> Self {
        let port = port.to_string();
        let pids = fs::read_dir("/proc").expect("/proc").flatten();
        let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let pid = pids
            .find(|pid| publishes(*pid, &port))
            .unwrap_or_else(|| panic!("no docker-proxy for port {port}"));
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let (_, rest) = stat.rsplit_once(") ").expect("a state");
        let parent = rest.split(' ').nth(1).and_then(|parent| parent.parse().ok());
        let executable = fs::read_link(format!("/proc/{pid}/exe")).expect("it runs");
        Self {
            pid,
            parent_pid: parent.expect("a parent"),
            executable: executable.to_str().expect("a plain path").to_owned(),
        }
    }

    /// Its two ends, towards a client and towards a server, by what these report of one connection each.
    pub fn between(&self, client: &Named, server: &Named) -> [Named; 2] {
        [self.facing(client, Side::Server), self.facing(server, Side::Client)]
    }

    fn facing(&self, other: &Named, side: Side) -> Named {
        let [of] = &other.reports[..] else { panic!("one connection: {other:?}") };
        let report = Report {
            side,
            pid: self.pid,
            parent_pid: self.parent_pid,
            executable: self.executable.clone(),
            local: of.peer,
            peer: of.local,
            written: of.read,
            read: of.written,
            closed_first: of.closed_first.map(|first| !first),
            ..of.clone()
        };
        Named { reports: vec![report], container: None }
    }
}

fn publishes(pid: u32, port: &str) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let has = |flag: &str, value: &str| words.windows(2).any(|pair| pair[0] == flag && pair[1] == value);
    words[0].ends_with("docker-proxy") && has("-host-port", port) && has("-host-ip", "0.0.0.0")
}
