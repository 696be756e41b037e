//! OpenTelemetry names as Prometheus names.
//!
//! Source: "Prometheus and `OpenMetrics` Compatibility" of the OpenTelemetry specification, strategy
//! `UnderscoreEscapingWithSuffixes`; units and `_ratio` as Prometheus's own `otlptranslator` does them.

use crate::model::{Descriptor, Instrument};

/// The name of a metric: sanitised, with its unit in words and the suffix of its type.
pub(super) fn metric_name(descriptor: &Descriptor) -> String {
    let name = sanitised(descriptor.name);
    let mut words: Vec<&str> = name.split('_').filter(|word| !word.is_empty()).collect();
    let (unit, per) = units(descriptor.unit);
    for word in unit.iter().chain(&per) {
        if !words.contains(word) {
            words.push(word);
        }
    }
    match descriptor.instrument {
        Instrument::Counter => last(&mut words, "total"),
        Instrument::UpDownCounter if descriptor.unit == "1" => last(&mut words, "ratio"),
        Instrument::UpDownCounter | Instrument::Histogram { .. } => {}
    }
    let name = words.join("_");
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// The unit of a descriptor as one text; empty when it has none.
pub(super) fn unit_name(descriptor: &Descriptor) -> String {
    let (unit, per) = units(descriptor.unit);
    unit.into_iter().chain(per).collect::<Vec<_>>().join("_")
}

/// The name of a label; empty for a key without any letter or digit, since a label must not be all `_`.
pub(super) fn label_name(key: &str) -> String {
    let name = sanitised(key);
    if name.chars().all(|character| character == '_') {
        return String::new();
    }
    // As Prometheus does it: a leading `_` would look reserved.
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("key_{name}") } else { name }
}

/// Everything but ASCII letters and digits as `_`, never two in a row.
fn sanitised(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            name.push(character);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    name
}

fn last<'a>(words: &mut Vec<&'a str>, word: &'a str) {
    words.retain(|other| *other != word);
    words.push(word);
}

/// A UCUM unit in words: the unit, and `per` something.
fn units(unit: &str) -> (Option<&'static str>, Vec<&'static str>) {
    let (unit, per) = unit.split_once('/').unwrap_or((unit, ""));
    let per = word(per, &PER).map(|word| vec!["per", word]).unwrap_or_default();
    (word(unit, &UNITS), per)
}

/// An annotation such as `{connection}` says nothing, nor does a unit that is not known.
fn word(unit: &str, known: &[(&str, &'static str)]) -> Option<&'static str> {
    known.iter().find(|(symbol, _)| *symbol == unit.trim()).map(|(_, word)| *word)
}

const UNITS: [(&str, &str); 27] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("bit", "bits"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
    ("K", "kelvins"),
];

const PER: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HISTOGRAM: Instrument = Instrument::Histogram { bounds: &[1.0] };

    fn name(name: &'static str, unit: &'static str, instrument: Instrument) -> String {
        metric_name(&Descriptor { name, unit, description: "", instrument })
    }

    /// Scenario: each kind of instrument, with units and without, and names that have their suffix already.
    /// Guarantees: the unit comes in words and once, the type's suffix last and once, annotations say nothing.
    #[test]
    fn units_and_suffixes() {
        use Instrument::{Counter, UpDownCounter};
        let table = [
            ("convis.tcp.connection.io", "By", Counter, "convis_tcp_connection_io_bytes_total"),
            ("convis.tcp.connection.opened", "{connection}", Counter, "convis_tcp_connection_opened_total"),
            ("convis.tcp.connection.active", "{connection}", UpDownCounter, "convis_tcp_connection_active"),
            ("convis.tcp.rtt", "s", HISTOGRAM, "convis_tcp_rtt_seconds"),
            ("a.seconds", "s", HISTOGRAM, "a_seconds"),
            ("a.total", "By", Counter, "a_bytes_total"),
            ("a_bytes_total", "By", Counter, "a_bytes_total"),
            ("speed", "m/s", UpDownCounter, "speed_meters_per_second"),
            ("rate", "{packet}/s", UpDownCounter, "rate_per_second"),
            ("share", "1", UpDownCounter, "share_ratio"),
            ("share", "1", Counter, "share_total"),
            ("what", "parsec", UpDownCounter, "what"),
            ("2xx--codes", "", UpDownCounter, "_2xx_codes"),
        ];
        for (otel, unit, instrument, expected) in table {
            assert_eq!(name(otel, unit, instrument), expected, "{otel} {unit}");
        }
    }

    /// Scenario: keys with every kind of character.
    /// Guarantees: as the specification says; nothing starts with a digit or two underscores.
    #[test]
    fn labels() {
        let table = [
            ("server.port", "server_port"),
            ("a..b--c", "a_b_c"),
            ("__name__", "_name_"),
            ("2nd", "key_2nd"),
            ("\u{e9}t\u{e9}", "_t_"),
            ("...", ""),
            ("", ""),
        ];
        for (key, expected) in table {
            assert_eq!(label_name(key), expected, "{key}");
        }
    }

    proptest! {
        /// Scenario: any key.
        /// Guarantees: the name is empty or what Prometheus takes, and none that Prometheus reserves.
        #[test]
        fn any_key_gives_a_valid_label(key in ".*") {
            let name = label_name(&key);
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
            prop_assert!(name.chars().all(fits) && !name.starts_with("__"), "{}", name);
            prop_assert!(!name.starts_with(|c: char| c.is_ascii_digit()), "{}", name);
        }
    }
}
