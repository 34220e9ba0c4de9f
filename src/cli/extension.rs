//! What a tks may have beside its own: providers, and somebody who hears what its engine does.

use std::sync::{Arc, OnceLock};

use plan::{Event, Provider};

static INSTALLED: OnceLock<Extension> = OnceLock::new();

/// More than tks has.
pub struct Extension {
    /// Of kinds that tks does not serve itself.
    pub providers: Box<dyn Fn() -> Vec<Arc<dyn Provider>> + Send + Sync>,
    /// Hears every event, before it is told.
    pub hears: Box<dyn Fn(&Event) + Send + Sync>,
}

impl std::fmt::Debug for Extension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extension").finish_non_exhaustive()
    }
}

/// Once in a process; a second one is none.
pub(crate) fn install(extension: Extension) {
    let _ = INSTALLED.set(extension);
}

pub(crate) fn providers() -> Vec<Arc<dyn Provider>> {
    let installed = INSTALLED.get();
    installed.map_or_else(Vec::new, |extension| (extension.providers)())
}

/// Hears what `progress` tells, if somebody does.
pub(crate) struct Heard<'a>(pub(crate) &'a dyn plan::Progress);

impl plan::Progress for Heard<'_> {
    fn event(&self, event: Event) {
        if let Some(extension) = INSTALLED.get() {
            (extension.hears)(&event);
        }
        self.0.event(event);
    }
}
