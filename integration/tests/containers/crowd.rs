//! Containers that come and go.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use convis_integration::actors::free_port;
use convis_integration::containers::{Host, Named, Part, check_both};
use convis_integration::convis::Convis;
use convis_integration::runtimes::Kind;
use convis_integration::{need, turns};

use crate::common::{ANY, OF_A_CONNECTION, check_unnamed, connect, events, short};

const CROWD: usize = 200;
const AT_A_TIME: usize = 4;

/// A container for each, at most [`AT_A_TIME`] at once; each connects, writes some bytes and is removed.
fn crowd(host: &Host, to: SocketAddr) -> Vec<Named> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        while let number @ 0..CROWD = next.fetch_add(1, Ordering::Relaxed) {
            let part = connect(to.ip(), to.port(), &short());
            done.push(host.container(&format!("one-of-many-{number}"), &["--rm"], &part).finish());
        }
        done
    };
    thread::scope(|scope| {
        let runs: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(run)).collect();
        runs.into_iter().flat_map(|run| run.join().expect("every container does its part")).collect()
    })
}

/// Scenario: two hundred containers, each there for one short connection.
/// Guarantees: every event has the right container, at its own end and at the other; none is without its names.
#[test]
fn containers_that_live_milliseconds_are_named() {
    let host = need!(Host::start(Kind::Docker));
    let _turn = turns::alone();
    let convis = Convis::start(&host.arguments());
    let port = free_port();
    let all = Part::serve(SocketAddr::new(ANY, port), CROWD, &short().mirrored());
    let mut server = host.container("server", &[], &all);
    server.listening();
    let clients = crowd(&host, SocketAddr::new(host.address_of("server"), port));
    let server = server.finish();
    let events = events(&convis, port, CROWD * OF_A_CONNECTION);
    for client in &clients {
        assert_eq!(check_both(&events, client, &[&server]), OF_A_CONNECTION);
    }
    let ids: BTreeSet<_> =
        clients.iter().filter_map(|client| Some(client.container.as_ref()?.id())).collect();
    assert_eq!(ids.len(), CROWD, "each is a container of its own");
    check_unnamed(convis, 0);
}
