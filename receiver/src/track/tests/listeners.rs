use super::*;

const WORKER: Owner = Owner { tgid: 43, ..SHELL };

fn listener(id: u64, owner: Owner, local: wire::Address) -> Conn {
    Conn { local, peer: [0; 2], peer_port_be: 0, ..conn(id, role::LISTENER, owner, 0) }
}

fn listen(tracker: &mut Tracker, listener: Conn) {
    tracker.apply(Record::Listening { conn: listener }, CLOCK, 0);
}

fn shut(tracker: &mut Tracker, listener: Conn) {
    tracker.apply(Record::ListenerClosed { conn: listener }, CLOCK, 0);
}

fn walk(tracker: &mut Tracker, listeners: &[Conn]) {
    tracker.begin_walk(Purpose { samples: true, updates: false });
    let other = Conn { netns: 1, ..listener(99, NOBODY, [0; 2]) };
    for conn in listeners.iter().chain([&other]) {
        tracker.apply(
            Record::Live { time_ns: 5_000, key: wire::SOCKET_KEY, conn: *conn, totals: totals(10, 0) },
            CLOCK,
            0,
        );
    }
    tracker.end_walk();
}

/// Ends a child that nobody accepted, by its listener's close, and says whose it was.
fn owner_of_child(tracker: &mut Tracker) -> (Attribution, Option<String>) {
    closed(tracker, conn(1, role::SERVER, NOBODY, 0), totals(1, 0));
    let event = tracker.take_events().pop().unwrap();
    assert!(event.connection.never_accepted);
    let name = event.resource.text("process.executable.name").map(str::to_owned);
    (event.connection.attribution, name)
}

fn inherited(name: &str) -> (Attribution, Option<String>) {
    (Attribution::Inherited, Some(name.to_owned()))
}

const UNKNOWN: (Attribution, Option<String>) = (Attribution::Unknown, None);

/// Scenario: one listener on all addresses; then one on the child's address by another process; then a third on the same
/// address by a third process (`SO_REUSEPORT`); then only listeners of other ports and namespaces.
/// Guarantees: the only one; the specific one; nobody, as two may be it; nobody.
#[test]
fn a_child_is_its_only_listeners() {
    let mut tracker = tracker();
    exec(&mut tracker, WORKER, "worker");
    let any = listener(20, SHELL, [0; 2]);
    listen(&mut tracker, any);
    assert_eq!(owner_of_child(&mut tracker), inherited("curl"));
    let specific = listener(21, WORKER, address_of([10, 0, 0, 1]));
    listen(&mut tracker, specific);
    assert_eq!(owner_of_child(&mut tracker), inherited("worker"));
    listen(&mut tracker, Conn { id: 22, ..specific });
    assert_eq!(owner_of_child(&mut tracker), inherited("worker"), "both are the worker's");
    listen(&mut tracker, listener(23, SHELL, specific.local));
    assert_eq!(owner_of_child(&mut tracker), UNKNOWN);
    assert!(sums(&mut tracker, "convis.tcp.connection.closed").is_empty());

    let mut tracker = super::tracker();
    listen(&mut tracker, Conn { netns: 10, ..any });
    listen(&mut tracker, Conn { local_port_be: 1, ..any });
    listen(&mut tracker, Conn { family: wire::AF_INET6, local: [1, 0], ..any });
    assert_eq!(owner_of_child(&mut tracker), UNKNOWN);
    listen(&mut tracker, Conn { id: 30, family: wire::AF_INET6, ..any });
    assert_eq!(owner_of_child(&mut tracker), inherited("curl"), "all IPv6 addresses take IPv4 as well");
}

/// Scenario: a listener whose owner is not known beside one whose owner is.
/// Guarantees: nobody.
#[test]
fn an_unknown_listener_makes_it_uncertain() {
    let mut tracker = tracker();
    listen(&mut tracker, listener(20, SHELL, [0; 2]));
    listen(&mut tracker, listener(21, NOBODY, [0; 2]));
    assert_eq!(owner_of_child(&mut tracker), UNKNOWN);
}

/// Scenario: a listener closes; children that it had not handed out end before and after that.
/// Guarantees: all are its owner's, and after two walks it is forgotten.
#[test]
fn a_closed_listener_still_owns_its_children() {
    let mut tracker = tracker();
    let listener = listener(20, SHELL, [0; 2]);
    listen(&mut tracker, listener);
    closed(&mut tracker, conn(2, role::SERVER, NOBODY, 0), totals(1, 104));
    assert!(tracker.take_events().is_empty());
    shut(&mut tracker, listener);
    tracker.settle(CLOCK, SECOND_NS);
    let event = tracker.take_events().pop().unwrap();
    assert_eq!((event.connection.id, event.connection.attribution), (2, Attribution::Inherited));
    assert_eq!(owner_of_child(&mut tracker), inherited("curl"));
    walk(&mut tracker, &[]);
    assert_eq!(owner_of_child(&mut tracker), inherited("curl"));
    walk(&mut tracker, &[]);
    assert_eq!(owner_of_child(&mut tracker), UNKNOWN);
}

/// Scenario: a listener whose beginning was not seen closes: its record has no id and no owner, or only the owner.
/// Guarantees: what is known is used.
#[test]
fn a_close_alone_tells_the_owner() {
    let mut tracker = tracker();
    shut(&mut tracker, listener(0, NOBODY, [0; 2]));
    assert_eq!(owner_of_child(&mut tracker), UNKNOWN);
    let mut tracker = super::tracker();
    shut(&mut tracker, listener(20, SHELL, [0; 2]));
    assert_eq!(owner_of_child(&mut tracker), inherited("curl"));
}

/// Scenario: a listener that began before convis is shown by walks, and once left out; then its close is missed.
/// Guarantees: it owns its children as long as walks show it, and one left out changes nothing.
#[test]
fn walks_show_listeners() {
    let mut tracker = tracker();
    let old = Conn { flags: flag::PREEXISTING | flag::FOUND, ..listener(20, SHELL, [0; 2]) };
    walk(&mut tracker, &[old]);
    walk(&mut tracker, &[]);
    assert_eq!(owner_of_child(&mut tracker), inherited("curl"));
    walk(&mut tracker, &[old]);
    walk(&mut tracker, &[]);
    walk(&mut tracker, &[]);
    assert_eq!(owner_of_child(&mut tracker), UNKNOWN);
    assert_eq!(tracker.connections(), 0);
}

/// Scenario: a child waits for its accept when the program stops.
/// Guarantees: it is its listener's.
#[test]
fn what_waits_at_the_end_is_its_listeners() {
    let mut tracker = tracker();
    listen(&mut tracker, listener(20, SHELL, [0; 2]));
    closed(&mut tracker, conn(2, role::SERVER, NOBODY, 0), totals(1, 104));
    tracker.release_unaccepted(CLOCK, 0);
    let events = tracker.take_events();
    assert_eq!(events[0].resource.get("process.pid"), Some(Value::Int(42)));
    assert_eq!(events[0].connection.attribution, Attribution::Inherited);
}
