//! The live series of a batch as Prometheus's text format.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::labels::NAME;
use super::line::{Line, Reading};
use super::plan::{Form, Live, Plan, add};
use crate::batch::Slice;
use crate::model::{Descriptor, Instrument, MetricBatch, PointValue, SCOPE_VERSION};

/// Writes the page, on which no histogram can be a native one.
pub(super) fn page(slices: &[Slice<MetricBatch>], form: &Form) -> String {
    let mut families: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for slice in slices {
        for live in Plan::of(&slice.batch, form).live {
            let reading = Reading { value: value(&live, &slice.batch), at: 0, start: 0, resets: false };
            let name = live.key.labels.get(NAME).unwrap_or_default().to_owned();
            Line::all(&live.key, live.descriptor, &[reading], families.entry(name).or_default());
        }
    }
    let mut text = format!("# TCP connections by process, from convis {SCOPE_VERSION}\n");
    for (name, lines) in &families {
        if let Some(first) = lines.first() {
            head(&mut text, name, first.descriptor);
        }
        for line in lines {
            sample(&mut text, line);
        }
    }
    text
}

/// Levels of streams that are one series add up; of counts, where one stream hands over to another, the newer one stands.
fn value<'a>(live: &Live, batch: &'a MetricBatch) -> Cow<'a, PointValue> {
    let mut values = live.places.iter().filter_map(|place| place.of(batch)).map(|point| &point.value);
    if live.descriptor.instrument != Instrument::UpDownCounter {
        return values.next_back().map_or(Cow::Owned(PointValue::NoRecordedValue), Cow::Borrowed);
    }
    // Without a place it is `target_info`.
    let Some(first) = values.next() else {
        return Cow::Owned(PointValue::Sum(1));
    };
    values.fold(Cow::Borrowed(first), |mut sum, value| {
        add(sum.to_mut(), value);
        sum
    })
}

fn head(text: &mut String, name: &str, descriptor: &Descriptor) {
    let kind = match descriptor.instrument {
        Instrument::Counter => "counter",
        Instrument::UpDownCounter => "gauge",
        Instrument::Histogram { .. } => "histogram",
    };
    let help = descriptor.description.replace('\\', "\\\\").replace('\n', "\\n");
    let _infallible = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn sample(text: &mut String, line: &Line) {
    let name = line.labels().find(|(label, _)| *label == NAME);
    text.push_str(name.as_ref().map_or("", |(_, name)| name));
    let mut separator = '{';
    for (label, value) in line.labels().filter(|(label, _)| *label != NAME) {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _infallible = write!(text, "{separator}{label}=\"{value}\"");
        separator = ',';
    }
    if separator == ',' {
        text.push('}');
    }
    let value = line.samples().last().map_or(0.0, |sample| sample.value);
    let _infallible = writeln!(text, " {value}");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Metric, MetricResource, Resource};
    use crate::testing::samples::{IO, point};

    /// Scenario: values that the format gives a meaning to, a series that has ended, and one handed over.
    /// Guarantees: escapes; what has ended is not there; the newer stream stands.
    #[test]
    fn what_is_live_is_written() {
        let resource = Resource::builder().with("service.name", "a\"b\\c\nd").build();
        let points = vec![
            point("receive", 5, PointValue::Sum(9)),
            point("receive", 4, PointValue::Sum(7)),
            point("transmit", 1, PointValue::NoRecordedValue),
        ];
        let metrics = vec![Metric { descriptor: &IO, points }];
        let resources = vec![MetricResource { resource: Arc::new(resource), metrics }];
        let batch = Arc::new(MetricBatch { time_unix_nanos: 9, resources });
        let text = page(&[Slice::whole(batch)], &Form { keys: Vec::new(), native: false });
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "# HELP convis_tcp_connection_io_bytes_total Payload bytes.",
                "# TYPE convis_tcp_connection_io_bytes_total counter",
                &format!(
                    "convis_tcp_connection_io_bytes_total{{job=\"a\\\"b\\\\c\\nd\",network_io_direction=\"receive\",\
                     otel_scope_name=\"convis\",otel_scope_schema_url=\"https://opentelemetry.io/schemas/1.44.0\",\
                     otel_scope_version=\"{SCOPE_VERSION}\",server_port=\"443\"}} 9"
                ),
            ]
        );
    }
}
