//! What ends the capture.

use std::time::Duration;

use convis_exporters::Reopen;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::fatal::Fatal;

fn listen(kind: SignalKind) -> Result<Signal, Fatal> {
    signal(kind).map_err(|error| Fatal::Internal(format!("cannot wait for signals: {error}")))
}

/// From here on SIGHUP asks sinks to open their files again, as long as any sink writes a file.
pub(super) fn reopen_at_hangup(reopen: Reopen) -> Result<(), Fatal> {
    if !reopen.is_of_use() {
        return Ok(());
    }
    let mut hangup = listen(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reopen.ask();
        }
    });
    Ok(())
}

/// What asks convis to stop.
pub(super) struct Stops {
    terminate: Signal,
    interrupt: Signal,
    deadline: Option<Instant>,
}

impl Stops {
    /// Listens from here on.
    pub(super) fn new(duration: Option<Duration>) -> Result<Self, Fatal> {
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
