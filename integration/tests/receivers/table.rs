use std::collections::BTreeMap;
use std::fmt::Write as _;

use convis_integration::actors::Truth;
use convis_integration::clock::poll;
use convis_integration::convis::Convis;
use convis_integration::need::root;
use convis_integration::oracle::{Oracle, Request};
use convis_integration::otlp::{self, Point};
use convis_integration::{need, sums, turns};

use super::{EVENTS, PATIENCE, is_each_once, play, times};

/// What becomes of the events, whatever becomes of the requests.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// Each is taken once.
    All,
    /// What was refused is gone, the rest is taken once.
    Less,
    /// Requests are taken, but so many records of each are not.
    LessOfEach(f64),
}

/// A receiver's temper, as the oracle calls it, and what comes of it.
const TABLE: [(&str, Then); 11] = [
    ("none", Then::All),
    // 503 with `Retry-After`, and gRPC's equal.
    ("first-2:unavailable:1", Then::All),
    // 429 with `Retry-After`.
    ("first-2:throttled:1", Then::All),
    // 413: less than half of what the events take together.
    ("too-large:50000", Then::All),
    ("first-1:hang", Then::All),
    ("first-2:cut-before", Then::All),
    // It may have kept what it did not answer: it then has it twice, which no sender can know.
    ("first-1:cut-after", Then::All),
    ("first-1:garbage", Then::All),
    // 400.
    ("first-1:reject", Then::Less),
    // A success whose body is no OTLP: the specification forbids to send it again.
    ("first-1:nonsense", Then::Less),
    ("partial:3", Then::LessOfEach(3.0)),
];

/// One sink and the receiver at its other end.
struct Row<'a> {
    fault: &'static str,
    then: Then,
    oracle: &'a Oracle,
    transport: &'static str,
    /// As convis calls it.
    sink: String,
}

impl Row<'_> {
    /// What came in, but for what convis says of itself.
    fn requests(&self) -> Vec<Request> {
        let came = self.oracle.requests().into_iter();
        came.filter(|request| request.field("transport") == self.transport && request.is_observed()).collect()
    }

    /// What is wrong with the accounts: convis's against the receiver's. A delta that would be zero is not sent, so that
    /// where deltas are only events can be counted.
    fn imbalance(&self, convis: &Convis) -> Option<String> {
        let ledger = convis.ledger();
        let all = ledger.sink(&self.sink);
        let account = if self.deltas() { ledger.events_of(&self.sink) } else { all };
        let (mut taken, mut refused) = (0.0, 0.0);
        for request in self.requests() {
            let counts = !self.deltas() || request.signal() == "logs";
            let records = if counts { otlp::records(request.message()) as f64 } else { 0.0 };
            match (request.fault(), self.then) {
                ("none", _) => taken += records,
                ("partial", Then::LessOfEach(most)) => {
                    refused += records.min(most);
                    taken += records - records.min(most);
                }
                ("reject" | "nonsense", Then::Less) => refused += records,
                _ => {}
            }
        }
        let balanced = all.balances() && account.accepted >= EVENTS as f64;
        let balanced = balanced && same(account.sent, taken) && same(account.dropped, refused);
        (!balanced).then(|| format!("{all:?}, {account:?}; {taken} taken, {refused} refused"))
    }

    /// What is dropped for any other reason than that the receiver refused it.
    fn otherwise_dropped(&self, convis: &Convis) -> f64 {
        let (ledger, stage) = (convis.ledger(), ("stage", self.sink.as_str()));
        let dropped = |labels: &[_]| ledger.sum("convis_events_dropped_total", labels).unwrap_or_default();
        dropped(&[stage]) - dropped(&[stage, ("reason", "rejected")])
    }

    /// What is missing of the traffic.
    fn lack(&self, truth: &Truth) -> Option<String> {
        let requests = self.requests();
        let offered = events(requests.iter(), truth).len();
        if offered < EVENTS {
            return Some(format!("{offered} events were offered"));
        }
        let points = self.points(&requests, truth);
        let complete = self.loses_points() || sums::complete(&points, truth);
        (!complete).then(|| format!("the {} points that were taken are not all", points.len()))
    }

    fn name(&self) -> String {
        format!("{} over {} at {}", self.fault, self.transport, self.sink)
    }

    fn deltas(&self) -> bool {
        self.transport == "grpc"
    }

    /// Which points a partial success refuses is not said.
    fn loses_points(&self) -> bool {
        matches!(self.then, Then::LessOfEach(_))
    }

    /// What was taken of the metrics, as totals.
    fn points(&self, requests: &[Request], truth: &Truth) -> Vec<Point> {
        let taken = requests.iter().filter(|request| request.fault() == "none");
        let at = |request: &Request| otlp::points_at(request.message(), truth.server.port());
        let points: Vec<_> = taken.flat_map(at).collect();
        if self.deltas() { sums::accumulated(&points) } else { points }
    }

    /// Each event once among what was answered well, or among what was refused.
    fn check(&self, truth: &Truth) {
        let requests = self.requests();
        let with = |faults: &[&str]| -> BTreeMap<String, usize> {
            events(requests.iter().filter(|request| faults.contains(&request.fault())), truth)
        };
        let name = self.name();
        match self.then {
            Then::All => assert!(is_each_once(&with(&["none"])), "{name}: {:#?}", with(&["none"])),
            Then::Less => {
                assert!(!with(&["reject", "nonsense"]).is_empty(), "{name}: nothing was refused");
                let either = with(&["none", "reject", "nonsense"]);
                assert!(is_each_once(&either), "{name}: {either:#?}");
            }
            Then::LessOfEach(_) => assert!(is_each_once(&with(&["partial"])), "{name}"),
        }
        if !self.loses_points() {
            sums::check(&self.points(&requests, truth), truth);
        }
        self.check_temper(&name);
    }

    /// The receiver was what the row says, so that the row says something.
    fn check_temper(&self, name: &str) {
        let kind = self.fault.split(':').find(|word| !word.starts_with("first-")).unwrap_or_default();
        for signal in ["logs", "metrics"] {
            let requests = self.oracle.requests().into_iter();
            let of_signal = requests
                .filter(|request| request.field("transport") == self.transport && request.signal() == signal);
            // With the first of the metrics it may be convis's own.
            let met = of_signal.filter(|request| request.fault() == kind).count();
            // What is not read whole is not written down.
            assert!(met > 0 || kind == "cut-before", "{name}: no request of {signal} met it");
        }
    }
}

/// Scenario: one convis sends, deltas over gRPC and totals over HTTP, to receivers of every temper, while ten connections are made.
/// Guarantees: what may be sent again arrives exactly once, events and bytes; of what may not, the accounts of convis say
/// exactly how many records were refused; and accepted is sent plus dropped.
#[test]
fn every_temper_gets_what_the_protocol_allows() {
    need!(root());
    let _turn = turns::together();
    let oracles: Vec<Oracle> = {
        let starting = TABLE.map(|(fault, _)| std::thread::spawn(move || Oracle::start(fault)));
        need!(starting.into_iter().map(|thread| thread.join().expect("an oracle")).collect())
    };
    let (mut rows, mut arguments) = (Vec::new(), vec!["--interval".to_owned(), "3s".to_owned()]);
    for ((fault, then), oracle) in TABLE.into_iter().zip(&oracles) {
        for (transport, protocol, port) in
            [("grpc", "grpc", oracle.ports().grpc), ("http", "http/protobuf", oracle.ports().http)]
        {
            let temporality = if transport == "grpc" { "delta" } else { "cumulative" };
            let spec = format!(
                "otlp,endpoint=http://127.0.0.1:{port},protocol={protocol},timeout=2s,temporality={temporality},\
                 retry_initial=100ms,retry_max=300ms"
            );
            arguments.extend(["--sink".to_owned(), spec]);
            let number = rows.len() + 1;
            let sink = if number == 1 { "otlp".to_owned() } else { format!("otlp/{number}") };
            rows.push(Row { fault, then, oracle, transport, sink });
        }
    }
    let convis = Convis::start(&arguments);
    let truth = play();
    let mut open: Vec<&Row<'_>> = rows.iter().collect();
    let mut wrong = String::new();
    let settled = poll(PATIENCE, || {
        wrong.clear();
        open.retain(|row| {
            let lack = row.lack(&truth).or_else(|| row.imbalance(&convis));
            lack.is_some_and(|lack| writeln!(wrong, "{}: {lack}", row.name()).is_ok())
        });
        open.is_empty().then_some(())
    });
    assert!(settled.is_some(), "{wrong}{}", convis.stderr());
    for row in &rows {
        row.check(&truth);
        assert!(row.otherwise_dropped(&convis) < 0.5, "{}", row.name());
    }
    assert!(convis.stop().status.success());
}

/// How often each event of the traffic came in these requests.
fn events<'a>(requests: impl Iterator<Item = &'a Request>, truth: &Truth) -> BTreeMap<String, usize> {
    let at = |request: &Request| otlp::logs_at(request.message(), truth.server.port());
    times(&requests.flat_map(at).collect::<Vec<_>>(), truth)
}

/// Counts are exact as floating point numbers.
fn same(one: f64, other: f64) -> bool {
    (one - other).abs() < 0.5
}
