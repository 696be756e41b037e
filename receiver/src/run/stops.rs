//! Signals: what ends the capture, and what has its settings read again.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::fatal::Fatal;

fn listen(kind: SignalKind) -> Result<Signal, Fatal> {
    signal(kind).map_err(|error| Fatal::Internal(format!("cannot wait for signals: {error}")))
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// To stop.
    Stop,
    /// To read the settings again.
    Reload,
}

/// What asks convis to stop, or to read its settings again.
pub(super) struct Stops {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    deadline: Option<Instant>,
}

impl Stops {
    /// Listens from here on.
    pub(super) fn new(duration: Option<Duration>) -> Result<Self, Fatal> {
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            deadline: duration.map(|duration| Instant::now() + duration),
        })
    }

    /// Completes at the next signal of either kind, or once at the end of the duration.
    pub(super) async fn wish(&mut self) -> Wish {
        let Self { terminate, interrupt, hangup, deadline } = self;
        tokio::select! {
            biased;
            () = ended(terminate, interrupt, deadline) => Wish::Stop,
            _ = hangup.recv() => Wish::Reload,
        }
    }

    /// Completes at the next signal to stop, or once at the end of the duration.
    pub(super) async fn asked(&mut self) {
        let Self { terminate, interrupt, deadline, .. } = self;
        ended(terminate, interrupt, deadline).await;
    }
}

async fn ended(terminate: &mut Signal, interrupt: &mut Signal, deadline: &mut Option<Instant>) {
    let over = async {
        match *deadline {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = over => {}
    }
    *deadline = None;
}
