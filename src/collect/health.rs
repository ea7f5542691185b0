//! How every way in fares, for health checks, metrics and the API.

use std::sync::Arc;

use super::listen::ListenHealth;
use super::modbus::ModbusHealth;
use super::mqtt::MqttHealth;

/// How the session at one broker fares.
#[derive(Debug, Clone)]
pub struct BrokerHealth {
    /// Its name in the configuration.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// The figures.
    pub health: Arc<MqttHealth>,
}

/// All collectors of this process. A clone shows the same figures.
#[derive(Debug, Clone, Default)]
pub struct CollectHealth {
    /// Brokers in order of the configuration.
    pub brokers: Vec<BrokerHealth>,
    /// Our own listener, where one is open.
    pub listener: Option<Arc<ListenHealth>>,
    /// Gateways of the registry.
    pub modbus: Arc<ModbusHealth>,
}
