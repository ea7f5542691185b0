//! How the buses are doing, for the API and metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::id::{GatewayId, MeterId};
use crate::domain::meter::{Gateway, Meter};

/// Counters of all gateways; shared by pollers and readers.
#[derive(Debug, Default)]
pub struct ModbusHealth {
    gateways: Mutex<BTreeMap<GatewayId, GatewayHealth>>,
}

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GatewayHealth {
    /// Gateway.
    pub gateway: GatewayId,
    /// Where it is: `host:port`, or a serial port.
    pub address: String,
    /// Whether a connection is open.
    pub is_connected: bool,
    /// Connections opened so far.
    pub connects: u64,
    /// Connection attempts that failed so far.
    pub errors: u64,
    /// The last failure to connect, in English.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<DateTime<Utc>>,
    /// Its meters.
    pub meters: BTreeMap<MeterId, MeterHealth>,
}

/// A meter on a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MeterHealth {
    /// Unit number.
    pub unit: u8,
    /// Polls that were delivered so far.
    pub polls: u64,
    /// Attempts that failed and were made again within the period.
    pub retries: u64,
    /// Polls that failed so far: nothing came in their period.
    pub errors: u64,
    /// Polls that failed since the last good one.
    pub failures_in_row: u64,
    /// What a request usually takes, ms.
    pub answer_ms: Option<u64>,
    /// What a request may take, as learnt, ms.
    pub timeout_ms: u64,
    /// The last good poll.
    pub last_poll_at: Option<DateTime<Utc>>,
    /// The last failure, in English.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<DateTime<Utc>>,
}

impl ModbusHealth {
    /// All gateways as they are now, by id.
    pub fn snapshot(&self) -> Vec<GatewayHealth> {
        self.lock().values().cloned().collect()
    }

    /// Takes a gateway and its meters on; what was counted of them stays.
    pub(super) fn register<'m>(&self, gateway: &Gateway, meters: impl Iterator<Item = &'m Meter>) {
        let mut gateways = self.lock();
        let health = gateways
            .entry(gateway.id.clone())
            .or_insert_with(|| GatewayHealth {
                gateway: gateway.id.clone(),
                address: String::new(),
                is_connected: false,
                connects: 0,
                errors: 0,
                last_error: None,
                last_error_at: None,
                meters: BTreeMap::new(),
            });
        health.address = gateway.address();
        let mut known = std::mem::take(&mut health.meters);
        health.meters = meters
            .map(|meter| {
                let counted = known.remove(&meter.id).unwrap_or_default();
                let counted = MeterHealth {
                    unit: meter.unit,
                    ..counted
                };
                (meter.id.clone(), counted)
            })
            .collect();
    }

    /// Forgets a gateway that is no longer in the registry.
    pub(super) fn forget(&self, gateway: &GatewayId) {
        self.lock().remove(gateway);
    }

    pub(super) fn connected(&self, gateway: &GatewayId) {
        if let Some(health) = self.lock().get_mut(gateway) {
            health.is_connected = true;
            health.connects += 1;
        }
    }

    pub(super) fn disconnected(&self, gateway: &GatewayId) {
        if let Some(health) = self.lock().get_mut(gateway) {
            health.is_connected = false;
        }
    }

    pub(super) fn gateway_failed(&self, gateway: &GatewayId, message: &str, at: DateTime<Utc>) {
        if let Some(health) = self.lock().get_mut(gateway) {
            health.is_connected = false;
            health.errors += 1;
            health.last_error = Some(message.to_owned());
            health.last_error_at = Some(at);
        }
    }

    pub(super) fn polled(&self, gateway: &GatewayId, meter: &MeterId, at: DateTime<Utc>) {
        self.with_meter(gateway, meter, |health| {
            health.polls += 1;
            health.failures_in_row = 0;
            health.last_poll_at = Some(at);
        });
    }

    pub(super) fn failed(
        &self,
        gateway: &GatewayId,
        meter: &MeterId,
        message: &str,
        at: DateTime<Utc>,
    ) {
        self.with_meter(gateway, meter, |health| {
            health.errors += 1;
            health.failures_in_row += 1;
            health.last_error = Some(message.to_owned());
            health.last_error_at = Some(at);
        });
    }

    pub(super) fn retried(
        &self,
        gateway: &GatewayId,
        meter: &MeterId,
        message: &str,
        at: DateTime<Utc>,
    ) {
        self.with_meter(gateway, meter, |health| {
            health.retries += 1;
            health.last_error = Some(message.to_owned());
            health.last_error_at = Some(at);
        });
    }

    pub(super) fn timed(
        &self,
        gateway: &GatewayId,
        meter: &MeterId,
        answer: Option<Duration>,
        timeout: Duration,
    ) {
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.with_meter(gateway, meter, |health| {
            health.answer_ms = answer.map(ms);
            health.timeout_ms = ms(timeout);
        });
    }

    fn with_meter(
        &self,
        gateway: &GatewayId,
        meter: &MeterId,
        change: impl FnOnce(&mut MeterHealth),
    ) {
        let mut gateways = self.lock();
        if let Some(health) = gateways
            .get_mut(gateway)
            .and_then(|g| g.meters.get_mut(meter))
        {
            change(health);
        }
    }

    /// Held for a few counters at a time, never across an await.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<GatewayId, GatewayHealth>> {
        self.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
