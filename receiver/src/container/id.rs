//! The id of a container.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest id that is taken; names of containers made by hand can be ids too.
const LONGEST: usize = 128;
/// Hexadecimal digits of the ids that Docker, Podman and CRI runtimes give.
const FULL: usize = 64;

/// The id of a container, as its cgroup and its runtime have it; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ContainerId(Arc<str>);

impl ContainerId {
    /// An id from text; `None` if no runtime would give such a one. Ids come from names of cgroups, which users may
    /// choose, and go into requests: letters, digits, `_`, `-` and, not at the beginning, `.`.
    pub fn new(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let valid = !text.is_empty() && text.len() <= LONGEST && !text.starts_with('.');
        (valid && text.bytes().all(plain)).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has the form of the runtimes that convis can ask: 64 hexadecimal digits.
    pub fn is_full(&self) -> bool {
        self.0.len() == FULL && self.0.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.as_str().to_owned()
    }
}

impl TryFrom<String> for ContainerId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text).ok_or("no id of a container")
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for ContainerId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: ids as runtimes give them, names of containers made by hand, and names meant to do harm.
    /// Guarantees: only plain ones are ids, and only those of known runtimes are full.
    #[test]
    fn takes_what_runtimes_give() {
        let full = "4f".repeat(32);
        assert!(ContainerId::new(&full).unwrap().is_full());
        assert!(!ContainerId::new(&full.to_uppercase()).unwrap().is_full());
        assert!(!ContainerId::new("my_box-1.2").unwrap().is_full());
        for text in ["", "..", ".hidden", "a/b", "a%2fb", "a?b", "a b", "a\nb", "\u{e9}", &"a".repeat(129)] {
            assert_eq!(ContainerId::new(text), None, "{text}");
        }
    }
}
