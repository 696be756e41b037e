//! Policy as flags of the command line have it.

use super::{Settings, parse_network};
use crate::{ConfigError, Problem};

impl Settings {
    /// Takes the value of a `--network`.
    ///
    /// # Errors
    /// It is not `NAME=CIDR[,CIDR]...`.
    pub fn add_network(&mut self, text: &str) -> Result<(), ConfigError> {
        self.networks.extend(parse_network(text).map_err(|why| refused("network", why))?);
        Ok(())
    }
}

fn refused(flag: &str, why: String) -> ConfigError {
    ConfigError { place: format!("--{flag}"), problem: Problem::Policy(why) }
}
