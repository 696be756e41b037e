//! What ends the capture.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::fatal::Fatal;

/// What asks convis to stop.
pub(super) struct Stops {
    terminate: Signal,
    interrupt: Signal,
    deadline: Option<Instant>,
}

impl Stops {
    /// Listens from here on.
    pub(super) fn new(duration: Option<Duration>) -> Result<Self, Fatal> {
        let listen =
            |kind| signal(kind).map_err(|error| Fatal::Internal(format!("cannot wait for signals: {error}")));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            deadline: duration.map(|duration| Instant::now() + duration),
        })
    }

    /// Completes at the next signal, or once at the end of the duration.
    pub(super) async fn asked(&mut self) {
        let Self { terminate, interrupt, deadline } = self;
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
}
