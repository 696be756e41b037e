//! As much of OTLP's messages as counting takes: everything else in them is skipped as unknown.

use prost::Message;

/// Any message whose content does not matter.
#[derive(Clone, PartialEq, Message)]
struct Anything {}

#[derive(Clone, PartialEq, Message)]
struct Logs {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, repeated, tag = "2")]
    records: Vec<Anything>,
}

#[derive(Clone, PartialEq, Message)]
struct Metrics {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMetrics {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeMetrics {
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, optional, tag = "5")]
    gauge: Option<Points>,
    #[prost(message, optional, tag = "7")]
    sum: Option<Points>,
    #[prost(message, optional, tag = "9")]
    histogram: Option<Points>,
    #[prost(message, optional, tag = "10")]
    exponential: Option<Points>,
}

#[derive(Clone, PartialEq, Message)]
struct Points {
    #[prost(message, repeated, tag = "1")]
    points: Vec<Anything>,
}

/// Log records of an export request; an error where it is none.
pub(super) fn log_records(body: &[u8]) -> Result<usize, prost::DecodeError> {
    let scopes = Logs::decode(body)?.resources.into_iter().flat_map(|resource| resource.scopes);
    Ok(scopes.map(|scope| scope.records.len()).sum())
}

/// Data points of an export request; an error where it is none.
pub(super) fn data_points(body: &[u8]) -> Result<usize, prost::DecodeError> {
    let scopes = Metrics::decode(body)?.resources.into_iter().flat_map(|resource| resource.scopes);
    let metrics = scopes.flat_map(|scope| scope.metrics);
    let points = |metric: Metric| {
        let kinds = [metric.gauge, metric.sum, metric.histogram, metric.exponential];
        kinds.into_iter().flatten().map(|points| points.points.len()).sum::<usize>()
    };
    Ok(metrics.map(points).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_whatever_they_hold() {
        // Two resources; the first has one scope with two records, of which one holds a time (field 1).
        let body = [0x0a, 17, 0x12, 15, 0x12, 0, 0x12, 11, 0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 9, 0x0a, 0];
        assert_eq!(log_records(&body), Ok(2));
        assert!(log_records(&[0x0a, 9]).is_err());
    }

    #[test]
    fn points_are_counted_of_every_kind() {
        let points = |count| Some(Points { points: vec![Anything {}; count] });
        let metric =
            Metric { gauge: points(1), sum: points(2), histogram: points(3), exponential: points(4) };
        let scope = ScopeMetrics { metrics: vec![metric] };
        let message = Metrics { resources: vec![ResourceMetrics { scopes: vec![scope] }] };
        assert_eq!(data_points(&message.encode_to_vec()), Ok(10));
    }
}
