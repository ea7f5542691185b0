//! One meter's place on its bus.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use super::turn::Turn;
use crate::decode::{DeviceProfile, snapshot};
use crate::domain::id::MeterId;
use crate::domain::meter::Meter;

/// The meters of a bus, each with the profile it is read by.
pub(super) type Meters = BTreeMap<MeterId, (Meter, Arc<DeviceProfile>)>;

/// One meter's place on the bus.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) meter: Meter,
    pub(super) profile: Arc<DeviceProfile>,
    /// Blocks of the poll under way that were read in an earlier turn, which was too short for all, or
    /// failed later: a device that is busy every second time would never be read whole otherwise.
    /// Forgotten when the poll is given up.
    pub(super) read: Vec<snapshot::BlockReading>,
    pub(super) turn: Turn,
    /// Failed attempts since the last good one, for people.
    pub(super) failed_attempts: u32,
    pub(super) rng: ChaCha8Rng,
}

impl Slot {
    /// Whether this is still what the plan wants of the meter.
    pub(super) fn is_of(&self, meters: &Meters) -> bool {
        meters
            .get(&self.meter.id)
            .is_some_and(|(meter, profile)| *meter == self.meter && *profile == self.profile)
    }
}
