//! Sheet 6: where the month's volume comes from (domain.md §0.4): four parts by class, and who or
//! what is behind each.
//!
//! The parts are sums of the run's own cells, so they end on sheet 1 to the cubic metre.

use std::collections::BTreeMap;

use chrono::{Months, NaiveDate};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::breakdown::{Addition, Breakdown, Part};
use crate::domain::calendar::GasDay;
use crate::domain::connection::{ConnectionStage, NewConnection};
use crate::domain::customer::{Customer, CustomerClass};
use crate::domain::factor::{Factor, FactorAmount, FactorKind};
use crate::domain::id::{CustomerId, ZoneId};
use crate::domain::quantity::round_to_total;
use crate::domain::registry::Registry;
use crate::plan::carried::Carried;
use crate::plan::declaration::DeclareInput;
use crate::plan::supply::{Supply, SupplyCell};

/// The four parts, whole m³.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PartVolumes {
    /// 计划用气客户: filed plans, corrected by each customer's bias.
    pub planned_m3: i64,
    /// 非计划用气客户: statistical.
    pub statistical_m3: i64,
    /// 新增/置换客户.
    pub new_m3: i64,
    /// 其他影响因素: production changes and named factors; may be negative.
    pub other_m3: i64,
}

impl PartVolumes {
    /// In the order of [`Part::ALL`](crate::domain::breakdown::Part::ALL).
    pub const fn cells(self) -> [i64; 4] {
        [
            self.planned_m3,
            self.statistical_m3,
            self.new_m3,
            self.other_m3,
        ]
    }

    /// All four.
    pub fn total_m3(self) -> i64 {
        self.cells().iter().sum()
    }
}

impl From<[i64; 4]> for PartVolumes {
    fn from([planned_m3, statistical_m3, new_m3, other_m3]: [i64; 4]) -> Self {
        Self {
            planned_m3,
            statistical_m3,
            new_m3,
            other_m3,
        }
    }
}

/// What the month consists of.
///
/// # Units
/// Whole m³ of the month unless a name says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PartTables {
    /// Sold classes with their parts, P50; each sums to its line of sheet 3.
    pub classes: Vec<PartsLine>,
    /// Loss and own use, P50, which has no parts.
    pub loss_m3: i64,
    /// The declared quantity spread like the P50.
    pub declared: PartVolumes,
    /// The declared loss.
    pub declared_loss_m3: i64,
    /// Customers whose filed plans stand in the forecast; they sum to the planned part.
    pub plans: Vec<PlannedLine>,
    /// Projects.
    pub projects: Vec<ProjectLine>,
    /// New volume of projects the registry no longer lists: with the projects it sums to the new part.
    pub unlisted_m3: i64,
    /// Named factors.
    pub factors: Vec<FactorLine>,
    /// Production changes of customers without a plan, and what rounding leaves: with the factors
    /// they sum to the other part.
    pub changes_m3: i64,
}

impl PartTables {
    /// The parts of everything sold, P50.
    pub fn sold(&self) -> PartVolumes {
        let mut sums = [0; 4];
        for line in &self.classes {
            for (sum, m3) in sums.iter_mut().zip(line.parts.cells()) {
                *sum += m3;
            }
        }
        sums.into()
    }
}

/// A class and its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartsLine {
    /// Class.
    #[schema(value_type = String)]
    pub class: CustomerClass,
    /// Its parts.
    pub parts: PartVolumes,
}

/// A customer whose filed plans stand in the forecast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlannedLine {
    /// 户号.
    #[schema(value_type = String)]
    pub customer: CustomerId,
    /// Name.
    pub name: String,
    /// Class.
    #[schema(value_type = String)]
    pub class: CustomerClass,
    /// 客户经理.
    pub account_manager: String,
    /// Days of the month with a plan.
    pub days: u32,
    /// Part by which its plans were exceeded so far; they are corrected by it.
    pub plan_bias: f64,
    /// Corrected plans of those days.
    pub m3: i64,
}

/// A project of the pipeline (落地项目).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProjectLine {
    /// Identifier.
    pub id: String,
    /// 项目名称.
    pub name: String,
    /// Class it will count in.
    #[schema(value_type = String)]
    pub class: CustomerClass,
    /// 联系人.
    pub contact: String,
    /// 落地时间.
    #[schema(value_type = Option<String>)]
    pub settled_on: Option<NaiveDate>,
    /// 落地位置.
    pub location: String,
    /// 建设进度.
    #[schema(value_type = String)]
    pub stage: ConnectionStage,
    /// 拟投产时间.
    #[schema(value_type = String)]
    pub connected_on: NaiveDate,
    /// 政府包联领导.
    pub sponsor: String,
    /// 设计小时量, m³/h.
    pub design_flow_m3h: Option<f64>,
    /// 开口气量, m³/d.
    pub connected_m3_per_day: f64,
    /// 达产系数.
    pub coefficient: f64,
    /// Probability that gas flows.
    pub probability: f64,
    /// Expected in the month.
    pub m3: i64,
    /// Use three months after the month if gas flows by then, m³/d.
    pub later_m3_per_day: f64,
}

/// A named factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FactorLine {
    /// Identifier.
    pub id: String,
    /// Kind.
    pub kind: FactorKind,
    /// Only this zone.
    #[schema(value_type = Option<String>)]
    pub zone: Option<ZoneId>,
    /// Only this class.
    #[schema(value_type = Option<String>)]
    pub class: Option<CustomerClass>,
    /// First gas day.
    #[schema(value_type = String)]
    pub from_on: NaiveDate,
    /// Last gas day.
    #[schema(value_type = String)]
    pub to_on: NaiveDate,
    /// How much.
    pub amount: FactorAmount,
    /// Who says so.
    pub person: String,
    /// Why.
    pub reason: String,
    /// Last gas day without confirmation.
    #[schema(value_type = String)]
    pub expires_on: NaiveDate,
    /// What it changes in the month.
    pub m3: i64,
}

/// Makes the tables of a month.
pub(super) fn tables(
    input: &DeclareInput<'_>,
    breakdown: &Breakdown,
    supply: &Supply<'_>,
    carried: &Carried,
    declared_m3: i64,
) -> PartTables {
    let days: Vec<usize> = supply
        .days
        .iter()
        .filter_map(|day| input.forecast.day_index(*day))
        .collect();
    let classes = classes(input.registry, breakdown, &days, supply, carried);
    let loss_m3 = supply.sum_m3(|cell| cell.class == CustomerClass::Unaccounted);
    let mut tables = PartTables {
        classes,
        loss_m3,
        declared: PartVolumes::default(),
        declared_loss_m3: 0,
        plans: plans(input, breakdown, &days),
        projects: Vec::new(),
        unlisted_m3: 0,
        factors: Vec::new(),
        changes_m3: 0,
    };
    let sold = tables.sold();
    (tables.declared, tables.declared_loss_m3) = spread(sold, loss_m3, declared_m3);
    tables.projects = projects(input, breakdown, supply, carried, &days, sold.new_m3);
    tables.unlisted_m3 = sold.new_m3 - tables.projects.iter().map(|line| line.m3).sum::<i64>();
    tables.factors = factors(input, breakdown, supply, &days);
    tables.changes_m3 = sold.other_m3 - tables.factors.iter().map(|line| line.m3).sum::<i64>();
    tables
}

/// What is bought, by class and part; what is carried for others is in none of them.
fn classes(
    registry: &Registry,
    breakdown: &Breakdown,
    days: &[usize],
    supply: &Supply<'_>,
    carried: &Carried,
) -> Vec<PartsLine> {
    let mut sums: BTreeMap<CustomerClass, [i64; 4]> = BTreeMap::new();
    for row in &breakdown.rows {
        if days.contains(&row.day_index) {
            let of_class = sums.entry(row.class).or_default();
            for (sum, m3) in of_class.iter_mut().zip(row.m3) {
                *sum += m3;
            }
        }
    }
    let zones = || registry.zones.keys();
    CustomerClass::ALL
        .into_iter()
        .filter(|class| *class != CustomerClass::Unaccounted)
        .map(|class| {
            let of_others = supply.carried.iter().filter(|cell| cell.class == class);
            let mut left: i64 = of_others.map(SupplyCell::day_m3).sum();
            let mut parts = sums.get(&class).copied().unwrap_or_default();
            if class == CustomerClass::Wheeling {
                parts = [0; 4];
                left = 0;
            }
            for part in [Part::Planned, Part::New] {
                let known = days.iter().flat_map(|day| {
                    zones().filter_map(move |zone| {
                        carried.parts(*day, zone, class).get(part.index()).copied()
                    })
                });
                let known: i64 = known.sum::<i64>().min(left);
                left -= known;
                if let Some(cell) = parts.get_mut(part.index()) {
                    *cell -= known;
                }
            }
            if let Some(cell) = parts.get_mut(Part::Statistical.index()) {
                *cell -= left;
            }
            PartsLine {
                class,
                parts: parts.into(),
            }
        })
        .collect()
}

/// The declared quantity in the proportions of the P50. The other part may be negative and is
/// rounded by itself.
#[expect(
    clippy::cast_possible_truncation,
    reason = "city volumes are far below 2^53 m³"
)]
fn spread(sold: PartVolumes, loss_m3: i64, declared_m3: i64) -> (PartVolumes, i64) {
    let total = sold.total_m3() + loss_m3;
    if total <= 0 {
        let statistical = PartVolumes {
            statistical_m3: declared_m3,
            ..PartVolumes::default()
        };
        return (statistical, 0);
    }
    let scale = declared_m3 as f64 / total as f64;
    let other_m3 = (sold.other_m3 as f64 * scale).round() as i64;
    let rest = [sold.planned_m3, sold.statistical_m3, sold.new_m3, loss_m3].map(|m3| m3 as f64);
    let rounded = round_to_total(&rest, declared_m3 - other_m3);
    let at = |i: usize| rounded.get(i).copied().unwrap_or(0);
    let parts = PartVolumes {
        planned_m3: at(0),
        statistical_m3: at(1),
        new_m3: at(2),
        other_m3,
    };
    (parts, at(3))
}

fn plans(input: &DeclareInput<'_>, breakdown: &Breakdown, days: &[usize]) -> Vec<PlannedLine> {
    breakdown
        .consumers
        .iter()
        .filter_map(|consumer| {
            let planned = || {
                days.iter()
                    .filter_map(|day| consumer.days.get(*day))
                    .filter(|day| day.is_planned)
            };
            let count = u32::try_from(planned().count()).ok()?;
            let known = input.registry.customers.get(&consumer.customer);
            let is_bought_for = known.is_none_or(Customer::is_bought_for);
            (count > 0 && is_bought_for).then(|| PlannedLine {
                customer: consumer.customer.clone(),
                name: known.map_or_else(String::new, |c| c.name.clone()),
                class: consumer.node.class,
                account_manager: known.map_or_else(String::new, |c| c.account_manager.clone()),
                days: count,
                plan_bias: consumer.plan_bias,
                m3: planned().map(|day| day.band.p50_m3).sum(),
            })
        })
        .collect()
}

/// What an addition comes to in the month, m³, before rounding.
fn month_m3(additions: &[Addition], id: &str, days: &[usize]) -> f64 {
    additions
        .iter()
        .filter(|one| one.id == id)
        .flat_map(|one| days.iter().filter_map(|day| one.m3.get(*day)))
        .sum()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "city volumes are far below 2^53 m³"
)]
fn projects(
    input: &DeclareInput<'_>,
    breakdown: &Breakdown,
    supply: &Supply<'_>,
    carried: &Carried,
    days: &[usize],
    new_m3: i64,
) -> Vec<ProjectLine> {
    let today = supply.clock.day_of(input.forecast.origin_at);
    let known: Vec<&NewConnection> = input
        .registry
        .connections_known_at(input.forecast.origin_at)
        .into_iter()
        .filter(|project| !project.is_learnt(today) && !carried.has_project(&project.id))
        .collect();
    let is_listed =
        |id: &str| carried.has_project(id) || known.iter().any(|project| project.id == id);
    let unlisted: f64 = breakdown
        .connections
        .iter()
        .filter(|one| !is_listed(&one.id))
        .map(|one| month_m3(std::slice::from_ref(one), &one.id, days))
        .sum();
    let values: Vec<f64> = known
        .iter()
        .map(|project| month_m3(&breakdown.connections, &project.id, days))
        .collect();
    let listed_m3 = new_m3 - unlisted.round() as i64;
    let later = input
        .month
        .next()
        .first_day()
        .0
        .checked_add_months(Months::new(3))
        .map(|day| GasDay(day).plus(-1));
    known
        .into_iter()
        .zip(round_to_total(&values, listed_m3))
        .map(|(project, m3)| ProjectLine {
            id: project.id.clone(),
            name: project.name.clone(),
            class: project.class,
            contact: project.contact.clone(),
            settled_on: project.settled_on,
            location: project.location.clone(),
            stage: project.stage,
            connected_on: project.connected_on,
            sponsor: project.sponsor.clone(),
            design_flow_m3h: project.design_flow_m3h,
            connected_m3_per_day: project.connected_m3_per_day,
            coefficient: project.coefficient,
            probability: project.chance(),
            m3,
            later_m3_per_day: later.map_or(0.0, |day| project.use_if_connected_m3(day, today)),
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "city volumes are far below 2^53 m³"
)]
fn factors(
    input: &DeclareInput<'_>,
    breakdown: &Breakdown,
    supply: &Supply<'_>,
    days: &[usize],
) -> Vec<FactorLine> {
    let mut known: Vec<&Factor> = input
        .factors
        .iter()
        .filter(|factor| supply.days.iter().any(|day| factor.holds_on(*day)))
        .collect();
    known.sort_by(|a, b| a.id.cmp(&b.id));
    known
        .into_iter()
        .map(|factor| FactorLine {
            id: factor.id.clone(),
            kind: factor.kind,
            zone: factor.zone.clone(),
            class: factor.class,
            from_on: factor.from_on,
            to_on: factor.to_on,
            amount: factor.amount,
            person: factor.person.clone(),
            reason: factor.reason.clone(),
            expires_on: factor.expires_on,
            m3: month_m3(&breakdown.factors, &factor.id, days).round() as i64,
        })
        .collect()
}
