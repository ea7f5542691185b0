//! The model of one daily series: base regression, correction by lead, residual paths.
//!
//! Fits are made on a grid of cuts four weeks apart, fixed in the calendar. A forecast at an origin
//! uses the latest cut not after it, past origins use theirs: so past errors are out of sample and
//! of the same kind as the error to come, and a rolling backtest pays for each cut once.

use std::collections::BTreeMap;

use crate::domain::calendar::GasDay;
use crate::forecast::features::calendar::{
    CALENDAR_FEATURES, DayTraits, calendar_features, year_angle,
};
use crate::forecast::features::temperature::{Felt, SLOW_DAYS};
use crate::forecast::linear::Design;
use crate::forecast::models::bands::scale_by_record;
use crate::forecast::models::base::{BaseChain, BaseFit, BaseInput, BaseOptions};
use crate::forecast::models::blend::{Blend, Case, Known, Members};
use crate::forecast::models::correction::{
    BLOCKS, CORRECTION_FEATURES, Correction, CorrectionOptions, Corrections, Examples,
    KnownResiduals, LEAD_GROUPS, RESIDUAL_DAYS, Target, lead_group,
};
use crate::forecast::models::paths::{ResidualPath, fill_unknown, level_factor};
use crate::forecast::models::seasonal_naive;
use crate::forecast::weather::{Climatology, WeatherAhead, ahead_of_origin, ahead_of_past_origin};

/// A daily series without holes in its calendar.
#[derive(Debug, Clone, Default)]
pub struct DailySeries {
    /// Daily volumes, m³; NaN where a day is not known.
    pub values: Vec<f64>,
    /// Calendar of the same days and at least `horizon + 1` more.
    pub traits: Vec<DayTraits>,
    /// Observed daily mean temperatures of the same days, °C; NaN where unknown, empty if none.
    pub temperatures: Vec<f64>,
}

impl DailySeries {
    /// First day.
    pub fn first(&self) -> GasDay {
        self.traits
            .first()
            .map_or(GasDay::from_epoch_day(0), |t| t.day)
    }

    /// Complete days up to and with `origin`.
    pub fn days_known(&self, origin: usize) -> usize {
        self.values
            .iter()
            .take(origin + 1)
            .filter(|v| v.is_finite())
            .count()
    }

    /// Mean of the last year up to `origin`, m³; 0 if nothing is known.
    pub fn typical_level(&self, origin: usize) -> f64 {
        let from = (origin + 1).saturating_sub(365);
        let known: Vec<f64> = self.values[from..=origin]
            .iter()
            .copied()
            .filter(|v| v.is_finite())
            .collect();
        if known.is_empty() {
            0.0
        } else {
            known.iter().sum::<f64>() / known.len() as f64
        }
    }
}

/// Choices of the daily model, made on data before any scored origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DailyOptions {
    /// The base regression.
    pub base: BaseOptions,
    /// The correction by lead.
    pub correction: CorrectionOptions,
    /// Past origins up to this age are learnt from and make residual paths.
    pub path_days: usize,
    /// The same of forecasts beyond a week: months that are like the one to come are few.
    pub late_path_days: usize,
    /// Most leads × past origins looked at, which bounds the time of one forecast.
    pub examples_max: usize,
    /// The same of forecasts beyond a week, whose leads are alike.
    pub late_examples_max: usize,
    /// Ridge of the correction beyond a week, relative: far ahead, errors of today say little.
    pub late_penalty: f64,
    /// Days a fit is old at least when it is used, so that the latest residuals are out of sample.
    pub fit_age_min: usize,
}

impl Default for DailyOptions {
    fn default() -> Self {
        Self {
            base: BaseOptions::default(),
            correction: CorrectionOptions::default(),
            path_days: 730,
            late_path_days: 1_460,
            examples_max: 15_000,
            late_examples_max: 8_000,
            late_penalty: 3.0,
            fit_age_min: 0,
        }
    }
}

impl DailyOptions {
    /// Age of the past origins that a forecast of `horizon` days looks back to.
    pub fn path_days_of(&self, horizon: usize) -> usize {
        if horizon < BLEND_FROM_LEAD {
            self.path_days
        } else {
            self.late_path_days
        }
    }
}

/// Point forecast and residual paths of a daily series.
#[derive(Debug, Clone, PartialEq)]
pub struct DailyForecast {
    /// Model the point forecast comes from.
    pub model: &'static str,
    /// Expected volume by lead 1, 2, …, m³; not below zero.
    pub p50: Vec<f64>,
    /// Residual paths scaled to this forecast's level, earliest origin first.
    pub paths: Vec<ResidualPath>,
}

/// Name of the regression in results.
pub const REGRESSION: &str = "regression";
/// Complete days the regression needs before its first cut.
pub const REGRESSION_DAYS_MIN: usize = 90;
/// Days of history from which on past fits knew enough of the year to speak of far leads.
const SEASONS_MET_DAYS: usize = 480;
const CUT_DAYS: usize = 28;
/// First lead at which other members have a say.
const BLEND_FROM_LEAD: usize = 8;

/// The part of the past that a view is in.
const fn block_of(index: usize, count: usize) -> usize {
    index * BLOCKS / count
}

/// A daily series with its fits.
#[derive(Debug)]
pub struct DailyModel {
    series: DailySeries,
    options: DailyOptions,
    fixed: Design,
    felt: Option<Vec<Felt>>,
    /// Complete days up to and with each.
    known: Vec<usize>,
    chain: BaseChain,
    fits: BTreeMap<usize, Option<CutFit>>,
}

/// A fit with its expectations, under observed weather, of the days around its cut.
#[derive(Debug)]
struct CutFit {
    base: BaseFit,
    expected_from: usize,
    expected: Vec<f64>,
}

impl DailyModel {
    /// Takes a series; `values` may reach beyond the first origin asked for, later days are not
    /// read by it.
    pub fn new(series: DailySeries, options: DailyOptions) -> Self {
        let mut fixed = Design::new(CALENDAR_FEATURES);
        let epoch = series.first();
        for index in 0..series.traits.len() {
            fixed.push(&calendar_features(&series.traits, index, epoch));
        }
        let felt = felt_of(&series.temperatures);
        let known = series
            .values
            .iter()
            .scan(0, |known, value| {
                *known += usize::from(value.is_finite());
                Some(*known)
            })
            .collect();
        Self {
            series,
            options,
            fixed,
            felt,
            known,
            chain: BaseChain::default(),
            fits: BTreeMap::new(),
        }
    }

    /// The series.
    pub fn series(&self) -> &DailySeries {
        &self.series
    }

    /// Forecasts the `horizon` days after `origin`, the index of the last day known.
    ///
    /// `given` are the temperatures the forecast may use, by lead; unknown ones are NaN or absent
    /// and replaced by climatology. Falls back to `seasonal_naive` where history is short; none if
    /// even that cannot be.
    pub fn forecast(
        &mut self,
        origin: usize,
        horizon: usize,
        ahead: WeatherAhead,
        given: &[f64],
    ) -> Option<DailyForecast> {
        if self.series.days_known(origin) < seasonal_naive::DAYS_MIN {
            return None;
        }
        self.regression(origin, horizon, ahead, given)
            .or_else(|| self.baseline(origin, horizon))
    }

    /// The seasonal-naive forecast of the same days.
    pub fn baseline(&self, origin: usize, horizon: usize) -> Option<DailyForecast> {
        seasonal_naive::forecast(&self.series, origin, horizon, self.options.path_days)
    }

    /// The latest cut a forecast at `origin` may use, if its history is long enough.
    fn cut_of(&self, origin: usize) -> Option<usize> {
        let usable = origin.checked_sub(self.options.fit_age_min)?;
        let epoch = usize::try_from(self.series.first().epoch_day()).ok()?;
        let back = (epoch + usable) % CUT_DAYS;
        let cut = usable
            .checked_sub(back)
            .filter(|cut| *cut + 1 >= REGRESSION_DAYS_MIN)?;
        (*self.known.get(cut)? >= REGRESSION_DAYS_MIN).then_some(cut)
    }

    /// Makes the fit of a cut and its expectations for days up to `horizon` after the origins that
    /// use it; false if there is none.
    fn prepare(&mut self, cut: usize, horizon: usize) -> bool {
        let until = cut + CUT_DAYS + self.options.fit_age_min + horizon;
        let until = until.min(self.series.values.len());
        if let Some(Some(fit)) = self.fits.get(&cut)
            && fit.expected_from + fit.expected.len() < until
        {
            let longer = self.around(cut, fit.base.clone(), until);
            self.fits.insert(cut, Some(longer));
        }
        if !self.fits.contains_key(&cut) {
            let input = BaseInput {
                series: &self.series,
                fixed: &self.fixed,
                felt: self.felt.as_deref(),
                options: &self.options.base,
            };
            let fit = self.chain.fit(input, cut, CUT_DAYS);
            let fit = fit.map(|base| self.around(cut, base, until));
            self.fits.insert(cut, fit);
        }
        self.fits.get(&cut).is_some_and(Option::is_some)
    }

    fn around(&self, cut: usize, base: BaseFit, until: usize) -> CutFit {
        let expected_from = cut.saturating_sub(RESIDUAL_DAYS);
        let expected = (expected_from..until)
            .map(|i| {
                base.predict(
                    &self.series,
                    &self.fixed,
                    i,
                    self.felt.as_ref().map(|f| f[i]),
                )
            })
            .collect();
        CutFit {
            base,
            expected_from,
            expected,
        }
    }

    fn fit_at(&self, origin: usize) -> Option<&CutFit> {
        self.fits.get(&self.cut_of(origin)?)?.as_ref()
    }

    fn regression(
        &mut self,
        origin: usize,
        horizon: usize,
        ahead: WeatherAhead,
        given: &[f64],
    ) -> Option<DailyForecast> {
        let cut = self.cut_of(origin)?;
        let past = self.past_origins(origin, horizon);
        for at in &past {
            if let Some(cut) = self.cut_of(*at) {
                self.prepare(cut, horizon);
            }
        }
        if !self.prepare(cut, horizon) {
            return None;
        }
        let known_weather = self.series.temperatures.get(..=origin).unwrap_or(&[]);
        let is_known = ahead == WeatherAhead::Perfect
            && given.len() >= horizon
            && given.iter().all(|t| t.is_finite());
        let climatology = if is_known || self.felt.is_none() {
            Climatology::default()
        } else {
            Climatology::new(self.series.first(), known_weather)
        };
        let weather = Weather {
            ahead,
            climatology: &climatology,
        };

        let now_temperatures = if self.felt.is_some() {
            ahead_of_origin(
                ahead,
                &climatology,
                self.series.first(),
                known_weather,
                given,
                horizon,
            )
        } else {
            Vec::new()
        };
        let now = self.seen_from(origin, horizon, &weather, Some(now_temperatures))?;
        let mut views = Vec::with_capacity(past.len());
        for at in past {
            if let Some(view) = self.seen_from(at, horizon, &weather, None) {
                views.push(view);
            }
        }
        let corrections = self.corrections(&views, origin, horizon);
        let past_members: Vec<Vec<Members>> = views
            .iter()
            .enumerate()
            .map(|(i, view)| {
                // What it would have been corrected by, had it not been learnt from.
                let part = block_of(i, views.len());
                let honest = |lead| &corrections[lead_group(lead)].without[part];
                (1..=horizon)
                    .map(|lead| self.members(view, lead, honest(lead)))
                    .collect()
            })
            .collect();
        let blends = self.blends(&views, &past_members, origin);
        let p50: Vec<f64> = (1..=horizon)
            .map(|lead| {
                blends[lead_group(lead)]
                    .of(self.members(&now, lead, &corrections[lead_group(lead)].all))
                    .max(0.0)
            })
            .collect();
        let paths = self.paths(&views, &past_members, &blends, origin, &p50);
        Some(DailyForecast {
            model: REGRESSION,
            p50,
            paths,
        })
    }

    /// Past origins to learn from, earliest first; every one has a cut of its own.
    fn past_origins(&self, origin: usize, horizon: usize) -> Vec<usize> {
        let first_value = self
            .series
            .values
            .iter()
            .position(|v| v.is_finite())
            .unwrap_or(0);
        let needs = |days: usize| first_value + days + self.options.fit_age_min;
        // Fits on less than a year say little of the next season; with more history they are left out.
        let earliest = if origin >= needs(365) + CUT_DAYS + horizon + 200 {
            needs(365) + CUT_DAYS
        } else {
            needs(REGRESSION_DAYS_MIN)
        };
        let reach = self.options.path_days_of(horizon);
        let earliest = earliest.max(origin.saturating_sub(reach));
        let count = origin.saturating_sub(earliest);
        let examples = if horizon < BLEND_FROM_LEAD {
            self.options.examples_max
        } else {
            self.options.late_examples_max
        };
        let most = (examples / horizon.max(1)).max(1);
        let mut step = count.div_ceil(most).max(1);
        if step % 7 == 0 {
            step += 1; // every weekday must be met
        }
        let mut past: Vec<usize> = (1..=count / step)
            .map(|k| k * step)
            .map(|back| origin - back)
            .filter(|at| self.series.values[*at].is_finite() && self.cut_of(*at).is_some())
            .collect();
        past.reverse();
        past
    }

    fn angle(&self, index: usize) -> f64 {
        year_angle(
            self.series.traits[index.min(self.series.traits.len() - 1)]
                .day
                .0,
        )
    }

    /// What was expected, and what was known of errors, at an origin; `temperatures` are those of
    /// the leads, re-created from observations if not given.
    fn seen_from(
        &self,
        at: usize,
        horizon: usize,
        weather: &Weather<'_>,
        temperatures: Option<Vec<f64>>,
    ) -> Option<View> {
        let fit = self.fit_at(at)?;
        let from = (at + 1)
            .saturating_sub(RESIDUAL_DAYS)
            .max(fit.expected_from);
        let expected_of = |i: usize| fit.expected.get(i.checked_sub(fit.expected_from)?).copied();
        let mut recent = Vec::with_capacity(RESIDUAL_DAYS);
        let mut expected_then = Vec::with_capacity(RESIDUAL_DAYS);
        for i in (from..=at).rev() {
            let expected = expected_of(i).unwrap_or(f64::NAN);
            recent.push(self.series.values[i] - expected);
            expected_then.push(expected);
        }
        let uses_weather = fit.base.uses_weather() && self.felt.is_some();
        let is_observed = temperatures.is_none() && weather.ahead == WeatherAhead::Perfect;
        let mut warmth = vec![f64::NAN; horizon];
        let expected: Vec<f64> = if !uses_weather || is_observed {
            // Cached for the days after the cut; without weather, also those not yet observed.
            let under_observed = |i: usize| {
                let felt = self.felt.as_ref().and_then(|f| f.get(i)).copied();
                fit.base.predict(&self.series, &self.fixed, i, felt)
            };
            if let Some(felt) = self.felt.as_ref().filter(|_| uses_weather) {
                for (today, felt) in warmth.iter_mut().zip(&felt[at + 1..]) {
                    *today = felt.today;
                }
            }
            (at + 1..=at + horizon)
                .map(|i| expected_of(i).unwrap_or_else(|| under_observed(i)))
                .collect()
        } else {
            let temperatures = temperatures.unwrap_or_else(|| {
                ahead_of_past_origin(
                    weather.ahead,
                    weather.climatology,
                    self.series.first(),
                    &self.series.temperatures,
                    at,
                    horizon,
                )
            });
            self.expected_under(fit, at, &temperatures, &mut warmth)
        };
        let effects = if uses_weather
            && !matches!(weather.ahead, WeatherAhead::None | WeatherAhead::Perfect)
        {
            self.weather_effects(fit, at, weather)
        } else {
            Vec::new()
        };
        let warmth_now = self.felt.as_ref().map_or(f64::NAN, |felt| felt[at].today);
        let known = KnownResiduals::new(&recent, &expected_then, &effects);
        let features = (1..)
            .zip(&expected)
            .map(|(lead, expected)| {
                let target = Target {
                    expected: *expected,
                    angle: self.angle(at + lead),
                    off: [at + lead, at].map(|i| self.series.traits[i].is_off()),
                    warmer: warmth[lead - 1] - warmth_now,
                };
                known.features(lead, &target)
            })
            .collect();
        Some(View {
            at,
            expected,
            features,
            level_ratio: seasonal_naive::level_ratio(&self.series.values, at),
            carried: [RESIDUAL_DAYS, 7]
                .map(|days| mean_of_known(&recent[..days.min(recent.len())])),
        })
    }

    /// Base expectations of the leads under given temperatures; `warmth` becomes what those are
    /// where gaps are filled.
    fn expected_under(
        &self,
        fit: &CutFit,
        at: usize,
        temperatures: &[f64],
        warmth: &mut [f64],
    ) -> Vec<f64> {
        let from = (at + 1).saturating_sub(SLOW_DAYS);
        let mut days = self.series.temperatures[from..=at].to_vec();
        let mut last = self.felt.as_ref().map(|f| f[at]);
        (0..)
            .zip(warmth)
            .map(|(i, today)| {
                days.push(temperatures.get(i).copied().unwrap_or(f64::NAN));
                let felt = Felt::new(&days);
                if felt.is_known() {
                    last = Some(felt);
                }
                *today = last.map_or(f64::NAN, |felt| felt.today);
                fit.base
                    .predict(&self.series, &self.fixed, at + 1 + i, last)
            })
            .collect()
    }

    /// How far the last week's weather moved the expectation from typical weather, latest first.
    fn weather_effects(&self, fit: &CutFit, at: usize, weather: &Weather<'_>) -> Vec<f64> {
        let first = self.series.first();
        let known = &self.series.temperatures[..=at];
        (0..7.min(at))
            .map(|back| {
                let i = at - back;
                let typical = weather
                    .climatology
                    .at(first, known, self.series.traits[i].day);
                let felt = Felt {
                    today: typical,
                    effective: typical,
                    slow: typical,
                };
                let under_typical = fit.base.predict(&self.series, &self.fixed, i, Some(felt));
                let expected = fit.expected.get(i.wrapping_sub(fit.expected_from)).copied();
                expected.map_or(f64::NAN, |e| e - under_typical)
            })
            .collect()
    }

    /// Corrections learnt from past views, by lead group.
    fn corrections(&self, views: &[View], origin: usize, horizon: usize) -> Vec<Corrections> {
        let groups = lead_group(horizon) + 1;
        let mut examples: Vec<Examples> = (0..groups)
            .map(|group| Examples::with_room_for(if group == 0 { 0 } else { views.len() }))
            .collect();
        let day = self.series.traits[origin].day;
        let mut part = 0;
        for (i, view) in views.iter().enumerate() {
            while part < block_of(i, views.len()) {
                examples.iter_mut().for_each(Examples::next_part);
                part += 1;
            }
            let past = self.series.traits[view.at].day;
            let weight = self.options.correction.weight_of(past, day);
            for lead in 1..=horizon.min(origin - view.at) {
                let missed = self.series.values[view.at + lead] - view.expected[lead - 1];
                if missed.is_finite() {
                    examples[lead_group(lead)].push(&view.features[lead - 1], missed, weight);
                }
            }
        }
        while part + 1 < BLOCKS {
            examples.iter_mut().for_each(Examples::next_part);
            part += 1;
        }
        let near = self.options.correction;
        let mut late = near;
        late.penalty.relative = self.options.late_penalty;
        late.relative_at_lead_1 = self.options.late_penalty;
        let is_new = self.is_new_to_a_season(origin);
        examples
            .iter()
            .enumerate()
            .map(
                |(group, of_lead)| match group < lead_group(BLEND_FROM_LEAD) {
                    true => Corrections::fit(of_lead, group, &near),
                    false if is_new => Corrections::level(),
                    false => Corrections::fit(of_lead, group, &late),
                },
            )
            .collect()
    }

    /// Whether the fits of past origins had not met the seasons that the present fit has: what they
    /// missed beyond a week says nothing of what it will miss.
    fn is_new_to_a_season(&self, origin: usize) -> bool {
        let first = self.series.values.iter().position(|v| v.is_finite());
        origin - first.unwrap_or(origin).min(origin) < SEASONS_MET_DAYS
    }

    /// What each member says of a lead.
    fn members(&self, view: &View, lead: usize, correction: &Correction) -> Members {
        let base = view.expected[lead - 1];
        let corrected = base + correction.of(&view.features[lead - 1]);
        if lead < BLEND_FROM_LEAD {
            return Members::regression(corrected);
        }
        let known = Known {
            values: &self.series.values,
            origin: view.at,
            level_ratio: view.level_ratio,
            carried: view.carried,
        };
        Members::new(&known, lead, corrected, base)
    }

    /// How the members are mixed, by lead group, as would have been best lately.
    fn blends(&self, views: &[View], members: &[Vec<Members>], origin: usize) -> Vec<Blend> {
        let mut cases: Vec<Vec<Case>> = vec![Vec::new(); LEAD_GROUPS];
        if self.is_new_to_a_season(origin) {
            return vec![Blend::REGRESSION; LEAD_GROUPS];
        }
        let day = self.series.traits[origin].day;
        for (view, members) in views.iter().zip(members) {
            let past = self.series.traits[view.at].day;
            let weight = self.options.correction.weight_of(past, day);
            // In the first week, what is known at the origin is in the correction already.
            for (lead, members) in (1..).zip(members).skip(BLEND_FROM_LEAD - 1) {
                let truth = match self.series.values.get(view.at + lead) {
                    Some(truth) if view.at + lead <= origin && truth.is_finite() => *truth,
                    _ => continue,
                };
                cases[lead_group(lead)].push(Case {
                    members: *members,
                    truth,
                    weight,
                    origin: view.at,
                });
            }
        }
        cases.iter().map(|cases| Blend::fit(cases)).collect()
    }

    fn paths(
        &self,
        views: &[View],
        members: &[Vec<Members>],
        blends: &[Blend],
        origin: usize,
        p50: &[f64],
    ) -> Vec<ResidualPath> {
        let horizon = p50.len();
        let complete = views.iter().filter(|v| v.at + horizon <= origin).count();
        let typical = self.series.typical_level(origin);
        let mut paths: Vec<ResidualPath> = views
            .iter()
            .zip(members)
            .filter(|(view, _)| complete < 60 || view.at + horizon <= origin)
            .map(|(view, members)| {
                let residuals = (1..=horizon)
                    .map(|lead| {
                        if view.at + lead > origin {
                            return f64::NAN;
                        }
                        let then = blends[lead_group(lead)].of(members[lead - 1]).max(0.0);
                        (self.series.values[view.at + lead] - then)
                            * level_factor(p50[lead - 1], then, typical)
                    })
                    .collect();
                ResidualPath {
                    origin: self.series.traits[view.at].day,
                    residuals,
                }
            })
            .collect();
        scale_by_record(&mut paths, self.series.traits[origin].day);
        fill_unknown(&mut paths);
        paths
    }
}

struct Weather<'a> {
    ahead: WeatherAhead,
    climatology: &'a Climatology,
}

/// An origin as it was seen: errors known, expectations ahead.
struct View {
    at: usize,
    expected: Vec<f64>,
    features: Vec<[f64; CORRECTION_FEATURES]>,
    /// Level of the last four weeks to that of the same weeks a year before.
    level_ratio: Option<f64>,
    /// Mean of the last 28 and of the last 7 known errors, m³.
    carried: [f64; 2],
}

fn mean_of_known(values: &[f64]) -> f64 {
    let (sum, count) = values
        .iter()
        .filter(|v| v.is_finite())
        .fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

/// What each day's weather was felt as; gaps keep the last known. None without temperatures.
fn felt_of(temperatures: &[f64]) -> Option<Vec<Felt>> {
    if !temperatures.iter().any(|t| t.is_finite()) {
        return None;
    }
    let mut last: Option<Felt> = None;
    let unknown = Felt {
        today: f64::NAN,
        effective: f64::NAN,
        slow: f64::NAN,
    };
    Some(
        (0..temperatures.len())
            .map(|i| {
                let from = (i + 1).saturating_sub(SLOW_DAYS);
                let felt = Felt::new(&temperatures[from..=i]);
                if felt.is_known() && temperatures[i].is_finite() {
                    last = Some(felt);
                }
                last.unwrap_or(unknown)
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests;
