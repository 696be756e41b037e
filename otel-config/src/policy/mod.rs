//! What is told of which connections, and what their networks are called.

mod cidr;
mod flags;
mod networks;

pub use cidr::Cidr;
pub use networks::{NetworkName, Networks, parse_network};

use crate::{ConfigError, Problem};

/// What the user writes, from flags and files together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Blocks of addresses, and what their networks are called.
    pub networks: Vec<(NetworkName, Cidr)>,
}

/// The same, ready to be applied to connections. The default tells of everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Names of networks.
    pub networks: Networks,
}

impl Policy {
    /// Makes it of settings.
    ///
    /// # Errors
    /// Settings contradict each other.
    pub fn new(settings: &Settings) -> Result<Self, ConfigError> {
        let networks = Networks::new(&settings.networks)
            .map_err(|why| ConfigError { place: "networks".to_owned(), problem: Problem::Policy(why) })?;
        Ok(Self { networks })
    }
}
