//! Values that must never reach a log, an error or a panic message.

use std::fmt;

/// A secret: `Debug` and `Display` print `***`, the value comes out only through [`Secret::expose`].
///
/// Text by default; `Secret<Vec<u8>>` holds a private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T = String>(T);

impl<T> Secret<T> {
    /// Takes the value into custody.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that sends it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_stars_and_exposes_only_on_request() {
        let text = Secret::new("hunter2".to_owned());
        let bytes = Secret::new(b"hunter2".to_vec());

        assert_eq!(format!("{text} {text:?} {text:#?} {bytes} {bytes:?}"), "*** *** *** *** ***");
        assert_eq!(text.expose(), "hunter2");
        assert_eq!(bytes.expose(), b"hunter2");
    }
}
