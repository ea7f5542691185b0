//! 预测报告: a run as total and by source, class or time slot, beside what was and what a naive
//! forecast says.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandForecast, DemandView};
use crate::domain::id::SourceId;
use crate::domain::registry::Registry;
use crate::serve::figures::cells::Cells;
use crate::serve::figures::methods::{NodeMethod, methods};
use crate::serve::figures::overview::{Run, classes_of};
use crate::serve::figures::supply::month_contract_m3;
use crate::serve::figures::today::Today;
use crate::serve::figures::{Band, band_of, hour_band_of, instant_text};

/// Completed days before today that the daily view shows.
const HISTORY_DAYS: i64 = 14;

/// Hours before now that the hourly view shows.
const HISTORY_HOURS: i64 = 48;

/// How far and how fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Horizon {
    /// Hours of the first days of the run.
    Hourly,
    /// Gas days of the whole run.
    Daily,
}

/// What the total is split by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Not split.
    #[default]
    Total,
    /// By gas source.
    Source,
    /// By customer class.
    Class,
    /// By time slot.
    Slot,
}

/// A member of a dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Label {
    /// Key in this API.
    pub key: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
}

/// A point in the future.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForecastPoint {
    /// Start of the hour or of the gas day.
    pub at: String,
    /// Gas day.
    #[schema(value_type = String)]
    pub gas_day: GasDay,
    /// Beijing hour; null for a day.
    pub civil_hour: Option<u32>,
    /// Forecast.
    pub band: Band,
    /// The same hour or day of the last week that was known, m³.
    pub naive_m3: Option<i64>,
    /// What was used, where it is known by now, m³.
    pub actual_m3: Option<i64>,
}

/// A point in the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryPoint {
    /// Start of the hour or of the gas day.
    pub at: String,
    /// Gas day.
    #[schema(value_type = String)]
    pub gas_day: GasDay,
    /// Beijing hour; null for a day.
    pub civil_hour: Option<u32>,
    /// Used, m³.
    pub actual_m3: i64,
}

/// One member's points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Series {
    /// Member of the dimension.
    pub key: String,
    /// Aligned with `total`.
    pub points: Vec<Band>,
}

/// A line of the three-day table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TableRow {
    /// Member of the dimension.
    pub key: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// Used yesterday, m³.
    pub yesterday_m3: Option<i64>,
    /// The gas day that runs.
    pub today: Band,
    /// The next.
    pub tomorrow: Band,
    /// Part of tomorrow's P50, 0 to 1.
    pub share: f64,
    /// Today's P50 against yesterday, as a ratio: 0.05 is five per cent more.
    pub vs_yesterday: Option<f64>,
}

/// 昨 / 今 / 明.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cards {
    /// The last completed gas day.
    pub yesterday: YesterdayCard,
    /// The gas day that runs.
    pub today: DayCard,
    /// The next.
    pub tomorrow: DayCard,
}

/// A completed day and what had been expected of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct YesterdayCard {
    /// Gas day.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// Used, m³.
    pub actual_m3: Option<i64>,
    /// P50 of the last run made before the day began, m³.
    pub forecast_m3: Option<i64>,
}

/// A day to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DayCard {
    /// Gas day.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// Forecast.
    pub band: Band,
}

/// A month by what was used and what is expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MonthView {
    /// `YYYY-MM`.
    #[schema(value_type = String)]
    pub month: GasMonth,
    /// Used on its completed days that are known, m³.
    pub taken_m3: i64,
    /// Expected on its other days that the run reaches.
    pub remaining: Band,
    /// Both together.
    pub expected: Band,
    /// Contracted, m³.
    pub contract_m3: Option<i64>,
}

/// A line of the last backtest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QualityRow {
    /// Customer class, or `total`.
    pub class: String,
    /// Lead time.
    pub lead: String,
    /// Weighted absolute percentage error of P50, 0.05 is five per cent.
    pub wape: f64,
    /// The same of the seasonal-naive forecast.
    pub naive_wape: f64,
    /// Part of actual values between P10 and P90.
    pub coverage: Option<f64>,
}

/// `GET /api/v1/forecast`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ForecastView {
    /// The run.
    pub run_id: String,
    /// Nothing known after this instant was used.
    pub origin_at: String,
    /// What it was made from.
    pub made_with: Vec<(String, String)>,
    /// How far and how fine.
    pub horizon: Horizon,
    /// What the total is split by.
    pub by: Dimension,
    /// Members of the dimension.
    pub labels: Vec<Label>,
    /// The total, or the one member asked for by `key`.
    pub total: Vec<ForecastPoint>,
    /// What came before.
    pub history: Vec<HistoryPoint>,
    /// Each member, aligned with `total`.
    pub series: Vec<Series>,
    /// Yesterday, today and tomorrow of each member.
    pub table: Vec<TableRow>,
    /// Yesterday, today and tomorrow of the whole.
    pub cards: Cards,
    /// This month and the next.
    pub month: Vec<MonthView>,
    /// The last backtest; empty if there was none.
    pub quality: Vec<QualityRow>,
    /// What each zone × class was forecast by, with its P50 of tomorrow.
    pub methods: Vec<NodeMethod>,
}

/// A member of a dimension and the part of the demand it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Key and names.
    pub label: Label,
    /// The part.
    pub view: DemandView,
}

/// Members of a dimension, in the order of forms.
pub fn members(registry: &Registry, by: Dimension) -> Vec<Member> {
    match by {
        Dimension::Total => Vec::new(),
        Dimension::Source => registry
            .sources
            .values()
            .map(|source| Member {
                label: Label {
                    key: source.id.to_string(),
                    name_zh: source.name.clone(),
                    name_en: source.id.to_string(),
                },
                view: DemandView {
                    source: Some(source.id.clone()),
                    ..DemandView::default()
                },
            })
            .collect(),
        Dimension::Class => classes_of(registry)
            .into_iter()
            .map(|class| Member {
                label: class_label(class),
                view: DemandView {
                    class: Some(class),
                    ..DemandView::default()
                },
            })
            .collect(),
        Dimension::Slot => {
            let table = &registry.company.slots;
            table
                .0
                .iter()
                .enumerate()
                .map(|(index, slot)| Member {
                    label: Label {
                        key: slot.key.clone(),
                        name_zh: slot.name.clone(),
                        name_en: words(&slot.key),
                    },
                    view: DemandView::slot(table, index),
                })
                .collect()
        }
    }
}

/// Members of a dimension that a run has gas for or the registry knows, in the order of forms: a class
/// that so far has only a project is in no customer's row, and must not be missing from the sum.
pub fn members_of(registry: &Registry, run: &DemandForecast, by: Dimension) -> Vec<Member> {
    let mut out = members(registry, by);
    let known: Vec<String> = out.iter().map(|m| m.label.key.clone()).collect();
    let rows = &run.cube.rows;
    match by {
        Dimension::Total | Dimension::Slot => {}
        Dimension::Source => {
            let sources: BTreeSet<&SourceId> = rows.iter().map(|row| &row.source).collect();
            out.extend(
                sources
                    .into_iter()
                    .filter(|source| !known.iter().any(|key| key == source.as_str()))
                    .map(|source| Member {
                        label: Label {
                            key: source.to_string(),
                            name_zh: source.to_string(),
                            name_en: source.to_string(),
                        },
                        view: DemandView {
                            source: Some(source.clone()),
                            ..DemandView::default()
                        },
                    }),
            );
        }
        Dimension::Class => {
            let classes: BTreeSet<CustomerClass> = rows.iter().map(|row| row.class).collect();
            out = CustomerClass::ALL
                .into_iter()
                .filter(|class| {
                    classes.contains(class) || known.iter().any(|key| key == class.key())
                })
                .map(|class| Member {
                    label: class_label(class),
                    view: DemandView {
                        class: Some(class),
                        ..DemandView::default()
                    },
                })
                .collect();
        }
    }
    out
}

/// Key and names of a class.
pub fn class_label(class: CustomerClass) -> Label {
    let name_en = match class {
        CustomerClass::VehicleCng => "Vehicle CNG".to_owned(),
        CustomerClass::VehicleLng => "Vehicle LNG".to_owned(),
        CustomerClass::PublicResidential => "Public (residential price)".to_owned(),
        other => words(other.key()),
    };
    Label {
        key: class.key().to_owned(),
        name_zh: class.name_zh().to_owned(),
        name_en,
    }
}

/// `evening_peak` as "Evening peak".
fn words(key: &str) -> String {
    let mut chars = key.replace('_', " ").chars().collect::<Vec<_>>();
    if let Some(first) = chars.first_mut() {
        first.make_ascii_uppercase();
    }
    chars.into_iter().collect()
}

/// What a view is made of.
#[derive(Debug, Clone, Copy)]
pub struct ForecastFacts<'a> {
    /// The instant.
    pub now: DateTime<Utc>,
    /// The registry.
    pub registry: &'a Registry,
    /// The run.
    pub run: &'a Run,
    /// Observed completed days.
    pub history: &'a Cells,
    /// The gas day that runs.
    pub today: &'a Today,
    /// The last run made before yesterday began.
    pub run_before_yesterday: Option<&'a Run>,
    /// The last backtest.
    pub quality: &'a [QualityRow],
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForecastQuestion<'a> {
    /// How far and how fine.
    pub horizon: Horizon,
    /// Split by.
    pub by: Dimension,
    /// Only this member.
    pub key: Option<&'a str>,
}

/// The view; none if `key` is no member of the dimension.
pub fn forecast_view(
    facts: &ForecastFacts<'_>,
    question: ForecastQuestion<'_>,
) -> Option<ForecastView> {
    let mut members = members_of(facts.registry, &facts.run.forecast, question.by);
    let mut whole = DemandView::total();
    if let Some(key) = question.key {
        members.retain(|m| m.label.key == key);
        whole = members.first()?.view.clone();
    }
    let today = facts.today.day;
    let forecast = &facts.run.forecast;
    Some(ForecastView {
        run_id: forecast.run_id.to_string(),
        origin_at: instant_text(forecast.origin_at),
        made_with: forecast.inputs.clone(),
        horizon: question.horizon,
        by: question.by,
        labels: members.iter().map(|m| m.label.clone()).collect(),
        total: facts.points(question.horizon, &whole),
        history: facts.history(question.horizon, &whole),
        series: members
            .iter()
            .map(|m| Series {
                key: m.label.key.clone(),
                points: facts
                    .points(question.horizon, &m.view)
                    .into_iter()
                    .map(|p| p.band)
                    .collect(),
            })
            .collect(),
        table: facts.table(&members, &whole),
        cards: facts.cards(&whole),
        month: vec![
            facts.month(today.month(), &whole),
            facts.month(today.month().next(), &whole),
        ],
        quality: facts.quality.to_vec(),
        methods: methods(&facts.run.forecast, today.plus(1)),
    })
}

impl ForecastFacts<'_> {
    /// Positions of the run's days from today on.
    fn days_ahead(&self) -> impl Iterator<Item = (usize, GasDay)> + '_ {
        let days = &self.run.forecast.days;
        days.iter()
            .copied()
            .enumerate()
            .filter(|(_, day)| *day >= self.today.day)
    }

    fn points(&self, horizon: Horizon, view: &DemandView) -> Vec<ForecastPoint> {
        let forecast = &self.run.forecast;
        let cells = &self.run.cells;
        let clock = forecast.clock;
        if horizon == Horizon::Daily {
            return self
                .days_ahead()
                .map(|(index, day)| ForecastPoint {
                    at: instant_text(clock.start_of(day)),
                    gas_day: day,
                    civil_hour: None,
                    band: band_of(forecast, cells, view, &[index]),
                    naive_m3: self
                        .naive_day(day)
                        .and_then(|d| self.history.day_m3(view, d)),
                    actual_m3: None,
                })
                .collect();
        }
        let mut points = Vec::new();
        for (index, day) in self.days_ahead() {
            let naive = self
                .naive_day(day)
                .and_then(|d| self.history.hours_m3(view, d));
            let actual = if day == self.today.day {
                self.today.hours_m3(view)
            } else {
                [None; 24]
            };
            for hour in 0..24 {
                if !super::cells::has_hour(view, clock, hour) {
                    // Hours outside a slot keep their place, so that series stay aligned.
                    points.push(self.point(day, hour, Band::around(0, Vec::new()), None, None));
                    continue;
                }
                let Some(band) = hour_band_of(forecast, cells, view, index, hour) else {
                    return points;
                };
                points.push(self.point(
                    day,
                    hour,
                    band,
                    naive.and_then(|hours| hours.get(hour).copied()),
                    actual.get(hour).copied().flatten(),
                ));
            }
        }
        points
    }

    fn point(
        &self,
        day: GasDay,
        hour: usize,
        band: Band,
        naive_m3: Option<i64>,
        actual_m3: Option<i64>,
    ) -> ForecastPoint {
        let clock = self.run.forecast.clock;
        ForecastPoint {
            at: instant_text(hour_start(clock.start_of(day), hour)),
            gas_day: day,
            civil_hour: Some(clock.civil_hour(hour)),
            band,
            naive_m3,
            actual_m3,
        }
    }

    /// The same weekday of the last week that was over when the run was made.
    fn naive_day(&self, day: GasDay) -> Option<GasDay> {
        let first = *self.run.forecast.days.first()?;
        let weeks = day.days_since(first).div_euclid(7) + 1;
        Some(day.plus(-7 * weeks))
    }

    fn history(&self, horizon: Horizon, view: &DemandView) -> Vec<HistoryPoint> {
        let clock = self.run.forecast.clock;
        let today = self.today.day;
        if horizon == Horizon::Daily {
            return (1..=HISTORY_DAYS)
                .rev()
                .filter_map(|back| {
                    let day = today.plus(-back);
                    Some(HistoryPoint {
                        at: instant_text(clock.start_of(day)),
                        gas_day: day,
                        civil_hour: None,
                        actual_m3: self.history.day_m3(view, day)?,
                    })
                })
                .collect();
        }
        let since = self.now - TimeDelta::hours(HISTORY_HOURS);
        let mut points = Vec::new();
        for back in (0..=HISTORY_HOURS / 24 + 1).rev() {
            let day = today.plus(-back);
            let hours = if back == 0 {
                self.today.hours_m3(view)
            } else {
                self.history
                    .hours_m3(view, day)
                    .map_or([None; 24], |hours| hours.map(Some))
            };
            for (hour, actual) in hours.into_iter().enumerate() {
                let at = hour_start(clock.start_of(day), hour);
                if let Some(actual_m3) = actual
                    && at >= since
                {
                    points.push(HistoryPoint {
                        at: instant_text(at),
                        gas_day: day,
                        civil_hour: Some(clock.civil_hour(hour)),
                        actual_m3,
                    });
                }
            }
        }
        points
    }

    fn day_band(&self, view: &DemandView, day: GasDay) -> Band {
        self.run
            .day_band(view, day)
            .unwrap_or_else(|| Band::around(0, Vec::new()))
    }

    fn table(&self, members: &[Member], whole: &DemandView) -> Vec<TableRow> {
        let today = self.today.day;
        let whole_m3 = self.day_band(whole, today.plus(1)).p50_m3;
        members
            .iter()
            .map(|member| {
                let yesterday_m3 = self.history.day_m3(&member.view, today.plus(-1));
                let today_band = self.day_band(&member.view, today);
                let tomorrow = self.day_band(&member.view, today.plus(1));
                TableRow {
                    key: member.label.key.clone(),
                    name_zh: member.label.name_zh.clone(),
                    name_en: member.label.name_en.clone(),
                    yesterday_m3,
                    today: today_band,
                    tomorrow,
                    share: if whole_m3 > 0 {
                        tomorrow.p50_m3 as f64 / whole_m3 as f64
                    } else {
                        0.0
                    },
                    vs_yesterday: yesterday_m3
                        .filter(|m3| *m3 > 0)
                        .map(|m3| today_band.p50_m3 as f64 / m3 as f64 - 1.0),
                }
            })
            .collect()
    }

    fn cards(&self, view: &DemandView) -> Cards {
        let today = self.today.day;
        let yesterday = today.plus(-1);
        Cards {
            yesterday: YesterdayCard {
                day: yesterday,
                actual_m3: self.history.day_m3(view, yesterday),
                forecast_m3: self
                    .run_before_yesterday
                    .and_then(|run| run.cells.day_m3(view, yesterday)),
            },
            today: DayCard {
                day: today,
                band: self.day_band(view, today),
            },
            tomorrow: DayCard {
                day: today.plus(1),
                band: self.day_band(view, today.plus(1)),
            },
        }
    }

    fn month(&self, month: GasMonth, view: &DemandView) -> MonthView {
        let taken_m3 = month
            .days()
            .into_iter()
            .filter(|day| *day < self.today.day)
            .filter_map(|day| self.history.day_m3(view, day))
            .sum();
        let ahead: Vec<usize> = self
            .days_ahead()
            .filter(|(_, day)| day.month() == month)
            .map(|(index, _)| index)
            .collect();
        let remaining = band_of(&self.run.forecast, &self.run.cells, view, &ahead);
        MonthView {
            month,
            taken_m3,
            remaining,
            expected: remaining.plus(taken_m3),
            contract_m3: month_contract_m3(self.registry, month, view.source.as_ref())
                .filter(|_| view.class.is_none() && view.civil_hours.is_none()),
        }
    }
}

fn hour_start(day_start: DateTime<Utc>, hour: usize) -> DateTime<Utc> {
    day_start + TimeDelta::hours(i64::try_from(hour).unwrap_or(0))
}

#[cfg(test)]
mod tests;
