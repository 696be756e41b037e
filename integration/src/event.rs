//! The events of convis, whichever way they came.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Map, Value};

use crate::timestamp;

/// Opened, updated, closed or failed: what comes after `convis.tcp.connection.`.
pub const OPENED: &str = "convis.tcp.connection.opened";
/// See [`OPENED`].
pub const CLOSED: &str = "convis.tcp.connection.closed";
/// See [`OPENED`].
pub const FAILED: &str = "convis.tcp.connection.failed";

/// One event of one end of a connection.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it happened, in nanoseconds since 1970.
    pub timestamp: u64,
    /// One of [`OPENED`], [`CLOSED`], [`FAILED`], ...
    pub name: String,
    /// The severity, in words or as a number, as it came.
    pub severity: Value,
    /// Attributes of the process, its container and its host.
    pub resource: Map<String, Value>,
    /// Attributes of the event.
    pub attributes: Map<String, Value>,
}

impl Event {
    /// A line of the JSON sink; panics with the line if it is not as agreed.
    pub fn from_line(line: &str) -> Self {
        Self::parse(line).unwrap_or_else(|| panic!("not an event line as agreed: {line}"))
    }

    fn parse(line: &str) -> Option<Self> {
        let Value::Object(mut object) = serde_json::from_str(line).ok()? else {
            return None;
        };
        let flat = |value: Value| match value {
            Value::Object(map) => map.values().all(|value| !value.is_object()).then_some(map),
            _ => None,
        };
        let event = Self {
            timestamp: timestamp::unix_nanos(object.remove("timestamp")?.as_str()?)?,
            name: object.remove("event_name")?.as_str()?.to_owned(),
            severity: object.remove("severity")?,
            resource: flat(object.remove("resource")?)?,
            attributes: flat(object.remove("attributes")?)?,
        };
        Some(event)
    }

    /// An attribute that must be there as a string.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).as_str().unwrap_or_else(|| panic!("{key} is no string in {self:#?}"))
    }

    /// An attribute that must be there as an integer that is not negative.
    pub fn number(&self, key: &str) -> u64 {
        self.get(key).as_u64().unwrap_or_else(|| panic!("{key} is no count in {self:#?}"))
    }

    /// An attribute that must be there as seconds.
    pub fn seconds(&self, key: &str) -> f64 {
        self.get(key).as_f64().unwrap_or_else(|| panic!("{key} is no number in {self:#?}"))
    }

    /// An attribute of the event or, where it has none of that name, of its resource.
    pub fn get(&self, key: &str) -> &Value {
        self.try_get(key).unwrap_or_else(|| panic!("{key} is missing in {self:#?}"))
    }

    /// As [`Event::get`], for attributes that may be absent.
    pub fn try_get(&self, key: &str) -> Option<&Value> {
        self.attributes.get(key).or_else(|| self.resource.get(key))
    }

    /// Whether its severity is INFO, in words or as a number.
    pub fn is_info(&self) -> bool {
        self.severity == "INFO" || self.severity == 9
    }

    /// Whether its severity is WARN, in words or as a number.
    pub fn is_warning(&self) -> bool {
        self.severity == "WARN" || self.severity == 13
    }

    /// The observed process.
    pub fn pid(&self) -> Option<u64> {
        self.resource.get("process.pid").and_then(Value::as_u64)
    }

    /// The end's own socket address.
    pub fn local(&self) -> SocketAddr {
        self.address("network.local")
    }

    /// The other end's socket address.
    pub fn peer(&self) -> SocketAddr {
        self.address("network.peer")
    }

    /// The address and port attributes under a prefix.
    pub fn address(&self, prefix: &str) -> SocketAddr {
        let address: IpAddr = self.text(&format!("{prefix}.address")).parse().expect("an IP address");
        let port = self.number(&format!("{prefix}.port"));
        SocketAddr::new(address, u16::try_from(port).expect("a port"))
    }

    /// Whether it is about a connection to this server port.
    pub fn is_at(&self, server_port: u16) -> bool {
        self.attributes.get("server.port").and_then(Value::as_u64) == Some(u64::from(server_port))
    }
}
