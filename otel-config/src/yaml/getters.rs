//! A node read as what it should be. Errors say what is valid and repeat no value that came from a reference.

use std::time::Duration;

use super::node::{Node, Value};
use crate::error::shown;

impl Node {
    /// The text of a scalar.
    ///
    /// # Errors
    /// When it is no single value.
    pub fn text(&self) -> Result<&str, String> {
        match &self.value {
            Value::Scalar(scalar) if !scalar.is_null => Ok(scalar.text.expose()),
            Value::Scalar(_) => Err("it has no value; write one, or take the key out".to_owned()),
            _ => Err(format!("it is {}; valid: a single value", self.kind())),
        }
    }

    /// One text, or a list of them.
    ///
    /// # Errors
    /// When it is a map, or an element is no single value.
    pub fn texts(&self) -> Result<Vec<&str>, String> {
        match &self.value {
            Value::List(elements) => elements
                .iter()
                .zip(1..)
                .map(|(element, position)| element.text().map_err(|why| format!("element {position}: {why}")))
                .collect(),
            _ => Ok(vec![self.text()?]),
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// For anything else.
    pub fn boolean(&self) -> Result<bool, String> {
        match self.text()? {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            _ => Err(self.refuse("valid: true, false")),
        }
    }

    /// A whole number from 0.
    ///
    /// # Errors
    /// For anything else.
    pub fn integer(&self) -> Result<u64, String> {
        self.text()?.parse().map_err(|_| self.refuse("valid: a whole number from 0"))
    }

    /// A number, whole or with a fraction.
    ///
    /// # Errors
    /// For anything else, and for what is not finite.
    pub fn number(&self) -> Result<f64, String> {
        let number = self.text()?.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| self.refuse("valid: a number"))
    }

    /// A duration as Go writes them: `500ms`, `10s`, `1m30s`, `1.5h`, or `0`.
    ///
    /// # Errors
    /// For anything else, and for what is no whole number of milliseconds.
    pub fn duration(&self) -> Result<Duration, String> {
        go_duration(self.text()?).ok_or_else(|| {
            self.refuse("valid: a duration of whole milliseconds with units, such as 500ms, 10s or 1m30s")
        })
    }

    /// Bytes: a whole number from 1, with `K`, `M` or `G`, which count in steps of 1024, or `KiB`, `MiB`, `GiB`.
    ///
    /// # Errors
    /// For anything else.
    pub fn size(&self) -> Result<u64, String> {
        size(self.text()?)
            .ok_or_else(|| self.refuse("valid: a number of bytes from 1, with K, M or G, such as 512M"))
    }

    /// One of a few words.
    ///
    /// # Errors
    /// For anything else.
    pub fn word<'a>(&self, words: &[&'a str]) -> Result<&'a str, String> {
        let text = self.text()?;
        let found = words.iter().find(|word| word.eq_ignore_ascii_case(text));
        found.copied().ok_or_else(|| self.refuse(&format!("valid: {}", words.join(", "))))
    }

    /// The error of a scalar: its text, unless it came from a reference, and what is valid.
    pub fn refuse(&self, valid: &str) -> String {
        match &self.value {
            Value::Scalar(scalar) if !scalar.is_referenced => {
                format!("`{}` is not valid; {valid}", shown(scalar.text.expose()))
            }
            _ => format!("its value is not valid; {valid}"),
        }
    }
}

fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanos: u128 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let number = prefix(rest, |c| c.is_ascii_digit() || c == '.');
        rest = rest.strip_prefix(number)?;
        let unit = prefix(rest, |c| !c.is_ascii_digit() && c != '.');
        rest = rest.strip_prefix(unit)?;
        nanos = nanos.checked_add(scaled(number, nanos_of(unit)?)?)?;
    }
    // Nothing here needs less than a millisecond, and what a sink rounds would be a setting that lies.
    let millis = u64::try_from(nanos / NANOS_PER_MILLI).ok()?;
    (!text.is_empty() && nanos.is_multiple_of(NANOS_PER_MILLI)).then(|| Duration::from_millis(millis))
}

const NANOS_PER_MILLI: u128 = 1_000_000;

fn prefix(text: &str, fits: impl Fn(char) -> bool) -> &str {
    text.split_once(|c| !fits(c)).map_or(text, |(before, _)| before)
}

fn nanos_of(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// A decimal number times a factor, cut to a whole one.
fn scaled(number: &str, factor: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || fraction.len() > 9 {
        return None;
    }
    let places = u32::try_from(fraction.len()).ok()?;
    Some(u128::from(digits.parse::<u64>().ok()?).checked_mul(factor)? / 10u128.pow(places))
}

fn size(text: &str) -> Option<u64> {
    let number = prefix(text, |c| c.is_ascii_digit());
    let factor: u64 = match text.strip_prefix(number)? {
        "" => 1,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "m" | "MiB" => 1 << 20,
        "G" | "g" | "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_go() {
        let table = [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("1.5s", 1_500),
            (".5s", 500),
            ("1h0m0.25s", 3_600_250),
            ("2000us", 2),
            ("3000000ns", 3),
        ];
        for (text, millis) in table {
            assert_eq!(go_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "5", "s", "5 s", "-1s", "1.5.s", "1..5s", "1us", "1d", "5S", ".", "99999999999999999999h"]
        {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, want) in [("1", 1), ("4K", 4096), ("2m", 2 << 20), ("3G", 3 << 30), ("1MiB", 1 << 20)] {
            assert_eq!(size(text), Some(want), "{text}");
        }
        for text in ["", "0", "K", "1T", "-1", "1.5G", "99999999999G", "1 G", "1kb"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
