//! Series of sums by Resource, from the first point to the last.

use std::collections::BTreeMap;

use crate::otlp::Point;

const NO_RECORDED_VALUE: u64 = 1;

/// The points of one Resource and one set of attributes.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Any point of it.
    pub point: Point,
    /// Start time of all its points.
    pub start: u64,
    /// Its values in order, each with its time.
    pub values: Vec<(u64, u64)>,
    /// Whether it was ended.
    pub is_over: bool,
}

impl Stream {
    /// All series of a metric, from points in order of arrival. Panics if one begins twice, goes back in time, or goes on
    /// after its end.
    pub fn all<'a>(points: impl IntoIterator<Item = &'a Point>, metric: &str) -> Vec<Self> {
        let mut streams: BTreeMap<String, Self> = BTreeMap::new();
        for point in points.into_iter().filter(|point| point.metric == metric) {
            let start = point.number("startTimeUnixNano").expect("a start");
            let key = format!("{:?} {:?}", point.resource, point.attributes);
            let new = || Self { point: point.clone(), start, values: Vec::new(), is_over: false };
            let stream = streams.entry(key).or_insert_with(new);
            assert_eq!(stream.start, start, "it begins twice: {point:#?}");
            assert!(!stream.is_over, "it goes on after its end: {point:#?}");
            if has_value(point) {
                let time = point.number("timeUnixNano").expect("a time");
                assert!(
                    stream.values.last().is_none_or(|(last, _)| *last < time),
                    "it goes back: {point:#?}"
                );
                stream.values.push((time, point.integer()));
            } else {
                stream.is_over = true;
            }
        }
        streams.into_values().collect()
    }

    /// Its last value.
    pub fn last(&self) -> u64 {
        self.values.last().expect("a value").1
    }
}

/// Whether it is not the mark of a stream's end.
pub fn has_value(point: &Point) -> bool {
    point.number("flags").is_none_or(|flags| flags & NO_RECORDED_VALUE == 0)
}
