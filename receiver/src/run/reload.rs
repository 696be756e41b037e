//! SIGHUP: the settings are read again, and the sinks become those that they name.
//!
//! Everything new is built before anything old is touched: what is wrong is said, and nothing changes. Between two events
//! the capture goes over to the new sinks and filters; a sink whose settings are the same stays, with its queue; one that is gone
//! sends what it holds in the background. What was counted stays in the counters.

use std::collections::{BTreeMap, BTreeSet};

use convis_exporters::{Runners, Sink};
use convis_otel_config::SinkConfig;
use tokio::time::Instant;

use super::Capture;
use crate::cli::Run;
use crate::clock::Clock;
use crate::fatal::Fatal;
use crate::identity::Host;
use crate::say;
use crate::settings::{self, Resolved};
use crate::telemetry::Telemetry;

/// What a reload compares with, and what follows the sinks.
pub(super) struct Reload {
    /// The options as they were given.
    pub(super) given: Run,
    /// What runs.
    pub(super) running: Resolved,
    pub(super) host: Host,
    pub(super) telemetry: Telemetry,
}

/// What became of the sinks, for a line to the user.
struct Changes {
    started: usize,
    gone: usize,
    same: usize,
}

impl Reload {
    /// Has files opened again, which may have been moved away; then reads the settings and goes over to them, or says why
    /// not. `now` is the time of the last step, by which all that was measured had happened.
    pub(super) fn run(&mut self, capture: &mut Capture, runners: &mut Runners, now: (Clock, u64)) {
        self.running.shared.reopen.ask();
        match self.go_over(capture, runners, now) {
            Ok(Changes { started, gone, same }) => {
                say::line(&format!("reloaded: sinks: {started} started, {gone} stopped, {same} unchanged"));
            }
            Err(error) => {
                let problems: Vec<_> = error.to_string().lines().map(str::to_owned).collect();
                say::line(&format!("not reloaded, the settings stay as they were: {}", problems.join(" | ")));
            }
        }
    }

    fn go_over(
        &mut self,
        capture: &mut Capture,
        runners: &mut Runners,
        (clock, boot_ns): (Clock, u64),
    ) -> Result<Changes, Fatal> {
        let new = settings::resolve(&self.given)?;
        // What is shared stays: only sinks are read again.
        let sinks = convis_exporters::reload(&new.sinks, &self.running.shared, &capture.sinks, runners)?;
        let deadline = Instant::now() + self.running.options.shutdown_timeout;
        runners.part(&sinks, deadline);
        let same = sinks.iter().filter(|sink| capture.sinks.iter().any(|old| old.is(sink))).count();
        if new.sinks.iter().any(|sink| sink.kind.wants_exponential()) {
            capture.begin_exponential(clock.unix_nanos(boot_ns));
        }
        let changes = Changes { started: sinks.len() - same, gone: capture.sinks.len() - same, same };
        capture.status.watch(sinks.iter().flat_map(Sink::stats));
        capture.sinks = sinks;
        if let Err(error) = self.follow_with_telemetry(&new.sinks, capture) {
            say::line(&format!("warning: convis's own metrics go where they went: {error}"));
        }
        if new.policy != self.running.policy {
            capture.tracker.set_policy(new.policy.clone(), self.running.shared.seed);
            self.running.policy = new.policy.clone();
        }
        self.warn_of_options(&new);
        self.running.sinks = new.sinks;
        Ok(changes)
    }

    /// Self-telemetry goes where the observed metrics go.
    fn follow_with_telemetry(&mut self, sinks: &[SinkConfig], capture: &Capture) -> Result<(), Fatal> {
        if sinks == self.running.sinks {
            return Ok(());
        }
        let Resolved { interval, attributes, options, .. } = &self.running;
        let new = Telemetry::start(sinks, *interval, &self.host, &attributes.own, &capture.status)?;
        let old = std::mem::replace(&mut self.telemetry, new);
        tokio::spawn(old.stop(options.shutdown_timeout));
        Ok(())
    }

    fn warn_of_options(&self, new: &Resolved) {
        let text = |resolved: &Resolved| {
            let all = resolved.settings.iter().map(|setting| (setting.flag.clone(), setting.values.clone()));
            all.collect::<BTreeMap<_, _>>()
        };
        let (before, after) = (text(&self.running), text(new));
        let flags = before.keys().chain(after.keys()).filter(|flag| before.get(*flag) != after.get(*flag));
        let changed: BTreeSet<_> = flags.map(|flag| flag.replace('-', "_")).collect();
        if !changed.is_empty() {
            let names = changed.into_iter().collect::<Vec<_>>().join(", ");
            say::line(&format!("warning: {names} changed, which takes effect at the next start"));
        }
    }
}
