//! The lines of the ledger: one large consumer each, with every figure of domain.md §2.10.

mod row;

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use serde::Serialize;

use crate::domain::calendar::{Calendar, GasDay, GasDayClock};
use crate::domain::customer::{Customer, PriceTier};
use crate::domain::demand::Band;
use crate::domain::filing::{FiledPlan, ProductionChange};
use crate::domain::id::{CustomerId, MeterId, ZoneId};
use crate::domain::meter::{Meter, MeterKind, SettlementTotal};
use crate::domain::quantity::{StdVolume, WorkVolume, YuanPerM3};
use crate::domain::registry::Registry;
use crate::domain::season::Season;
use crate::ledger::alerts::{self, Facts, YearUse};
use crate::ledger::figures::{self, DaySum, Days};
use crate::ledger::quarter;

pub use crate::ledger::quarter::{QuarterChange, QuarterReason, QuarterUse};

pub use self::row::{
    LedgerBand, LedgerChange, LedgerEntry, LedgerFinding, LedgerStatus, Level, OffPeakRecord,
    OffPeakWillingness, UsePattern,
};

/// A meter passes at most so many times its Qmax (rule V06).
const OVERLOAD: f64 = 1.2;

/// Days of the mean that looks ahead, and of the sparkline.
const RECENT_DAYS: i64 = 30;

/// A production change further ahead is not shown yet, days.
const CHANGE_AHEAD_DAYS: i64 = 30;

/// What a meter's settlement register shows: never converted, since no factor holds for all of a total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RegisterTotal {
    /// 标况
    Std(StdVolume),
    /// 工况
    Work(WorkVolume),
}

impl RegisterTotal {
    /// Of a register's units of 1e-4 m³.
    pub const fn from_units(settlement: SettlementTotal, units: i64) -> Self {
        match settlement {
            SettlementTotal::Std => Self::Std(StdVolume::from_units(units)),
            SettlementTotal::Work => Self::Work(WorkVolume::from_units(units)),
        }
    }

    /// Which register.
    pub const fn kind(self) -> SettlementTotal {
        match self {
            Self::Std(_) => SettlementTotal::Std,
            Self::Work(_) => SettlementTotal::Work,
        }
    }

    /// m³, as it is.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Std(total) => total.to_f64(),
            Self::Work(total) => total.to_f64(),
        }
    }
}

/// The last total of a meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatestTotal {
    /// The total.
    pub total: RegisterTotal,
    /// When it was sampled.
    pub at: DateTime<Utc>,
}

/// Everything the ledger is made of.
#[derive(Debug, Clone, Copy)]
pub struct LedgerInput<'a> {
    /// Customers, meters, zones.
    pub registry: &'a Registry,
    /// Working days.
    pub calendar: &'a Calendar,
    /// Now.
    pub now: DateTime<Utc>,
    /// Cuts gas days.
    pub clock: GasDayClock,
    /// Who is on the ledger and why, from [`crate::ledger::members()`].
    pub members: &'a [(CustomerId, String)],
    /// Volume of each known gas day, about 400 of them; a day without data is absent. Today, if
    /// present, is not used.
    pub daily: &'a BTreeMap<CustomerId, BTreeMap<GasDay, StdVolume>>,
    /// Hours of yesterday, the first at the gas day's start hour.
    pub hours_yesterday: &'a BTreeMap<CustomerId, [Option<StdVolume>; 24]>,
    /// Hours of today, as far as they are known.
    pub hours_today: &'a BTreeMap<CustomerId, [Option<StdVolume>; 24]>,
    /// Part of the last 7 days' hours that have data, 0 to 1; where absent, counted from `daily`.
    pub completeness_7d: &'a BTreeMap<CustomerId, f64>,
    /// Last totals.
    pub latest: &'a BTreeMap<MeterId, LatestTotal>,
    /// Mean temperature of each gas day by weather station, °C.
    pub temperatures: &'a BTreeMap<String, BTreeMap<GasDay, f64>>,
    /// Forecast of today by customer.
    pub forecasts: &'a BTreeMap<CustomerId, CustomerForecast>,
    /// Filed plans; of several for one day the one known last counts.
    pub plans: &'a [FiledPlan],
    /// Production changes, those not known yet left out here.
    pub changes: &'a [ProductionChange],
    /// What came of the off-peak suggestions to each customer that had one.
    pub off_peak: &'a BTreeMap<CustomerId, OffPeakRecord>,
}

/// What a customer is expected to use on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CustomerForecast {
    /// Its band, m³.
    pub band: Band,
    /// What it comes from: a rung of the ladder (METHODS.md, "Short history"), or `plan`.
    pub model: &'static str,
}

/// Builds the ledger, the lines at greatest risk first: by status, then by yuan at stake, then by
/// account number. Members the registry does not know are left out.
pub fn build(input: LedgerInput<'_>) -> Vec<LedgerEntry> {
    let context = Context::new(&input);
    let mut entries: Vec<LedgerEntry> = input
        .members
        .iter()
        .filter_map(|(id, basis)| Some((input.registry.customers.get(id)?, basis)))
        .map(|(customer, basis)| context.entry(customer, basis))
        .collect();
    entries.sort_by(|a, b| {
        b.status
            .cmp(&a.status)
            .then(b.risk_yuan.total_cmp(&a.risk_yuan))
            .then(a.account_no.cmp(&b.account_no))
    });
    entries
}

/// What all lines share.
struct Context<'a> {
    input: &'a LedgerInput<'a>,
    today: GasDay,
    yesterday: GasDay,
    /// Heating season of each zone that has one.
    heating: BTreeMap<&'a ZoneId, Season>,
    /// The plan in force of each customer and day, of the days that are shown.
    plans: BTreeMap<(&'a CustomerId, GasDay), &'a FiledPlan>,
    /// Changes of each customer that are known, in the order in which they are told.
    changes: BTreeMap<&'a CustomerId, Vec<&'a ProductionChange>>,
}

impl<'a> Context<'a> {
    fn new(input: &'a LedgerInput<'a>) -> Self {
        let today = input.clock.day_of(input.now);
        let zones = input.registry.zones.keys();
        let heating = zones.filter_map(|zone| {
            let season = input.registry.heating_season(zone, input.calendar)?;
            Some((zone, season))
        });
        let (yesterday, month) = (today.plus(-1), today.month());
        let shown = yesterday.min(month.first_day())..month.next().first_day();
        let mut plans: BTreeMap<(&CustomerId, GasDay), &FiledPlan> = BTreeMap::new();
        let known = input.plans.iter().filter(|p| p.available_at <= input.now);
        for plan in known.filter(|p| shown.contains(&p.day)) {
            let kept = plans.entry((&plan.customer, plan.day)).or_insert(plan);
            if plan.available_at > kept.available_at {
                *kept = plan;
            }
        }
        let mut changes: BTreeMap<&CustomerId, Vec<&ProductionChange>> = BTreeMap::new();
        for change in input.changes.iter().filter(|c| c.available_at <= input.now) {
            changes.entry(&change.customer).or_default().push(change);
        }
        Self {
            input,
            today,
            yesterday,
            heating: heating.collect(),
            plans,
            changes,
        }
    }

    fn plan(&self, customer: &'a CustomerId, day: GasDay) -> Option<StdVolume> {
        self.plans.get(&(customer, day)).map(|plan| plan.volume)
    }

    fn entry(&self, customer: &'a Customer, basis: &str) -> LedgerEntry {
        let id = &customer.id;
        let all = self.input.registry.meters_of(id);
        let meters: Vec<&Meter> = all
            .filter(|m| m.removed_on.is_none_or(|last| self.today.0 <= last))
            .collect();
        let year = Year::new(self, customer);
        let use_of = Use::new(self, customer);
        let day = DayWatch::new(self, customer);
        let month = MonthWatch::new(self, customer, &year, &day);
        let change = self.change(id);
        let findings = self.findings(customer, &year, &day);
        let price = customer.base_price.to_f64();
        let stake_m3 = day
            .deviation
            .map_or(0.0, |v| v.to_f64().abs())
            .max(month.deviation_m3.map_or(0.0, f64::abs));
        let main = main_meter(&meters);
        let latest = main.and_then(|meter| self.input.latest.get(&meter.id));
        let registry = self.input.registry;
        LedgerEntry {
            account_no: id.clone(),
            name: customer.name.clone(),
            industry: customer.industry.clone(),
            class: customer.class,
            size_class: customer.size_class(),
            grid: customer.grid.clone(),
            account_manager: customer.account_manager.clone(),
            contact_group: customer.contact_group.clone(),
            zone: registry.zone_name(&customer.zone).to_owned(),
            basis: basis.to_owned(),
            completeness: completeness(customer, &meters),
            contract_annual_m3: Some(customer.contract_annual).filter(|v| *v > StdVolume::ZERO),
            sale_mode: customer.sale_mode,
            base_price_yuan_per_m3: customer.base_price,
            price_tier: year.tier,
            agreed_discount_yuan_per_m3: customer.agreed_discount,
            discount_floor_yuan_per_m3: year.tier.and_then(PriceTier::discount_min),
            year_to_date_m3: year.used.known,
            year_days_unknown: year.used.days_unknown,
            to_next_tier_m3: year.to_next_tier,
            next_tier_on: year.next_tier_on,
            is_interruptible: customer.is_interruptible,
            protection_rank: customer.protection_rank,
            flow_min_safe_m3h: customer.flow_min_safe_m3h,
            meter_count: meters.len(),
            main_meter: main.map_or_else(|| MeterId::from(""), |meter| meter.id.clone()),
            meter_kind: main
                .map_or("", |meter| meter_kind_key(meter.kind))
                .to_owned(),
            transport: main.map_or("", transport_key).to_owned(),
            flow_max_m3h: meters.iter().map(|meter| meter.flow_max_m3h).sum(),
            latest_total_m3: latest.map(|latest| latest.total),
            latest_total_kind: latest.map(|latest| latest.total.kind()),
            latest_at: latest.map(|latest| latest.at),
            data_completeness_7d: self.completeness_7d(id, year.days),
            shift: customer.shift,
            pattern: use_of.pattern,
            temperature_sensitivity_m3_per_c: use_of.temperature_slope,
            peak_share: use_of.peak_share,
            load_factor: use_of.load_factor,
            shiftable_m3_per_day: customer.shiftable_m3_per_day,
            yesterday_m3: day.volume,
            today_so_far_m3: day.so_far,
            today_expected_m3: day.expected_m3,
            plan_m3: day.plan,
            forecast: self.input.forecasts.get(id).map(LedgerBand::from),
            deviation_m3: day.deviation,
            deviation_ratio: figures::change_ratio(day.volume, day.plan),
            day_on_day: figures::change_ratio(day.volume, day.volume_before),
            year_on_year: figures::change_ratio(day.volume, day.volume_year_before),
            peak_hour_m3: use_of.peak_hour,
            peak_slots_m3: use_of.peak_slots,
            month_to_date_m3: month.to_date,
            month_days_unknown: month.days_unknown,
            month_plan_ratio: month.plan_ratio,
            time_progress: month.time_progress,
            month_expected_deviation_m3: month.deviation_m3,
            status: alerts::status(&findings),
            findings,
            change: change.map(LedgerChange::from),
            off_peak: self.input.off_peak.get(id).cloned(),
            quarter: year.days.and_then(|days| {
                quarter::quarter_change(days, self.input.calendar, self.today, use_of.pattern)
            }),
            sparkline: (1..=RECENT_DAYS)
                .rev()
                .map(|back| year.volume(self.today.plus(-back)).map(StdVolume::to_f64))
                .collect(),
            risk_yuan: price * stake_m3,
        }
    }

    fn findings(&self, customer: &Customer, year: &Year<'_>, day: &DayWatch) -> Vec<LedgerFinding> {
        alerts::findings(&Facts {
            customer,
            calendar: self.input.calendar,
            yesterday: self.yesterday,
            raised_at: self.input.clock.end_of(self.yesterday),
            volume: day.volume,
            volume_before: day.volume_before,
            plan: day.plan,
            idle_workdays: year.days.map_or(0, |days| {
                figures::idle_workdays(days, self.input.calendar, self.yesterday)
            }),
            hours_missing: self.hours_missing(&customer.id),
            year: year.used,
            mean_30d: year.mean_30d,
            days_left: self.days_left(),
            change: self.change_on(&customer.id, self.yesterday),
            change_before: self.change_on(&customer.id, self.yesterday.plus(-1)),
        })
    }

    /// Hours of yesterday without data; all of them if nothing is known of the day at all.
    fn hours_missing(&self, id: &CustomerId) -> usize {
        self.input
            .hours_yesterday
            .get(id)
            .map_or(24, |hours| hours.iter().filter(|h| h.is_none()).count())
    }

    fn completeness_7d(&self, id: &CustomerId, days: Option<&Days>) -> f64 {
        self.input
            .completeness_7d
            .get(id)
            .copied()
            .unwrap_or_else(|| {
                let week = days.map_or(0, |days| {
                    DaySum::of(days, self.today.plus(-7), self.yesterday).days
                });
                week as f64 / 7.0
            })
    }

    /// Gas days left in the calendar year, today included.
    fn days_left(&self) -> i64 {
        NaiveDate::from_ymd_opt(self.today.0.year() + 1, 1, 1)
            .map_or(0, |next| GasDay(next).days_since(self.today))
    }

    fn changes_known(&self, id: &CustomerId) -> impl Iterator<Item = &'a ProductionChange> {
        self.changes.get(id).into_iter().flatten().copied()
    }

    /// The change in force on a gas day; the one known last wins.
    fn change_on(&self, id: &CustomerId, day: GasDay) -> Option<&'a ProductionChange> {
        self.changes_known(id)
            .filter(|c| c.from_on <= day.0 && day.0 <= c.to_on)
            .max_by_key(|c| (c.available_at, c.from_on))
    }

    /// The change in force today, or else the next one within 30 days; the one known last wins.
    fn change(&self, id: &CustomerId) -> Option<&'a ProductionChange> {
        let today = self.today.0;
        self.change_on(id, self.today).or_else(|| {
            self.changes_known(id)
                .filter(|c| c.from_on > today)
                .filter(|c| (c.from_on - today).num_days() <= CHANGE_AHEAD_DAYS)
                .min_by_key(|c| (c.from_on, std::cmp::Reverse(c.available_at)))
        })
    }
}

/// Group B: the calendar year and its tiers.
struct Year<'a> {
    days: Option<&'a Days>,
    used: YearUse,
    tier: Option<PriceTier>,
    to_next_tier: Option<StdVolume>,
    next_tier_on: Option<NaiveDate>,
    mean_30d: DaySum,
}

impl<'a> Year<'a> {
    fn new(context: &Context<'a>, customer: &Customer) -> Self {
        let days = context.input.daily.get(&customer.id);
        let (today, yesterday) = (context.today, context.yesterday);
        let first = NaiveDate::from_ymd_opt(today.0.year(), 1, 1).map_or(today, GasDay);
        let sum = |first, last| days.map_or_else(DaySum::default, |d| DaySum::of(d, first, last));
        // Before it was connected a customer is known to have used nothing.
        let first = first.max(GasDay(customer.connected_on));
        let known = sum(first, yesterday);
        let mean_30d = sum(today.plus(-RECENT_DAYS), yesterday);
        let days_unknown = (today.days_since(first).max(0) - known.days).max(0);
        let used = YearUse {
            known: known.volume,
            at_most: known.volume + capacity(context, customer, days_unknown),
            days_unknown,
        };
        let tier = used.tier();
        let next_at = tier.and_then(PriceTier::next_at);
        let to_next_tier = next_at
            .map(|at| at - used.known)
            .filter(|_| days_unknown == 0);
        let next_tier_on = to_next_tier
            .and_then(|gap| mean_30d.days_to_use(gap))
            .filter(|days| *days <= 366)
            .map(|days| yesterday.plus(days).0)
            .filter(|on| on.year() == today.0.year());
        Self {
            days,
            used,
            tier,
            to_next_tier,
            next_tier_on,
            mean_30d,
        }
    }

    fn volume(&self, day: GasDay) -> Option<StdVolume> {
        self.days?.get(&day).copied()
    }
}

/// Most that a customer's meters can pass on so many days.
fn capacity(context: &Context<'_>, customer: &Customer, days: i64) -> StdVolume {
    let meters = context.input.registry.meters_of(&customer.id);
    let m3h: f64 = meters
        .map(|meter| meter.flow_max_m3h * meter.fixed_factor.max(1.0))
        .sum();
    StdVolume::from_f64(OVERLOAD * m3h * 24.0 * days as f64)
}

/// Group D: how the gas is used.
struct Use {
    pattern: UsePattern,
    temperature_slope: Option<f64>,
    peak_share: Option<f64>,
    load_factor: Option<f64>,
    peak_hour: Option<StdVolume>,
    peak_slots: Option<StdVolume>,
}

impl Use {
    fn new(context: &Context<'_>, customer: &Customer) -> Self {
        let input = context.input;
        let hours = input.hours_yesterday.get(&customer.id);
        let load_factor = hours.and_then(figures::load_factor);
        let peak_slots =
            hours.and_then(|h| figures::peak_slots(h, &input.registry.company.slots, input.clock));
        let whole = hours.and_then(figures::whole_day);
        let peak_share = match (peak_slots, whole) {
            (Some(peak), Some(whole)) if whole > StdVolume::ZERO => {
                Some(peak.to_f64() / whole.to_f64())
            }
            _ => None,
        };
        // Today is not over, and what lies further back is another customer, so to speak.
        let known: Days = input
            .daily
            .get(&customer.id)
            .map_or_else(Days::new, |days| {
                days.range(context.today.plus(-400)..context.today)
                    .map(|(day, volume)| (*day, *volume))
                    .collect()
            });
        let station = input
            .registry
            .zones
            .get(&customer.zone)
            .and_then(|zone| input.temperatures.get(zone.weather_station.as_str()));
        let season = context.heating.get(&customer.zone);
        let temperature_slope = match (station, season) {
            (Some(station), Some(season)) => figures::temperature_slope(&known, station, season),
            _ => None,
        };
        Self {
            pattern: figures::use_pattern(&known, input.calendar, season, load_factor),
            temperature_slope,
            peak_share,
            load_factor,
            peak_hour: hours.and_then(|h| h.iter().flatten().max().copied()),
            peak_slots,
        }
    }
}

/// Group E: yesterday and today.
struct DayWatch {
    volume: Option<StdVolume>,
    volume_before: Option<StdVolume>,
    volume_year_before: Option<StdVolume>,
    plan: Option<StdVolume>,
    deviation: Option<StdVolume>,
    so_far: Option<StdVolume>,
    expected_m3: Option<f64>,
}

impl DayWatch {
    fn new<'a>(context: &Context<'a>, customer: &'a Customer) -> Self {
        let input = context.input;
        let days = input.daily.get(&customer.id);
        let volume_on = |day: GasDay| days.and_then(|d| d.get(&day)).copied();
        let volume = volume_on(context.yesterday);
        let plan = context.plan(&customer.id, context.yesterday);
        let so_far = input
            .hours_today
            .get(&customer.id)
            .and_then(figures::known_hours);
        let expected_m3 =
            input
                .forecasts
                .get(&customer.id)
                .map(|CustomerForecast { band, .. }| {
                    let used = so_far.map_or(0.0, StdVolume::to_f64);
                    (band.p50_m3 as f64).max(used)
                });
        Self {
            volume,
            volume_before: volume_on(context.yesterday.plus(-1)),
            volume_year_before: figures::year_before(context.yesterday).and_then(volume_on),
            plan,
            deviation: volume.zip(plan).map(|(volume, plan)| volume - plan),
            so_far,
            expected_m3,
        }
    }
}

/// Group E: the month.
struct MonthWatch {
    to_date: StdVolume,
    days_unknown: i64,
    plan_ratio: Option<f64>,
    time_progress: f64,
    deviation_m3: Option<f64>,
}

impl MonthWatch {
    fn new<'a>(
        context: &Context<'a>,
        customer: &'a Customer,
        year: &Year<'_>,
        day: &DayWatch,
    ) -> Self {
        let month = context.today.month();
        let days = month.days();
        let complete = context.today.days_since(month.first_day());
        let left = days.len() as f64 - complete as f64;
        let first = month.first_day().max(GasDay(customer.connected_on));
        let known = year
            .days
            .map_or_else(DaySum::default, |d| DaySum::of(d, first, context.yesterday));
        let days_unknown = (context.today.days_since(first).max(0) - known.days).max(0);
        let to_date = known.volume;
        let filed: Option<StdVolume> = days
            .iter()
            .map(|day| context.plan(&customer.id, *day))
            .sum();
        let twelfth = StdVolume::from_units(customer.contract_annual.units() / 12);
        let plan = filed
            .or(Some(twelfth))
            .filter(|plan| *plan > StdVolume::ZERO);
        let expected_m3 = year.mean_30d.mean_m3().map(|mean| {
            let today = day.expected_m3.unwrap_or(mean);
            to_date.to_f64() + today + mean * (left - 1.0 + days_unknown as f64)
        });
        Self {
            to_date,
            days_unknown,
            plan_ratio: plan
                .filter(|_| days_unknown == 0)
                .map(|plan| to_date.to_f64() / plan.to_f64()),
            time_progress: complete as f64 / days.len() as f64,
            deviation_m3: expected_m3.zip(plan).map(|(e, plan)| e - plan.to_f64()),
        }
    }
}

/// The meter that can pass most, the first by number among equals.
fn main_meter<'a>(meters: &[&'a Meter]) -> Option<&'a Meter> {
    meters
        .iter()
        .copied()
        .min_by(|a, b| b.flow_max_m3h.total_cmp(&a.flow_max_m3h))
}

const fn meter_kind_key(kind: MeterKind) -> &'static str {
    match kind {
        MeterKind::Diaphragm => "diaphragm",
        MeterKind::Rotary => "rotary",
        MeterKind::Turbine => "turbine",
        MeterKind::Ultrasonic => "ultrasonic",
    }
}

fn transport_key(meter: &Meter) -> &'static str {
    if meter.gateway.is_some() {
        "modbus"
    } else {
        "mqtt"
    }
}

/// Part of the master data that is filled in. domain.md §1.2, S2-13.
fn completeness(customer: &Customer, meters: &[&Meter]) -> f64 {
    let is_filled = [
        !customer.name.is_empty(),
        !customer.industry.is_empty(),
        !customer.grid.is_empty(),
        !customer.account_manager.is_empty(),
        !customer.contact_group.is_empty(),
        customer.design_flow_m3h > 0.0,
        customer.contract_annual > StdVolume::ZERO,
        customer.base_price > YuanPerM3::default(),
        (1..=9).contains(&customer.protection_rank),
        !meters.is_empty(),
    ];
    let filled = is_filled.iter().filter(|filled| **filled).count();
    filled as f64 / is_filled.len() as f64
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unknown_tests;
