//! The messages of remote write, by hand: a dozen fields are not worth a compiler for them.
//!
//! Sources: <https://prometheus.io/docs/specs/prw/remote_write_spec/> and
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/> (2.0-rc.4).

/// Remote write 1.0: `prometheus.WriteRequest`.
pub(super) mod v1 {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        pub(crate) timeseries: Vec<TimeSeries>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        pub(crate) labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        pub(crate) samples: Vec<Sample>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Label {
        #[prost(string, tag = "1")]
        pub(crate) name: String,
        #[prost(string, tag = "2")]
        pub(crate) value: String,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(crate) struct Sample {
        #[prost(double, tag = "1")]
        pub(crate) value: f64,
        /// Milliseconds since the Unix epoch.
        #[prost(int64, tag = "2")]
        pub(crate) timestamp: i64,
    }
}

/// Remote write 2.0: `io.prometheus.write.v2.Request`.
pub(super) mod v2 {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Request {
        /// The first is empty.
        #[prost(string, repeated, tag = "4")]
        pub(crate) symbols: Vec<String>,
        #[prost(message, repeated, tag = "5")]
        pub(crate) timeseries: Vec<TimeSeries>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct TimeSeries {
        /// Names and values in turns, as indexes into the symbols.
        #[prost(uint32, repeated, tag = "1")]
        pub(crate) labels_refs: Vec<u32>,
        #[prost(message, repeated, tag = "2")]
        pub(crate) samples: Vec<Sample>,
        /// Where there are no samples.
        #[prost(message, repeated, tag = "3")]
        pub(crate) histograms: Vec<Histogram>,
        #[prost(message, optional, tag = "5")]
        pub(crate) metadata: Option<Metadata>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(crate) struct Sample {
        #[prost(double, tag = "1")]
        pub(crate) value: f64,
        /// Milliseconds since the Unix epoch.
        #[prost(int64, tag = "2")]
        pub(crate) timestamp: i64,
        /// Milliseconds since the Unix epoch; 0 where there is none.
        #[prost(int64, tag = "3")]
        pub(crate) start_timestamp: i64,
    }

    /// A native histogram of whole counts. What is optional here is one of two kinds there, always told, even if 0.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Histogram {
        #[prost(uint64, optional, tag = "1")]
        pub(crate) count: Option<u64>,
        #[prost(double, tag = "3")]
        pub(crate) sum: f64,
        /// Buckets grow by `2^(2^-schema)`; from -4 to 8.
        #[prost(sint32, tag = "4")]
        pub(crate) schema: i32,
        /// Up to which a measurement counts as zero.
        #[prost(double, tag = "5")]
        pub(crate) zero_threshold: f64,
        #[prost(uint64, optional, tag = "6")]
        pub(crate) zero_count: Option<u64>,
        #[prost(message, repeated, tag = "11")]
        pub(crate) positive_spans: Vec<Span>,
        /// What each bucket of the spans holds more than the one before.
        #[prost(sint64, repeated, tag = "12")]
        pub(crate) positive_deltas: Vec<i64>,
        #[prost(enumeration = "ResetHint", tag = "14")]
        pub(crate) reset_hint: i32,
        /// Milliseconds since the Unix epoch.
        #[prost(int64, tag = "15")]
        pub(crate) timestamp: i64,
        /// Milliseconds since the Unix epoch; 0 where there is none.
        #[prost(int64, tag = "17")]
        pub(crate) start_timestamp: i64,
    }

    /// Buckets in a row.
    #[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
    pub(crate) struct Span {
        /// Index of the first one; behind another span, buckets left out between the two.
        #[prost(sint32, tag = "1")]
        pub(crate) offset: i32,
        #[prost(uint32, tag = "2")]
        pub(crate) length: u32,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    #[repr(i32)]
    pub(crate) enum ResetHint {
        Unspecified = 0,
        /// The first of a sum that began anew.
        Yes = 1,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(crate) struct Metadata {
        #[prost(enumeration = "Kind", tag = "1")]
        pub(crate) kind: i32,
        #[prost(uint32, tag = "3")]
        pub(crate) help_ref: u32,
        #[prost(uint32, tag = "4")]
        pub(crate) unit_ref: u32,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    #[repr(i32)]
    pub(crate) enum Kind {
        Unspecified = 0,
        Counter = 1,
        Gauge = 2,
        Histogram = 3,
    }
}
