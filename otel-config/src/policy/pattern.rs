//! Names with wildcards.

/// A name in which each `*` stands for any text, also none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Takes a pattern.
    ///
    /// # Errors
    /// It is empty.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a name is empty; * stands for any".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether it stands for `name`.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let head = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(head) else {
            return false;
        };
        let Some(tail) = parts.next_back() else {
            return rest.is_empty();
        };
        // What comes first leaves most for the others.
        for part in parts {
            let Some((_, behind)) = rest.split_once(part) else {
                return false;
            };
            rest = behind;
        }
        rest.ends_with(tail)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By the definition: `*` stands for nothing, or for a character and `*`.
    fn by_definition(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => {
                by_definition(rest, name) || (!name.is_empty() && by_definition(pattern, &name[1..]))
            }
            Some((byte, rest)) => name.first() == Some(byte) && by_definition(rest, &name[1..]),
        }
    }

    /// Scenario: names as people write them.
    /// Guarantees: whole names only, unless a star says otherwise.
    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name, expected) in [
            ("nginx", "nginx", true),
            ("nginx", "nginx2", false),
            ("nginx*", "nginx", true),
            ("*/bin/python3*", "/usr/bin/python3.11", true),
            ("*/bin/python3*", "python3.11", false),
            ("a*a", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().matches(name), expected, "{pattern} {name}");
        }
        assert!(Pattern::new("").is_err());
    }

    proptest! {
        /// Scenario: any pattern and any name of few letters.
        /// Guarantees: as the definition has it.
        #[test]
        fn as_defined(pattern in "[ab*]{1,8}", name in "[ab]{0,10}") {
            let expected = by_definition(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(Pattern::new(&pattern).unwrap().matches(&name), expected);
        }
    }
}
