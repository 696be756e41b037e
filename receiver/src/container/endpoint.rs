//! One runtime at one address, for as long as convis runs.

use std::time::Duration;

use convis_exporters::Backoff;
use tokio::time::Instant;

use super::cache::Vote;
use super::counters::Failure;
use super::find::{Found, Protocol};
use super::port::Port;
use super::{cri, docker};

/// Holds one session after another. A runtime that was there for a while is connected to again at once, with the
/// questions still open; one that was not, after a wait during which questions are answered at once. But where nobody
/// listened, a question is a reason to look again: a daemon that is back may have started what is asked for.
pub(super) async fn run(mut port: Port, found: Found, mut random: fastrand::Rng) {
    let mut backoff = Backoff::new(port.limits.retry);
    let mut well = true;
    loop {
        let began = Instant::now();
        let failure = match found.protocol {
            Protocol::Docker => docker::session(&mut port, &found.address).await,
            Protocol::Cri => cri::session(&mut port, &found.address).await,
        };
        let lasted = began.elapsed() >= port.limits.lasting && failure != Failure::Timeout;
        if lasted {
            well = true;
            backoff = Backoff::new(port.limits.retry);
            continue;
        }
        if std::mem::take(&mut well) {
            let reason = failure.as_str();
            tracing::warn!(address = %found.address, reason, "container runtime cannot be asked, trying again");
        }
        let nothing = !found.named && (found.address.is_vacant() || failure == Failure::Unsupported);
        let vote = if nothing { Vote::Absent } else { Vote::Failed };
        port.answer_all(&vote).await;
        let sure = if failure == Failure::Connect { port.limits.look_again } else { Duration::MAX };
        port.pause(backoff.next(&mut random, None), &vote, sure).await;
    }
}
