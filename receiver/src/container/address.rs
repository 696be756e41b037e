//! Where a runtime listens.

use std::fmt;
use std::io;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Where a runtime listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// Host and port, without encryption.
    Tcp(String),
}

impl Address {
    /// Reads `--docker-host`.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn docker(text: &str) -> Result<Self, String> {
        const VALID: &str = "expected unix:///PATH or tcp://HOST:PORT";
        let Some(host) = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://")) else {
            return Self::unix(text).ok_or_else(|| VALID.to_owned());
        };
        let host = host.strip_suffix('/').unwrap_or(host);
        let valid = match host.rsplit_once(':') {
            Some((name, port)) => !name.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok(),
            None => false,
        };
        valid.then(|| Self::Tcp(host.to_owned())).ok_or_else(|| VALID.to_owned())
    }

    /// Reads `--cri-endpoint`.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn cri(text: &str) -> Result<Self, String> {
        Self::unix(text).ok_or_else(|| "expected unix:///PATH".to_owned())
    }

    fn unix(text: &str) -> Option<Self> {
        let path = text.strip_prefix("unix://").unwrap_or(text);
        path.starts_with('/').then(|| Self::Unix(path.into()))
    }

    /// Whether nothing is there, not even a socket without a listener.
    pub(super) fn is_vacant(&self) -> bool {
        matches!(self, Self::Unix(path) if !path.exists())
    }

    /// Connects.
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tcp(host) => Box::new(TcpStream::connect(host).await?),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
        }
    }
}

/// A connection of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: addresses in the forms that Docker and the kubelet take, and ones that cannot work.
    /// Guarantees: read as meant, or refused with what is valid.
    #[test]
    fn reads_addresses() {
        let unix = |path: &str| Ok(Address::Unix(path.into()));
        assert_eq!(Address::docker("unix:///run/docker.sock"), unix("/run/docker.sock"));
        assert_eq!(Address::docker("/run/docker.sock"), unix("/run/docker.sock"));
        assert_eq!(Address::docker("tcp://10.0.0.1:2375"), Ok(Address::Tcp("10.0.0.1:2375".into())));
        assert_eq!(Address::docker("tcp://[::1]:2375/"), Ok(Address::Tcp("[::1]:2375".into())));
        assert_eq!(Address::cri("unix:///run/crio/crio.sock"), unix("/run/crio/crio.sock"));
        for text in [
            "",
            "docker",
            "unix://run/x",
            "tcp://host",
            "tcp://:1",
            "tcp://h:99999",
            "tcp://h/x:1",
            "https://h:1",
        ] {
            assert!(Address::docker(text).is_err_and(|error| error.contains("unix:///PATH")), "{text}");
        }
        assert!(Address::cri("tcp://10.0.0.1:1").is_err());
        assert_eq!(Address::docker("tcp://h:1").unwrap().to_string(), "tcp://h:1");
    }
}
