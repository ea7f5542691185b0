//! A daily series that asks the memory before it learns.

use std::cell::OnceCell;
use std::mem::size_of;

use super::{Key, KeyMaker, Lesson, Recall};
use crate::domain::calendar::GasDay;
use crate::domain::id::RunId;
use crate::forecast::models::daily::{
    DailyModel, DailyOptions, Learnt, REGRESSION, Weighing, is_known,
};
use crate::forecast::models::rare_days::{ClassPrior, Evidence};
use crate::forecast::models::series::DailyForecast;
use crate::forecast::models::series::DailySeries;
use crate::forecast::weather::WeatherAhead;

/// What a series' model says.
pub(in crate::forecast) struct Said {
    pub(in crate::forecast) forecast: DailyForecast,
    /// The run that learnt it, if it is a regression.
    pub(in crate::forecast) learnt_by: Option<RunId>,
    /// Days since a regression became possible.
    pub(in crate::forecast) regression_age: Option<usize>,
}

/// A series whose last day is the origin, with the choices of its model.
pub(in crate::forecast) struct SeriesLessons {
    series: DailySeries,
    options: DailyOptions,
    key: OnceCell<Key>,
}

impl SeriesLessons {
    pub(in crate::forecast) fn new(series: DailySeries, options: DailyOptions) -> Self {
        Self {
            series,
            options,
            key: OnceCell::new(),
        }
    }

    /// The same, where estimated days count less in so much.
    pub(in crate::forecast) fn weighing(mut self, weighing: Weighing) -> Self {
        self.options.weighing = weighing;
        self.key = OnceCell::new();
        self
    }

    /// The series.
    pub(in crate::forecast) fn series(&self) -> &DailySeries {
        &self.series
    }

    fn origin(&self) -> usize {
        self.series.values.len().saturating_sub(1)
    }

    fn model(&self) -> DailyModel {
        DailyModel::new(self.series.clone(), self.options)
    }

    /// The digest of the series and the choices of its model.
    pub(in crate::forecast) fn key(&self) -> &Key {
        self.key.get_or_init(|| {
            let mut key = KeyMaker::new("series");
            key.series(&self.series).options(&self.options).key()
        })
    }

    /// What the series says of rare days.
    pub(in crate::forecast) fn rare_evidence(&self, recall: &Recall<'_>) -> Evidence {
        let key = || KeyMaker::new("rare evidence").part(self.key()).key();
        let (evidence, _) = recall.of(key, || self.model().rare_evidence(self.origin()));
        (*evidence).clone()
    }

    /// The forecast of the days after the last one, under the weather `given`. `prior` is what alike
    /// customers say of rare days.
    pub(in crate::forecast) fn forecast(
        &self,
        recall: &Recall<'_>,
        prior: Option<&ClassPrior>,
        ahead: WeatherAhead,
        given: &[f64],
    ) -> Option<Said> {
        let (origin, horizon) = (self.origin(), given.len());
        let is_known = is_known(ahead, horizon, given);
        let key = || {
            let mut key = KeyMaker::new("daily model");
            key.part(self.key())
                .number(horizon)
                .ahead(ahead)
                .number(usize::from(is_known))
                .prior(prior)
                .key()
        };
        let mut model = self.model();
        if let Some(prior) = prior {
            model = model.expecting(prior);
        }
        let (learnt, learnt_by) = recall.of(key, || model.learn(origin, horizon, ahead, is_known));
        let forecast = model.say(learnt.as_ref().as_ref(), origin, horizon, ahead, given)?;
        let is_regression = forecast.model == REGRESSION;
        Some(Said {
            forecast,
            learnt_by: is_regression.then_some(learnt_by),
            regression_age: model.regression_age(origin),
        })
    }

    /// The seasonal-naive forecast of the same days.
    pub(in crate::forecast) fn baseline(&self, horizon: usize) -> Option<DailyForecast> {
        self.model().baseline(self.origin(), horizon)
    }
}

impl Lesson for Evidence {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.days.len() * size_of::<(GasDay, f64)>()
    }
}

impl Lesson for Option<Learnt> {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.as_ref().map_or(0, Learnt::heap_bytes)
    }
}
