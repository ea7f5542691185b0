//! Temperatures of past years, which climatology reads in every forecast: each year of a mix of stations is
//! read once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::weather::StationMix;
use crate::forecast::weather::ZoneWeather;
use crate::run::app::App;
use crate::store::error::StoreError;

/// Daily means of past years by mix of stations and year; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct PastWeather(Arc<Mutex<BTreeMap<(String, i32), Year>>>);

#[derive(Debug, Clone)]
struct Year {
    means: Arc<BTreeMap<GasDay, f64>>,
    /// It says the same to whoever asks as of an instant from `known_from` on and before `known_until`.
    known_from: Option<DateTime<Utc>>,
    known_until: Option<DateTime<Utc>>,
    /// Commits to these hours that had been counted when it was read.
    writes: u64,
}

impl PastWeather {
    /// Daily means of the gas days of a year as known at an instant, °C.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn of_year(
        &self,
        app: &App,
        mix: &StationMix,
        year: i32,
        at: DateTime<Utc>,
    ) -> Result<Arc<BTreeMap<GasDay, f64>>, StoreError> {
        let clock = app.gas_day_clock();
        let january = |year| GasMonth { year, month: 1 }.first_day();
        let (from, to) = (
            clock.start_of(january(year)),
            clock.start_of(january(year + 1)),
        );
        let writes = app.book.observed_writes(mix, from, to);
        let key = (mix.as_str().to_owned(), year);
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_year) = kept().get(&key)
            && writes == Some(of_year.writes)
            && of_year.known_from.is_none_or(|from| from <= at)
            && of_year.known_until.is_none_or(|until| at < until)
        {
            return Ok(Arc::clone(&of_year.means));
        }
        let points = app.book.observed_of(mix, from, to, at)?;
        let means = Arc::new(ZoneWeather::from_points(clock, at, &points, &[], None).observed);
        if let Some(writes) = writes {
            let [known_from, known_until] = app.book.observed_news(mix, from, to, at)?;
            let of_year = Year {
                means: Arc::clone(&means),
                known_from,
                known_until,
                writes,
            };
            kept().insert(key, of_year);
        }
        Ok(means)
    }
}
