//! What a forecast is asked of: everything known at its origin, and how far to look.

mod months;
mod parts;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::calendar::{Calendar, GasDay, GasDayClock};
use crate::domain::capacity::NodeCapacity;
use crate::domain::demand::{DRAWS_MAX, DemandDay, DemandNode, HORIZON_DAYS_MAX};
use crate::domain::id::{CustomerId, RunId, SourceId, ZoneId};
use crate::domain::months::OUTLOOK_MONTHS;
use crate::forecast::ForecastError;
use crate::forecast::models::daily::Weighing;
use crate::forecast::weather::{ForecastSkill, ZoneWeather};

pub use self::months::{MonthsInput, Shares};
pub use self::parts::{ConsumerInput, PartsInput, Project};

/// Which models the engine may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ModelChoice {
    /// The best the history allows.
    #[default]
    Best,
    /// The baseline only, to stand beside it.
    SeasonalNaive,
}

/// Everything a forecast is made from.
#[derive(Debug, Clone)]
pub struct ForecastRequest {
    /// Identifier of the run.
    pub run_id: RunId,
    /// Nothing later is used.
    pub origin_at: DateTime<Utc>,
    /// How gas days are cut.
    pub clock: GasDayClock,
    /// Holidays.
    pub calendar: Calendar,
    /// Complete gas days of the nodes, in any order; days from the origin's gas day on are ignored.
    pub demand: Vec<DemandDay>,
    /// Hours of the origin's gas day already metered, m³.
    pub today_hours: BTreeMap<DemandNode, [Option<f64>; 24]>,
    /// Temperatures by zone as known at the origin; observed days from the origin's gas day on are
    /// ignored.
    pub weather: BTreeMap<ZoneId, ZoneWeather>,
    /// How good the weather forecast is by lead.
    pub weather_skill: ForecastSkill,
    /// Source shares of each day of the horizon.
    pub shares: Vec<Vec<(ZoneId, SourceId, f64)>>,
    /// Known production changes: change of a node's daily volume by gas day, m³, past days too. Past
    /// changes are taken out of the history before learning, those to come are added.
    pub effects: BTreeMap<DemandNode, BTreeMap<GasDay, f64>>,
    /// Design flow of the nodes' customers, those of projects on their ramp left out; nodes without
    /// history are forecast by it. None only in runs of earlier programs, which are made again
    /// without.
    pub capacities: Option<BTreeMap<DemandNode, NodeCapacity>>,
    /// Design flow of the large consumers; young ones are forecast by it and by those alike. None only
    /// in runs of earlier programs, which are made again as they were: of their own days, and with
    /// draws from the past of all nodes, however short.
    pub customer_capacities: Option<BTreeMap<CustomerId, NodeCapacity>>,
    /// Large consumers with their plans, new connections, named factors.
    pub parts: PartsInput,
    /// What the months after the days are made from; none where they are not asked for.
    pub months: Option<MonthsInput>,
    /// Gas days ahead, the origin's own included: 1 to [`HORIZON_DAYS_MAX`].
    pub horizon_days: usize,
    /// Days that get hourly draws, at most `horizon_days`.
    pub hourly_days: usize,
    /// Joint draws, at most [`DRAWS_MAX`].
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Whether days that are partly estimated count less, by [`DemandDay::uncertainty_m3`].
    pub weighs_estimates: bool,
    /// In what they do.
    pub weighing: Weighing,
    /// Whether climatology knows all observed temperatures; if not, those of each series' own days, as in
    /// runs of earlier programs.
    pub reads_climate: bool,
    /// What the models may be.
    pub models: ModelChoice,
    /// What else it was made from: `registry`, `program`, … copied into the result.
    pub inputs: Vec<(String, String)>,
}

impl ForecastRequest {
    /// A request with the usual settings (62 days, 8 of them hourly, 200 draws) and nothing in it.
    pub fn new(
        run_id: RunId,
        origin_at: DateTime<Utc>,
        clock: GasDayClock,
        calendar: Calendar,
    ) -> Self {
        Self {
            run_id,
            origin_at,
            clock,
            calendar,
            demand: Vec::new(),
            today_hours: BTreeMap::new(),
            weather: BTreeMap::new(),
            weather_skill: ForecastSkill::default(),
            shares: Vec::new(),
            effects: BTreeMap::new(),
            capacities: Some(BTreeMap::new()),
            customer_capacities: Some(BTreeMap::new()),
            parts: PartsInput::default(),
            months: None,
            horizon_days: 62,
            hourly_days: 8,
            draws: 200,
            seed: 1,
            weighs_estimates: true,
            weighing: Weighing::All,
            reads_climate: true,
            models: ModelChoice::Best,
            inputs: Vec::new(),
        }
    }

    pub(in crate::forecast) fn check_days(&self) -> Result<(), ForecastError> {
        let horizon = self.horizon_days;
        let is_ok = (1..=HORIZON_DAYS_MAX).contains(&horizon);
        in_range("horizon_days", horizon, is_ok, "1 to 100 days")
    }

    pub(in crate::forecast) fn check(&self) -> Result<(), ForecastError> {
        self.check_days()?;
        let horizon = self.horizon_days;
        in_range(
            "hourly_days",
            self.hourly_days,
            self.hourly_days <= horizon,
            "at most horizon_days",
        )?;
        in_range("draws", self.draws, self.draws <= DRAWS_MAX, "0 to 2000")?;
        if let Some(months) = &self.months {
            let is_ok = OUTLOOK_MONTHS.contains(&months.count);
            in_range("months", months.count, is_ok, "12 to 18 months")?;
        }
        if self.shares.len() < horizon {
            return Err(ForecastError::SharesMissing {
                have: self.shares.len(),
                need: horizon,
            });
        }
        Ok(())
    }
}

fn in_range(
    what: &'static str,
    have: usize,
    is_ok: bool,
    allowed: &'static str,
) -> Result<(), ForecastError> {
    if is_ok {
        return Ok(());
    }
    Err(ForecastError::OutOfRange {
        what,
        have,
        allowed,
    })
}
