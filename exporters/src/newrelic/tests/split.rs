use std::io::Read as _;

use proptest::collection::vec;

use super::*;
use crate::testing::split::{assert_in_order, bodies};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Scenario: batches of events of any sizes, Resources of any, before a New Relic that takes more and less than the sink would send.
    /// Guarantees: every event arrives once, in order, in requests within both limits that keep every rule.
    #[test]
    fn events_arrive_once_and_in_order(
        sizes in vec(1_usize..80, 1..5), names in vec(1_usize..1000, 1..4),
        max_bytes in 6_000_usize..150_000, takes in 6_000_usize..150_000,
    ) {
        let bodies = bodies(exporter("http://127.0.0.1:1"), &samples::numbered_events(&sizes, &names), (max_bytes, takes));
        let requests: Vec<Vec<u64>> = bodies.iter().map(|body| numbers(body)).collect();
        prop_assert!(requests.iter().all(|numbers| numbers.is_sorted()), "{:?}", requests);
        assert_in_order(&requests, sizes.iter().sum());
    }
}

fn numbers(body: &[u8]) -> Vec<u64> {
    let mut json = String::new();
    flate2::read::GzDecoder::new(body).read_to_string(&mut json).unwrap();
    let flats = rules::events(&json, NOW_MILLIS).unwrap();
    flats.iter().map(|flat| flat["timestamp"].as_u64().unwrap() - NOW_MILLIS).collect()
}
