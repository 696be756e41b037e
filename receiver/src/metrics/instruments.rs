//! The instruments and what distinguishes their points.

use convis_exporters::model::{self, CloseReason, ConnectError, Descriptor};

/// An instrument of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Instrument {
    /// Payload bytes by direction.
    Io,
    /// Connections opened.
    Opened,
    /// Connections closed, by reason.
    Closed,
    /// Attempts failed, by error.
    Failed,
    /// Connections and attempts that break what is expected of their owners.
    Unexpected,
    /// Connections open now.
    Active,
    /// Life of connections.
    Duration,
    /// First segment to established.
    Handshake,
    /// Smoothed round-trip time.
    Rtt,
    /// Segments sent again.
    Retransmits,
    /// Payload bytes of a process by direction, without any other dimension.
    ProcessIo,
}

/// The dimension that only some instruments have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Extra {
    /// None.
    None,
    /// `network.io.direction` = `transmit`.
    Transmit,
    /// `network.io.direction` = `receive`.
    Receive,
    /// `convis.close.reason`.
    Reason(CloseReason),
    /// `error.type`.
    Error(ConnectError),
}

impl Extra {
    /// Key and value, if there is the dimension.
    pub const fn attribute(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::None => None,
            Self::Transmit => Some(("network.io.direction", "transmit")),
            Self::Receive => Some(("network.io.direction", "receive")),
            Self::Reason(reason) => Some(("convis.close.reason", reason.as_str())),
            Self::Error(error) => Some(("error.type", error.as_str())),
        }
    }
}

/// 1 ms to 1 h, seconds.
const DURATION_BOUNDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0,
    500.0, 1000.0, 2500.0, 3600.0,
];
/// 50 us to 10 s, seconds.
const LATENCY_BOUNDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

const COUNTER: model::Instrument = model::Instrument::Counter;

const fn describe(
    name: &'static str,
    unit: &'static str,
    instrument: model::Instrument,
    description: &'static str,
) -> Descriptor {
    Descriptor { name, unit, description, instrument }
}

/// In the order of [`Instrument`].
static DESCRIPTORS: [Descriptor; Instrument::COUNT] = [
    describe("convis.tcp.connection.io", "By", COUNTER, "TCP payload bytes."),
    describe(
        "convis.tcp.connection.opened",
        "{connection}",
        COUNTER,
        "TCP connections established or accepted.",
    ),
    describe("convis.tcp.connection.closed", "{connection}", COUNTER, "TCP connections ended."),
    describe(
        "convis.tcp.connection.failed",
        "{connection}",
        COUNTER,
        "Attempts that ended without being established.",
    ),
    describe(
        "convis.tcp.connection.unexpected",
        "{connection}",
        COUNTER,
        "Connections and attempts that are not expected of their owners.",
    ),
    describe(
        "convis.tcp.connection.active",
        "{connection}",
        model::Instrument::UpDownCounter,
        "TCP connections open.",
    ),
    describe(
        "convis.tcp.connection.duration",
        "s",
        model::Instrument::Histogram { bounds: DURATION_BOUNDS },
        "Time from established to closed.",
    ),
    describe(
        "convis.tcp.handshake.duration",
        "s",
        model::Instrument::Histogram { bounds: LATENCY_BOUNDS },
        "Time from a client's first segment to established.",
    ),
    describe(
        "convis.tcp.rtt",
        "s",
        model::Instrument::Histogram { bounds: LATENCY_BOUNDS },
        "Smoothed round-trip time.",
    ),
    describe("convis.tcp.retransmits", "{segment}", COUNTER, "TCP segments sent again."),
    describe("process.network.io", "By", COUNTER, "TCP payload bytes of the process."),
];

impl Instrument {
    /// Number of instruments.
    pub const COUNT: usize = 11;
    /// All, in the order in which they are exported.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Io,
        Self::Opened,
        Self::Closed,
        Self::Failed,
        Self::Unexpected,
        Self::Active,
        Self::Duration,
        Self::Handshake,
        Self::Rtt,
        Self::Retransmits,
        Self::ProcessIo,
    ];

    /// Name, unit and kind.
    pub fn descriptor(self) -> &'static Descriptor {
        &DESCRIPTORS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: all instruments and bounds.
    /// Guarantees: each finds its own descriptor; bounds increase strictly, as OTLP demands.
    #[test]
    fn descriptors_are_in_order() {
        assert_eq!(Instrument::Io.descriptor().name, "convis.tcp.connection.io");
        assert_eq!(Instrument::Unexpected.descriptor().name, "convis.tcp.connection.unexpected");
        assert_eq!(Instrument::Active.descriptor().name, "convis.tcp.connection.active");
        assert_eq!(Instrument::ProcessIo.descriptor().name, "process.network.io");
        for (index, instrument) in Instrument::ALL.into_iter().enumerate() {
            assert_eq!(instrument as usize, index);
        }
        for bounds in [DURATION_BOUNDS, LATENCY_BOUNDS] {
            assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
