//! 逐月预测: the months after a run's days, whole or split, with heating seasons and years as sums of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::calendar::GasMonth;
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandNode, DemandView};
use crate::domain::id::ZoneId;
use crate::domain::months::{MonthBasis, MonthlyOutlook};
use crate::domain::registry::Registry;
use crate::serve::figures::forecast::{Label, class_label};
use crate::serve::figures::{Band, instant_text};

/// What the months are split by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MonthsBy {
    /// Not split.
    #[default]
    Total,
    /// By zone.
    Zone,
    /// By gas source.
    Source,
    /// By customer class.
    Class,
    /// By zone × class; keys are `zone/class`.
    Node,
}

/// The months ahead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MonthsView {
    /// The run they continue: the first of its gas day.
    pub run_id: String,
    /// Nothing known after this instant was used.
    pub origin_at: String,
    /// A later run of the same gas day, if there is one: months of basis `run` are its.
    pub renewed_by: Option<RunOrigin>,
    /// What they are split by.
    pub by: MonthsBy,
    /// What each month stands on, in order; the first is under way.
    pub months: Vec<MonthFacts>,
    /// Everything.
    pub total: MonthRows,
    /// By member of the dimension; P50, measured volume and parts of their months sum to those of `total`.
    pub series: Vec<MonthRows>,
}

/// A run and what it knew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunOrigin {
    /// The run.
    pub run_id: String,
    /// Nothing known after this instant was used.
    pub origin_at: String,
}

/// What a month stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MonthFacts {
    /// `YYYY-MM`.
    #[schema(value_type = String)]
    pub month: GasMonth,
    /// `run`: the days of the run, and measured ones; `joint`: the run ends within it; `months`: the model
    /// of months.
    pub basis: MonthBasis,
    /// Days that are measured.
    pub known_days: u32,
    /// Of these, days on which some zone × class had to be filled.
    pub filled_days: u32,
    /// Days of the run.
    pub run_days: u32,
    /// Days after it.
    pub later_days: u32,
}

/// Months and periods of the total or of one member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MonthRows {
    /// Member of the dimension; `total` for everything.
    pub label: Label,
    /// Aligned with `months`.
    pub points: Vec<MonthPoint>,
    /// Heating seasons, contract years, calendar years and the next twelve months.
    pub periods: Vec<PeriodPoint>,
}

/// One month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MonthPoint {
    /// Forecast; measured days are in it.
    pub band: Band,
    /// Measured so far, m³.
    pub known_m3: i64,
    /// What is to come, m³: filed plans, statistical, new connections, other factors. With `known_m3` they
    /// sum to the P50.
    pub parts_m3: [i64; 4],
    /// The same month of the latest year known, m³; null where part of it is not known.
    pub naive_m3: Option<i64>,
    /// What the days after the run's come from, by their part of the P50, largest first; empty where the
    /// month is the run's alone.
    pub methods: Vec<MonthMethod>,
}

/// A model and how much of a figure it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MonthMethod {
    /// `seasonal_smoothing`; `class_profile`, `recent_mean` or `new_connection` where a zone × class has less
    /// than a year (docs/METHODS.md, "Months").
    pub model: String,
    /// Part of the P50, 0 to 1.
    pub share: f64,
}

/// What a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeriodKind {
    /// The next twelve months, the one under way included.
    Next12,
    /// November to March (采暖季).
    Heating,
    /// April to March (合同年).
    ContractYear,
    /// January to December (自然年).
    CalendarYear,
}

/// Several months together, summed draw by draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeriodPoint {
    /// What it is.
    pub kind: PeriodKind,
    /// Its first month in the outlook.
    #[schema(value_type = String)]
    pub from: GasMonth,
    /// Its last month in the outlook.
    #[schema(value_type = String)]
    pub to: GasMonth,
    /// Whether all of its months are there; if not, those of the outlook.
    pub is_whole: bool,
    /// Forecast.
    pub band: Band,
    /// The same months of the latest years known, m³.
    pub naive_m3: Option<i64>,
}

/// The view, with the months that a later run covers `renewed` by it; none if `key` is no member of the
/// dimension.
pub fn months_view(
    registry: &Registry,
    of_day: &MonthlyOutlook,
    renewed: Option<&MonthlyOutlook>,
    by: MonthsBy,
    key: Option<&str>,
) -> Option<MonthsView> {
    let outlook = renewed.unwrap_or(of_day);
    let mut members = members(registry, outlook, by);
    if let Some(key) = key {
        members.retain(|(label, _)| label.key == key);
        members.first()?;
    }
    let total = Label {
        key: "total".to_owned(),
        name_zh: "合计".to_owned(),
        name_en: "Total".to_owned(),
    };
    Some(MonthsView {
        run_id: of_day.run_id.to_string(),
        origin_at: instant_text(of_day.origin_at),
        renewed_by: renewed.map(|new| RunOrigin {
            run_id: new.run_id.to_string(),
            origin_at: instant_text(new.origin_at),
        }),
        by,
        months: outlook
            .months
            .iter()
            .map(|of| MonthFacts {
                month: of.month,
                basis: of.basis,
                known_days: of.known_days,
                filled_days: of.filled_days,
                run_days: of.run_days,
                later_days: of.later_days,
            })
            .collect(),
        total: rows(outlook, total, &DemandView::total()),
        series: members
            .into_iter()
            .map(|(label, view)| rows(outlook, label, &view))
            .collect(),
    })
}

fn rows(outlook: &MonthlyOutlook, label: Label, view: &DemandView) -> MonthRows {
    let points = (0..outlook.months.len()).map(|month| point(outlook, view, month));
    MonthRows {
        label,
        points: points.collect(),
        periods: periods(outlook)
            .into_iter()
            .map(|(kind, months, is_whole)| PeriodPoint {
                kind,
                from: outlook.months[months[0]].month,
                to: outlook.months[months[months.len() - 1]].month,
                is_whole,
                band: outlook.band(view, &months).into(),
                naive_m3: outlook.naive_m3(view, &months),
            })
            .collect(),
    }
}

fn point(outlook: &MonthlyOutlook, view: &DemandView, month: usize) -> MonthPoint {
    let band: Band = outlook.band(view, &[month]).into();
    let (known_m3, parts_m3) = outlook.parts(view, &[month]);
    let is_run = outlook.months[month].basis == MonthBasis::Run;
    let methods = if is_run {
        Vec::new()
    } else {
        outlook.models(view, &[month])
    };
    let all: i64 = methods.iter().map(|(_, m3)| m3).sum();
    MonthPoint {
        band,
        known_m3,
        parts_m3,
        naive_m3: outlook.naive_m3(view, &[month]),
        methods: methods
            .into_iter()
            .filter(|(_, m3)| *m3 > 0)
            .map(|(model, m3)| MonthMethod {
                model: model.to_owned(),
                share: m3 as f64 / all.max(1) as f64,
            })
            .collect(),
    }
}

/// Periods with the positions of their months, in order of their ends.
fn periods(outlook: &MonthlyOutlook) -> Vec<(PeriodKind, Vec<usize>, bool)> {
    let months: Vec<GasMonth> = outlook.months.iter().map(|of| of.month).collect();
    let mut out = vec![(
        PeriodKind::Next12,
        (0..months.len().min(12)).collect(),
        months.len() >= 12,
    )];
    // First month of the year that a kind of period begins in, and how long it is.
    for (kind, first, length) in [
        (PeriodKind::Heating, 11, 5),
        (PeriodKind::ContractYear, 4, 12),
        (PeriodKind::CalendarYear, 1, 12),
    ] {
        // Months since its first, if a month is in it, and the year it began in.
        let place = |month: &GasMonth| {
            let since = (month.month + 12 - first) % 12;
            let began = month.year - i32::from(month.month < first);
            (since < length).then_some(began)
        };
        let mut by_year: Vec<(i32, Vec<usize>)> = Vec::new();
        for (index, month) in months.iter().enumerate() {
            let Some(year) = place(month) else { continue };
            match by_year.last_mut() {
                Some((last, of_year)) if *last == year => of_year.push(index),
                _ => by_year.push((year, vec![index])),
            }
        }
        for (_, of_year) in by_year {
            let is_whole = of_year.len() == length as usize;
            out.push((kind, of_year, is_whole));
        }
    }
    out
}

fn members(
    registry: &Registry,
    outlook: &MonthlyOutlook,
    by: MonthsBy,
) -> Vec<(Label, DemandView)> {
    let zone_name = |id: &ZoneId| registry.zone_name(id).to_owned();
    let mut out: Vec<(Label, DemandView)> = Vec::new();
    let mut add = |label: Label, view: DemandView| {
        if !out.iter().any(|(known, _)| known.key == label.key) {
            out.push((label, view));
        }
    };
    match by {
        MonthsBy::Total => {}
        MonthsBy::Zone => {
            for of in &outlook.series {
                let label = Label {
                    key: of.zone.to_string(),
                    name_zh: zone_name(&of.zone),
                    name_en: zone_name(&of.zone),
                };
                let view = DemandView {
                    zone: Some(of.zone.clone()),
                    ..DemandView::default()
                };
                add(label, view);
            }
        }
        MonthsBy::Source => {
            let mut sources: Vec<_> = outlook.series.iter().map(|of| &of.source).collect();
            sources.sort();
            for id in sources {
                let source = registry.sources.get(id);
                let name = source.map_or_else(|| id.to_string(), |source| source.name.clone());
                let label = Label {
                    key: id.to_string(),
                    name_zh: name.clone(),
                    name_en: name,
                };
                let view = DemandView {
                    source: Some(id.clone()),
                    ..DemandView::default()
                };
                add(label, view);
            }
        }
        MonthsBy::Class => {
            for class in CustomerClass::ALL {
                if outlook.series.iter().any(|of| of.class == class) {
                    let view = DemandView {
                        class: Some(class),
                        ..DemandView::default()
                    };
                    add(class_label(class), view);
                }
            }
        }
        MonthsBy::Node => {
            for of in &outlook.series {
                let node = DemandNode {
                    zone: of.zone.clone(),
                    class: of.class,
                };
                let class = class_label(of.class);
                let label = Label {
                    key: format!("{}/{}", node.zone, node.class.key()),
                    name_zh: format!("{} {}", zone_name(&node.zone), class.name_zh),
                    name_en: format!("{} {}", zone_name(&node.zone), class.name_en),
                };
                let view = DemandView {
                    zone: Some(node.zone),
                    class: Some(node.class),
                    ..DemandView::default()
                };
                add(label, view);
            }
        }
    }
    out
}
