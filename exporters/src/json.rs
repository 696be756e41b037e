//! What the encoders of JSON have in common. All of it comes with every event, so the formatting machinery is left out.

use std::fmt::{self, Write as _};

use crate::model::text::{Text, Utf8};

/// Writes what comes before a member, a brace or a comma, and its name, which needs no escaping.
#[inline]
pub(crate) fn name(out: &mut Vec<u8>, before: u8, name: &'static str) {
    debug_assert!(is_plain(name.as_bytes()), "{name}");
    out.extend_from_slice(&[before, b'"']);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Writes a string with its quotes, escaped.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    if is_plain(text.as_bytes()) {
        quoted(out, text.as_bytes());
    } else {
        // Writing a string to a vector cannot fail.
        _ = serde_json::to_writer(out, text);
    }
}

/// Writes a short text with its quotes.
#[inline]
pub(crate) fn text(out: &mut Vec<u8>, text: &Text) {
    quoted(out, text.as_bytes());
}

/// Writes a string with its quotes whose text comes piece by piece, escaped.
pub(crate) fn written(out: &mut Vec<u8>, write: impl FnOnce(&mut Utf8<'_>) -> fmt::Result) {
    out.push(b'"');
    let start = out.len();
    // Writing to a vector cannot fail.
    _ = write(&mut Utf8(out));
    if is_plain(&out[start..]) {
        out.push(b'"');
    } else {
        let text = String::from_utf8_lossy(&out[start..]).into_owned();
        out.truncate(start - 1);
        string(out, &text);
    }
}

/// Writes an integer.
#[inline]
pub(crate) fn integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a finite floating point number.
pub(crate) fn double(out: &mut Vec<u8>, number: f64) {
    // Writing to a vector cannot fail.
    _ = write!(Utf8(out), "{number:?}");
}

/// Writes a truth value.
#[inline]
pub(crate) fn boolean(out: &mut Vec<u8>, flag: bool) {
    out.extend_from_slice(if flag { b"true" } else { b"false" });
}

#[inline]
fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

/// Whether nothing of it has to be escaped. Nearly all strings are plain, so what matters is to see that soon: eight bytes at a
/// time, of which the last eight may be looked at twice.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let is_plain_word = |word: &[u8; 8]| is_plain_word(u64::from_le_bytes(*word));
    match text.last_chunk() {
        Some(last) => text.as_chunks().0.iter().all(is_plain_word) && is_plain_word(last),
        None => text.iter().all(|byte| *byte >= b' ' && *byte != b'"' && *byte != b'\\'),
    }
}

/// See "Bit Twiddling Hacks": a byte below `n`, which is no zero byte after the xor, borrows into its highest bit.
#[inline]
const fn is_plain_word(word: u64) -> bool {
    const fn each(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    const fn below(word: u64, limit: u8) -> u64 {
        word.wrapping_sub(each(limit)) & !word
    }
    let found = below(word, b' ') | below(word ^ each(b'"'), 1) | below(word ^ each(b'\\'), 1);
    found & each(0x80) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        /// Scenario: any text, of any length, and such of characters around those that are escaped.
        /// Guarantees: what `serde_json` makes of it, at once or piece by piece.
        #[test]
        fn strings_are_those_of_serde_json(text in prop_oneof![
            any::<String>(), "[ -~]{0,40}", "[\u{1e}-#Z-^\u{7e}-\u{100}]{0,20}", "[a-z]{0,20}[\0-\u{ff}][a-z]{0,20}",
        ]) {
            let expected = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(&of(|out| string(out, &text)), &expected);
            let pieces = |to: &mut Utf8<'_>| text.chars().try_for_each(|piece| to.write_char(piece));
            prop_assert_eq!(of(|out| written(out, pieces)), expected);
        }

        /// Scenario: any number.
        /// Guarantees: its digits are those of the standard library, and `serde_json` reads the same number.
        #[test]
        fn numbers_stay_what_they_are(signed: i64, unsigned: u64, fraction in proptest::num::f64::NORMAL) {
            prop_assert_eq!(of(|out| integer(out, signed)), signed.to_string());
            prop_assert_eq!(of(|out| integer(out, unsigned)), unsigned.to_string());
            let text = of(|out| double(out, fraction));
            prop_assert_eq!(&text, &format!("{fraction:?}"));
            let read: f64 = text.parse().unwrap();
            prop_assert_eq!(read.to_bits(), fraction.to_bits());
            prop_assert!(serde_json::from_str::<f64>(&text).is_ok());
        }
    }

    /// Scenario: each character of one or two bytes at each place of two words.
    /// Guarantees: those that `serde_json` escapes are found, and no other.
    #[test]
    fn every_byte_is_judged_everywhere() {
        for character in '\0'..='\u{ff}' {
            for place in 0..16 {
                let mut text = "x".repeat(16);
                text.insert(place, character);
                let is_escaped = serde_json::to_string(&text).unwrap().len() > text.len() + 2;
                assert_eq!(is_plain(text.as_bytes()), !is_escaped, "{text:?}");
            }
        }
    }
}
