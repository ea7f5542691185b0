//! Digests of everything that something is learnt from.
//!
//! Each structure is taken apart by name, so that a field that is added does not compile until it is
//! in the key.

use std::hash::{Hash, Hasher};

use sha2::{Digest as _, Sha256};

use crate::domain::calendar::GasDay;
use crate::forecast::features::calendar::DayTraits;
use crate::forecast::linear::Penalty;
use crate::forecast::models::base::BaseOptions;
use crate::forecast::models::correction::CorrectionOptions;
use crate::forecast::models::daily::{DailyOptions, Weighing};
use crate::forecast::models::rare_days::ClassPrior;
use crate::forecast::models::series::DailySeries;
use crate::forecast::models::shape::ShapeDay;
use crate::forecast::weather::{ForecastSkill, WeatherAhead};

/// SHA-256 of what a lesson is learnt from, and of what kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 32]);

/// Puts a key together. Not to be stored: its bytes are those of this machine and program.
#[derive(Debug, Clone)]
pub struct KeyMaker(Writer);

/// SHA-256 as the derived `Hash` of calendar types writes to it: a few bytes at a time, which are gathered.
#[derive(Debug, Clone, Default)]
struct Writer {
    sha: Sha256,
    gathered: Vec<u8>,
}

/// Bytes that are gathered.
const GATHERED_MAX: usize = 4_096;

impl Writer {
    fn digest(&self) -> [u8; 32] {
        self.sha
            .clone()
            .chain_update(&self.gathered)
            .finalize()
            .into()
    }
}

impl Hasher for Writer {
    fn write(&mut self, bytes: &[u8]) {
        if self.gathered.len() + bytes.len() > GATHERED_MAX {
            self.sha.update(&self.gathered);
            self.gathered.clear();
        }
        self.gathered.extend_from_slice(bytes);
    }

    /// Not asked for: 64 bits are too few to trust.
    fn finish(&self) -> u64 {
        0
    }
}

impl KeyMaker {
    /// A key of a kind of lesson.
    pub fn new(kind: &str) -> Self {
        let mut writer = Writer::default();
        kind.hash(&mut writer);
        Self(writer)
    }

    /// The key of what was added so far.
    pub fn key(&self) -> Key {
        Key(self.0.digest())
    }

    /// Adds a key of a part.
    pub fn part(&mut self, key: &Key) -> &mut Self {
        self.0.write(&key.0);
        self
    }

    /// Adds a number.
    pub fn number(&mut self, number: usize) -> &mut Self {
        number.hash(&mut self.0);
        self
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        text.hash(&mut self.0);
        self
    }

    /// Adds a gas day.
    pub fn day(&mut self, day: GasDay) -> &mut Self {
        day.hash(&mut self.0);
        self
    }

    /// Adds values bit by bit, and how many there are.
    pub fn values(&mut self, values: &[f64]) -> &mut Self {
        values.len().hash(&mut self.0);
        let mut bytes = [0; 256];
        for some in values.chunks(bytes.len() / 8) {
            for (bytes, value) in bytes.chunks_exact_mut(8).zip(some) {
                bytes.copy_from_slice(&value.to_bits().to_le_bytes());
            }
            self.0.write(&bytes[..some.len() * 8]);
        }
        self
    }

    /// Adds the calendar of days.
    pub fn traits(&mut self, days: &[DayTraits]) -> &mut Self {
        days.hash(&mut self.0);
        self
    }

    /// Adds a series.
    pub fn series(&mut self, series: &DailySeries) -> &mut Self {
        let DailySeries {
            values,
            traits,
            temperatures,
            deviations,
            climate,
        } = series;
        self.values(values)
            .traits(traits)
            .values(temperatures)
            .values(deviations)
            .values(climate)
    }

    /// Adds a day with its hours.
    pub fn shape_day(&mut self, day: &ShapeDay) -> &mut Self {
        let ShapeDay {
            traits,
            temperature,
            hours,
        } = day;
        self.traits(std::slice::from_ref(traits))
            .values(&[*temperature])
            .values(hours)
    }

    /// Adds the choices of a model.
    pub fn options(&mut self, options: &DailyOptions) -> &mut Self {
        let DailyOptions {
            base,
            correction,
            path_days,
            late_path_days,
            examples_max,
            late_examples_max,
            late_penalty,
            fit_age_min,
            sets_calendar_apart,
            weighing,
        } = options;
        let BaseOptions {
            penalty,
            half_life_days,
            season_floor,
            season_width_days,
            clip,
            history_days,
        } = base;
        self.penalty(penalty)
            .values(&[*half_life_days, *season_floor, *season_width_days, *clip])
            .number(*history_days);
        let CorrectionOptions {
            penalty,
            relative_at_lead_1,
            half_life_days,
            season_floor,
            clip,
        } = correction;
        self.penalty(penalty)
            .values(&[*relative_at_lead_1, *half_life_days, *season_floor, *clip])
            .values(&[*late_penalty])
            .number(*path_days)
            .number(*late_path_days)
            .number(*examples_max)
            .number(*late_examples_max)
            .number(*fit_age_min)
            .number(usize::from(*sets_calendar_apart))
            .number(usize::from(*weighing == Weighing::All))
    }

    fn penalty(&mut self, penalty: &Penalty) -> &mut Self {
        let Penalty {
            relative,
            pseudo_days,
        } = penalty;
        self.values(&[*relative, *pseudo_days])
    }

    /// Adds what weather is known ahead.
    pub fn ahead(&mut self, ahead: WeatherAhead) -> &mut Self {
        match ahead {
            WeatherAhead::None => self.number(0),
            WeatherAhead::Perfect => self.number(1),
            WeatherAhead::Climatology => self.number(2),
            WeatherAhead::Forecast(ForecastSkill {
                full_days,
                climate_from,
                first_sd_k,
                growth_k,
            }) => self
                .number(3)
                .number(full_days)
                .number(climate_from)
                .values(&[first_sd_k, growth_k]),
        }
    }

    /// Adds what alike customers say of rare days.
    pub fn prior(&mut self, prior: Option<&ClassPrior>) -> &mut Self {
        let Some(ClassPrior { effects, pull }) = prior else {
            return self.number(0);
        };
        self.number(1).values(effects).values(pull)
    }
}
