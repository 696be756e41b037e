//! Loops within one connection, which convis must not slow down: it does nothing while bytes move.

use super::agent::{ALL_EVENTS, Agent};
use super::figure::Table;
use super::load::{bulk, requests};
use super::sink::{Look, Sink};
use super::statistics::paired;
use super::{Size, progress};

const NOTHING: &str = "nothing attached";
const CONVIS: &str = "convis, every event over OTLP";

pub(super) fn measure(size: Size) -> Table {
    let (rounds, count, bytes) = size.pick((9, 50_000, 4_usize << 30), (2, 5000, 1 << 28));
    let sink = Sink::start(Look::Outside);
    let (mut bare, mut captured) = (Vec::new(), Vec::new());
    let once = || {
        let request = requests(count).as_secs_f64() * 1e6 / count as f64;
        let gibibyte = bulk(bytes).as_secs_f64() * 1e3 * f64::from(1 << 30) / bytes as f64;
        [request, gibibyte]
    };
    once();
    for round in 0..rounds {
        progress(&format!("streams, round {} of {rounds}", round + 1));
        bare.push(once());
        let agent = Agent::start(&sink, "", &ALL_EVENTS);
        captured.push(once());
        agent.stop();
    }
    let mut table = Table::default();
    for (index, what) in ["request and response, µs", "bulk, ms per GiB"].into_iter().enumerate() {
        let of = |all: &[[f64; 2]]| all.iter().map(|both| both[index]).collect::<Vec<_>>();
        let (bare, captured) = (of(&bare), of(&captured));
        table.put(what, NOTHING, bare.clone());
        table.put(what, CONVIS, captured.clone());
        table.put(what, "times", paired(&captured, &bare, |captured, bare| captured / bare));
    }
    table
}
