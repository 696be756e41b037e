//! Daemons and runtimes that do not answer.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use convis_integration::actors::free_port;
use convis_integration::clock::unix_nanos;
use convis_integration::containers::{Host, Part, check_both};
use convis_integration::convis::Convis;
use convis_integration::runtimes::{Broken, Fault, Kind};
use convis_integration::{need, turns};

use crate::common::{ANY, OF_A_CONNECTION, OF_AN_END, Place, check_unnamed, connect, events, serve, short};

/// Connections of a client that goes on while its host's daemon does not, and the pause between them.
const STEADY: (usize, Duration) = (500, Duration::from_millis(20));
const A_WHILE: Duration = Duration::from_secs(2);

/// Scenario: a process goes on to connect to a container while the daemon is killed and started again; then a new container
/// connects.
/// Guarantees: no event is lost, every one has the names of the container, during the outage as well; the new container is
/// named.
#[test]
fn names_outlive_the_daemon() {
    let mut host = need!(Host::start(Kind::Docker));
    let _turn = turns::together();
    let convis = Convis::start(&host.arguments());
    let (count, every) = STEADY;
    let port = free_port();
    let all = Part::serve(SocketAddr::new(ANY, port), count + 1, &short().mirrored());
    let server = host.detached("server", &all);
    let to = SocketAddr::new(host.address_of("server"), port);
    let client = host.process(&Part::connect(to, count, every, &short()));
    thread::sleep(A_WHILE);
    let killed = unix_nanos();
    host.docker_mut().kill();
    thread::sleep(A_WHILE);
    let resumed = unix_nanos();
    host.docker_mut().resume();
    let late = host.container("late", &[], &connect(to.ip(), port, &short())).finish();
    let client = client.finish();
    let server = server.finish(count + 1);

    let at =
        |from: u64, to: u64| client.reports.iter().filter(|end| (from..to).contains(&end.started)).count();
    let parts = [at(0, killed), at(killed, resumed), at(resumed, u64::MAX)];
    assert!(parts.iter().all(|part| *part > 10), "before, during and after: {parts:?}");
    let all = count + 1;
    let events = events(&convis, port, all * OF_A_CONNECTION);
    let checked = [&client, &late].map(|client| check_both(&events, client, &[&server]));
    assert_eq!(checked.iter().sum::<usize>(), all * OF_A_CONNECTION);
    assert!(convis.ledger().dropped().abs() < f64::EPSILON);
}

/// Scenario: convis asks a runtime that hangs, one that answers rubbish, one that is not there, while a container connects
/// and is connected to.
/// Guarantees: every event comes soon, with the container's id alone, and is counted as such.
#[test]
fn a_runtime_that_does_not_answer_costs_names_alone() {
    let host = need!(Host::start(Kind::Docker));
    let _turn = turns::alone();
    let broken = [Fault::Hangs, Fault::Rubbish, Fault::Absent].map(Broken::new);
    let convis = broken.each_ref().map(|broken| {
        let socket = format!("unix://{}", broken.socket().display());
        let wait = "500ms";
        Convis::start(&["--container-runtime", "docker", "--docker-host", &socket, "--container-wait", wait])
    });
    for (client, server) in [
        (Place::Bridge("first"), Place::Host),
        (Place::Host, Place::Bridge("second")),
        (Place::Bridge("third"), Place::Bridge("fourth")),
    ] {
        let port = free_port();
        let mut serving = server.play(&host, &[], &serve("0.0.0.0", port));
        serving.listening();
        let client =
            client.play(&host, &[], &connect(server.address(&host), port, &short())).finish().by_id_alone();
        let ended = client.reports[0].ended;
        let server = serving.finish().by_id_alone();
        for convis in &convis {
            let events = events(convis, port, OF_A_CONNECTION);
            assert!(unix_nanos() - ended < nanos(SOON), "the events take too long");
            assert_eq!(check_both(&events, &client, &[&server]), OF_A_CONNECTION);
        }
    }
    for convis in convis {
        assert!(convis.ledger().dropped().abs() < f64::EPSILON);
        check_unnamed(convis, 4 * OF_AN_END);
    }
}

/// The wait for a name, for the other end, for a batch, and as much again.
const SOON: Duration = Duration::from_secs(3);

fn nanos(time: Duration) -> u64 {
    time.as_nanos().try_into().expect("not that long")
}
