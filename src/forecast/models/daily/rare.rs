//! What a series says of rare days, and a prior of them taken out of it before anything is fitted.

use std::sync::Arc;

use super::weighing::Trusts;
use super::{BaseChain, DailyModel};
use crate::forecast::features::calendar::{RARE, season_distance};
use crate::forecast::linear::dot;
use crate::forecast::models::base::upper_median;
use crate::forecast::models::paths::level_factor;
use crate::forecast::models::rare_days::{
    ClassPrior, Evidence, OwnEffects, PerColumn, RARE_FEATURES,
};
use crate::forecast::models::series::DailyForecast;

/// Days that residuals and levels are taken from.
const RECENT_DAYS: usize = 1_100;
/// Days of festivals that tell a level.
const FESTIVAL_DAYS_MIN: usize = 20;
/// Days that are given as the series' course.
const COURSE_DAYS: usize = 365;
/// Errors of neighbouring days of a festival go together: three days are worth one.
const TOGETHER_DAYS: f64 = 3.0;
/// What a day counts at least that tells how large errors are.
const FIRM_TRUST: f64 = 0.5;
/// As if so few days without an effect had been seen, while effects are only to be pooled.
const PSEUDO_DAYS: f64 = 0.05;

/// A prior that was taken out.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// m³ by day; empty if none was.
    effects: Vec<f64>,
    /// Column and days of full weight.
    pub(super) pull: Vec<(usize, f64)>,
}

impl DailyModel {
    /// What the series up to and with `origin` says of rare days. Fits made before are forgotten.
    pub fn rare_evidence(&mut self, origin: usize) -> Evidence {
        let mut evidence = Evidence::default();
        let penalty = self.options.base.penalty;
        self.options.base.penalty.pseudo_days = PSEUDO_DAYS;
        if let Some((level, own)) = self.own_effects(origin) {
            evidence.level = Some(level);
            evidence.own = Some(own);
        }
        let fit = self.fit_at(origin).map(Arc::clone);
        let believed = fit.and_then(|fit| self.believed(&fit.base));
        let values = believed.as_ref().unwrap_or(&self.series.values);
        let known = values.iter().zip(&self.series.traits).take(origin + 1);
        let mut days: Vec<_> = known
            .filter(|(value, _)| value.is_finite())
            .map(|(value, traits)| (traits.day, *value))
            .collect();
        days.drain(..days.len().saturating_sub(COURSE_DAYS));
        evidence.days = days;
        self.options.base.penalty = penalty;
        self.forget_fits();
        evidence
    }

    fn forget_fits(&mut self) {
        self.chain = BaseChain::default();
        self.fits.clear();
    }

    /// Level around the festival, m³, and effects.
    fn own_effects(&mut self, origin: usize) -> Option<(f64, OwnEffects)> {
        let cut = self.cut_of(origin).filter(|cut| self.prepare(*cut, 0))?;
        let fit = Arc::clone(self.fits.get(&cut)?.as_ref()?);
        let (base, trusts) = (&fit.base, self.trusts(Some(&fit), cut));
        let coefficients = base.rare();
        let felt = |i: usize| self.felt.as_ref().map(|felt| felt[i]);
        let (mut sizes, mut squares, mut level) = (Vec::new(), (0.0, 0.0), Vec::new());
        for i in (cut + 1).saturating_sub(RECENT_DAYS)..=cut {
            let value = self.series.values[i];
            if !value.is_finite() {
                continue;
            }
            let expected = base.predict(&self.series, &self.fixed, i, felt(i));
            // What is mostly estimated does not tell how large errors are.
            if trusts.of(i) >= FIRM_TRUST {
                sizes.push((value - expected).abs());
            }
            if self.series.traits[i].festival.is_some() {
                let trust = trusts.of(i);
                squares.0 += trust * (value - expected).powi(2);
                squares.1 += trust;
                level.push(expected - dot(coefficients, &self.fixed.row(i)[RARE]));
            }
        }
        if level.len() < FESTIVAL_DAYS_MIN || sizes.is_empty() {
            return None;
        }
        let level = level.iter().sum::<f64>() / level.len() as f64;
        let square: f64 = squares.0 / squares.1;
        if level <= 0.0 || !level.is_finite() {
            return None;
        }
        let scale = 1.4826 * upper_median(&mut sizes)?;
        let noise = TOGETHER_DAYS * square.max(scale * scale) / (level * level);
        let (days, weights) = self.rare_information(cut, &trusts);
        let effects = std::array::from_fn(|j| coefficients[j] / level);
        Some((
            level,
            OwnEffects {
                effects,
                days,
                weights,
                noise: noise.max(1e-8),
            },
        ))
    }

    /// By column, how many days of one weight the weighted days are worth, and that weight.
    fn rare_information(&self, cut: usize, trusts: &Trusts) -> (PerColumn, PerColumn) {
        let options = &self.options.base;
        let centre = self.series.traits[cut].day.plus(14).0;
        let (mut once, mut twice) = ([0.0; RARE_FEATURES], [0.0; RARE_FEATURES]);
        let from = (cut + 1).saturating_sub(options.history_days);
        for i in from..=cut {
            let row = &self.fixed.row(i)[RARE];
            if !self.series.values[i].is_finite() || row.iter().all(|x| *x == 0.0) {
                continue;
            }
            let apart = season_distance(self.series.traits[i].day.0, centre);
            let same = (-0.5 * (apart / options.season_width_days).powi(2)).exp();
            let season = options.season_floor + (1.0 - options.season_floor) * same;
            let recent = 0.5_f64.powf((cut - i) as f64 / options.half_life_days);
            let weight = recent * season * trusts.of(i);
            for (j, x) in row.iter().enumerate() {
                once[j] += weight * x * x;
                twice[j] += weight * weight * x * x;
            }
        }
        let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        (
            std::array::from_fn(|j| ratio(once[j] * once[j], twice[j])),
            std::array::from_fn(|j| ratio(twice[j], once[j])),
        )
    }

    /// Takes what is expected of rare days out of the series; forecasts have it again.
    #[must_use]
    pub fn expecting(mut self, prior: &ClassPrior) -> Self {
        self.forget_fits();
        self.whole = Some(self.series.clone());
        let effects: Vec<f64> = (0..self.fixed.rows())
            .map(|i| dot(&prior.effects, &self.fixed.row(i)[RARE]))
            .collect();
        for (value, effect) in self.series.values.iter_mut().zip(&effects) {
            *value -= effect;
        }
        let pull = RARE.zip(prior.pull).filter(|(_, days)| *days > 0.0);
        self.expected = Expected {
            effects,
            pull: pull.collect(),
        };
        self
    }

    /// Gives a forecast back what was taken out of the series.
    pub(super) fn with_expected(
        &self,
        mut forecast: DailyForecast,
        origin: usize,
    ) -> DailyForecast {
        if self.expected.effects.is_empty() {
            return forecast;
        }
        let typical = self.series.typical_level(origin);
        for (lead, p50) in forecast.p50.iter_mut().enumerate() {
            let effect = self.expected.effects[origin + 1 + lead];
            if effect == 0.0 {
                continue;
            }
            let plain = *p50;
            *p50 = (plain + effect).max(0.0);
            let factor = level_factor(*p50, plain, typical);
            for path in &mut forecast.paths {
                if let Some(residual) = path.residuals.get_mut(lead) {
                    *residual *= factor;
                }
            }
        }
        forecast
    }
}
