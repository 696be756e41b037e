//! A host of the test's own, as containers see one.

use std::net::{IpAddr, Ipv4Addr};

use super::detached::Detached;
use super::player::{Part, Player};
use crate::namespace::Namespace;
use crate::runtimes::{Docker, Kind};

/// A network namespace with an address, and a container daemon in it. The machine's own network knows nothing of it.
pub struct Host {
    docker: Docker,
    network: Namespace,
}

impl Host {
    /// The host's address in its only network but for those of containers.
    pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

    /// Starts one; what is lacking, where there can be none.
    pub fn start(kind: Kind) -> Result<Self, String> {
        Docker::available(kind)?;
        for needed in ["ip", "iptables", "nsenter", "unshare"] {
            if !crate::process::exists(needed.as_ref()) {
                return Err(format!("needs {needed}"));
            }
        }
        let network = Namespace::new()?;
        network.run("ip link add up0 type veth peer name up1");
        network.run(&format!("ip address add {}/24 dev up0", Self::ADDRESS));
        network.run("ip link set up0 up");
        network.run("ip link set up1 up");
        Ok(Self { docker: Docker::start_in(kind, &network), network })
    }

    /// Its daemon.
    pub const fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Its daemon, to be stopped and started.
    pub const fn docker_mut(&mut self) -> &mut Docker {
        &mut self.docker
    }

    /// Its network.
    pub const fn network(&self) -> &Namespace {
        &self.network
    }

    /// Arguments of a convis that asks its daemon.
    pub fn arguments(&self) -> [String; 4] {
        let socket = format!("unix://{}", self.docker.socket().display());
        ["--container-runtime".into(), "docker".into(), "--docker-host".into(), socket]
    }

    /// A process of the host itself.
    pub fn process(&self, part: &Part) -> Player {
        Player::on(&self.network, part)
    }

    /// A process in a new container with this name and these options of `docker run`.
    pub fn container(&self, name: &str, options: &[&str], part: &Part) -> Player {
        Player::within(&self.docker, name, options, part)
    }

    /// A process in a new container with this name that its daemon need not hear of; the program says a first line when it
    /// is ready.
    pub fn detached(&self, name: &str, part: &Part) -> Detached {
        Detached::in_docker(&self.docker, name, part)
    }

    /// The address of a container.
    pub fn address_of(&self, name: &str) -> IpAddr {
        let text = self.docker.docker(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", name]);
        text.parse().unwrap_or_else(|_| panic!("{name} has no address: {text:?}"))
    }
}
