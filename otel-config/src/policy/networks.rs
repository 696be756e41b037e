//! Networks that the user names.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::cidr::{Cidr, bits};
use crate::error::shown;

/// What networks are called that nobody has named.
pub const BUILT_IN_NETWORKS: [&str; 4] = ["loopback", "private", "link_local", "public"];

/// Longest name of a network.
const LONGEST_NAME: usize = 64;

/// Every name there has been: a handful, and one that is said again adds nothing.
static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// The name of a network. Kept until the process ends, so that an event carries it without counting or copying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkName(&'static str);

impl NetworkName {
    /// Takes a name: at most 64 ASCII letters, digits and `-` `_` `.`.
    ///
    /// # Errors
    /// Any other text; the error says what is valid.
    pub fn new(text: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if text.is_empty() || text.len() > LONGEST_NAME || !text.bytes().all(fits) {
            return Err(format!(
                "`{}` is no name of a network; write at most {LONGEST_NAME} letters, digits and - _ .",
                shown(text)
            ));
        }
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(text) {
            return Ok(Self(known));
        }
        let name: &'static str = String::leak(text.to_owned());
        names.insert(name);
        Ok(Self(name))
    }

    /// The name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Reads `NAME=CIDR[,CIDR]...`.
///
/// # Errors
/// Anything else; one line that says what is valid.
pub fn parse_network(text: &str) -> Result<Vec<(NetworkName, Cidr)>, String> {
    let (name, blocks) =
        text.split_once('=').ok_or("write NAME=CIDR[,CIDR]..., such as office=10.8.0.0/16")?;
    parse_blocks(name, &blocks.split(',').collect::<Vec<_>>())
}

/// Reads the blocks of one name.
pub(crate) fn parse_blocks(name: &str, blocks: &[&str]) -> Result<Vec<(NetworkName, Cidr)>, String> {
    let name = NetworkName::new(name)?;
    blocks.iter().map(|block| Ok((name, block.parse()?))).collect()
}

/// Which address is in which named network. Of several blocks around an address, the one with the longest prefix counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Stretches,
    v6: Stretches,
    names: BTreeSet<NetworkName>,
}

impl Networks {
    /// Networks of these blocks; a name may have any number of them.
    ///
    /// # Errors
    /// A block has two names; one line that names them.
    pub fn new(blocks: &[(NetworkName, Cidr)]) -> Result<Self, String> {
        let mut sorted: Vec<_> = blocks.iter().map(|(name, block)| (*block, *name)).collect();
        // A block comes before the blocks inside of it.
        sorted.sort_by_key(|(block, name)| (block.range().0, block.prefix(), *name));
        sorted.dedup();
        let twice = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0);
        if let Some([(block, one), (_, other)]) = twice {
            return Err(format!("{block} is in both `{one}` and `{other}`; give it to one of them"));
        }
        let (v4, v6): (Vec<_>, Vec<_>) = sorted.into_iter().partition(|(block, _)| block.is_ipv4());
        let names = blocks.iter().map(|(name, _)| *name).collect();
        Ok(Self { v4: Stretches::of(&v4), v6: Stretches::of(&v6), names })
    }

    /// The name of the network around `address`. IPv4-mapped addresses must have been unmapped before.
    #[inline]
    pub fn find(&self, address: IpAddr) -> Option<NetworkName> {
        if self.names.is_empty() {
            return None;
        }
        let stretches = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        stretches.find(bits(address))
    }

    /// Every name, sorted.
    pub fn names(&self) -> impl Iterator<Item = NetworkName> + '_ {
        self.names.iter().copied()
    }
}

/// Addresses of one family, cut where the answer changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Stretches {
    /// Where each begins, ascending; what lies before the first has no name.
    starts: Vec<u128>,
    names: Vec<Option<NetworkName>>,
}

impl Stretches {
    /// From blocks sorted by their first address, the larger first.
    fn of(blocks: &[(Cidr, NetworkName)]) -> Self {
        let mut stretches = Self::default();
        // The blocks around the present address, the innermost last: two blocks lie apart or one in the other.
        let mut around: Vec<(u128, NetworkName)> = Vec::new();
        for (block, name) in blocks {
            let (first, last) = block.range();
            while around.last().is_some_and(|(end, _)| *end < first) {
                stretches.leave(&mut around);
            }
            stretches.begin(first, Some(*name));
            around.push((last, *name));
        }
        while !around.is_empty() {
            stretches.leave(&mut around);
        }
        stretches
    }

    /// Behind the innermost block, the one around it goes on.
    fn leave(&mut self, around: &mut Vec<(u128, NetworkName)>) {
        let end = around.pop().map(|(end, _)| end);
        if let Some(behind) = end.and_then(|end| end.checked_add(1)) {
            self.begin(behind, around.last().map(|(_, name)| *name));
        }
    }

    fn begin(&mut self, at: u128, name: Option<NetworkName>) {
        if self.starts.last() == Some(&at) {
            self.starts.pop();
            self.names.pop();
        }
        self.starts.push(at);
        self.names.push(name);
    }

    fn find(&self, address: u128) -> Option<NetworkName> {
        let begun = self.starts.partition_point(|start| *start <= address);
        *self.names.get(begun.checked_sub(1)?)?
    }
}

#[cfg(test)]
mod tests;
