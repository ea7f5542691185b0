//! One look at a device through its profile: every request with its time, nothing kept.

use std::time::Duration;

use crate::decode::snapshot::BlockReading;
use crate::decode::{DeviceProfile, RegisterBlock};
use crate::domain::meter::{Gateway, GatewayTransport};

use super::fault::RequestError;
use super::late::LateAnswers;
use super::link::Link;

/// What one request of a probe gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbedBlock {
    /// What was asked.
    pub block: RegisterBlock,
    /// From sending to the answer or to giving up.
    pub took: Duration,
    /// The registers, or why there are none.
    pub outcome: Result<BlockReading, RequestError>,
}

/// What a device said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// How long it took to open the line.
    pub opened_after: Duration,
    /// Each request, in the order of the profile.
    pub blocks: Vec<ProbedBlock>,
}

impl Probed {
    /// Every block, if all were read.
    pub fn readings(&self) -> Option<Vec<BlockReading>> {
        self.blocks
            .iter()
            .map(|block| block.outcome.as_ref().ok().cloned())
            .collect()
    }
}

/// Reads every block of a profile once, going on where one is refused.
///
/// # Errors
/// The gateway or port cannot be opened.
pub async fn probe(
    gateway: &Gateway,
    unit: u8,
    profile: &DeviceProfile,
    timeout: Duration,
) -> Result<Probed, RequestError> {
    let late = LateAnswers::default();
    let started = tokio::time::Instant::now();
    let mut link = Some(Link::open(gateway, timeout, &late, timeout).await?);
    let opened_after = started.elapsed();
    let pause = profile.modbus_quirks().map_or(0, |q| q.pause_ms);
    let mut blocks = Vec::new();
    for block in profile.register_blocks() {
        let mut open = match link.take() {
            Some(open) => open,
            None => Link::open(gateway, timeout, &late, timeout).await?,
        };
        let asked = open.read(unit, *block, timeout).await;
        let is_silent = matches!(asked.outcome, Err(RequestError::Timeout { .. }));
        blocks.push(ProbedBlock {
            block: *block,
            took: asked.took,
            outcome: asked.outcome,
        });
        // On a serial line the answer to a request that was given up could be taken for the next one's.
        if is_silent && gateway.transport != GatewayTransport::Tcp {
            break;
        }
        link = asked.is_usable.then_some(open);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    Ok(Probed {
        opened_after,
        blocks,
    })
}
