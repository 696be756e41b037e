//! Who reaches whom without translation.

use std::net::{IpAddr, SocketAddr};

use rustc_hash::FxHashMap;

use super::SECOND_NS;
use super::conntrack::Tuple;

/// Pairs that are held.
const MOST: usize = 4096;
/// Connections in a row without translation, until the next ones are taken to be so too.
const SURE: u8 = 3;
/// How long they are.
const TRUST_NS: u64 = 30 * SECOND_NS;

/// Not the destination alone: from a pod's address it may be translated, from the host's own not.
type Pair = (IpAddr, SocketAddr);

#[derive(Debug, Default)]
pub(super) struct Plain {
    pairs: FxHashMap<Pair, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    times: u8,
    until_ns: u64,
}

impl Plain {
    /// Whether a connection is certain enough not to be translated.
    pub(super) fn is(&self, original: Tuple, now_ns: u64) -> bool {
        self.pairs.get(&pair(original)).is_some_and(|seen| seen.times >= SURE && now_ns < seen.until_ns)
    }

    /// A connection was not translated.
    pub(super) fn add(&mut self, original: Tuple, now_ns: u64) {
        let pair = pair(original);
        if self.pairs.len() >= MOST && !self.pairs.contains_key(&pair) {
            self.make_room(now_ns);
        }
        let seen = self.pairs.entry(pair).or_default();
        seen.times = seen.times.saturating_add(1);
        seen.until_ns = now_ns.saturating_add(TRUST_NS);
    }

    /// A connection was translated.
    pub(super) fn remove(&mut self, original: Tuple) {
        self.pairs.remove(&pair(original));
    }

    fn make_room(&mut self, now_ns: u64) {
        self.pairs.retain(|_, seen| seen.times >= SURE && now_ns < seen.until_ns);
        // Asking again is cheap, looking for room with every connection is not.
        if self.pairs.len() > MOST / 2 {
            self.pairs.clear();
        }
    }
}

const fn pair(original: Tuple) -> Pair {
    (original.from.ip(), original.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(client: &str, server: &str) -> Tuple {
        Tuple::new(client.parse().unwrap(), server.parse().unwrap()).unwrap()
    }

    /// Scenario: connections without translation, from other ports and other addresses.
    /// Guarantees: certain after three in a row between two ends, for half a minute; then each one is asked for until it
    /// is confirmed. Other clients and other ports of the server do not profit.
    #[test]
    fn is_sure_for_a_while() {
        let mut plain = Plain::default();
        let one = tuple("10.0.0.1:40000", "10.0.0.9:80");
        for (now, port) in [40001, 40002, 40003].into_iter().enumerate() {
            assert!(!plain.is(one, now as u64));
            plain.add(tuple(&format!("10.0.0.1:{port}"), "10.0.0.9:80"), now as u64);
        }
        assert!(plain.is(one, 3));
        assert!(!plain.is(tuple("10.0.0.2:40000", "10.0.0.9:80"), 3));
        assert!(!plain.is(tuple("10.0.0.1:40000", "10.0.0.9:81"), 3));
        assert!(plain.is(one, 1 + TRUST_NS));
        assert!(!plain.is(one, 2 + TRUST_NS));
        plain.add(one, 2 + TRUST_NS);
        assert!(plain.is(one, 3 + TRUST_NS));
        plain.remove(one);
        assert!(!plain.is(one, 3 + TRUST_NS));
    }

    /// Scenario: as many pairs as there is room for and more: all certain, a few certain, none.
    /// Guarantees: never more than there is room for; few that are certain stay.
    #[test]
    fn is_bounded() {
        for certain in [0, 10, MOST] {
            let mut plain = Plain::default();
            for index in 0..MOST + 10 {
                let pair = tuple("10.0.0.1:40000", &format!("10.1.{}.{}:80", index / 250, index % 250 + 1));
                for _ in 0..if index < certain { SURE } else { 1 } {
                    plain.add(pair, 0);
                }
                assert!(plain.pairs.len() <= MOST);
            }
            let kept = plain.pairs.values().filter(|seen| seen.times >= SURE).count();
            assert_eq!(kept, if certain == 10 { 10 } else { 0 });
        }
    }
}
