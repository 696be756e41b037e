//! Who holds an end.

use std::rc::Rc;
use std::sync::Arc;

use convis_exporters::model::Resource;

use super::outbox::Outbox;
use crate::identity::Process;
use crate::identity::process::Describer;

/// The process that holds an end, and its user then. Kept with the connection, so that a process that is gone, or whose
/// id another one has by now, is still named.
#[derive(Debug, Clone, Default)]
pub(super) struct Holder {
    /// `None` when nobody is known, or when the kernel itself holds it.
    pub(super) process: Option<Rc<Process>>,
    /// Real user id.
    pub(super) uid: u32,
}

impl Holder {
    /// Resource of its events; the host's without a process.
    pub(super) fn resource(&self, describer: &Describer, out: &Outbox) -> Arc<Resource> {
        self.process.as_ref().map_or_else(|| out.nobody(), |process| process.resource(self.uid, describer))
    }

    /// Whether both are known and one process, whatever images it ran.
    pub(super) fn is_same_process(&self, other: &Self) -> bool {
        let identity =
            |holder: &Self| holder.process.as_ref().map(|process| (process.pid, process.start_ticks));
        identity(self).is_some() && identity(self) == identity(other)
    }
}
