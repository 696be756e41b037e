//! Pieces of text for people: safe, short, with units.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Stands where characters were left out; part of no address and hardly of a name.
const ELISION: &str = "..";

/// Text that cannot drive a terminal: control characters and those that reorder or hide text are written as escapes.
pub(super) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text of at most `width` columns, the middle left out when it is longer.
pub(super) fn elided(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(ELISION.len());
    let tail = room / 2;
    let head = room - tail;
    let start: String = within(text.chars(), head).collect();
    let end: Vec<char> = within(text.chars().rev(), tail).collect();
    let end: String = end.into_iter().rev().collect();
    format!("{start}{ELISION}{end}")
}

/// The first characters that take up at most `width` columns.
fn within(characters: impl Iterator<Item = char>, width: usize) -> impl Iterator<Item = char> {
    let mut room = width;
    characters.map_while(move |character| {
        room = room.checked_sub(character.width().unwrap_or(0))?;
        Some(character)
    })
}

/// Appends a cell, filled up to `width` columns; longer text is not cut.
pub(super) fn cell(text: &str, width: usize, line: &mut String) {
    line.push_str(text);
    line.extend(std::iter::repeat_n(' ', width.saturating_sub(text.width())));
}

/// An address with its port. A long IPv6 address loses its middle, never its ends or the port.
pub(super) fn endpoint(address: SocketAddr, width: usize) -> String {
    let whole = address.to_string();
    match address.ip() {
        IpAddr::V6(v6) if whole.len() > width => {
            let port = format!("]:{}", address.port());
            let inner = elided(&v6.to_string(), width.saturating_sub(port.len() + 1));
            format!("[{inner}{port}")
        }
        _ => whole,
    }
}

/// Bytes in decimal units, as `df --si` and network tools have them.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut scaled = count as f64 / 1000.0;
    let mut unit = 0;
    // 999.95 would be shown as 1000.0.
    while scaled >= 999.95 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// A duration with three significant digits below a minute, and its two largest units above.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let mut text = String::new();
    // Writing to a string cannot fail.
    _ = match seconds {
        0 if duration.as_micros() < 1000 => write!(text, "{} us", duration.as_micros()),
        0 => write!(text, "{:.1} ms", truncated(duration.as_secs_f64() * 1e3, 10.0)),
        1..60 => write!(text, "{:.2} s", truncated(duration.as_secs_f64(), 100.0)),
        60..3600 => write!(text, "{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => write!(text, "{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => write!(text, "{}d {:02}h", seconds / 86_400, seconds / 3600 % 24),
    };
    text
}

/// Rounded down, so that 999.99 ms is not shown as 1000.0 ms.
fn truncated(number: f64, steps: f64) -> f64 {
    (number * steps).floor() / steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: names that carry terminal codes, line breaks and reordering characters.
    /// Guarantees: they are shown as escapes.
    #[test]
    fn hostile_names_are_shown_not_obeyed() {
        assert_eq!(printable("a\u{1b}[2J\n\u{9b}m"), "a\\u{1b}[2J\\u{a}\\u{9b}m");
        assert_eq!(printable("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
        assert_eq!(printable("caf\u{e9}"), "caf\u{e9}");
    }

    /// Scenario: addresses around the width.
    /// Guarantees: IPv4 and short IPv6 stay whole; a long one keeps its ends and its port.
    #[test]
    fn long_addresses_lose_their_middle() {
        let show = |text: &str| endpoint(text.parse().unwrap(), 28);
        assert_eq!(show("255.255.255.255:65535"), "255.255.255.255:65535");
        assert_eq!(show("[2001:db8::1]:443"), "[2001:db8::1]:443");
        assert_eq!(show("[2001:db8:85a3:1:2:8a2e:370:7334]:65535"), "[2001:db8:..:370:7334]:65535");
    }

    /// Scenario: counts and times around each change of unit.
    /// Guarantees: no number reaches the next unit by rounding.
    #[test]
    fn units_change_at_their_bounds() {
        let counts = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_200_000, "1.2 MB"),
            (999_960, "1.0 MB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (count, text) in counts {
            assert_eq!(bytes(count), text);
        }
        let times = [
            (0, "0 us"),
            (999_999, "999 us"),
            (12_345_678, "12.3 ms"),
            (999_999_999, "999.9 ms"),
            (4_560_000_000, "4.56 s"),
            (59_999_000_000, "59.99 s"),
            (123_000_000_000, "2m 03s"),
            (3_720_000_000_000, "1h 02m"),
            (90_000_000_000_000, "1d 01h"),
        ];
        for (nanos, text) in times {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }

    proptest! {
        /// Scenario: any text, any width.
        /// Guarantees: elided text never takes more columns than it may, and printable text holds no control character.
        #[test]
        fn elided_text_fits(text in ".{0,40}", width in 3_usize..30) {
            prop_assert!(elided(&printable(&text), width).width() <= width);
            prop_assert!(!printable(&text).chars().any(char::is_control));
        }

        /// Scenario: any IPv6 endpoint.
        /// Guarantees: it fits, and where something was left out the text is no address that could be mistaken for another.
        #[test]
        fn elided_addresses_fit_and_do_not_parse(address in any::<[u8; 16]>(), port in any::<u16>()) {
            let whole = SocketAddr::new(IpAddr::from(address), port);
            let shown = endpoint(whole, 28);
            prop_assert!(shown.len() <= 28);
            match shown.parse::<SocketAddr>() {
                Ok(parsed) => prop_assert_eq!(parsed, whole),
                Err(_) => prop_assert!(shown.contains(ELISION)),
            }
        }
    }
}
