use convis_otel_config::RemoteWriteVersion;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{message, to, writer};
use crate::prometheus::wire::{v1, v2};
use crate::testing::samples::numbered_sums;
use crate::testing::split::{assert_in_order, bodies};

const NAME: &str = "convis_tcp_connection_io_bytes_total";

/// The values of the counter, which number its series, in the order of a request. Each begins with a zero.
fn numbers(version: RemoteWriteVersion, body: &[u8]) -> Vec<u64> {
    let values: Vec<f64> = match version {
        RemoteWriteVersion::V1 => {
            let is_ours = |series: &v1::TimeSeries| {
                series.labels.iter().any(|label| label.name == "__name__" && label.value == NAME)
            };
            let all = message::<v1::WriteRequest>(body).timeseries;
            all.iter()
                .filter(|series| is_ours(series))
                .map(|series| series.samples.last().unwrap().value)
                .collect()
        }
        RemoteWriteVersion::V2 => {
            let request: v2::Request = message(body);
            let symbol = |index: &u32| request.symbols[*index as usize].as_str();
            let is_ours = |series: &v2::TimeSeries| {
                series
                    .labels_refs
                    .chunks(2)
                    .any(|pair| symbol(&pair[0]) == "__name__" && symbol(&pair[1]) == NAME)
            };
            let all = request.timeseries.iter();
            all.filter(|series| is_ours(series)).map(|series| series.samples.last().unwrap().value).collect()
        }
    };
    values.iter().map(|value| format!("{value}").parse().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Scenario: a collection of any size, in both versions, before receivers that take more and less than the sink would send.
    /// Guarantees: every series arrives once, in order, in requests within both limits.
    #[test]
    fn series_arrive_once_and_in_order(
        sizes in vec(1_usize..80, 1..5), max_bytes in 2_000_usize..60_000, takes in 2_000_usize..60_000,
    ) {
        for version in [RemoteWriteVersion::V1, RemoteWriteVersion::V2] {
            let exporter = writer(&to("http://127.0.0.1:1", version));
            let bodies = bodies(exporter, &[numbered_sums(&sizes)], (max_bytes, takes));
            let requests: Vec<_> = bodies.iter().map(|body| numbers(version, body)).collect();
            assert_in_order(&requests, sizes.iter().sum());
        }
    }
}
