//! The model of one daily series: base regression, correction by lead, residual paths.
//!
//! Fits are made on a grid of cuts four weeks apart, fixed in the calendar. A forecast at an origin
//! uses the latest cut not after it, past origins use theirs: so past errors are out of sample and
//! of the same kind as the error to come, and a rolling backtest pays for each cut once.

mod learning;
mod near;
mod options;
mod rare;
mod view;
mod weighing;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use self::learning::Learnt;
use self::learning::{block_of, said_before};
pub use self::options::{DailyOptions, Weighing};
use self::view::Weather;
use crate::forecast::features::calendar::{
    CALENDAR_FEATURES, LOCAL_FEATURES, calendar_features, local_features,
};
use crate::forecast::features::temperature::{Felt, SLOW_DAYS};
use crate::forecast::linear::Design;
use crate::forecast::models::base::{BaseChain, BaseFit, BaseInput};
use crate::forecast::models::blend::Members;
use crate::forecast::models::correction::{RESIDUAL_DAYS, lead_group};
use crate::forecast::models::seasonal_naive;
use crate::forecast::models::series::{DailyForecast, DailySeries};
use crate::forecast::weather::{Climatology, WeatherAhead, ahead_of_origin};

/// Name of the regression in results.
pub const REGRESSION: &str = "regression";
/// Complete days the regression needs before its first cut.
pub const REGRESSION_DAYS_MIN: usize = 90;
const CUT_DAYS: usize = 28;
/// First lead at which other members have a say.
const BLEND_FROM_LEAD: usize = 8;

/// A daily series with its fits.
#[derive(Debug)]
pub struct DailyModel {
    series: DailySeries,
    /// The series before anything was taken out of it.
    whole: Option<DailySeries>,
    options: DailyOptions,
    fixed: Design,
    felt: Option<Vec<Felt>>,
    /// Complete days up to and with each.
    known: Vec<usize>,
    /// The first day, on which the grid of cuts depends.
    epoch_day: Option<usize>,
    chain: BaseChain,
    fits: BTreeMap<usize, Option<Arc<CutFit>>>,
    /// What was expected of rare days and taken out of the series.
    expected: rare::Expected,
}

/// A fit with its expectations, under observed weather, of the days around its cut.
#[derive(Debug)]
struct CutFit {
    base: BaseFit,
    expected_from: usize,
    expected: Vec<f64>,
    /// What festival and local calendar do to each day, m³; empty unless they are set apart.
    apart: Vec<f64>,
    /// The values without it, and estimated ones as they are [believed](DailyModel::believed); empty where
    /// that makes no difference.
    plain: Vec<f64>,
}

impl CutFit {
    /// What is set apart of a day, m³.
    fn apart(&self, index: usize) -> f64 {
        self.apart.get(index).copied().unwrap_or(0.0)
    }
}

impl DailyModel {
    /// Takes a series; `values` may reach beyond the first origin asked for, later days are not
    /// read by it.
    pub fn new(series: DailySeries, options: DailyOptions) -> Self {
        let fixed = fixed_of(&series);
        let epoch = series.first();
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
            epoch_day: usize::try_from(epoch.epoch_day()).ok(),
            series,
            whole: None,
            options,
            fixed,
            felt,
            known,
            chain: BaseChain::default(),
            fits: BTreeMap::new(),
            expected: rare::Expected::default(),
        }
    }

    /// The series as it was given.
    pub fn series(&self) -> &DailySeries {
        self.whole.as_ref().unwrap_or(&self.series)
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
        let learnt = self.learn(origin, horizon, ahead, is_known(ahead, horizon, given));
        self.say(learnt.as_ref(), origin, horizon, ahead, given)
    }

    /// What [`DailyModel::say`] needs of the past at `origin`; none where history is too short for a
    /// regression.
    ///
    /// It depends on the series up to `origin`, its calendar `horizon` days on, the options, what was
    /// [expected](DailyModel::expecting) of rare days, and nothing else; so it may be kept for as long
    /// as these are the same. `is_known` is that of the weather ahead, see [`is_known`].
    pub fn learn(
        &mut self,
        origin: usize,
        horizon: usize,
        ahead: WeatherAhead,
        is_known: bool,
    ) -> Option<Learnt> {
        if self.series.days_known(origin) < seasonal_naive::DAYS_MIN {
            return None;
        }
        let cut = self.cut_of(origin)?;
        let past = self.past_origins(origin, horizon);
        let near = self.near_origins(origin, horizon);
        for at in past.iter().chain(&near) {
            if let Some(cut) = self.cut_of(*at) {
                self.prepare(cut, horizon);
            }
        }
        if !self.prepare(cut, horizon) {
            return None;
        }
        let (climate_first, climate) = self.series.climate_until(origin);
        let climatology = if is_known || self.felt.is_none() {
            Climatology::default()
        } else {
            Climatology::new(climate_first, climate)
        };
        let weather = Weather {
            ahead,
            climatology: &climatology,
        };
        let mut views = Vec::with_capacity(past.len());
        for at in past {
            if let Some(fit) = self.fit_at(at) {
                views.push(self.seen_from(at, fit, horizon, &weather, None));
            }
        }
        let near = self.near_week(&near, origin, &weather);
        let near = near.as_ref();
        let first_lead = near.map_or(1, |_| BLEND_FROM_LEAD);
        let corrections = self.corrections(&views, origin, first_lead..=horizon);
        // Lead by lead of each past origin.
        let mut past_members: Vec<Members> = Vec::with_capacity(views.len() * horizon);
        for (i, view) in views.iter().enumerate() {
            // What it would have been corrected by, had it not been learnt from.
            let part = block_of(i, views.len());
            let honest = |lead| {
                near.and_then(|near| near.without(view.at, lead))
                    .unwrap_or(&corrections[lead_group(lead)].without[part])
            };
            past_members.extend((1..=horizon).map(|lead| self.members(view, lead, honest(lead))));
        }
        let blends = self.blends(&views, &past_members, horizon, origin);
        let past = said_before(&views, &past_members, &blends, origin, horizon);
        Some(Learnt {
            fit: Arc::clone(self.fit_at(origin)?),
            climatology,
            corrections: (1..=horizon)
                .map(|lead| {
                    let of_week = near.and_then(|near| near.of(lead));
                    *of_week.unwrap_or(&corrections[lead_group(lead)].all)
                })
                .collect(),
            blends,
            past,
        })
    }

    /// The forecast of the `horizon` days after `origin` by what was [learnt](DailyModel::learn) there
    /// for the same leads and weather; else as [`DailyModel::forecast`] says.
    pub fn say(
        &self,
        learnt: Option<&Learnt>,
        origin: usize,
        horizon: usize,
        ahead: WeatherAhead,
        given: &[f64],
    ) -> Option<DailyForecast> {
        if self.series.days_known(origin) < seasonal_naive::DAYS_MIN {
            return None;
        }
        let forecast = match learnt {
            Some(learnt) => self.regression(learnt, origin, horizon, ahead, given),
            None => {
                seasonal_naive::forecast(&self.series, origin, horizon, self.options.path_days)?
            }
        };
        Some(self.with_expected(forecast, origin))
    }

    /// The seasonal-naive forecast of the same days, plain whatever is expected of rare ones.
    pub fn baseline(&self, origin: usize, horizon: usize) -> Option<DailyForecast> {
        seasonal_naive::forecast(self.series(), origin, horizon, self.options.path_days)
    }

    /// The latest cut a forecast at `origin` may use, if its history is long enough.
    fn cut_of(&self, origin: usize) -> Option<usize> {
        let usable = origin.checked_sub(self.options.fit_age_min)?;
        let back = (self.epoch_day? + usable) % CUT_DAYS;
        let cut = usable
            .checked_sub(back)
            .filter(|cut| *cut + 1 >= REGRESSION_DAYS_MIN)?;
        (*self.known.get(cut)? >= REGRESSION_DAYS_MIN).then_some(cut)
    }

    /// Days since the first origin at which the history was long enough for a regression.
    pub fn regression_age(&self, origin: usize) -> Option<usize> {
        let mut cut = self.cut_of(origin)?;
        while let Some(earlier) = cut.checked_sub(CUT_DAYS)
            && earlier + 1 >= REGRESSION_DAYS_MIN
            && self.known.get(earlier).copied() >= Some(REGRESSION_DAYS_MIN)
        {
            cut = earlier;
        }
        Some(origin - cut - self.options.fit_age_min)
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
            self.fits.insert(cut, Some(Arc::new(longer)));
        }
        if !self.fits.contains_key(&cut) {
            let input = BaseInput {
                series: &self.series,
                fixed: &self.fixed,
                felt: self.felt.as_deref(),
                options: &self.options.base,
                pull: &self.expected.pull,
            };
            let fit = self.chain.fit(input, cut, CUT_DAYS);
            let fit = fit.map(|base| Arc::new(self.around(cut, base, until)));
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
        let apart: Vec<f64> = if self.options.sets_calendar_apart {
            let rows = 0..self.fixed.rows();
            rows.map(|i| base.set_apart(self.fixed.row(i))).collect()
        } else {
            Vec::new()
        };
        let believed = self.believed(&base);
        let plain = match believed {
            Some(believed) if apart.is_empty() => believed,
            believed => {
                let values = believed.as_ref().unwrap_or(&self.series.values);
                let values = values.iter().zip(&apart);
                values.map(|(value, apart)| value - apart).collect()
            }
        };
        CutFit {
            base,
            expected_from,
            expected,
            apart,
            plain,
        }
    }

    fn fit_at(&self, origin: usize) -> Option<&Arc<CutFit>> {
        self.fits.get(&self.cut_of(origin)?)?.as_ref()
    }

    fn regression(
        &self,
        learnt: &Learnt,
        origin: usize,
        horizon: usize,
        ahead: WeatherAhead,
        given: &[f64],
    ) -> DailyForecast {
        let (climate_first, climate) = self.series.climate_until(origin);
        let weather = Weather {
            ahead,
            climatology: &learnt.climatology,
        };
        let now_temperatures = if self.felt.is_some() {
            ahead_of_origin(
                ahead,
                &learnt.climatology,
                climate_first,
                climate,
                given,
                horizon,
            )
        } else {
            Vec::new()
        };
        let now = self.seen_from(
            origin,
            &learnt.fit,
            horizon,
            &weather,
            Some(now_temperatures),
        );
        let p50: Vec<f64> = (1..=horizon)
            .map(|lead| {
                learnt.blends[lead_group(lead)]
                    .of(self.members(&now, lead, &learnt.corrections[lead - 1]))
                    .max(0.0)
            })
            .collect();
        let paths = self.paths(learnt, origin, &p50);
        DailyForecast {
            model: REGRESSION,
            p50,
            paths,
        }
    }
}

/// Whether the weather of all days ahead is given and true.
pub fn is_known(ahead: WeatherAhead, horizon: usize, given: &[f64]) -> bool {
    ahead == WeatherAhead::Perfect && given.len() >= horizon && given.iter().all(|t| t.is_finite())
}

/// Calendar features of every day; the local ones only where a day has any.
fn fixed_of(series: &DailySeries) -> Design {
    let (days, epoch) = (&series.traits, series.first());
    if !days.iter().any(|day| day.local.is_any()) {
        let mut fixed = Design::new(CALENDAR_FEATURES);
        for index in 0..days.len() {
            fixed.push(&calendar_features(days, index, epoch));
        }
        return fixed;
    }
    let mut fixed = Design::new(CALENDAR_FEATURES + LOCAL_FEATURES);
    let mut row = [0.0; CALENDAR_FEATURES + LOCAL_FEATURES];
    for (index, day) in days.iter().enumerate() {
        let (national, local) = row.split_at_mut(CALENDAR_FEATURES);
        national.copy_from_slice(&calendar_features(days, index, epoch));
        local.copy_from_slice(&local_features(day));
        fixed.push(&row);
    }
    fixed
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
