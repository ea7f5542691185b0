//! What one frame becomes: the reading of a known meter with what the entry rules found, or a rejection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use crate::domain::calendar::beijing_civil;
use crate::domain::frame::{RawFrame, RejectReason, RejectedFrame, Transport};
use crate::domain::id::{DeviceId, MeterId, ProfileId};
use crate::domain::meter::Meter;
use crate::domain::reading::{Decoded, Reading};
use crate::domain::registry::Registry;
use crate::run::clocks::Clocks;
use crate::run::retention;
use crate::settings::{IngestSettings, RetentionSettings};
use crate::store::journal::JournalEntry;
use crate::validate::{EntryLimits, check_entry};

/// Decodes a frame with a profile; none if there is no such profile.
pub type Decode =
    Arc<dyn Fn(&ProfileId, &RawFrame) -> Option<Result<Decoded, RejectReason>> + Send + Sync>;

/// The entry rules' limits as configured.
pub fn entry_limits(settings: &IngestSettings) -> EntryLimits {
    EntryLimits {
        stale_after: TimeDelta::days(settings.stale_after_days),
        future_tolerance: TimeDelta::seconds(settings.future_tolerance_s),
    }
}

/// Turns frames into journal entries; also used to replay rejected frames.
pub struct Assessor {
    /// Which device is which meter.
    pub registry: Arc<Registry>,
    /// How bytes are decoded.
    pub decode: Decode,
    /// Limits of the entry rules.
    pub limits: EntryLimits,
    /// How long readings stay: older ones are not taken.
    pub kept: Arc<RetentionSettings>,
    /// Where clocks are measured; none for frames that are not fresh.
    pub clocks: Option<Clocks>,
}

impl std::fmt::Debug for Assessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assessor")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A rejection before it is joined with its frame.
struct Refusal {
    meter: Option<MeterId>,
    reason: RejectReason,
}

impl Refusal {
    fn new(meter: Option<&Meter>, code: &str, message: String) -> Self {
        Self {
            meter: meter.map(|m| m.id.clone()),
            reason: RejectReason::new(code, message),
        }
    }
}

/// A frame from when the device was nowhere: taken away, and not yet put up elsewhere.
fn not_there(meter: &Meter, device: &DeviceId, at: DateTime<Utc>) -> Refusal {
    Refusal::new(
        Some(meter),
        "ingest.device_removed",
        format!(
            "by meters.csv device `{device}` was at no meter's place at {}: removed_on or installed_on \
             of `{}` says so; if a date is wrong, mend it and replay",
            beijing_civil(at).to_rfc3339(),
            meter.id
        ),
    )
}

impl Assessor {
    pub(super) fn assess_all(&self, frames: Vec<RawFrame>) -> Vec<JournalEntry> {
        frames.into_iter().map(|frame| self.assess(frame)).collect()
    }

    /// What one frame becomes.
    pub fn assess(&self, frame: RawFrame) -> JournalEntry {
        match self.read(&frame) {
            Ok((reading, clock_at)) => {
                let mut findings = check_entry(&reading, self.limits);
                if let Some(clocks) = &self.clocks {
                    findings.extend(clocks.observe(&reading, clock_at));
                }
                JournalEntry::Reading { reading, findings }
            }
            Err(Refusal { meter, reason }) => JournalEntry::Reject(RejectedFrame {
                frame,
                meter,
                reason,
            }),
        }
    }

    /// The reading, and what the device's clock showed when it sent the frame.
    fn read(&self, frame: &RawFrame) -> Result<(Reading, Option<DateTime<Utc>>), Refusal> {
        let (meter, decoded) = match &frame.device {
            Some(device) => self.read_as(frame, device)?,
            None => self.read_unnamed(frame)?,
        };
        // Its time is that of arrival, and it came before: when, nobody knows.
        if frame.is_retained() && decoded.sampled_at == frame.received_at {
            return Err(Refusal::new(
                Some(meter),
                "ingest.retained",
                format!(
                    "{} is a message that the broker had kept, and meter `{}` sends no time: its age is not known; \
                     switch the retain flag off at the sender",
                    frame.origin, meter.id
                ),
            ));
        }
        let reached = (decoded.sampled_at, frame.received_at);
        if let Some(reason) = retention::too_old(&self.registry, &self.kept, meter, reached) {
            return Err(Refusal::new(Some(meter), retention::TOO_OLD, reason));
        }
        let reading = Reading {
            meter: meter.id.clone(),
            sampled_at: decoded.sampled_at,
            received_at: frame.received_at,
            transport: frame.transport,
            values: decoded.values,
            frozen: decoded.frozen,
            alarms: decoded.alarms,
        };
        Ok((reading, decoded.clock_at))
    }

    /// The transport names the device: its bound profile decodes, and a payload that names another
    /// device is refused, since a device speaks only for itself.
    fn read_as(&self, frame: &RawFrame, device: &DeviceId) -> Result<(&Meter, Decoded), Refusal> {
        let mut refused = None;
        // Most devices are one meter; one that was moved is decoded as each of its places says.
        for meter in self.registry.meters_of_device(device) {
            match self.read_at(frame, device, meter) {
                Ok(decoded) => return Ok((meter, decoded)),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        Err(refused.unwrap_or_else(|| {
            Refusal::new(
                None,
                "ingest.unknown_device",
                format!(
                    "no meter in the registry has device `{device}`, named by {}; add it to \
                     meters.csv and replay",
                    frame.origin
                ),
            )
        }))
    }

    /// As the device of a meter, if it was that meter when it took the sample.
    fn read_at(
        &self,
        frame: &RawFrame,
        device: &DeviceId,
        meter: &Meter,
    ) -> Result<Decoded, Refusal> {
        let decoded = self.decode_with(meter, &meter.profile, frame)?;
        match &decoded.device {
            Some(named) if named != device => Err(Refusal::new(
                Some(meter),
                "ingest.device_mismatch",
                format!(
                    "{} stands for device `{device}` but the payload names `{named}`; a device \
                     speaks only for its own meter; correct the device's address or the topic",
                    frame.origin
                ),
            )),
            _ if !self.was(meter, device, decoded.sampled_at) => {
                Err(not_there(meter, device, decoded.sampled_at))
            }
            _ => Ok(decoded),
        }
    }

    /// Whether a device was a meter at an instant.
    fn was(&self, meter: &Meter, device: &DeviceId, at: DateTime<Utc>) -> bool {
        let owner = self.registry.meter_at(device, at);
        owner.is_some_and(|owner| owner.id == meter.id)
    }

    /// Only the payload can name the device. Each profile bound in the registry is tried in order,
    /// and counts only if the device it finds is bound to that very profile.
    fn read_unnamed(&self, frame: &RawFrame) -> Result<(&Meter, Decoded), Refusal> {
        let mut profiles: Vec<&ProfileId> =
            self.registry.meters.values().map(|m| &m.profile).collect();
        profiles.sort();
        profiles.dedup();
        let (mut named, mut refused) = (None, None);
        for profile in profiles {
            let Some(Ok(decoded)) = self.try_decode(profile, frame) else {
                continue;
            };
            let Some(device) = &decoded.device else {
                continue;
            };
            let fitting = || {
                let all = self.registry.meters_of_device(device);
                all.filter(move |meter| meter.profile == *profile)
            };
            let there = fitting().find(|meter| self.was(meter, device, decoded.sampled_at));
            let any = fitting().next();
            match (there, any) {
                (Some(meter), _) => return Ok((meter, decoded)),
                (None, Some(meter)) => {
                    let refusal = || not_there(meter, device, decoded.sampled_at);
                    refused = refused.or_else(|| Some(refusal()));
                }
                (None, None) => named = named.or_else(|| Some(device.clone())),
            }
        }
        if let Some(refusal) = refused {
            return Err(refusal);
        }
        if let Some(device) = named {
            return Err(Refusal::new(
                None,
                "ingest.unknown_device",
                format!(
                    "the payload from {} names device `{device}`, which no meter with a fitting \
                     profile has; add it to meters.csv and replay",
                    frame.origin
                ),
            ));
        }
        if frame.transport == Transport::Mqtt {
            return Err(Refusal::new(
                None,
                "collect.unknown_topic",
                format!(
                    "topic `{}` fits no template with {{device}} and the payload names no device \
                     that a profile knows; add a template under [[mqtt.topic]] and replay",
                    frame.origin
                ),
            ));
        }
        if frame.transport == Transport::Import {
            return Err(Refusal::new(
                None,
                crate::collect::import::code::LINE,
                format!(
                    "{} is no row or frame that can be read, or names no device; `qiliang import \
                     --dry-run` on the file says what is wrong; mend the file and import it again",
                    frame.origin
                ),
            ));
        }
        Err(Refusal::new(
            None,
            "ingest.unknown_device",
            format!(
                "neither {} nor the payload names a device that a profile knows; name the device \
                 and send it again",
                frame.origin
            ),
        ))
    }

    fn decode_with(
        &self,
        meter: &Meter,
        profile: &ProfileId,
        frame: &RawFrame,
    ) -> Result<Decoded, Refusal> {
        match self.try_decode(profile, frame) {
            Some(Ok(decoded)) => Ok(decoded),
            Some(Err(reason)) => Err(Refusal {
                meter: Some(meter.id.clone()),
                reason,
            }),
            None => Err(Refusal::new(
                Some(meter),
                "ingest.unknown_profile",
                format!(
                    "meter `{}` is bound to profile `{profile}`, which is not loaded; add \
                     device-profiles/{profile}.toml or correct meters.csv, then replay",
                    meter.id
                ),
            )),
        }
    }

    /// A decoder that panics costs its frame, not the batch.
    fn try_decode(
        &self,
        profile: &ProfileId,
        frame: &RawFrame,
    ) -> Option<Result<Decoded, RejectReason>> {
        let attempt = catch_unwind(AssertUnwindSafe(|| (self.decode)(profile, frame)));
        attempt.unwrap_or_else(|_| {
            warn!(profile.id = %profile, "Decoder of profile `{profile}` panicked");
            Some(Err(RejectReason::new(
                "ingest.decoder_panicked",
                format!(
                    "the decoder of profile `{profile}` failed on this frame; the frame is kept; \
                     report it with its bytes"
                ),
            )))
        })
    }
}
