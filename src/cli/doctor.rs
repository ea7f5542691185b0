//! `qiliang doctor broker`: what the brokers are good for.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::{Context, Failure};
use crate::collect::mqtt::doctor::{self, Examination, Report, Severity};
use crate::collect::topic::TopicSet;
use crate::settings::BrokerSettings;

/// Examines one broker or all, prints what was found, and says by the exit code how bad it is.
pub(super) fn brokers(
    context: &Context,
    only: Option<&str>,
    probe_messages: Option<u32>,
) -> Result<(), Failure> {
    let settings = context.settings()?;
    let topics = TopicSet::new(&settings.mqtt.topic).map_err(|errors| {
        let list: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow!("{}", list.join("\n"))
    })?;
    let chosen: Vec<&BrokerSettings> = settings
        .mqtt
        .broker
        .iter()
        .filter(|broker| only.is_none_or(|name| broker.name == name))
        .collect();
    if chosen.is_empty() {
        return Err(nothing_to_examine(&settings.mqtt.broker, only).into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let mut worst = Severity::Good;
    for broker in chosen {
        let report = runtime.block_on(doctor::examine(Examination {
            broker,
            topics: &topics,
            state_dir: &settings.paths.data_dir,
            clock: Arc::clone(&context.clock),
            probe_messages,
        }));
        print(broker, &report);
        worst = worst.max(report.worst());
    }
    match worst {
        Severity::Good | Severity::Note => Ok(()),
        Severity::Warning => Err(Failure::Warned),
        Severity::Critical => Err(Failure::Refused),
    }
}

fn nothing_to_examine(brokers: &[BrokerSettings], only: Option<&str>) -> anyhow::Error {
    let names: Vec<&str> = brokers.iter().map(|b| b.name.as_str()).collect();
    match only {
        Some(name) if !names.is_empty() => anyhow!(
            "no broker is named `{name}`; the configuration has {}",
            names.join(", ")
        ),
        _ => anyhow!("the configuration has no [[mqtt.broker]]; name a file after --config"),
    }
}

fn print(broker: &BrokerSettings, report: &Report) {
    println!(
        "broker `{}` at {}:{}",
        broker.name, broker.host, broker.port
    );
    for finding in &report.findings {
        println!(
            "  {:<9}{} [{}]",
            finding.severity, finding.what, finding.code
        );
        if !finding.remedy.is_empty() {
            println!("           help: {}", finding.remedy);
        }
    }
}
