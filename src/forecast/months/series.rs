//! A node's months: what they were without what is known to have moved them, and what is said of those
//! to come.

use std::collections::BTreeMap;

use super::Run;
use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::demand::DemandNode;
use crate::forecast::models::monthly::{self, MonthlySeries};
use crate::forecast::models::paths::ResidualPath;
use crate::forecast::models::rare_days::PerColumn;
use crate::forecast::models::series::DailyForecast;
use crate::forecast::request::ForecastRequest;
use crate::forecast::weather::WeatherAhead;

/// A month is known if so much of its days is; the others are as their mean.
const KNOWN_PART_MIN: f64 = 0.8;
/// A day counts as known if so much of its volume stands on measured hours, as for the models of days.
const COVERAGE_MIN: f64 = 0.5;
/// Months of weather that are looked at: those the model of months reads.
const WEATHER_MONTHS: usize = 180;
/// Years that tell how a month's volume lies on its days.
const SHARE_YEARS: usize = 3;
/// Model of a node that is forecast by the months of its class.
pub(super) const CLASS_PROFILE: &str = "class_profile";
/// Model of a node whose days ahead are carried on, for want of months.
pub(super) const RECENT_MEAN: &str = "recent_mean";
/// A small share of a class varies more than the class: twice, for want of better.
const WIDENED: f64 = 2.0;

/// Days of the nodes before the origin's gas day, as they were.
pub(super) type Days = BTreeMap<DemandNode, BTreeMap<GasDay, f64>>;

/// Reads the days of a request.
pub(super) fn days_of(request: &ForecastRequest, today: GasDay) -> Days {
    let mut out = Days::new();
    let known = request.demand.iter().filter(|day| day.day < today);
    for day in known.filter(|day| day.coverage >= COVERAGE_MIN) {
        let of_node = out.entry(day.node.clone()).or_default();
        of_node.insert(day.day, day.volume_m3());
    }
    out
}

/// Months between two, none if `to` is earlier.
fn months_between(from: GasMonth, to: GasMonth) -> usize {
    let index = |month: GasMonth| i64::from(month.year) * 12 + i64::from(month.month);
    usize::try_from(index(to) - index(from)).unwrap_or(0)
}

/// The months of one node.
pub(super) struct NodeMonths<'a> {
    pub(super) node: DemandNode,
    days: Option<&'a BTreeMap<GasDay, f64>>,
    /// Without production changes, projects, factors and the festival; the last is the month before the
    /// one under way.
    normal: MonthlySeries,
    /// As they were.
    plain: Vec<f64>,
    festival: Festival,
}

/// What the festival does to days, as parts of the level.
#[derive(Debug, Clone, Default)]
pub(super) struct Festival {
    by_day: BTreeMap<GasDay, f64>,
}

impl Festival {
    /// From the columns of rare days, over the days `[from, to)`.
    pub(super) fn new(
        request: &ForecastRequest,
        node: &DemandNode,
        effects: &PerColumn,
        [from, to]: [GasDay; 2],
    ) -> Self {
        let by_day = crate::forecast::features::calendar::festival_days(
            &request.calendar,
            node,
            effects,
            [from, to],
        );
        Self { by_day }
    }

    /// Factor of a month's volume by the festival days among `days`.
    fn factor(&self, days: &[GasDay]) -> f64 {
        let effects = days.iter().filter_map(|day| self.by_day.get(day));
        let sum: f64 = effects.map(|effect| effect.clamp(-0.95, 1.0)).sum();
        (1.0 + sum / (days.len().max(1)) as f64).max(0.05)
    }
}

/// What is said of a node's months ahead, before changes, projects and factors.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) model: &'static str,
    /// m³ by month of the outlook, the one under way first; without the festival.
    pub(super) p50: Vec<f64>,
    pub(super) paths: Vec<ResidualPath>,
    /// By draw, how high it lies beside its expectation, where that is all there is to tell; else empty.
    pub(super) by_draw: Vec<f64>,
    pub(super) festival: Festival,
}

impl Said {
    /// Part of a month's volume that falls on some of its days, the festival in it.
    pub(super) fn part_on(&self, of: &NodeMonths<'_>, month: GasMonth, days: &[GasDay]) -> f64 {
        if days.is_empty() {
            return 0.0;
        }
        of.share_on(month, days) * self.festival.factor(days)
    }
}

impl<'a> NodeMonths<'a> {
    pub(super) fn new(
        run: &Run<'_>,
        node: DemandNode,
        days: Option<&'a BTreeMap<GasDay, f64>>,
        current: GasMonth,
        count: usize,
        effects: Option<&PerColumn>,
    ) -> Self {
        let request = run.request;
        let weather = request.weather.get(&node.zone).map(|zone| &zone.observed);
        let first_known = days.and_then(|days| days.keys().next()).copied();
        let first_weather = weather.and_then(|days| days.keys().next()).copied();
        let first = first_known.into_iter().chain(first_weather).min();
        let known = first.map_or(0, |day| months_between(day.month(), current));
        let known = known.clamp(1, WEATHER_MONTHS);
        let mut months = vec![current];
        for _ in 0..known {
            months.insert(0, months[0].previous());
        }
        for i in known..known + count {
            months.push(months[i].next());
        }
        let span = [
            months[0].first_day(),
            months[known + count - 1].next().first_day(),
        ];
        let festival = effects.map_or_else(Festival::default, |effects| {
            Festival::new(request, &node, effects, span)
        });
        let taken_out = run.taken_out.get(&node);
        let mut normal = MonthlySeries {
            months: months.clone(),
            values: Vec::with_capacity(known),
            temperatures: Vec::with_capacity(known),
        };
        let mut plain = Vec::with_capacity(known);
        for month in &months[..known] {
            let of_month = month.days();
            let mean_of = |value: &dyn Fn(&GasDay) -> Option<f64>| {
                let known: Vec<f64> = of_month.iter().filter_map(value).collect();
                let is_known = known.len() as f64 >= KNOWN_PART_MIN * of_month.len() as f64;
                let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
                if is_known { mean } else { f64::NAN }
            };
            let volume = |day: &GasDay| days.and_then(|days| days.get(day)).copied();
            let effect = |day: &GasDay| taken_out.and_then(|of| of.get(day)).copied();
            let without = |day: &GasDay| Some((volume(day)? - effect(day).unwrap_or(0.0)).max(0.0));
            let count = of_month.len() as f64;
            plain.push(count * mean_of(&volume));
            normal
                .values
                .push(count * mean_of(&without) / festival.factor(&of_month));
            let celsius = |day: &GasDay| weather.and_then(|days| days.get(day)).copied();
            normal.temperatures.push(mean_of(&celsius));
        }
        if !normal.temperatures.iter().any(|t| t.is_finite()) {
            normal.temperatures.clear();
        }
        Self {
            node,
            days,
            normal,
            plain,
            festival,
        }
    }

    fn origin(&self) -> usize {
        self.normal.values.len() - 1
    }

    /// What the model of months says; none where it has less than a year.
    pub(super) fn by_months(&self, count: usize) -> Option<Said> {
        let ahead = if self.normal.temperatures.is_empty() {
            WeatherAhead::None
        } else {
            WeatherAhead::Climatology
        };
        let DailyForecast { model, p50, paths } =
            monthly::forecast(&self.normal, self.origin(), count, ahead, &[])?;
        (model == monthly::NAME).then_some(Said {
            model,
            p50,
            paths,
            by_draw: Vec::new(),
            festival: self.festival.clone(),
        })
    }

    /// First month of which anything is known.
    pub(super) fn first_known(&self) -> Option<GasMonth> {
        Some(self.days?.keys().next()?.month())
    }

    /// The same month of the latest of three years known; zero where the node had no gas then though others,
    /// from `first_of_all` on, are known.
    pub(super) fn naive_m3(&self, month: GasMonth, first_of_all: Option<GasMonth>) -> Option<f64> {
        let mut then = month;
        for _ in 0..3 {
            then = then.last_year();
            let at = self.normal.months.iter().position(|m| *m == then);
            let known = at.and_then(|i| self.plain.get(i)).copied();
            if let Some(m3) = known.filter(|m3| m3.is_finite()) {
                return Some(m3);
            }
            let is_past = at.is_none_or(|i| i < self.plain.len());
            let is_before = self.first_known().is_none_or(|first| then < first);
            if is_past && is_before && first_of_all.is_some_and(|first| then >= first) {
                return Some(0.0);
            }
        }
        None
    }

    /// Part of a month's volume that falls on some of its days: as in the last years whose month is known day
    /// by day, else evenly.
    fn share_on(&self, month: GasMonth, days: &[GasDay]) -> f64 {
        let of_month = month.days();
        let even = days.len() as f64 / of_month.len() as f64;
        if days.len() == of_month.len() {
            return 1.0;
        }
        let Some(known) = self.days else { return even };
        let dates: Vec<u32> = days
            .iter()
            .map(|day| chrono::Datelike::day(&day.0))
            .collect();
        let (mut shares, mut years, mut then) = (0.0, 0.0, month);
        for _ in 0..SHARE_YEARS {
            then = then.last_year();
            let volumes: Vec<Option<f64>> = then
                .days()
                .iter()
                .map(|day| known.get(day).copied())
                .collect();
            if volumes.iter().any(Option::is_none) {
                continue;
            }
            // Without the festival, which lies on other days each year.
            let plain = |(day, m3): (GasDay, &Option<f64>)| {
                m3.unwrap_or(0.0) / self.festival.factor(&[day])
            };
            let by_day: Vec<f64> = then.days().into_iter().zip(&volumes).map(plain).collect();
            let total: f64 = by_day.iter().sum();
            let on: f64 = (1..)
                .zip(&by_day)
                .filter(|(date, _)| dates.contains(date))
                .map(|(_, m3)| m3)
                .sum();
            if total > 0.0 {
                shares += on / total;
                years += 1.0;
            }
        }
        if years > 0.0 { shares / years } else { even }
    }

    /// Volume of a day of the month under way, and whether it was filled: with the mean of the node's days
    /// known in the two weeks before `today`.
    pub(super) fn known_m3(&self, day: GasDay, today: GasDay) -> (f64, bool) {
        let Some(days) = self.days else {
            return (0.0, false);
        };
        if let Some(m3) = days.get(&day) {
            return (*m3, false);
        }
        let recent: Vec<f64> = days.range(today.plus(-14)..today).map(|of| *of.1).collect();
        if recent.is_empty() {
            return (0.0, false);
        }
        (recent.iter().sum::<f64>() / recent.len() as f64, true)
    }
}

/// A node's months as those of others of its class, by what the run says of both: `ratio` of theirs.
pub(super) fn by_class(others: &[&Said], ratio: f64) -> Option<Said> {
    let first = *others.first()?;
    let months = first.p50.len();
    let p50: Vec<f64> = (0..months)
        .map(|month| ratio * others.iter().map(|of| of.p50[month]).sum::<f64>())
        .collect();
    let total = |of: &Said| of.p50.iter().sum::<f64>();
    let all: f64 = others.iter().copied().map(total).sum();
    // The largest of them lends what it missed.
    let largest = others.iter().copied();
    let lender = largest
        .max_by(|a, b| total(a).total_cmp(&total(b)))
        .unwrap_or(first);
    let lent = total(lender);
    let scale = if lent > 0.0 {
        WIDENED * ratio * all / lent
    } else {
        0.0
    };
    let paths = lender.paths.iter().map(|path| ResidualPath {
        origin: path.origin,
        residuals: path.residuals.iter().map(|m3| scale * m3).collect(),
    });
    Some(Said {
        model: CLASS_PROFILE,
        p50,
        paths: paths.collect(),
        by_draw: Vec::new(),
        festival: lender.festival.clone(),
    })
}
