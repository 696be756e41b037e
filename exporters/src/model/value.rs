//! Attribute values, borrowed while an event is visited and owned in Resources and attribute sets.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A value as a sink sees it while visiting an event or a Resource.
///
/// Addresses and ids stay in their compact form so that an event needs no allocation before a sink encodes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A string.
    Str(&'a str),
    /// A signed integer; counts and byte totals fit.
    Int(i64),
    /// A floating point number.
    Double(f64),
    /// A boolean.
    Bool(bool),
    /// An IP address, written in its canonical text form.
    Address(IpAddr),
    /// An opaque id, written as 16 lower-case hexadecimal digits.
    Id(u64),
    /// A list of strings.
    List(&'a [String]),
}

impl fmt::Display for Value<'_> {
    /// The text form used wherever a format has strings only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
            Self::Double(number) => number.fmt(f),
            Self::Bool(flag) => flag.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Id(id) => write!(f, "{id:016x}"),
            Self::List(items) => f.write_str(&items.join(",")),
        }
    }
}

/// A value that a Resource or a metric's attribute set keeps.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OwnedValue {
    /// A string.
    Str(String),
    /// A signed integer.
    Int(i64),
    /// A boolean.
    Bool(bool),
    /// A list of strings.
    List(Vec<String>),
}

impl OwnedValue {
    /// The value as sinks see it.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Str(text) => Value::Str(text),
            Self::Int(number) => Value::Int(*number),
            Self::Bool(flag) => Value::Bool(*flag),
            Self::List(items) => Value::List(items),
        }
    }
}

impl From<&str> for OwnedValue {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for OwnedValue {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<i64> for OwnedValue {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for OwnedValue {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<u16> for OwnedValue {
    fn from(number: u16) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<bool> for OwnedValue {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<Vec<String>> for OwnedValue {
    fn from(items: Vec<String>) -> Self {
        Self::List(items)
    }
}
