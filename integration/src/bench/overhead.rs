//! A loop of connections on loopback with nothing attached, with convis, and with its peers, in turn.

use std::thread::sleep;
use std::time::Duration;

use super::agent::{ALL_EVENTS, Agent, Events};
use super::figure::Table;
use super::load::timed_connections;
use super::peers::Peer;
use super::sink::{Look, Sink};
use super::statistics::{median, paired};
use super::{Size, progress};
use crate::namespace::Namespace;

const TIME: &str = "µs per connection";
const RATIO: &str = "times nothing attached";
const COST: &str = "cost, µs";
const AGAINST: &str = "cost, times tcplife's";
const OWN: &str = "own CPU, µs per connection";
const TOLD: &str = "told, %";
/// What a tool still has to print when the loop ends.
const PRINTED: Duration = Duration::from_millis(500);
/// Events of a connection whose two ends are on this host.
const EVENTS: usize = 4;

/// What is attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Nothing,
    /// Every event over OTLP.
    Events,
    /// Metrics alone.
    Metrics,
    Peer(Peer),
}

const MODES: [Mode; 6] = [
    Mode::Nothing,
    Mode::Events,
    Mode::Metrics,
    Mode::Peer(Peer::Tcplife),
    Mode::Peer(Peer::Bpftrace),
    Mode::Peer(Peer::Conntrack),
];

/// One loop in one mode.
struct Turn {
    /// Of a connection, in the loop.
    micros: f64,
    /// Of a connection, in the tool's own process.
    own_micros: f64,
    /// How much of it was told.
    told: Option<f64>,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing attached",
            Self::Events => "convis, every event over OTLP",
            Self::Metrics => "convis, metrics alone",
            Self::Peer(peer) => peer.name(),
        }
    }
}

pub(super) fn measure(size: Size) -> Table {
    let (rounds, count) = size.pick((25, 8000), (2, 3000));
    let namespace = Namespace::new().expect("root makes network namespaces");
    let sink = Sink::start(Look::Outside);
    let mut turns: Vec<Result<Vec<Turn>, String>> = MODES.iter().map(|_| Ok(Vec::new())).collect();
    namespace.within(|| timed_connections(count));
    for round in 0..rounds {
        progress(&format!("overhead, round {} of {rounds}", round + 1));
        for index in 0..MODES.len() {
            // Nobody always comes after the same one.
            let index = (index + round) % MODES.len();
            let slot = &mut turns[index];
            if let Ok(done) = slot {
                match turn(MODES[index], &namespace, &sink, count) {
                    Ok(turn) => done.push(turn),
                    Err(lacking) => *slot = Err(lacking),
                }
            }
        }
    }
    table(&turns)
}

fn turn(mode: Mode, namespace: &Namespace, sink: &Sink, count: usize) -> Result<Turn, String> {
    let per_connection = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    let run = || namespace.within(|| timed_connections(count));
    match mode {
        Mode::Nothing => Ok(Turn { micros: per_connection(run().0), own_micros: 0.0, told: None }),
        Mode::Peer(peer) => {
            let running = peer.start(namespace)?;
            let before = running.watched().ran();
            let (took, port) = run();
            sleep(PRINTED);
            let own = running.watched().ran().saturating_sub(before);
            let told = running.told(port, count);
            if told == 0.0 {
                return Err("it runs here and tells nothing".to_owned());
            }
            Ok(Turn { micros: per_connection(took), own_micros: per_connection(own), told: Some(told) })
        }
        Mode::Events | Mode::Metrics => {
            let keys = if mode == Mode::Metrics { ",signals=metrics" } else { "" };
            let agent = Agent::start(sink, keys, &ALL_EVENTS);
            let before = agent.watched().ran();
            let (took, _) = run();
            let ledger = agent.settle(2 * count);
            let own = agent.watched().ran().saturating_sub(before);
            let told = (mode == Mode::Events).then(|| Events::of(&ledger).sent / (EVENTS * count) as f64);
            agent.stop();
            Ok(Turn { micros: per_connection(took), own_micros: per_connection(own), told })
        }
    }
}

fn table(turns: &[Result<Vec<Turn>, String>]) -> Table {
    let mut table = Table::default();
    let times = |wanted: Mode| {
        let found = MODES.iter().zip(turns).find(|(mode, _)| **mode == wanted);
        let turns = found.and_then(|(_, turns)| turns.as_ref().ok());
        turns.map(|turns| turns.iter().map(|turn| turn.micros).collect::<Vec<_>>()).unwrap_or_default()
    };
    let nothing = times(Mode::Nothing);
    let cost = |values: &[f64]| paired(values, &nothing, |value, nothing| value - nothing);
    // The ratio of medians: single differences of a noisy round may be next to nothing.
    let yardstick = median(&cost(&times(Mode::Peer(Peer::Tcplife))));
    for (mode, turns) in MODES.iter().zip(turns) {
        let name = mode.name();
        let turns = match turns {
            Ok(turns) => turns,
            Err(lacking) => {
                table.say(name, TIME, format!("not run: {lacking}"));
                continue;
            }
        };
        let times: Vec<f64> = turns.iter().map(|turn| turn.micros).collect();
        table.put(name, TIME, times.clone());
        if *mode == Mode::Nothing {
            continue;
        }
        table.put(name, RATIO, paired(&times, &nothing, |value, nothing| value / nothing));
        let cost = cost(&times);
        if let (Some(cost), Some(yardstick)) = (median(&cost), yardstick.filter(|cost| *cost > 0.0)) {
            table.put(name, AGAINST, vec![cost / yardstick]);
        }
        table.put(name, COST, cost);
        table.put(name, OWN, turns.iter().map(|turn| turn.own_micros).collect());
        table.put(name, TOLD, turns.iter().filter_map(|turn| Some(100.0 * turn.told?)).collect());
    }
    table
}
