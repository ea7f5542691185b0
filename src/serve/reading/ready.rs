//! Whether the program can do its work, and what is amiss besides.

use crate::domain::text::error_chain;
use crate::serve::state::AppState;
use crate::store::influx::{CLOCK_TOLERANCE_S, clock_text};

impl AppState {
    /// Why the program cannot do its work at the moment; empty if it can.
    pub(in crate::serve) fn not_ready(&self) -> Vec<NotReady> {
        let mut reasons = Vec::new();
        // An empty transaction goes through the one writer, so it fails when that has stopped.
        if let Err(error) = self.journal().mark_dirty(Vec::new())
            && !error.is_of_file()
        {
            reasons.push(NotReady::new("journal", error.code(), &error_chain(&error)));
        }
        // A damaged book keeps nobody from collecting: that is a warning.
        if let Err(error) = self.book().forecast_runs(1)
            && !error.is_of_file()
        {
            reasons.push(NotReady::new("book", error.code(), &error_chain(&error)));
        }
        if self.registry().meters.is_empty() {
            reasons.push(NotReady::new(
                "registry",
                "registry.no_meters",
                "the registry has no meters; fill meters.csv and customers.csv, `qiliang check` lists what is missing",
            ));
        }
        reasons
    }

    /// What is amiss and keeps nobody from working: a way in, a damaged part of a file, or the second store.
    pub(in crate::serve) fn warnings(&self) -> Vec<NotReady> {
        let mut warnings = self.collection_warnings();
        if let Some(doubt) = self.host().doubt(self.now()) {
            warnings.push(NotReady::new("clock", "clock.host", &doubt.message()));
        }
        for (part, seen) in [
            ("journal", self.journal().damage_seen()),
            ("book", self.book().damage_seen()),
        ] {
            let damaged = seen
                .iter()
                .map(|what| NotReady::new(part, "store.damaged", what));
            warnings.extend(damaged);
        }
        if let Some(message) = self.book().unserved_message() {
            warnings.push(NotReady::new("book", "store.book_damaged", &message));
        }
        if let Ok(1..) = self.journal().set_aside_len() {
            let readings = self.journal().set_aside();
            let readings = readings.map_or_else(|error| error_chain(&error), |aside| aside.words());
            let why = match self.journal().refusal() {
                None => String::new(),
                Some(error) => format!(" (the journal takes nothing at present: {error})"),
            };
            let message = format!(
                "{readings}: on disk, but cannot be put at their place in the file, nor read there{why}; \
                 stop the daemon, `qiliang salvage DIR` and `qiliang restore DIR --replace` put them there"
            );
            warnings.push(NotReady::new("journal", "store.set_aside", &message));
        }
        let Some(state) = self.second().map(|second| second.health.state()) else {
            return warnings;
        };
        if let Some((failure, since)) = &state.failure {
            let message = format!("{failure}; since {since}, {} row(s) wait", state.waiting);
            warnings.push(NotReady::new("influx", failure.code(), &message));
        }
        if state.refused > 0 {
            let message = format!(
                "the second store refused {} line(s); `qiliang influx refused` lists them with the reasons",
                state.refused
            );
            warnings.push(NotReady::new("influx", "influx.refused", &message));
        }
        if let Some(ahead_s) = state.ahead_s.filter(|s| s.abs() > CLOCK_TOLERANCE_S) {
            warnings.push(NotReady::new(
                "influx",
                "influx.clock",
                &clock_text(ahead_s),
            ));
        }
        warnings
    }

    /// Brokers and gateways that cannot be reached; what they hold comes later.
    fn collection_warnings(&self) -> Vec<NotReady> {
        let health = self.collection();
        let brokers = health.brokers.iter().filter_map(|broker| {
            let now = broker.health.snapshot();
            (!now.is_connected).then(|| {
                let why = now.last_error.unwrap_or_else(|| "not connected yet".into());
                let message = format!("broker {} ({}): {why}", broker.name, broker.address);
                NotReady::new("collect", "collect.broker_away", &message)
            })
        });
        let gateways = health.modbus.snapshot().into_iter().filter_map(|gateway| {
            let why = gateway.last_error.filter(|_| !gateway.is_connected)?;
            let message = format!("gateway {} ({}): {why}", gateway.gateway, gateway.address);
            Some(NotReady::new("collect", "collect.gateway_away", &message))
        });
        brokers.chain(gateways).collect()
    }
}

/// A part that does not work.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(in crate::serve) struct NotReady {
    part: &'static str,
    code: String,
    message: String,
}

impl NotReady {
    fn new(part: &'static str, code: &str, message: &str) -> Self {
        Self {
            part,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }
}
