//! The events that wait to be handed to the sinks.

use std::sync::Arc;

use convis_exporters::model::{Connection, Detail, Event, Resource};

use crate::clock::Clock;
use crate::identity::Host;

/// When a batch of records is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// From the kernel's clock to the wall clock.
    pub(super) clock: Clock,
    /// Nanoseconds since the Unix epoch.
    pub(super) unix_nanos: u64,
}

/// Events in the order in which they came about.
#[derive(Debug)]
pub(super) struct Outbox {
    events: Vec<Event>,
    /// Resource of what no process is known for.
    nobody: Arc<Resource>,
}

impl Outbox {
    /// No events yet.
    pub(super) fn new(host: &Host) -> Self {
        Self { events: Vec::new(), nobody: Arc::new(host.describe(Resource::builder()).build()) }
    }

    /// The host's Resource.
    pub(super) fn nobody(&self) -> Arc<Resource> {
        Arc::clone(&self.nobody)
    }

    /// The events since the last call.
    pub(super) fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Adds an event of `time_ns`, by the kernel's clock.
    pub(super) fn emit(
        &mut self,
        resource: Arc<Resource>,
        time_ns: u64,
        connection: Connection,
        detail: Detail,
        now: Now,
    ) {
        let time_unix_nanos = now.clock.unix_nanos(time_ns);
        self.events.push(Event {
            resource,
            time_unix_nanos,
            // A record can be written while the ring is drained, after the clock was read.
            observed_unix_nanos: now.unix_nanos.max(time_unix_nanos),
            connection,
            detail,
        });
    }
}
