//! Conditions on connections.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::{Cidr, NetworkName, Pattern};
use crate::error::shown;

/// Keys of the conditions; `s` at the end of one changes nothing.
pub(super) const KEYS: &str = "executable, container, namespace, role, network, cidr, local_cidr, port";
/// How many characters of a container's id are enough to name it, as runtimes shorten it.
const SHORT_ID: usize = 12;

/// Which end of a connection a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It connected.
    Client,
    /// It accepted.
    Server,
}

/// What is known of one end of a connection.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Attributes of the process and its container by key, such as `process.executable.name`.
    pub owner: &'a dyn Fn(&'static str) -> Option<&'a str>,
    /// `None` where the beginning was not seen.
    pub role: Option<Role>,
    /// This end's address.
    pub local: IpAddr,
    /// The other end's address.
    pub peer: IpAddr,
    /// What the network around the other end's address is called.
    pub network: &'a str,
    /// Port that was connected to, where the role is known.
    pub server_port: Option<u16>,
}

/// Conditions that must all hold. What is not known meets no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// On the process.
    pub subject: Subject,
    /// On what it is connected with.
    pub target: Target,
}

/// Conditions on a process and its part in the connection. An empty list is no condition; of a list one entry must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Base name or full path of the executable.
    pub executables: Vec<Pattern>,
    /// Name of the container, its name in the pod, or its id, also as short as 12 characters.
    pub containers: Vec<Pattern>,
    /// Namespace of the pod.
    pub namespaces: Vec<Pattern>,
    /// The end that it holds.
    pub role: Option<Role>,
}

/// Conditions on the connection itself. Of a list one entry must fit: none fits an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Name of the network around the peer's address.
    pub networks: Option<Vec<NetworkName>>,
    /// The peer's address.
    pub cidrs: Option<Vec<Cidr>>,
    /// This end's address.
    pub local_cidrs: Option<Vec<Cidr>>,
    /// The server's port.
    pub ports: Option<Vec<RangeInclusive<u16>>>,
}

impl Rule {
    /// Whether all conditions hold.
    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        self.target.matches(facts) && self.subject.matches(facts)
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Sets the condition `key`.
    ///
    /// # Errors
    /// There is none of this name, it is set already, or a value is not of its kind; one line that says what is valid.
    pub(crate) fn set(&mut self, key: &str, values: &[&str]) -> Result<(), String> {
        let Self { subject, target } = self;
        let is_set = match key.strip_suffix('s').unwrap_or(key) {
            "executable" => replace(&mut subject.executables, patterns(key, values)?),
            "container" => replace(&mut subject.containers, patterns(key, values)?),
            "namespace" => replace(&mut subject.namespaces, patterns(key, values)?),
            "role" => subject.role.replace(role(values)?).is_some(),
            "network" => target.networks.replace(all(values, NetworkName::new)?).is_some(),
            "cidr" => target.cidrs.replace(all(values, str::parse)?).is_some(),
            "local_cidr" => target.local_cidrs.replace(all(values, str::parse)?).is_some(),
            "port" => target.ports.replace(all(values, ports)?).is_some(),
            _ => return Err(format!("unknown key `{}`; valid keys: {KEYS}", shown(key))),
        };
        if is_set {
            return Err(format!("`{key}` is given twice; give all its values at once"));
        }
        Ok(())
    }

    /// The rule, if it can match anything and does not match everything.
    pub(crate) fn checked(self) -> Result<Self, String> {
        if self.is_empty() {
            return Err(format!("a rule has no condition; valid keys: {KEYS}"));
        }
        if self.target.has_empty_list() {
            return Err("a condition has no value, so that nothing would ever meet it".to_owned());
        }
        Ok(self)
    }

    /// The rule, if it says what is expected.
    pub(crate) fn checked_expectation(self) -> Result<Self, String> {
        if self.target.is_empty() {
            return Err("it does not say what is expected; give network, cidr, local_cidr or port".to_owned());
        }
        Ok(self)
    }

    /// The networks that it speaks of.
    pub(super) fn networks(&self) -> impl Iterator<Item = NetworkName> + '_ {
        self.target.networks.iter().flatten().copied()
    }
}

impl Subject {
    /// Whether all conditions hold.
    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        let attribute = facts.owner;
        let fits = |patterns: &[Pattern], keys: &[&'static str]| {
            let names = || keys.iter().filter_map(|key| attribute(key));
            patterns.is_empty() || patterns.iter().any(|pattern| names().any(|name| pattern.matches(name)))
        };
        self.role.is_none_or(|role| facts.role == Some(role))
            && fits(&self.executables, &["process.executable.name", "process.executable.path"])
            && fits(&self.namespaces, &["k8s.namespace.name"])
            && (fits(&self.containers, &["container.name", "k8s.container.name", "container.id"])
                || self.fits_short_id(attribute("container.id")))
    }

    fn fits_short_id(&self, id: Option<&str>) -> bool {
        let short = id.and_then(|id| id.get(..SHORT_ID));
        short.is_some_and(|short| self.containers.iter().any(|pattern| pattern.matches(short)))
    }
}

impl Target {
    /// Whether all conditions hold.
    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        let is_in = |blocks: &Option<Vec<Cidr>>, address| {
            blocks.as_ref().is_none_or(|blocks| blocks.iter().any(|block| block.contains(address)))
        };
        let is_served = |port| self.ports.iter().flatten().any(|ports| ports.contains(&port));
        is_in(&self.cidrs, facts.peer)
            && is_in(&self.local_cidrs, facts.local)
            && (self.ports.is_none() || facts.server_port.is_some_and(is_served))
            && self
                .networks
                .as_ref()
                .is_none_or(|names| names.iter().any(|name| name.as_str() == facts.network))
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a condition is one that nothing meets.
    pub(super) fn has_empty_list(&self) -> bool {
        let empty = [
            self.networks.as_ref().is_some_and(Vec::is_empty),
            self.cidrs.as_ref().is_some_and(Vec::is_empty),
            self.local_cidrs.as_ref().is_some_and(Vec::is_empty),
            self.ports.as_ref().is_some_and(Vec::is_empty),
        ];
        empty.contains(&true)
    }
}

/// `true` if there were values already.
fn replace(list: &mut Vec<Pattern>, values: Vec<Pattern>) -> bool {
    !std::mem::replace(list, values).is_empty()
}

fn patterns(key: &str, values: &[&str]) -> Result<Vec<Pattern>, String> {
    if values.is_empty() {
        return Err(format!("`{key}` has no value"));
    }
    all(values, Pattern::new)
}

fn all<T>(values: &[&str], read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    values.iter().map(|value| read(value)).collect()
}

fn role(values: &[&str]) -> Result<Role, String> {
    match values {
        ["client"] => Ok(Role::Client),
        ["server"] => Ok(Role::Server),
        _ => Err("role is `client` or `server`; without it both count".to_owned()),
    }
}

/// `443` or `8000-8999`.
fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse::<u16>().ok())
            .flatten()
            .filter(|port| *port != 0)
    };
    let range = port(first).zip(port(last)).filter(|(first, last)| first <= last);
    let (first, last) =
        range.ok_or_else(|| format!("`{}` is no port; write such as 443 or 8000-8999", shown(text)))?;
    Ok(first..=last)
}

#[cfg(test)]
pub(super) mod tests;
