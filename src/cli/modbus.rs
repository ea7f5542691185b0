//! `qiliang modbus probe`: one look at a device, beside a running daemon, writing nothing.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::json;

use super::{Context, Failure};
use crate::collect::modbus::RequestError;
use crate::collect::modbus::probe::{Probed, ProbedBlock, probe};
use crate::decode::{DecodeContext, DeviceProfile, ProfileSet, snapshot};
use crate::domain::id::{DeviceId, GatewayId, ProfileId};
use crate::domain::meter::{Gateway, GatewayTransport, Parity};
use crate::domain::quantity::StdVolume;
use crate::domain::reading::{Decoded, ItemValue};

/// What to look at.
#[derive(Debug, clap::Args)]
pub(super) struct ProbeArguments {
    /// Gateway of gateways.csv, `host:port`, or a serial port such as /dev/ttyS1.
    #[arg(long)]
    gateway: String,
    /// Unit number, 1 to 247.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=247))]
    unit: u8,
    /// Profile, `<vendor>/<model>`.
    #[arg(long)]
    profile: String,
    /// With `host:port`: serial frames through TCP, as transparent serial servers pass them.
    #[arg(long)]
    rtu: bool,
    /// With a serial port: bits per second.
    #[arg(long, default_value_t = 9_600)]
    baud: u32,
    /// With a serial port.
    #[arg(long, value_enum, default_value_t = ParityArgument::None)]
    parity: ParityArgument,
    /// With a serial port: 1 or 2.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    stop_bits: u8,
    /// Longest wait for each answer, ms.
    #[arg(long, default_value_t = 3_000)]
    timeout_ms: u64,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ParityArgument {
    None,
    Even,
    Odd,
}

/// Reads the device once and prints registers, values, alarms and times; exit code 2 and the reason
/// where something could not be read or decoded.
pub(super) fn run(context: &Context, arguments: &ProbeArguments) -> Result<(), Failure> {
    let (set, problems) = ProfileSet::load(&context.profiles_dir());
    let id = ProfileId::from(arguments.profile.as_str());
    let Some(profile) = set.get(&id) else {
        let own: Vec<_> = problems
            .into_iter()
            .filter(|p| p.file.ends_with(format!("{id}.toml")))
            .collect();
        if !own.is_empty() {
            return Err(Failure::Problems(own));
        }
        let known: Vec<&str> = set
            .iter()
            .filter(|p| !p.register_blocks().is_empty())
            .map(|p| p.id().as_str())
            .collect();
        return Err(anyhow!(
            "there is no profile `{id}`; those with registers are {}",
            known.join(", ")
        )
        .into());
    };
    if profile.register_blocks().is_empty() {
        return Err(
            anyhow!("profile `{id}` reads no registers; name one with transport modbus").into(),
        );
    }
    let gateway = gateway(context, arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let timeout = Duration::from_millis(arguments.timeout_ms.max(1));
    let probed = runtime
        .block_on(probe(&gateway, arguments.unit, profile, timeout))
        .map_err(|error| anyhow!("gateway {} {error}", gateway.address()))?;
    let decoded = probed.readings().map(|readings| {
        let bytes = snapshot::encode(&readings);
        profile.decode(&bytes, &DecodeContext::at(context.clock.now()))
    });
    if arguments.json {
        print_json(&gateway, arguments.unit, profile, &probed, decoded.as_ref())?;
    } else {
        print_text(&gateway, arguments.unit, profile, &probed, decoded.as_ref());
    }
    match decoded {
        Some(Ok(_)) => Ok(()),
        Some(Err(reason)) => {
            eprintln!("refused: {reason}");
            Err(Failure::Refused)
        }
        None => {
            for help in help(&probed.blocks, arguments.unit) {
                eprintln!("help: {help}");
            }
            Err(Failure::Refused)
        }
    }
}

/// The gateway of the registry, or one that is spelled out.
fn gateway(context: &Context, arguments: &ProbeArguments) -> Result<Gateway, Failure> {
    let name = arguments.gateway.as_str();
    if name.starts_with('/') {
        return Ok(Gateway {
            baud: arguments.baud,
            parity: match arguments.parity {
                ParityArgument::None => Parity::None,
                ParityArgument::Even => Parity::Even,
                ParityArgument::Odd => Parity::Odd,
            },
            stop_bits: arguments.stop_bits,
            ..Gateway::serial("probe".into(), name)
        });
    }
    let address = name
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    if let Some((host, port)) = address {
        let transport = if arguments.rtu {
            GatewayTransport::RtuOverTcp
        } else {
            GatewayTransport::Tcp
        };
        return Ok(Gateway {
            transport,
            ..Gateway::tcp("probe".into(), host, port)
        });
    }
    let site = context.site()?;
    let known = &site.registry.gateways;
    known.get(name).cloned().ok_or_else(|| {
        let names: Vec<&str> = known.keys().map(GatewayId::as_str).collect();
        anyhow!(
            "gateways.csv has no gateway `{name}`; it has {}; or write host:port, or a serial port",
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        )
        .into()
    })
}

fn print_text(
    gateway: &Gateway,
    unit: u8,
    profile: &DeviceProfile,
    probed: &Probed,
    decoded: Option<&Result<Decoded, crate::domain::frame::RejectReason>>,
) {
    println!(
        "unit {unit} at {}, profile {}; line open after {} ms",
        gateway.address(),
        profile.id(),
        probed.opened_after.as_millis()
    );
    for block in &probed.blocks {
        let (start, count) = (block.block.start, block.block.count);
        let what = format!(
            "function {} registers {start} to {} ({count})",
            block.block.function,
            u32::from(start) + u32::from(count) - 1
        );
        match &block.outcome {
            Ok(reading) => {
                println!("\n{what}: {} ms", block.took.as_millis());
                for (row, words) in reading.registers.chunks(8).enumerate() {
                    let at = usize::from(start) + 8 * row;
                    let words: Vec<String> = words.iter().map(|w| format!("{w:04X}")).collect();
                    println!("  {at:>5}  {}", words.join(" "));
                }
            }
            Err(error) => println!("\n{what}: {error} (after {} ms)", block.took.as_millis()),
        }
    }
    if let Some(Ok(decoded)) = decoded {
        println!();
        if let Some(device) = &decoded.device {
            println!("  {:<22} {device}", "device");
        }
        println!("  {:<22} {}", "sampled_at", decoded.sampled_at.to_rfc3339());
        for (item, value) in &decoded.values {
            println!("  {:<22} {}", item.key(), shown(*value));
        }
        let alarms: Vec<String> = decoded
            .alarms
            .iter()
            .filter_map(|alarm| Some(serde_json::to_value(alarm).ok()?.as_str()?.to_owned()))
            .collect();
        println!(
            "  {:<22} {}",
            "alarms",
            if alarms.is_empty() {
                "none".to_owned()
            } else {
                alarms.join(", ")
            }
        );
    }
}

fn shown(value: ItemValue) -> String {
    match value {
        ItemValue::Exact(units) => StdVolume::from_units(units).to_string(),
        ItemValue::Float(number) => number.to_string(),
    }
}

fn print_json(
    gateway: &Gateway,
    unit: u8,
    profile: &DeviceProfile,
    probed: &Probed,
    decoded: Option<&Result<Decoded, crate::domain::frame::RejectReason>>,
) -> Result<(), Failure> {
    let blocks: Vec<_> = probed
        .blocks
        .iter()
        .map(|block| {
            json!({
                "function": block.block.function,
                "start": block.block.start,
                "count": block.block.count,
                "took_ms": block.took.as_millis(),
                "registers": block.outcome.as_ref().ok().map(|r| &r.registers),
                "error": block.outcome.as_ref().err().map(ToString::to_string),
            })
        })
        .collect();
    let reading = match decoded {
        Some(Ok(decoded)) => {
            let values: serde_json::Map<_, _> = decoded
                .values
                .iter()
                .map(|(item, value)| {
                    let value = match value {
                        ItemValue::Exact(_) => json!(shown(*value)),
                        ItemValue::Float(number) => json!(number),
                    };
                    (item.key().to_owned(), value)
                })
                .collect();
            let alarms: Vec<_> = decoded.alarms.iter().collect();
            json!({
                "device": decoded.device.as_ref().map(DeviceId::as_str),
                "sampled_at": decoded.sampled_at,
                "values": values,
                "alarms": alarms,
            })
        }
        Some(Err(reason)) => json!({ "code": reason.code, "message": reason.message }),
        None => serde_json::Value::Null,
    };
    let report = json!({
        "gateway": gateway.address(),
        "unit": unit,
        "profile": profile.id().as_str(),
        "opened_after_ms": probed.opened_after.as_millis(),
        "blocks": blocks,
        "reading": reading,
    });
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

/// What to do about the blocks that were not read.
fn help(blocks: &[ProbedBlock], unit: u8) -> Vec<String> {
    let has_read = blocks.iter().any(|b| b.outcome.is_ok());
    let mut out = Vec::new();
    for block in blocks {
        let at = format!(
            "the block of function {} from register {}",
            block.block.function, block.block.start
        );
        match &block.outcome {
            Err(RequestError::Timeout { part: 0, .. }) if has_read => out.push(format!(
                "unit {unit} answers, but not for {at}: some devices are silent where they should refuse; check the registers, or raise --timeout-ms"
            )),
            Err(RequestError::Timeout { part: 0, .. }) => out.push(format!(
                "nothing was heard from unit {unit}: check the unit number, the transport (--rtu for transparent serial servers), and on a serial line baud rate, parity and polarity"
            )),
            Err(RequestError::Timeout { .. }) => out.push(format!(
                "an answer for {at} began and did not end: check baud rate and line, or raise --timeout-ms"
            )),
            Err(RequestError::Exception { code: 2, .. }) => out.push(format!(
                "the device refuses {at}: check its registers and address_base; a gap that is read over may be what it refuses, then lower gap_max"
            )),
            Err(RequestError::Exception { code: 10 | 11, .. }) => out.push(format!(
                "the gateway is there, but nobody behind it answers as unit {unit}"
            )),
            Err(RequestError::Mismatch { .. }) => out.push(
                "another unit answers: two devices may have one unit number, or another master is on the line"
                    .to_owned(),
            ),
            _ => {}
        }
    }
    out.dedup();
    out
}
