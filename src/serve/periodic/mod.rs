//! 周报、月总结、季度清单 (domain.md S1-32): what account managers and planners hand in each week, month
//! and quarter, from figures that the ledger, the supply and the monitor have.

mod page;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::DemandView;
use crate::domain::registry::Registry;
use crate::ledger::entry::LedgerEntry;
use crate::serve::api::outlook::RecordRow;
use crate::serve::figures::cells::Cells;
use crate::serve::figures::forecast::{Label, QualityRow, class_label};
use crate::serve::figures::overview::SourceView;
use crate::serve::figures::supply::month_contract_m3;
use crate::serve::problem::ApiProblem;
use crate::serve::state::AppState;
use crate::store::book::DocumentKind;

pub use page::html;

/// Gas days of a week.
const WEEK: i64 = 7;

/// Which report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodicKind {
    /// 周报: large consumers and contracts.
    Weekly,
    /// 月总结: execution, deviation and forecast skill of the last whole month.
    Monthly,
    /// 季度清单: large consumers whose use changed.
    Quarterly,
}

/// A report.
#[derive(Debug, Clone)]
pub struct PeriodicReport {
    /// Company.
    pub company: String,
    /// When it was printed.
    pub made_at: DateTime<Utc>,
    /// The gas day that runs; no figure reaches into it.
    pub today: GasDay,
    /// What it says.
    pub body: Body,
}

/// What a report says.
#[derive(Debug, Clone)]
pub enum Body {
    /// The week.
    Weekly(Weekly),
    /// The month.
    Monthly(Monthly),
    /// The quarter: the lines of the ledger.
    Quarterly(Arc<Vec<LedgerEntry>>),
}

/// The last seven gas days.
#[derive(Debug, Clone)]
pub struct Weekly {
    /// Each day, what was used, and what was used seven days before, m³.
    pub days: Vec<(GasDay, Option<i64>, Option<i64>)>,
    /// Gas days of the month that are over, and all of them.
    pub month_days: (i64, i64),
    /// Contract and take of the month by source.
    pub sources: Vec<SourceView>,
    /// The lines of the ledger, the most urgent first.
    pub rows: Arc<Vec<LedgerEntry>>,
}

/// A gas day of the month, m³.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonthDay {
    /// Which.
    pub day: GasDay,
    /// Used by customers.
    pub used_m3: Option<i64>,
    /// Nominated.
    pub nominated_m3: Option<i64>,
    /// Taken at the gates.
    pub taken_m3: Option<i64>,
}

impl MonthDay {
    /// Taken less nominated, m³.
    pub fn deviation_m3(&self) -> Option<i64> {
        Some(self.taken_m3? - self.nominated_m3?)
    }
}

/// The last whole month.
#[derive(Debug, Clone)]
pub struct Monthly {
    /// Which.
    pub month: GasMonth,
    /// Its gas days.
    pub days: Vec<MonthDay>,
    /// Used by class in the month and in the same month of the year before, m³.
    pub classes: Vec<(Label, [Option<i64>; 2])>,
    /// Contracted, m³.
    pub contract_m3: Option<i64>,
    /// Declared, by the newest version, m³.
    pub declared_m3: Option<i64>,
    /// How past forecasts did, by the monitor.
    pub record: Vec<RecordRow>,
    /// The last backtest.
    pub quality: Vec<QualityRow>,
}

/// A sum over days; none unless all of them are known.
pub fn whole(days: &[MonthDay], of: impl Fn(&MonthDay) -> Option<i64>) -> Option<i64> {
    days.iter().map(of).sum()
}

impl AppState {
    /// A report as of now; `rows` are the ledger, `sources` those of the overview.
    pub(super) fn periodic_report(
        &self,
        kind: PeriodicKind,
        rows: Arc<Vec<LedgerEntry>>,
        sources: Vec<SourceView>,
    ) -> Result<PeriodicReport, ApiProblem> {
        let registry = self.registry();
        let today = self.gas_day();
        let body = match kind {
            PeriodicKind::Weekly => {
                Body::Weekly(self.periodic_week(&registry, today, rows, sources)?)
            }
            PeriodicKind::Monthly => Body::Monthly(self.periodic_month(&registry, today)?),
            PeriodicKind::Quarterly => Body::Quarterly(rows),
        };
        Ok(PeriodicReport {
            company: registry.company.name.clone(),
            made_at: self.now(),
            today,
            body,
        })
    }

    fn used_over(
        &self,
        registry: &Registry,
        from: GasDay,
        until: GasDay,
    ) -> Result<Cells, ApiProblem> {
        let demand = self.book().demand_days(from, until);
        let demand = demand.map_err(|error| ApiProblem::store("the book", &error))?;
        Ok(Cells::of_demand(&demand, registry))
    }

    fn periodic_week(
        &self,
        registry: &Registry,
        today: GasDay,
        rows: Arc<Vec<LedgerEntry>>,
        sources: Vec<SourceView>,
    ) -> Result<Weekly, ApiProblem> {
        let used = self.used_over(registry, today.plus(-2 * WEEK), today)?;
        let all = DemandView::total();
        let month = today.month();
        Ok(Weekly {
            days: (1..=WEEK)
                .rev()
                .map(|back| today.plus(-back))
                .map(|day| {
                    let before = used.day_m3(&all, day.plus(-WEEK));
                    (day, used.day_m3(&all, day), before)
                })
                .collect(),
            month_days: (
                today.days_since(month.first_day()),
                month.next().first_day().days_since(month.first_day()),
            ),
            sources,
            rows,
        })
    }

    fn periodic_month(&self, registry: &Registry, today: GasDay) -> Result<Monthly, ApiProblem> {
        let store = |error| ApiProblem::store("the book", &error);
        let month = today.month().first_day().plus(-1).month();
        let days = month.days();
        let used = self.used_over(registry, month.first_day(), month.next().first_day())?;
        let year_ago = GasMonth {
            year: month.year - 1,
            ..month
        };
        let (from, until) = (year_ago.first_day(), year_ago.next().first_day());
        let before = self.used_over(registry, from, until)?;
        let purchased = self
            .actions()
            .purchased(month.first_day(), month.next().first_day());
        let purchased =
            purchased.map_err(|error| ApiProblem::store("one of the stores", &error))?;
        let mut of_days = Vec::new();
        for day in &days {
            let nominated = self.nominated(registry, *day)?;
            of_days.push(MonthDay {
                day: *day,
                used_m3: used.day_m3(&DemandView::total(), *day),
                nominated_m3: nominated.map(|day| day.nominated.values().sum()),
                taken_m3: purchased.get(day).copied(),
            });
        }
        let sum = |cells: &Cells, month: GasMonth, class| {
            let view = DemandView {
                class: Some(class),
                ..DemandView::default()
            };
            let days = month.days();
            days.iter().map(|day| cells.day_m3(&view, *day)).sum()
        };
        let classes = CustomerClass::ALL
            .into_iter()
            .map(|class| {
                let of_month: [Option<i64>; 2] =
                    [sum(&used, month, class), sum(&before, year_ago, class)];
                (class_label(class), of_month)
            })
            .filter(|(_, [now, before])| now.unwrap_or(0) != 0 || before.unwrap_or(0) != 0)
            .collect();
        let declaration = self
            .book()
            .document(DocumentKind::Declaration, &month.to_string())
            .map_err(store)?;
        Ok(Monthly {
            month,
            days: of_days,
            classes,
            contract_m3: month_contract_m3(registry, month, None),
            declared_m3: declaration
                .and_then(|one| one.body.pointer("/total/declared_m3")?.as_i64()),
            record: self.actions().record()?,
            quality: self.quality()?,
        })
    }
}

#[cfg(test)]
mod tests;
