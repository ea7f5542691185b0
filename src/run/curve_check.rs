//! Curves computed again from readings and held against those that are stored, to the last bit.

use std::fmt;

use crate::domain::calendar::{Calendar, GasDay};
use crate::domain::id::MeterId;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::domain::text::fnv1a;
use crate::run::curves::{Basis, Means, build_curves, fingerprint};
use crate::store::StoreError;
use crate::store::journal::Journal;
use crate::validate::curve::CurveRules;

/// Which curves are computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of them.
    Whole,
    /// About so many, chosen by meter and day; another `seed` chooses others.
    Sample {
        /// How many.
        count: u64,
        /// What the choice depends on.
        seed: u64,
    },
}

/// A curve that is not what its readings give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurveDifference {
    /// Meter.
    pub meter: MeterId,
    /// Gas day.
    pub day: GasDay,
    /// What is stored, if anything.
    pub stored: Option<LoadCurve>,
    /// What the readings give.
    pub computed: LoadCurve,
}

impl fmt::Display for CurveDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "curve of {} on {}: ", self.meter, self.day)?;
        let Some(stored) = &self.stored else {
            return write!(f, "missing, though there are totals of that day");
        };
        let hours = (0..24)
            .filter(|hour| {
                stored.hours.get(*hour) != self.computed.hours.get(*hour)
                    || stored.quality.get(*hour) != self.computed.quality.get(*hour)
            })
            .count();
        write!(
            f,
            "stored {} m³, its readings give {} m³; {hours} hour(s) differ in volume or quality",
            stored.volume(),
            self.computed.volume(),
        )
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CurveCheck {
    /// Curves computed again and found equal or different.
    pub checked: u64,
    /// Curves that wait to be computed again anyway, so that a difference says nothing.
    pub waiting: u64,
    /// Curves whose readings were dropped (`[retention]`): there is nothing to compute them from.
    pub closed: u64,
    /// Curves of meters that left the registry: there are no rules to compute by.
    pub unknown: u64,
    /// Those that are not what their readings give.
    pub different: Vec<CurveDifference>,
}

/// Computes curves again and compares; also beside a running daemon. Only one day's keys are in memory
/// at a time. Blocks.
///
/// # Errors
/// As the store's.
pub fn check_curves(
    journal: &Journal,
    registry: &Registry,
    calendar: &Calendar,
    extent: Extent,
) -> Result<CurveCheck, StoreError> {
    let check = Check {
        journal,
        registry,
        calendar,
        means: Means::new(registry, journal)?,
        basis: Basis::new(calendar),
    };
    let mut found = CurveCheck::default();
    let chosen = Chosen::new(extent, journal.curves_len()?);
    for day in journal.days_with_curves_or_readings()? {
        for meter in journal.meters_on(day)? {
            if chosen.has(&meter, day) {
                check.one(&meter, day, &mut found)?;
            }
        }
    }
    Ok(found)
}

/// One in `step` curves.
struct Chosen {
    step: u64,
    seed: u64,
}

impl Chosen {
    fn new(extent: Extent, curves: u64) -> Self {
        match extent {
            Extent::Whole => Self { step: 1, seed: 0 },
            Extent::Sample { count, seed } => Self {
                step: (curves / count.max(1)).max(1),
                seed,
            },
        }
    }

    fn has(&self, meter: &MeterId, day: GasDay) -> bool {
        if self.step == 1 {
            return true;
        }
        let day = day.epoch_day().to_le_bytes();
        let bytes = meter
            .as_str()
            .bytes()
            .chain(day)
            .chain(self.seed.to_le_bytes());
        let hash = fnv1a(bytes);
        (hash >> 16).is_multiple_of(self.step)
    }
}

struct Check<'a> {
    journal: &'a Journal,
    registry: &'a Registry,
    calendar: &'a Calendar,
    means: Means,
    /// What curves are computed by, as the daemon has it.
    basis: Basis,
}

impl Check<'_> {
    fn one(&self, id: &MeterId, day: GasDay, found: &mut CurveCheck) -> Result<(), StoreError> {
        let Some(meter) = self.registry.meters.get(id) else {
            found.unknown += 1;
            return Ok(());
        };
        if self
            .journal
            .closed_before(id)?
            .is_some_and(|open_from| day < open_from)
        {
            found.closed += 1;
            return Ok(());
        }
        let rules = self.means.rules(meter, self.calendar);
        if self.differs(&rules, day)?.is_none() {
            found.checked += 1;
            return Ok(());
        }
        // What waits may differ. A daemon may have computed it between our two looks, so look again.
        if self
            .journal
            .is_waiting(id, &fingerprint(meter, self.registry, &self.basis))?
        {
            found.waiting += 1;
            return Ok(());
        }
        let difference = self.differs(&rules, day)?;
        if difference.is_some()
            && self
                .journal
                .is_waiting(id, &fingerprint(meter, self.registry, &self.basis))?
        {
            found.waiting += 1;
            return Ok(());
        }
        found.checked += 1;
        found.different.extend(difference);
        Ok(())
    }

    fn differs(
        &self,
        rules: &CurveRules<'_>,
        day: GasDay,
    ) -> Result<Option<CurveDifference>, StoreError> {
        let meter = &rules.meter.id;
        let stored = self
            .journal
            .stored_curve(meter, day)?
            .map(|stored| stored.curve);
        let computed = build_curves(self.journal, rules, day, day.plus(1))?;
        Ok(computed
            .into_iter()
            .find(|computed| stored.as_ref() != Some(computed))
            .map(|computed| CurveDifference {
                meter: meter.clone(),
                day,
                stored,
                computed,
            }))
    }
}
