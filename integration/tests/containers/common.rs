//! What the tests of containers share.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use convis_integration::containers::{Host, Part, Player};
use convis_integration::convis::Convis;
use convis_integration::event::Event;
use convis_integration::traffic::Exchange;

/// One end's opened and closed.
pub(crate) const OF_AN_END: usize = 2;
pub(crate) const OF_A_CONNECTION: usize = 2 * OF_AN_END;
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
pub(crate) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the host.
    Host,
    /// In a container of this name, on the host's bridge.
    Bridge(&'static str),
    /// In a container of this name, in the host's network.
    Unbridged(&'static str),
}

impl Place {
    pub(crate) fn play(self, host: &Host, options: &[&str], part: &Part) -> Player {
        match self {
            Self::Host => host.process(part),
            Self::Bridge(name) => host.container(name, options, part),
            Self::Unbridged(name) => host.container(name, &["--network", "host"], part),
        }
    }

    /// Where others reach it.
    pub(crate) fn address(self, host: &Host) -> IpAddr {
        match self {
            Self::Bridge(name) => host.address_of(name),
            _ => Host::ADDRESS,
        }
    }
}

/// Little is said, and the connection is over.
pub(crate) fn short() -> Exchange {
    Exchange { send: 5, expect: 7, ..Exchange::default() }
}

pub(crate) fn serve(listen: &str, port: u16) -> Part {
    let at = SocketAddr::new(listen.parse().expect("an address"), port);
    Part::serve(at, 1, &short().mirrored())
}

pub(crate) fn connect(to: IpAddr, port: u16, exchange: &Exchange) -> Part {
    Part::connect(SocketAddr::new(to, port), 1, Duration::ZERO, exchange)
}

/// The events at this server port, once there are as many as said; panics if there are more.
pub(crate) fn events(convis: &Convis, port: u16, count: usize) -> Vec<Event> {
    let events = convis.wait_for_events(port, count);
    assert_eq!(events.len(), count, "at port {port}: {events:#?}");
    events
}

/// Events with the id of their container alone are counted, and there are at least so many. Of other containers of this
/// machine there may be more.
pub(crate) fn check_unnamed(convis: Convis, least: usize) {
    let counted = convis.ledger().sum("convis_events_unnamed_total", &[]).expect("it is counted");
    let stopped = convis.stop();
    let is_unnamed = |event: &&Event| {
        event.resource.contains_key("container.id") && !event.resource.contains_key("container.name")
    };
    let found: Vec<_> = stopped.events.iter().filter(is_unnamed).collect();
    assert_eq!(counted.to_string(), found.len().to_string(), "{found:#?}");
    assert!(found.len() >= least, "{found:#?}");
}
