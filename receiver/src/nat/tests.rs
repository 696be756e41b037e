//! With a table of the test's own: when it is asked, and what comes of the answers.

use std::sync::{Arc, Mutex};

use super::*;

/// A table that answers as it is told, and keeps what it was asked.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    entries: Option<Result<u32, Failure>>,
    reply: Option<Result<Option<Tuple>, Failure>>,
    counted: usize,
    asked: Vec<Tuple>,
}

impl Table for Fake {
    fn entries(&mut self) -> Result<u32, Failure> {
        let mut state = self.0.lock().unwrap();
        state.counted += 1;
        state.entries.unwrap_or(Ok(1))
    }

    fn reply(&mut self, original: Tuple) -> Result<Option<Tuple>, Failure> {
        let mut state = self.0.lock().unwrap();
        state.asked.push(original);
        state.reply.unwrap_or(Ok(Some(original.reversed())))
    }
}

impl Fake {
    fn tracks(&self, entries: Result<u32, Failure>) {
        self.0.lock().unwrap().entries = Some(entries);
    }

    fn replies(&self, reply: Result<Option<Tuple>, Failure>) {
        self.0.lock().unwrap().reply = Some(reply);
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().asked.len()
    }

    fn counted(&self) -> usize {
        self.0.lock().unwrap().counted
    }

    fn nat(&self) -> Nat {
        Nat::new(Ok(self.clone()))
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn tuple(from: &str, to: &str) -> Tuple {
    Tuple::new(address(from), address(to)).unwrap()
}

const CLIENT: &str = "10.1.0.2:40000";
const SERVICE: &str = "10.96.0.1:443";

fn ask(nat: &mut Nat, now_ns: u64) -> Option<Translated> {
    nat.translated(address(CLIENT), address(SERVICE), now_ns)
}

/// Scenario: source translated, destination translated, both, neither, not tracked.
/// Guarantees: the addresses as the server's end has them, or nothing; each is counted as what it is.
#[test]
fn tells_what_the_server_sees() {
    let fake = Fake::default();
    let mut nat = fake.nat();
    let mut cases = Vec::new();
    for (client, server) in [
        ("192.0.2.1:1024", SERVICE),
        (CLIENT, "10.2.0.7:8443"),
        ("192.0.2.1:1024", "10.2.0.7:8443"),
        ("10.1.0.2:40001", SERVICE),
    ] {
        let expected = Translated { client: address(client), server: address(server) };
        cases.push((Some(tuple(server, client)), Some(expected)));
    }
    cases.push((Some(tuple(SERVICE, CLIENT)), None));
    cases.push((None, None));
    for (reply, expected) in cases {
        fake.replies(Ok(reply));
        assert_eq!(ask(&mut nat, 0), expected, "{reply:?}");
    }
    let expected = Counted { lookups: 6, translated: 4, plain: 1, untracked: 1, ..Counted::default() };
    assert_eq!(nat.counters(), expected);
}

/// Scenario: IPv4 written as IPv6, a scoped IPv6 address, and two families in one connection.
/// Guarantees: asked for as on the wire; what cannot be a connection is not asked for.
#[test]
fn asks_for_what_is_on_the_wire() {
    let fake = Fake::default();
    let mut nat = fake.nat();
    assert_eq!(nat.translated(address("[::ffff:10.1.0.2]:40000"), address(SERVICE), 0), None);
    assert_eq!(nat.translated(address("[fe80::1%3]:40000"), address("[fe80::2%3]:80"), 0), None);
    assert_eq!(nat.translated(address("[2001:db8::1]:40000"), address(SERVICE), 0), None);
    let asked = std::mem::take(&mut fake.0.lock().unwrap().asked);
    assert_eq!(asked, [tuple(CLIENT, SERVICE), tuple("[fe80::1]:40000", "[fe80::2]:80")]);
}

/// Scenario: a host that tracks nothing, then something, then cannot say how much.
/// Guarantees: nothing is asked for at first; the count is asked for once a second; what is not known does not keep
/// from asking.
#[test]
fn asks_for_nothing_where_nothing_is_tracked() {
    let fake = Fake::default();
    fake.tracks(Ok(0));
    let mut nat = fake.nat();
    assert_eq!(fake.counted(), 1);
    for now in [0, 1, SECOND_NS - 1] {
        assert_eq!(ask(&mut nat, now), None);
    }
    assert_eq!((fake.counted(), fake.asked(), nat.counters().skipped_idle), (2, 0, 3));
    fake.tracks(Ok(1));
    assert_eq!(ask(&mut nat, SECOND_NS - 1), None);
    assert_eq!(fake.asked(), 0);
    ask(&mut nat, SECOND_NS);
    assert_eq!((fake.counted(), fake.asked()), (3, 1));
    fake.tracks(Err(Failure::NoAnswer));
    ask(&mut nat, 2 * SECOND_NS);
    assert_eq!((fake.counted(), fake.asked()), (4, 2));
    assert_eq!(nat.counters().failed(Failure::NoAnswer), 1);
    assert!(nat.unavailable().is_none());
}

/// Scenario: many connections to a destination that is not translated; then one is.
/// Guarantees: three are asked for, and after half a minute one; from then on, each.
#[test]
fn trusts_in_what_is_not_translated() {
    let fake = Fake::default();
    let mut nat = fake.nat();
    for now in 0..10 {
        ask(&mut nat, now);
    }
    assert_eq!((fake.asked(), nat.counters().skipped_plain), (3, 7));
    for now in [40, 41] {
        ask(&mut nat, now * SECOND_NS);
    }
    assert_eq!(fake.asked(), 4);
    fake.replies(Ok(Some(tuple("10.2.0.7:8443", CLIENT))));
    for now in 80..90 {
        assert!(ask(&mut nat, now * SECOND_NS).is_some());
    }
    assert_eq!(fake.asked(), 14);
}

/// Scenario: connections that are not tracked, and requests that fail.
/// Guarantees: the next one is asked for all the same, and failures are counted.
#[test]
fn goes_on_asking_after_failures() {
    let fake = Fake::default();
    let mut nat = fake.nat();
    fake.replies(Ok(None));
    for now in 0..10 {
        ask(&mut nat, now);
    }
    for failure in Failure::ALL.into_iter().filter(|failure| *failure != Failure::NotPermitted) {
        fake.replies(Err(failure));
        ask(&mut nat, 10);
        assert_eq!(nat.counters().failed(failure), 1);
    }
    assert_eq!((fake.asked(), nat.counters().untracked), (15, 10));
    assert!(nat.unavailable().is_none());
}

/// Scenario: a flood of connections that are translated.
/// Guarantees: no more look-ups than a second allows, and the rest is counted.
#[test]
fn asks_no_more_than_it_may() {
    let fake = Fake::default();
    let mut nat = fake.nat();
    fake.replies(Ok(Some(tuple("10.2.0.7:8443", CLIENT))));
    let answered = (0..20_000).filter(|index| ask(&mut nat, SECOND_NS + index).is_some()).count();
    assert_eq!(answered, fake.asked());
    assert_eq!(nat.counters().skipped_budget, 20_000 - answered as u64);
    assert!((1..10_000).contains(&answered));
    assert!(ask(&mut nat, 2 * SECOND_NS).is_some());
}

/// Scenario: the kernel denies the right at the start and later; it does not know the request; there is no socket.
/// Guarantees: the reason, and never a request again.
#[test]
fn gives_up_for_good() {
    let fake = Fake::default();
    fake.tracks(Err(Failure::NotPermitted));
    let mut nat = fake.nat();
    assert_eq!(nat.unavailable().unwrap().to_string(), "CAP_NET_ADMIN is missing");
    assert_eq!(ask(&mut nat, 0), None);
    assert_eq!((fake.counted(), fake.asked()), (1, 0));

    let fake = Fake::default();
    fake.replies(Err(Failure::NotPermitted));
    let mut nat = fake.nat();
    assert!(nat.unavailable().is_none());
    for now in 0..3 {
        ask(&mut nat, now * SECOND_NS);
    }
    assert!(matches!(nat.unavailable(), Some(Unavailable::NotPermitted)));
    assert_eq!((fake.counted(), fake.asked(), nat.counters().failed(Failure::NotPermitted)), (2, 1, 1));

    let fake = Fake::default();
    fake.tracks(Err(Failure::Unknown));
    assert!(matches!(fake.nat().unavailable(), Some(Unavailable::NotSupported)));

    let mut nat = Nat::new(Err::<Fake, _>(Unavailable::Socket(std::io::Error::other("none"))));
    assert_eq!(nat.unavailable().unwrap().to_string(), "no netlink socket to netfilter: none");
    assert_eq!(ask(&mut nat, 0), None);
    assert_eq!(nat.counters(), Counted::default());
}

/// Scenario: a procfs without connection tracking, one without pid 1, and this machine's, whatever it has.
/// Guarantees: no panic; a kernel that cannot track is not asked, so that it loads nothing.
#[test]
fn opens_on_any_machine() {
    let root = tempfile::tempdir().unwrap();
    assert!(Nat::open(root.path()).unavailable().is_some());
    std::os::unix::fs::symlink("/proc/self", root.path().join("1")).unwrap();
    let mut nat = Nat::open(root.path());
    assert!(nat.unavailable().is_none());
    ask(&mut nat, 0);
    assert_eq!(nat.counters(), Counted { skipped_idle: 1, ..Counted::default() });
    let mut nat = Nat::open(Path::new("/proc"));
    assert_eq!(ask(&mut nat, 0), None);
}
