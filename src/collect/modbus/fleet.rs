//! All buses: started, changed and stopped as registry and profiles say, without a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::CollectError;
use super::bus::{Bus, Surroundings};
use super::health::ModbusHealth;
use super::slot::Meters;
use crate::clock::{Clock, real_duration};
use crate::collect::Delivery;
use crate::decode::ProfileSet;
use crate::domain::id::{GatewayId, MeterId};
use crate::domain::meter::{Gateway, Meter};
use crate::domain::registry::Registry;
use crate::settings::ModbusSettings;

/// What the buses need.
#[derive(Debug)]
pub struct Fleet {
    /// Gateways and meters, as they are swapped.
    pub registry: watch::Receiver<Arc<Registry>>,
    /// Profiles, as they are swapped.
    pub profiles: watch::Receiver<Arc<ProfileSet>>,
    /// Deadlines and periods.
    pub settings: ModbusSettings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How they are doing.
    pub health: Arc<ModbusHealth>,
    /// To the journal.
    pub sender: mpsc::Sender<Delivery>,
}

/// How often a clock that may be set is looked at.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// A bus that runs.
struct Running {
    gateway: Gateway,
    meters: watch::Sender<Meters>,
    stop: CancellationToken,
}

type Wanted = BTreeMap<GatewayId, (Gateway, Meters)>;
type Tasks = JoinSet<(GatewayId, Result<(), CollectError>)>;

/// Polls every gateway that has meters until `stop` is cancelled.
///
/// Every poll becomes a frame of `snapshot` bytes with the meter's device. Periods are spans of the
/// clock; timeouts and retry delays are real time. When registry or profiles are swapped, a bus whose
/// gateway stays as it was goes on, with what it has learnt; one that moved is stopped and started anew.
///
/// # Errors
/// Only what no waiting can mend: the journal's side of the queue is gone.
pub async fn run(fleet: Fleet, stop: CancellationToken) -> Result<(), CollectError> {
    let Fleet {
        mut registry,
        mut profiles,
        settings,
        clock,
        health,
        sender,
    } = fleet;
    let around = Surroundings {
        settings: Arc::new(settings),
        clock,
        health,
        sender,
    };
    let mut tasks = Tasks::new();
    let mut running: BTreeMap<GatewayId, Running> = BTreeMap::new();
    let mut told = BTreeSet::new();
    let mut watched = (true, true);
    loop {
        let now = around.clock.now();
        let (wanted, day_ends_at) = {
            let registry = registry.borrow_and_update();
            let gas_day = registry.company.gas_day_start_hour;
            let wanted = wanted(&registry, &profiles.borrow_and_update(), now, &mut told);
            (wanted, gas_day.end_of(gas_day.day_of(now)))
        };
        arrange(&wanted, &mut running, &mut tasks, &around, &stop);
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                let (gateway, ended) = ended.map_err(CollectError::Panicked)?;
                ended?;
                running.remove(&gateway);
                if !wanted.contains_key(&gateway) {
                    around.health.forget(&gateway);
                }
            }
            // Meters come and go by date, too.
            () = reached(&*around.clock, day_ends_at) => {}
            changed = registry.changed(), if watched.0 => watched.0 = changed.is_ok(),
            changed = profiles.changed(), if watched.1 => watched.1 = changed.is_ok(),
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(CollectError::Panicked)?.1?;
    }
    Ok(())
}

/// Waits until the clock reads `at`; a clock that is set is looked at again every minute.
async fn reached(clock: &dyn Clock, at: DateTime<Utc>) {
    loop {
        let left = at - clock.now();
        if left <= TimeDelta::zero() {
            return;
        }
        let nap = real_duration(clock, left).clamp(Duration::from_millis(1), LOOK_EVERY);
        tokio::time::sleep(nap).await;
    }
}

/// The gateways with the meters that can be polled; what cannot is said once for each version. What is not
/// there yet, or was taken away, is not asked.
fn wanted(
    registry: &Registry,
    profiles: &ProfileSet,
    now: DateTime<Utc>,
    told: &mut BTreeSet<MeterId>,
) -> Wanted {
    let today = registry.company.gas_day_start_hour.day_of(now);
    let mut wanted = Wanted::new();
    let is_there = |meter: &&Meter| meter.is_expected_on(today);
    for meter in registry.meters.values().filter(is_there) {
        let Some(gateway) = meter
            .gateway
            .as_ref()
            .and_then(|id| registry.gateways.get(id))
        else {
            continue;
        };
        let profile = profiles.get(&meter.profile);
        let refused = if (1..=247).contains(&meter.unit) {
            match profile {
                Some(profile) if !profile.register_blocks().is_empty() => None,
                _ => Some(CollectError::ProfileNotPolled {
                    meter: meter.id.clone(),
                    gateway: gateway.id.clone(),
                    profile: meter.profile.clone(),
                }),
            }
        } else {
            Some(CollectError::UnitOutOfRange {
                meter: meter.id.clone(),
                gateway: gateway.id.clone(),
                unit: meter.unit,
            })
        };
        match (refused, profile) {
            (None, Some(profile)) => {
                told.remove(&meter.id);
                wanted
                    .entry(gateway.id.clone())
                    .or_insert_with(|| (gateway.clone(), Meters::new()))
                    .1
                    .insert(meter.id.clone(), (meter.clone(), Arc::clone(profile)));
            }
            (refused, _) => {
                if let Some(reason) = refused
                    && told.insert(meter.id.clone())
                {
                    error!(meter.id = %meter.id, "{reason}; it is not polled");
                }
            }
        }
    }
    wanted
}

/// Starts, changes and stops buses. One that must start anew is started when its old one has ended:
/// two must never speak on one line.
fn arrange(
    wanted: &Wanted,
    running: &mut BTreeMap<GatewayId, Running>,
    tasks: &mut Tasks,
    around: &Surroundings,
    stop: &CancellationToken,
) {
    for (id, bus) in running.iter() {
        match wanted.get(id) {
            Some((gateway, meters)) if *gateway == bus.gateway && !bus.stop.is_cancelled() => {
                let is_new = bus.meters.send_if_modified(|known| {
                    let differs = known != meters;
                    if differs {
                        known.clone_from(meters);
                    }
                    differs
                });
                if is_new {
                    info!(gateway.id = %id, meters = meters.len(), "Gateway `{id}` has other meters now");
                }
            }
            _ => bus.stop.cancel(),
        }
    }
    for (id, (gateway, meters)) in wanted {
        if running.contains_key(id) || stop.is_cancelled() {
            continue;
        }
        info!(
            gateway.id = %id, meters = meters.len(),
            "Polling {} meters behind gateway `{id}` at {}", meters.len(), gateway.address()
        );
        let (sender, plan) = watch::channel(meters.clone());
        let own = stop.child_token();
        let bus = Bus::new(gateway.clone(), around.clone()).run(plan, own.clone());
        let name = id.clone();
        tasks.spawn(async move { (name, bus.await) });
        running.insert(
            id.clone(),
            Running {
                gateway: gateway.clone(),
                meters: sender,
                stop: own,
            },
        );
    }
}
