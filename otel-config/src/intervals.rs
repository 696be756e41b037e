//! How often things leave, and the notation of durations on the command line.

use std::time::Duration;

use crate::{Sources, error::shown};

/// Metrics interval when neither `--interval` nor `OTEL_METRIC_EXPORT_INTERVAL` says otherwise. The specification's
/// 60 s would hide what happens on a node from whoever looks at it live.
pub const DEFAULT_METRIC_INTERVAL: Duration = Duration::from_secs(10);

/// Longest time that a batch of events is held, and the default.
pub const MAX_BATCH_DELAY: Duration = Duration::from_secs(1);

/// Time between two exports of metrics: `OTEL_METRIC_EXPORT_INTERVAL` in milliseconds, else
/// [`DEFAULT_METRIC_INTERVAL`]. Anything but a positive integer is warned about and ignored.
pub fn metric_interval(sources: &Sources<'_>) -> Duration {
    sources.parsed_var("OTEL_METRIC_EXPORT_INTERVAL", positive_millis).unwrap_or(DEFAULT_METRIC_INTERVAL)
}

/// Longest time that an event waits for its batch to fill: `OTEL_BLRP_SCHEDULE_DELAY` in milliseconds, at most
/// [`MAX_BATCH_DELAY`], never zero. A longer one is warned about and shortened.
pub fn batch_delay(sources: &Sources<'_>) -> Duration {
    const NAME: &str = "OTEL_BLRP_SCHEDULE_DELAY";
    let wanted = sources.parsed_var(NAME, positive_millis).unwrap_or(MAX_BATCH_DELAY);
    if wanted > MAX_BATCH_DELAY {
        (sources.warn)(format!(
            "{NAME} is shortened to {} ms: a batch of events leaves after at most that",
            MAX_BATCH_DELAY.as_millis()
        ));
    }
    wanted.min(MAX_BATCH_DELAY)
}

/// Text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no duration; write a whole number with a unit: 500ms, 10s, 2m or 1h")]
pub struct DurationError {
    text: String,
}

/// Reads a duration as command-line flags take it: a whole number and one of `ms`, `s`, `m`, `h`, such as `500ms`
/// or `10s`. A bare number is an error, since seconds and milliseconds are too easily mistaken, except for `0`.
///
/// # Errors
/// For any other text, and for numbers that overflow 64-bit milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let millis_per_unit = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "" if number == "0" => Some(0),
        _ => None,
    };
    let millis = millis_per_unit.and_then(|factor| number.parse::<u64>().ok()?.checked_mul(factor));
    millis.map(Duration::from_millis).ok_or_else(|| DurationError { text: shown(text) })
}

/// A positive count of milliseconds, as the specification's interval variables hold it.
fn positive_millis(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(format!("`{}` is no positive whole number of milliseconds", shown(text))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Outside;

    #[test]
    fn durations_need_a_unit() {
        let good = [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("10s", 10_000),
            ("010s", 10_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ];
        for (text, millis) in good {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        let bad =
            ["", "10", "00", "s", "1.5s", "-1s", "+1s", "1 s", "10S", "1m30s", "1d", "99999999999999999999s"];
        for text in bad {
            let line = parse_duration(text).unwrap_err().to_string();
            assert!(line.contains("500ms, 10s, 2m or 1h"), "{text}: {line}");
        }
        assert!(parse_duration(&format!("{}h", u64::MAX)).is_err());
    }

    #[test]
    fn intervals_come_from_the_environment() {
        let table = [
            // (value of both variables, metrics, batch, warnings)
            (None, 10_000, 1_000, 0),
            (Some(""), 10_000, 1_000, 0),
            (Some("200"), 200, 200, 0),
            (Some(" 200 "), 200, 200, 0),
            (Some("1000"), 1_000, 1_000, 0),
            (Some("60000"), 60_000, 1_000, 1),
            (Some("0"), 10_000, 1_000, 2),
            (Some("-5"), 10_000, 1_000, 2),
            (Some("5s"), 10_000, 1_000, 2),
        ];
        for (value, metrics, batch, warnings) in table {
            let mut outside = Outside::default();
            if let Some(value) = value {
                outside.set("OTEL_METRIC_EXPORT_INTERVAL", value).set("OTEL_BLRP_SCHEDULE_DELAY", value);
            }
            outside.read(|sources| {
                assert_eq!(metric_interval(sources), Duration::from_millis(metrics), "{value:?}");
                assert_eq!(batch_delay(sources), Duration::from_millis(batch), "{value:?}");
            });
            assert_eq!(outside.warnings().len(), warnings, "{value:?}: {:?}", outside.warnings());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text in ".*") {
            let _ = parse_duration(&text);
        }
    }
}
