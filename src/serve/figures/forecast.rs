//! 预测报告: a run as total and by source, class or time slot, beside what was and what a naive
//! forecast says.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::demand::DemandView;
use crate::domain::id::{RunId, SourceId};
use crate::domain::registry::Registry;
use crate::serve::figures::bought::Bought;
use crate::serve::figures::cells::Cells;
use crate::serve::figures::methods::methods;
use crate::serve::figures::overview::Run;
use crate::serve::figures::supply::month_contract_m3;
use crate::serve::figures::today::Today;
use crate::serve::figures::{Band, band_of, hour_band_of, instant_text};

mod members;
mod view;

pub use members::{Member, class_label, members, members_of};
pub use view::{
    BoughtCards, BoughtMonth, Cards, DayCard, Dimension, ForecastPoint, ForecastView, HistoryPoint,
    Horizon, Label, MonthView, QualityRow, Series, TableRow, YesterdayCard,
};

/// Completed days before today that the daily view shows.
const HISTORY_DAYS: i64 = 14;

/// Hours before now that the hourly view shows.
const HISTORY_HOURS: i64 = 48;

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
    /// Purchases.
    pub bought: &'a Bought<'a>,
    /// The last run made before yesterday began.
    pub run_before_yesterday: Option<&'a Run>,
    /// The last backtest.
    pub quality: &'a [QualityRow],
    /// Names of the series whose regression was learnt, by the run that learnt it.
    pub learning: &'a BTreeMap<RunId, Vec<String>>,
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
        learnt_by: facts
            .learning
            .iter()
            .map(|(run, series)| (run.to_string(), series.clone()))
            .collect(),
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
        methods: methods(facts.registry, &facts.run.forecast, today.plus(1)),
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
            bought: is_of_purchases(view).then(|| self.bought_cards(view.source.as_ref())),
        }
    }

    fn bought_cards(&self, source: Option<&SourceId>) -> BoughtCards {
        let today = self.today.day;
        BoughtCards {
            yesterday_m3: self.bought.delivered_m3(today.plus(-1), source),
            today: self.bought.today_band(source),
            tomorrow: self.bought.day_band(today.plus(1), source),
        }
    }

    fn month(&self, month: GasMonth, view: &DemandView) -> MonthView {
        let closed = month.days().into_iter();
        let used_m3: Option<i64> = closed
            .filter(|day| *day < self.today.day)
            .map(|day| self.history.day_m3(view, day))
            .sum();
        let ahead: Vec<usize> = self
            .days_ahead()
            .filter(|(_, day)| day.month() == month)
            .map(|(index, _)| index)
            .collect();
        let remaining = band_of(&self.run.forecast, &self.run.cells, view, &ahead);
        MonthView {
            month,
            used_m3,
            remaining,
            expected: used_m3.map(|m3| remaining.plus(m3)),
            bought: is_of_purchases(view).then(|| self.bought_month(month, view.source.as_ref())),
        }
    }

    fn bought_month(&self, month: GasMonth, source: Option<&SourceId>) -> BoughtMonth {
        let taken_m3 = self.bought.delivered_in_m3(month, source);
        let remaining = self.bought.ahead_in(month, source);
        let expected = taken_m3.zip(remaining).map(|(m3, ahead)| ahead.plus(m3));
        let contract_m3 = month_contract_m3(self.registry, month, source);
        BoughtMonth {
            taken_m3,
            remaining,
            expected,
            contract_m3,
            gap_m3: expected
                .zip(contract_m3)
                .map(|(expected, contract)| expected.p50_m3 - contract),
        }
    }
}

/// Whether a view is all of what is bought, or a source's part of it.
fn is_of_purchases(view: &DemandView) -> bool {
    view.class.is_none() && view.zone.is_none() && view.civil_hours.is_none()
}

fn hour_start(day_start: DateTime<Utc>, hour: usize) -> DateTime<Utc> {
    day_start + TimeDelta::hours(i64::try_from(hour).unwrap_or(0))
}

#[cfg(test)]
mod tests;
