//! Who holds an end.

use std::rc::Rc;

use crate::identity::process::{Describer, Identity};
use crate::identity::{Process, Workload};

/// The process that holds an end, its user then, and what it ran in. Kept with the connection, so that a process that is
/// gone, or whose id another one has by now, is still named.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    /// `None` when nobody is known, or when the kernel itself holds it.
    pub(super) process: Option<Rc<Process>>,
    /// Real user id.
    pub(super) uid: u32,
    /// The host where no process is known.
    pub(super) workload: Rc<Workload>,
}

impl Holder {
    /// What `of` takes of how events name it; `None` without a process.
    #[inline]
    pub(super) fn identity<T>(&self, describer: &Describer, of: impl FnOnce(&Identity) -> T) -> Option<T> {
        let process = self.process.as_ref()?;
        Some(process.identity(self.uid, &self.workload, describer, of))
    }

    /// Whether both are known and one process, whatever images it ran.
    pub(super) fn is_same_process(&self, other: &Self) -> bool {
        let identity =
            |holder: &Self| holder.process.as_ref().map(|process| (process.pid, process.start_ticks));
        identity(self).is_some() && identity(self) == identity(other)
    }
}
