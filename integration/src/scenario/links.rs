//! Two network namespaces with a pair of links between them.

use super::actor::{Actor, Place};
use super::stage::{Lacking, Stage};

/// A client in one network namespace, a server in another, each behind its end of the pair.
pub(super) struct Pair {
    pub(super) client: Actor,
    pub(super) server: Actor,
}

impl Pair {
    /// The client's link is `near`.
    pub(super) const CLIENT: &str = "10.77.0.1";
    /// The server's link is `far`.
    pub(super) const SERVER: &str = "10.77.0.2";
    /// Reaches nobody: the neighbour is known and silent.
    pub(super) const SILENT: &str = "10.77.0.9";
    /// Nobody has it, and nobody says so.
    pub(super) const ABSENT: &str = "10.77.0.8";

    /// Makes both, with their addresses.
    pub(super) fn new(stage: &mut Stage) -> Result<Self, Lacking> {
        let (client, server) = (stage.actor(Place::NewNetwork)?, stage.actor(Place::NewNetwork)?);
        let near = client.hand();
        let lacking = |(_, error)| Lacking(format!("no pair of links: {error}"));
        near.try_do(format!("net pair near far {}", server.who().pid)).map_err(lacking)?;
        for (actor, link, address) in [(&client, "near", Self::CLIENT), (&server, "far", Self::SERVER)] {
            actor.hand().act(format!("net address {link} {address} 24"));
            actor.hand().act(format!("net up {link}"));
        }
        near.act(format!("net silent near {}", Self::SILENT));
        Ok(Self { client, server })
    }
}
