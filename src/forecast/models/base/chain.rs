//! Fits at successive cuts from sums that are only added to.

use super::{BaseFit, BaseInput, is_rare, learnable};
use crate::forecast::features::calendar::{FIRST_HARMONIC, season_distance};
use crate::forecast::features::temperature::{
    Felt, Knots, TEMPERATURE_FEATURES, temperature_features,
};
use crate::forecast::linear::gram::{Gram, errors};
use crate::forecast::models::series::DailySeries;

/// Parts of the year that are summed apart.
const SEASONS: u32 = 13;
const LEAP_YEAR: u32 = 366;
const YEAR_DAYS: f64 = 365.25;
/// Reweightings at an anchor.
const ROUNDS: usize = 2;
/// Part of the scale of errors that the latest four weeks make.
const SCALE_NEWS: f64 = 0.3;
/// A day counts as known well from this weight on.
const TRUST_MIN: f64 = 0.5;
/// From this history on, anchors lie so many days apart.
const ANCHOR_DAYS: usize = 1096;

/// The fits of a series, cut after cut.
#[derive(Debug, Default)]
pub struct BaseChain {
    stage: Option<Stage>,
}

impl BaseChain {
    /// The fit of the days `..=cut`; the same whichever cuts were asked for before.
    ///
    /// `grid` is how far cuts lie apart. None if too few days have a value.
    pub fn fit(&mut self, input: BaseInput<'_>, cut: usize, grid: usize) -> Option<BaseFit> {
        let first = input.series.values.iter().position(|v| v.is_finite())?;
        let anchor = anchor_of(cut, first, grid)?;
        let usable = |stage: &Stage| stage.anchor == anchor && stage.at <= cut;
        if !self.stage.as_ref().is_some_and(usable) {
            self.stage = Some(Stage::new(input, first, anchor)?);
        }
        let stage = self.stage.as_mut()?;
        while stage.at < cut {
            stage.advance(input, grid);
        }
        stage.fit(input)
    }
}

/// The cut from which the sums for `cut` start: itself in the first year, then the first one after
/// one, two, three years, and so on in steps of three.
fn anchor_of(cut: usize, first: usize, grid: usize) -> Option<usize> {
    let span = cut.checked_sub(first)?;
    let years = match span {
        0..365 => return Some(cut),
        365..730 => 365,
        730..ANCHOR_DAYS => 730,
        _ => span - span % ANCHOR_DAYS,
    };
    Some(cut - (span - years) / grid * grid)
}

/// Sums from an anchor on.
#[derive(Debug)]
struct Stage {
    first: usize,
    anchor: usize,
    /// Days up to and with this one are in the sums.
    at: usize,
    knots: Option<Knots>,
    columns: usize,
    seasons: Vec<Gram>,
    largest: Vec<f64>,
    /// Robust standard deviation of errors.
    scale: Option<f64>,
    /// Coefficients of the latest fit.
    latest: Option<Vec<f64>>,
    mixed: Gram,
}

/// Rows of some days, as [`Gram::add`] takes them.
#[derive(Default)]
struct Rows {
    columns: usize,
    /// Length of a row.
    wide: usize,
    values: Vec<f64>,
    days: Vec<usize>,
}

impl Rows {
    fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.wide..(i + 1) * self.wide]
    }
}

impl Stage {
    fn new(input: BaseInput<'_>, first: usize, anchor: usize) -> Option<Self> {
        let from = first.max((anchor + 1).saturating_sub(input.options.history_days));
        let known = |i: &usize| input.series.values[*i].is_finite();
        let knots = input.felt.and_then(|felt| {
            let count = (from..=anchor).filter(known).count();
            let of_known: Vec<Felt> = (from..=anchor)
                .filter(known)
                .map(|i| felt[i])
                .filter(Felt::is_known)
                .collect();
            (of_known.len() * 10 >= count * 8).then(|| Knots::new(&of_known))?
        });
        let weather = if knots.is_some() {
            TEMPERATURE_FEATURES
        } else {
            0
        };
        let columns = input.fixed.columns() + weather;
        let mut stage = Self {
            first,
            anchor,
            at: anchor,
            knots,
            columns,
            seasons: (0..SEASONS).map(|_| Gram::new(columns)).collect(),
            largest: vec![0.0; columns],
            scale: None,
            latest: None,
            mixed: Gram::new(columns),
        };
        let rows = stage.rows(input, from..=anchor);
        stage.sum_all(input, &rows)?;
        Some(stage)
    }

    fn rows(&self, input: BaseInput<'_>, days: std::ops::RangeInclusive<usize>) -> Rows {
        let wide = Gram::row_length(self.columns);
        let mut rows = Rows {
            columns: self.columns,
            wide,
            values: Vec::with_capacity(days.clone().count() * wide),
            days: Vec::with_capacity(days.clone().count()),
        };
        for i in together(input, days) {
            let value = input.series.values[i];
            if let (Some(knots), Some(felt)) = (&self.knots, input.felt) {
                if !felt[i].is_known() {
                    continue;
                }
                rows.values.extend_from_slice(input.fixed.row(i));
                let years = (i as f64 - self.first as f64) / YEAR_DAYS;
                rows.values.extend_from_slice(&temperature_features(
                    felt[i],
                    knots,
                    &input.series.traits[i],
                    years,
                    &input.fixed.row(i)[FIRST_HARMONIC],
                ));
            } else {
                rows.values.extend_from_slice(input.fixed.row(i));
            }
            rows.values.push(value);
            rows.values
                .resize(rows.values.len().next_multiple_of(wide), 0.0);
            rows.days.push(i);
        }
        rows
    }

    /// What a day counts at the anchor, whatever the season.
    fn weight(&self, input: BaseInput<'_>, day: usize) -> f64 {
        let age = self.anchor as f64 - day as f64;
        (-std::f64::consts::LN_2 * age / input.options.half_life_days).exp()
    }

    fn note_largest(&mut self, rows: &Rows) {
        for row in rows.values.chunks_exact(rows.wide) {
            for (most, value) in self.largest.iter_mut().zip(row) {
                *most = most.max(value.abs());
            }
        }
    }

    /// Adds rows to the sums of their seasons, each run of days of a season at once.
    fn sum(&mut self, rows: &Rows, season: &[usize], weights: &[f64]) {
        let mut start = 0;
        for run in season.chunk_by(|a, b| a == b) {
            let end = start + run.len();
            self.seasons[run[0]].add(
                &rows.values[start * rows.wide..end * rows.wide],
                &weights[start..end],
            );
            start = end;
        }
    }

    /// All days up to the anchor, reweighted until errors count as they should.
    fn sum_all(&mut self, input: BaseInput<'_>, rows: &Rows) -> Option<()> {
        self.note_largest(rows);
        let plain: Vec<f64> = rows
            .days
            .iter()
            .map(|day| self.weight(input, *day))
            .collect();
        let season: Vec<usize> = rows.days.iter().map(|day| season_of(input, *day)).collect();
        self.sum(rows, &season, &plain);
        let mut counted = vec![1.0; rows.days.len()];
        let mut changed = Rows {
            columns: rows.columns,
            wide: rows.wide,
            ..Rows::default()
        };
        let mut changes = Vec::new();
        let mut changed_season = Vec::new();
        for _ in 0..ROUNDS {
            let b = self.solve(input)?;
            let mut sizes = errors(&rows.values, &b);
            for size in &mut sizes {
                *size = size.abs();
            }
            self.scale = robust_scale(&mut sizes.clone());
            let Some(limit) = self.scale.map(|s| input.options.clip * s) else {
                break; // most residuals are zero: nothing to gain
            };
            changed.values.clear();
            changes.clear();
            changed_season.clear();
            for (i, day) in rows.days.iter().enumerate() {
                let trust = trust(input.series, self.scale, *day);
                let now = huber(sizes[i], limit / trust.sqrt(), input, *day) * trust;
                if (now - counted[i]).abs() > 0.02 {
                    changed.values.extend_from_slice(rows.row(i));
                    changes.push((now - counted[i]) * plain[i]);
                    changed_season.push(season[i]);
                    counted[i] = now;
                }
            }
            self.sum(&changed, &changed_season, &changes);
        }
        Some(())
    }

    /// Adds the days up to the next cut. Errors are those of the latest fit less their own median,
    /// so that a shift of the level is learnt and not taken for four weeks of errors.
    fn advance(&mut self, input: BaseInput<'_>, grid: usize) {
        let last = (self.at + grid).min(input.series.values.len() - 1);
        let rows = self.rows(input, self.at + 1..=last);
        self.at += grid;
        if self.latest.is_none() {
            self.latest = self.solve(input);
        }
        self.note_largest(&rows);
        let mut errors: Vec<f64> = match &self.latest {
            Some(b) => errors(&rows.values, b),
            None => vec![0.0; rows.days.len()],
        };
        let trusts: Vec<f64> = rows
            .days
            .iter()
            .map(|day| trust(input.series, self.scale, *day))
            .collect();
        // What is mostly estimated tells neither a shift nor how large errors are.
        let mut firm: Vec<f64> = errors
            .iter()
            .zip(&trusts)
            .filter(|(_, trust)| **trust >= TRUST_MIN)
            .map(|(error, _)| *error)
            .collect();
        let shift = upper_median(&mut firm).unwrap_or(0.0);
        for error in &mut errors {
            *error = (*error - shift).abs();
        }
        for error in &mut firm {
            *error = (*error - shift).abs();
        }
        let news = robust_scale(&mut firm);
        self.scale = match (self.scale, news) {
            (Some(old), Some(new)) => Some(old + SCALE_NEWS * (new.min(4.0 * old) - old)),
            (old, new) => old.or(new),
        };
        let limit = self.scale.map_or(f64::INFINITY, |s| input.options.clip * s);
        let weights: Vec<f64> = rows
            .days
            .iter()
            .zip(errors.iter().zip(&trusts))
            .map(|(day, (error, trust))| {
                let counts = huber(*error, limit / trust.sqrt(), input, *day) * trust;
                self.weight(input, *day) * counts
            })
            .collect();
        let season: Vec<usize> = rows.days.iter().map(|day| season_of(input, *day)).collect();
        self.sum(&rows, &season, &weights);
        self.latest = None;
    }

    /// Coefficients as of the latest day in the sums.
    fn solve(&mut self, input: BaseInput<'_>) -> Option<Vec<f64>> {
        let options = input.options;
        let centre = input.series.traits[self.at].day.plus(14).0;
        let recent = (-std::f64::consts::LN_2 * (self.at - self.anchor) as f64
            / options.half_life_days)
            .exp();
        let year = chrono::NaiveDate::from_yo_opt(2001, 1)?;
        let mut factors = Vec::with_capacity(self.seasons.len());
        for season in 0..SEASONS {
            let middle = (2 * season + 1) * LEAP_YEAR / (2 * SEASONS);
            let middle = year + chrono::Days::new(middle.into());
            let apart = season_distance(middle, centre) / options.season_width_days;
            let same = (-0.5 * apart * apart).exp();
            let weight = options.season_floor + (1.0 - options.season_floor) * same;
            factors.push(recent * weight);
        }
        self.mixed.mix(&self.seasons, &factors);
        for (column, days) in input.pull {
            self.mixed.hold(*column, *days);
        }
        let alive = learnable(self.at - self.first, self.columns, input.fixed.columns());
        self.mixed.solve(options.penalty, &self.largest, &alive)
    }

    fn fit(&mut self, input: BaseInput<'_>) -> Option<BaseFit> {
        let b = match self.latest.take() {
            Some(b) => b,
            None => self.solve(input)?,
        };
        let (calendar, weather) = b.split_at(input.fixed.columns());
        let fit = BaseFit {
            calendar: calendar.to_vec(),
            weather: weather.to_vec(),
            knots: self.knots,
            scale: self.scale,
            epoch_index: self.first,
        };
        self.latest = Some(b);
        Some(fit)
    }
}

fn season_of(input: BaseInput<'_>, day: usize) -> usize {
    use chrono::Datelike;
    let ordinal = input.series.traits[day].day.0.ordinal0();
    (ordinal * SEASONS / LEAP_YEAR) as usize
}

/// The days that have a value: those of a part of the year together, for one sum; of these, like
/// weekdays, so that rows that are added together are zero in the same columns.
fn together(input: BaseInput<'_>, days: std::ops::RangeInclusive<usize>) -> Vec<usize> {
    const KINDS: usize = SEASONS as usize * 7;
    let known = |i: &usize| input.series.values[*i].is_finite();
    let kind = |i: usize| season_of(input, i) * 7 + input.series.traits[i].weekday;
    let kinds: Vec<(usize, usize)> = days.filter(known).map(|i| (kind(i), i)).collect();
    let mut places = [0; KINDS + 1];
    for (kind, _) in &kinds {
        places[kind + 1] += 1;
    }
    for kind in 0..KINDS {
        places[kind + 1] += places[kind];
    }
    let mut sorted = vec![0; kinds.len()];
    for (kind, day) in kinds {
        sorted[places[kind]] = day;
        places[kind] += 1;
    }
    sorted
}

/// What a day counts beside a measured one: s² / (s² + σ²), s the scale of errors, σ the standard
/// deviation of the day's own estimate.
///
/// # Source
/// Weights as the inverse of the variance: METHODS.md, "Estimated days".
pub(super) fn trust(series: &DailySeries, scale: Option<f64>, day: usize) -> f64 {
    match (series.deviations.get(day), scale) {
        (Some(deviation), Some(scale)) if *deviation > 0.0 => {
            1.0 / (1.0 + (deviation / scale).powi(2))
        }
        _ => 1.0,
    }
}

fn huber(size: f64, limit: f64, input: BaseInput<'_>, day: usize) -> f64 {
    if size > limit && !is_rare(&input.series.traits[day]) {
        limit / size
    } else {
        1.0
    }
}

/// The one in the middle, of an even number the upper; their order is lost.
pub(in crate::forecast) fn upper_median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// 1.4826 × median of sizes; none if it is zero.
fn robust_scale(sizes: &mut [f64]) -> Option<f64> {
    upper_median(sizes).filter(|m| *m > 0.0).map(|m| 1.4826 * m)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_as_uncertain_as_the_fit_counts_half() {
        let series = DailySeries {
            deviations: vec![0.0, 50.0, 150.0, f64::NAN, f64::INFINITY],
            ..DailySeries::default()
        };
        let weights: Vec<f64> = (0..6).map(|day| trust(&series, Some(50.0), day)).collect();
        assert_eq!(weights[..1], [1.0]);
        assert!((weights[1] - 0.5).abs() < 1e-12 && (weights[2] - 0.1).abs() < 1e-12);
        // Not a number tells nothing; what is wholly unknown counts nothing; no entry is measured.
        assert_eq!(weights[3..], [1.0, 0.0, 1.0]);
        let before_a_scale_is_known = trust(&series, None, 1);
        assert_eq!(vec![before_a_scale_is_known], [1.0]);
    }
}
