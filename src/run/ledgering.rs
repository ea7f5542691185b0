//! The ledger of large consumers, from the stores.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use crate::domain::calendar::GasDay;
use crate::domain::filing::{FiledPlan, ProductionChange};
use crate::domain::id::{CustomerId, MeterId, ZoneId};
use crate::domain::meter::SettlementTotal;
use crate::domain::quantity::StdVolume;
use crate::domain::reading::Item;
use crate::domain::registry::Registry;
use crate::forecast::customer::{IndustryBias, PlanRecord, plan_bias, with_plan};
use crate::forecast::parts::PLAN;
use crate::forecast::weather::ZoneWeather;
use crate::ledger::entry::{
    self, CustomerForecast, LatestTotal, LedgerEntry, LedgerInput, RegisterTotal,
};
use crate::ledger::export;
use crate::ledger::{EntryRule, members, members_kept};
use crate::run::app::App;
use crate::run::facts::{self, CustomerDays};
use crate::run::forecasting::{OwnForecasts, own_forecasts};
use crate::run::nudging;
use crate::store::book::DocumentKind;
use crate::store::error::StoreError;

/// Gas days of history on the ledger: a year and what compares with it.
const LEDGER_DAYS: i64 = 400;

/// Who is on the ledger and why.
pub type Members = Vec<(CustomerId, String)>;

/// Members as found for one gas day and registry; finding them reads a year of all curves.
#[derive(Debug, Clone, Default)]
pub struct MemberCache(Arc<Mutex<Option<(GasDay, String, Members)>>>);

/// What is known of the large consumers at an instant.
#[derive(Debug)]
pub struct Enterprises {
    /// Registry.
    pub registry: Arc<Registry>,
    /// Who, and why.
    pub members: Members,
    /// Complete days, as far back as a run reads them.
    days: BTreeMap<CustomerId, CustomerDays>,
    /// Weather by zone.
    pub weather: BTreeMap<ZoneId, ZoneWeather>,
    /// Plans of the year and of the weeks to come, by customer.
    plans: Vec<FiledPlan>,
    /// Production changes, by customer.
    changes: Vec<ProductionChange>,
    /// What plans of each industry were worth.
    industries: OnceCell<IndustryBias>,
    /// Now.
    pub now: DateTime<Utc>,
    /// The gas day under way.
    pub today: GasDay,
}

impl Enterprises {
    /// Gathers it.
    ///
    /// # Errors
    /// What the stores say.
    pub fn gather(app: &App) -> anyhow::Result<Self> {
        let registry = app.registry();
        let now = app.clock.now();
        let today = app.gas_day_clock().day_of(now);
        let members = members_on(app, &registry, today)?;
        let from = today.plus(-LEDGER_DAYS);
        let ids = members.iter().map(|(id, _)| id);
        let first = facts::history_from(app, today);
        let days = facts::days_of(app, &registry, ids, first, today)?;
        let weather = facts::weather_at(app, &registry, now)?;
        // Those of a customer stay in the order in which they are told.
        let mut plans = facts::plans_known_at(&app.book, &registry, from, today.plus(62), now)?;
        plans.sort_by(|a, b| a.customer.cmp(&b.customer));
        let mut changes = facts::changes_known_at(&app.book, &registry, now)?;
        changes.sort_by(|a, b| a.customer.cmp(&b.customer));
        Ok(Self {
            registry,
            members,
            days,
            weather,
            plans,
            changes,
            industries: OnceCell::new(),
            now,
            today,
        })
    }

    fn plans_of(&self, customer: &CustomerId) -> &[FiledPlan] {
        of_customer(&self.plans, customer, |plan| &plan.customer)
    }

    /// Production changes of a customer.
    pub fn changes_of(&self, customer: &CustomerId) -> &[ProductionChange] {
        of_customer(&self.changes, customer, |change| &change.customer)
    }

    /// Volume a customer planned for a day, m³; of several plans the one known last.
    pub fn planned_m3(&self, customer: &CustomerId, day: GasDay) -> Option<f64> {
        self.plans_of(customer)
            .iter()
            .filter(|p| p.day == day)
            .max_by_key(|p| p.available_at)
            .map(|p| p.volume.to_f64())
    }

    /// Past plans of a customer beside what it used: day, planned, used, m³.
    pub fn past_plans(&self, customer: &CustomerId) -> Vec<(GasDay, f64, f64)> {
        let Some(CustomerDays { volumes: days, .. }) = self.days.get(customer) else {
            return Vec::new();
        };
        let mut planned: BTreeMap<GasDay, &FiledPlan> = BTreeMap::new();
        for plan in self.plans_of(customer) {
            let kept = planned.entry(plan.day).or_insert(plan);
            if plan.available_at > kept.available_at {
                *kept = plan;
            }
        }
        planned
            .into_iter()
            .filter_map(|(day, plan)| {
                let used = days.get(&day)?.to_f64();
                Some((day, plan.volume.to_f64(), used))
            })
            .collect()
    }

    /// What plans were worth in a customer's industry, its own `past` ones apart.
    fn of_industry(&self, customer: &CustomerId, past: &[(GasDay, f64, f64)]) -> f64 {
        let industries = self.industries.get_or_init(|| {
            let members = self.members.iter();
            let records: Vec<_> = members
                .map(|(id, _)| (self.industry(id), self.past_plans(id)))
                .collect();
            let records = records
                .iter()
                .map(|(industry, past)| (*industry, past.as_slice()));
            IndustryBias::of(self.today, records)
        });
        industries.without(self.industry(customer), past)
    }

    fn industry(&self, customer: &CustomerId) -> &str {
        let customer = self.registry.customers.get(customer);
        customer.map_or("", |c| c.industry.as_str())
    }

    /// A customer's plans for some days, corrected by what its earlier ones were worth, m³; none without any.
    pub fn corrected_plans(&self, customer: &CustomerId, days: &[GasDay]) -> Option<f64> {
        let past = self.past_plans(customer);
        let bias = plan_bias(self.today, &past, self.of_industry(customer, &past)).bias;
        let planned = days
            .iter()
            .filter_map(|day| self.planned_m3(customer, *day));
        let corrected: Vec<f64> = planned.map(|m3| (m3 * (1.0 + bias)).max(0.0)).collect();
        (!corrected.is_empty()).then(|| corrected.iter().sum())
    }

    /// What the members' own days and those alike say of the gas days from `first` to `until`, plans
    /// apart. Where it cannot be said, the ledger stands without, and the log says why.
    pub(crate) fn own_forecasts(&self, app: &App, first: GasDay, until: GasDay) -> OwnForecasts {
        let made = own_forecasts(app, &self.registry, &self.days, [first, until]);
        made.unwrap_or_else(|error| {
            tracing::warn!(
                code = "run.ledger",
                "Large consumers are not forecast one by one: {error:#}"
            );
            OwnForecasts::default()
        })
    }

    /// Forecast of one customer and day; a filed plan, corrected by the customer's bias, comes first.
    fn forecast_of(
        &self,
        own: &OwnForecasts,
        customer: &CustomerId,
        day: GasDay,
    ) -> Option<CustomerForecast> {
        let past = self.past_plans(customer);
        let plan = self.planned_m3(customer, day).map(|planned_m3| PlanRecord {
            planned_m3,
            past: &past,
            of_industry: self.of_industry(customer, &past),
        });
        let (own, model) = own.band(customer, day).unzip();
        Some(CustomerForecast {
            band: with_plan(own, day, plan)?,
            model: if plan.is_some() { PLAN } else { model? },
        })
    }

    /// Volume of each of the days that the ledger looks back on.
    fn daily(&self) -> BTreeMap<CustomerId, BTreeMap<GasDay, StdVolume>> {
        let from = self.today.plus(-LEDGER_DAYS);
        let of = |days: &CustomerDays| days.between(from, self.today).volumes;
        let all = self.days.iter();
        all.map(|(id, days)| (id.clone(), of(days))).collect()
    }
}

/// Those of a customer among things that are in the order of customers.
fn of_customer<'a, T>(
    sorted: &'a [T],
    customer: &CustomerId,
    of: impl Fn(&T) -> &CustomerId,
) -> &'a [T] {
    let begin = sorted.partition_point(|one| of(one) < customer);
    let rest = sorted.get(begin..).unwrap_or_default();
    let count = rest.partition_point(|one| of(one) == customer);
    rest.get(..count).unwrap_or_default()
}

/// The ledger now.
///
/// # Errors
/// What the stores say.
pub fn entries(app: &App) -> anyhow::Result<Vec<LedgerEntry>> {
    let known = Enterprises::gather(app)?;
    let registry = &known.registry;
    let ids = || known.members.iter().map(|(id, _)| id);
    let hours_yesterday = facts::hours_of(app, registry, ids(), known.today.plus(-1))?;
    let hours_today = facts::hours_of(app, registry, ids(), known.today)?;
    let latest = latest_totals(app, registry, ids())?;
    let own = known.own_forecasts(app, known.today, known.today);
    let forecasts = ids()
        .filter_map(|id| Some((id.clone(), known.forecast_of(&own, id, known.today)?)))
        .collect();
    let temperatures: BTreeMap<String, BTreeMap<GasDay, f64>> = registry
        .zones
        .values()
        .filter_map(|zone| {
            let weather = known.weather.get(&zone.id)?;
            Some((
                zone.weather_station.as_str().to_owned(),
                facts::temperatures_of(weather),
            ))
        })
        .collect();
    let (week_ago, today) = (known.today.plus(-7), known.today);
    let completeness = facts::completeness_of(app, registry, ids(), week_ago, today)?;
    Ok(entry::build(LedgerInput {
        registry,
        calendar: &app.calendar(),
        now: known.now,
        clock: app.gas_day_clock(),
        members: &known.members,
        daily: &known.daily(),
        hours_yesterday: &hours_yesterday,
        hours_today: &hours_today,
        completeness_7d: &completeness,
        latest: &latest,
        temperatures: &temperatures,
        forecasts: &forecasts,
        plans: &known.plans,
        changes: &known.changes,
        off_peak: &nudging::off_peak(app)?,
    }))
}

/// The ledger as a workbook.
///
/// # Errors
/// What the stores or the workbook writer say.
pub fn workbook(app: &App) -> anyhow::Result<Vec<u8>> {
    let entries = entries(app)?;
    let company = &app.registry().company;
    Ok(export::workbook(
        &entries,
        app.clock.now(),
        &company.name,
        company.reference,
    )?)
}

/// The workbook for somebody, noted as given out, so that what later restates it can be told.
///
/// # Errors
/// What the stores say, or a workbook that cannot be written.
pub fn export(app: &App, who: &str) -> anyhow::Result<Vec<u8>> {
    let bytes = workbook(app)?;
    let body = serde_json::json!({ "sha256": hex::encode(Sha256::digest(&bytes)) });
    let (now, key) = (app.clock.now(), format!("export {}", app.today()));
    app.book.put_document(
        DocumentKind::Ledger,
        &key,
        body,
        now,
        who,
        "ledger exported",
    )?;
    Ok(bytes)
}

pub(super) fn members_on(app: &App, registry: &Registry, today: GasDay) -> anyhow::Result<Members> {
    let lock = || app.members.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((day, version, members)) = lock().as_ref()
        && *day == today
        && *version == registry.version
    {
        return Ok(members.clone());
    }
    let used = facts::use_between(app, registry, today.plus(-365), today)?;
    let by_rule = members(registry, &used, EntryRule::default());
    let before: Members = app
        .book
        .document(DocumentKind::Ledger, "members")?
        .and_then(|d| serde_json::from_value(d.body).ok())
        .unwrap_or_default();
    let found = members_kept(&before, by_rule, registry);
    *lock() = Some((today, registry.version.clone(), found.clone()));
    Ok(found)
}

/// Writes down who is on the ledger, so that leaving it stays a decision; nothing if unchanged.
///
/// # Errors
/// What the stores say.
pub fn keep_members(app: &App) -> anyhow::Result<()> {
    let registry = app.registry();
    let now = members_on(app, &registry, app.today())?;
    let body = serde_json::to_value(&now)?;
    let before = app.book.document(DocumentKind::Ledger, "members")?;
    if before.is_none_or(|d| d.body != body) {
        app.book.put_document(
            DocumentKind::Ledger,
            "members",
            body,
            app.clock.now(),
            "qiliang",
            "entry rule",
        )?;
    }
    Ok(())
}

pub(super) fn latest_totals<'a>(
    app: &App,
    registry: &Registry,
    customers: impl Iterator<Item = &'a CustomerId>,
) -> Result<BTreeMap<MeterId, LatestTotal>, StoreError> {
    let mut out = BTreeMap::new();
    for customer in customers {
        for meter in registry.meters_of(customer) {
            let item = match meter.settlement {
                SettlementTotal::Std => Item::TotalStd,
                SettlementTotal::Work => Item::TotalWork,
            };
            let after = app.clock.now() + chrono::TimeDelta::minutes(5);
            if let Some(point) = app.journal.total_before(&meter.id, item, after)? {
                let latest = LatestTotal {
                    total: RegisterTotal::from_units(meter.settlement, point.units),
                    at: point.at,
                };
                out.insert(meter.id.clone(), latest);
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
