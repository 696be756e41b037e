//! A long connection says how much has moved, each interval in which something has.

use std::thread::sleep;
use std::time::Duration;

use super::end::close_in_order;
use super::stage::{Played, Stage};
use super::suite::Scenario;
use crate::clock::unix_nanos;

/// An updated event each second.
pub(super) const ARGUMENTS: &[&str] =
    &["--events", "opened,updated,closed,failed", "--update-interval", "1s"];

/// The scenarios of this file.
pub(super) const ALL: &[Scenario] = &[
    Scenario::during("updated.busy", busy),
    Scenario::during("updated.idle", idle),
    Scenario::during("updated.busy_then_idle", busy_then_idle),
    Scenario::during("updated.short", short),
];

/// So many intervals of a second can have ended since then.
fn ended_since(began: u64) -> usize {
    let seconds = Duration::from_nanos(unix_nanos() - began).as_secs();
    usize::try_from(seconds).expect("a short time") + 1
}

/// Writes for four seconds or more: an event for each whole interval within, and at most one for each that is begun.
fn busy(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    let (mut client, mut server) = two.pair();
    let began = unix_nanos();
    for _ in 0..40 {
        client.write_to(&mut server, 1234);
        server.write_to(&mut client, 17);
        sleep(Duration::from_millis(100));
    }
    let ends = close_in_order(&mut client, &mut server);
    // On a busy machine it takes longer than that.
    let most = ended_since(began);
    stage.expect_both(ends.map(|mut end| {
        end.closed().updates = (3, most);
        end
    }));
    Ok(())
}

/// Nothing moves: nothing is said.
fn idle(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    let (mut client, mut server) = two.pair();
    sleep(Duration::from_millis(3500));
    stage.expect_both(close_in_order(&mut client, &mut server));
    Ok(())
}

/// One burst, then silence: one event, or one more where the burst lies across the end of an interval.
fn busy_then_idle(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    let (mut client, mut server) = two.pair();
    let began = unix_nanos();
    client.write_to(&mut server, 500_000);
    let most = ended_since(began) + 1;
    sleep(Duration::from_millis(3500));
    let ends = close_in_order(&mut client, &mut server);
    stage.expect_both(ends.map(|mut end| {
        end.closed().updates = (1, most);
        end
    }));
    Ok(())
}

/// Over before an interval is.
fn short(stage: &mut Stage) -> Played {
    let two = stage.two("127.0.0.1")?;
    for _ in 0..5 {
        let (mut client, mut server) = two.pair();
        client.write_to(&mut server, 10);
        let ends = close_in_order(&mut client, &mut server);
        stage.expect_both(ends.map(|mut end| {
            end.closed().updates = (0, 1);
            end
        }));
    }
    Ok(())
}
