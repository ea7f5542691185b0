//! How the ways in fare: brokers, the listener, gateways.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::collect::health::{BrokerHealth, CollectHealth};
use crate::collect::listen::ListenHealth;
use crate::collect::modbus::{GatewayHealth, MeterHealth};
use crate::serve::figures::instant_text;
use crate::serve::state::AppState;

/// How the collectors fare now. Counters count from the start of the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CollectionView {
    /// Brokers in order of the configuration.
    pub brokers: Vec<BrokerView>,
    /// The listener for meters without a broker, where one is open.
    pub listener: Option<ListenerView>,
    /// Modbus gateways by identifier.
    pub gateways: Vec<GatewayView>,
}

/// The session at a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokerView {
    /// Its name in the configuration.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// Whether it has accepted us and not gone since.
    pub is_connected: bool,
    /// Whether it has granted every topic.
    pub is_subscribed: bool,
    /// Connections accepted.
    pub connects: u64,
    /// Messages received, redeliveries included.
    pub received: u64,
    /// Of these, marked as delivered before.
    pub redelivered: u64,
    /// Messages acknowledged after they were on disk.
    pub acknowledged: u64,
    /// Times the broker had lost the session it should have kept for us.
    pub sessions_lost: u64,
    /// What keeps us from being connected, and what to do.
    pub last_error: Option<String>,
    /// What is amiss although it works.
    pub last_notice: Option<String>,
}

/// The listener for meters without a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListenerView {
    /// Meters connected.
    pub connected: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused, or closed for what the peer did.
    pub refused: u64,
    /// Times that reading rested because a meter sent faster than it may.
    pub slowed: u64,
    /// Messages received.
    pub received: u64,
    /// Messages acknowledged after they were on disk.
    pub acknowledged: u64,
    /// The last refusal.
    pub last_error: Option<String>,
}

/// A gateway and the meters on it that do not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GatewayView {
    /// Identifier.
    pub gateway: String,
    /// `host:port`, or a serial port.
    pub address: String,
    /// Whether a connection is open.
    pub is_connected: bool,
    /// Connections opened.
    pub connects: u64,
    /// Attempts to connect that failed.
    pub errors: u64,
    /// The last failure to connect.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<String>,
    /// Meters on it.
    pub meters: usize,
    /// Polls delivered, of all its meters.
    pub polls: u64,
    /// Attempts made again within a period, of all its meters.
    pub retries: u64,
    /// Polls that brought nothing in their period, of all its meters.
    pub failed_polls: u64,
    /// Meters whose last poll failed, longest silent first.
    pub failing: Vec<FailingMeter>,
}

/// A meter whose last poll failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailingMeter {
    /// Meter.
    pub meter: String,
    /// Unit number on the bus.
    pub unit: u8,
    /// Polls that failed since the last good one.
    pub failures_in_row: u64,
    /// The last good poll since the start.
    pub last_poll_at: Option<String>,
    /// The last failure.
    pub last_error: Option<String>,
}

impl From<&BrokerHealth> for BrokerView {
    fn from(broker: &BrokerHealth) -> Self {
        let now = broker.health.snapshot();
        Self {
            name: broker.name.clone(),
            address: broker.address.clone(),
            is_connected: now.is_connected,
            is_subscribed: now.is_subscribed,
            connects: now.epoch,
            received: now.received,
            redelivered: now.redelivered,
            acknowledged: now.acknowledged,
            sessions_lost: now.sessions_lost,
            last_error: now.last_error,
            last_notice: now.last_notice,
        }
    }
}

impl From<&ListenHealth> for ListenerView {
    fn from(health: &ListenHealth) -> Self {
        let now = health.snapshot();
        Self {
            connected: now.connected,
            accepted: now.accepted,
            refused: now.refused,
            slowed: now.slowed,
            received: now.received,
            acknowledged: now.acknowledged,
            last_error: now.last_error,
        }
    }
}

impl From<GatewayHealth> for GatewayView {
    fn from(health: GatewayHealth) -> Self {
        let sum = |of: fn(&MeterHealth) -> u64| health.meters.values().map(of).sum();
        let mut failing: Vec<FailingMeter> = health
            .meters
            .iter()
            .filter(|(_, meter)| meter.failures_in_row > 0)
            .map(|(id, meter)| FailingMeter {
                meter: id.to_string(),
                unit: meter.unit,
                failures_in_row: meter.failures_in_row,
                last_poll_at: meter.last_poll_at.map(instant_text),
                last_error: meter.last_error.clone(),
            })
            .collect();
        failing.sort_by_key(|meter| std::cmp::Reverse(meter.failures_in_row));
        Self {
            meters: health.meters.len(),
            polls: sum(|meter| meter.polls),
            retries: sum(|meter| meter.retries),
            failed_polls: sum(|meter| meter.errors),
            failing,
            gateway: health.gateway.to_string(),
            address: health.address,
            is_connected: health.is_connected,
            connects: health.connects,
            errors: health.errors,
            last_error: health.last_error,
            last_error_at: health.last_error_at.map(instant_text),
        }
    }
}

impl From<&CollectHealth> for CollectionView {
    fn from(health: &CollectHealth) -> Self {
        Self {
            brokers: health.brokers.iter().map(BrokerView::from).collect(),
            listener: health.listener.as_deref().map(ListenerView::from),
            gateways: health
                .modbus
                .snapshot()
                .into_iter()
                .map(GatewayView::from)
                .collect(),
        }
    }
}

/// How the ways in fare: brokers, the listener for meters without a broker, Modbus gateways
#[utoipa::path(get, path = "/collection", tag = "collect", responses(
    (status = 200, body = CollectionView),
))]
pub(super) async fn get_collection(State(state): State<AppState>) -> Json<CollectionView> {
    Json(CollectionView::from(state.collection()))
}
