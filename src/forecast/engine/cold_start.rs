//! Nodes with little or no history (冷启动): what their class uses per m³/h of design flow × their own
//! design flow × ramp, moved to their own level as days arrive.
//!
//! A node's level is shrunk from the class's to its own by what is measured of both: how much levels
//! of alike nodes differ, and how well so many days tell of the days to come. Where no design flow is
//! known, its own days are all that tells its level.

mod paths;
mod pool;
mod ramp;
mod spread;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::paths::{Level, paths};
use self::pool::{Donor, Pool};
use self::ramp::Ramp;
use self::spread::{Spread, Told};
use crate::domain::calendar::GasDay;
use crate::domain::capacity::NodeCapacity;
use crate::domain::connection::RAMP;
use crate::domain::customer::CustomerClass;
use crate::forecast::draws::path_for;
use crate::forecast::models::daily::REGRESSION;
use crate::forecast::models::paths::ResidualPath;
use crate::forecast::models::series::DailyForecast;
use crate::forecast::models::series::DailySeries;

/// The class profile, its level by the design flow more than by the node's own days.
pub(super) const BY_DESIGN_FLOW: &str = "class_profile_design_flow";
/// The class profile, its level by the node's own days.
pub(super) const SCALED: &str = "class_profile_scaled";

/// Days looked back on.
const PROFILE_DAYS: i64 = 760;
/// Days over which a regression that has just become possible takes over.
const HAND_OVER_DAYS: usize = 270;
/// A node with a regression borrows from those whose own is so many days older.
const OLDER_DAYS: usize = 180;
/// Days that tell a node's growth and its weekdays, the last ones known.
const PATTERN_DAYS: usize = 60;
/// Weeks that the class's pattern of weekdays is worth beside a node's own.
const WEEKDAY_WORTH: f64 = 2.0;
/// How far customers follow the ramp, 0 not at all, and how likely that is before any day is seen.
const FOLLOWS: [(f64, f64); 6] = [
    (1.25, 0.1),
    (1.0, 0.45),
    (0.75, 0.15),
    (0.5, 0.1),
    (0.25, 0.05),
    (0.0, 0.15),
];
/// Days from which growth within them is looked at.
const GROWTH_DAYS_MIN: usize = 14;

/// A node as it is seen from here.
pub(super) struct Member<'a> {
    pub(super) class: CustomerClass,
    pub(super) series: &'a DailySeries,
    pub(super) capacity: Option<&'a NodeCapacity>,
    pub(super) own: Option<&'a DailyForecast>,
    /// Days since its regression became possible.
    pub(super) regression_age: Option<usize>,
    /// Tells its draws of the level from those of others.
    pub(super) seed: u64,
}

impl Member<'_> {
    fn has_regression(&self) -> bool {
        self.own.is_some_and(|own| own.model == REGRESSION)
    }

    /// Whether its forecast is its regression's alone.
    pub(super) fn is_grown_up(&self) -> bool {
        self.grown_up() >= 1.0
    }

    /// Part that its regression has in its forecast.
    fn grown_up(&self) -> f64 {
        match self.regression_age.filter(|_| self.has_regression()) {
            Some(age) => (age as f64 / HAND_OVER_DAYS as f64).min(1.0),
            None => 0.0,
        }
    }
}

/// A forecast made from the class.
pub(super) struct ColdStart {
    pub(super) forecast: DailyForecast,
    /// Position of a member whose hours are alike.
    pub(super) donor: usize,
}

/// Days of the class on one axis.
struct Axis<'a> {
    members: &'a [Member<'a>],
    first: GasDay,
    known: usize,
    horizon: usize,
}

impl<'a> Axis<'a> {
    /// A node's days, m³; NaN where unknown.
    fn values(&self, member: &Member<'_>) -> Vec<f64> {
        let begin = self.first.days_since(member.series.first());
        (0_i64..)
            .take(self.known)
            .map(|i| {
                let at = usize::try_from(begin + i).ok();
                let value = at.and_then(|at| member.series.values.get(at)).copied();
                value.unwrap_or(f64::NAN)
            })
            .collect()
    }

    /// A node that others may be forecast by, per m³/h of design flow if that is wanted.
    fn donor(&self, index: usize, ramp: Option<&Ramp>) -> Option<Donor<'a>> {
        let member = &self.members[index];
        let forecast = member.own.filter(|_| member.has_regression())?;
        let values = self.values(member);
        let Some(ramp) = ramp else {
            return Some(Donor::new(index, values, forecast.p50.clone(), forecast));
        };
        let capacity = member.capacity?;
        let days = self.known + self.horizon;
        let in_use = ramp.in_use(capacity, self.first, days, 1.0);
        let per = |(m3, m3h): (&f64, &f64)| if *m3h > 0.0 { m3 / m3h } else { f64::NAN };
        let (past, ahead) = in_use.split_at(self.known);
        let rates = values.iter().zip(past).map(per).collect();
        let ahead = forecast.p50.iter().zip(ahead).map(per).collect();
        Some(Donor::new(index, rates, ahead, forecast))
    }

    fn pool(&self, of: &[usize], ramp: Option<&Ramp>) -> Option<Pool<'a>> {
        Pool::new(of.iter().filter_map(|i| self.donor(*i, ramp)).collect())
    }

    /// Others of the class that may lend to a node: those with a regression, long before its own.
    fn lenders(&self, index: usize, of: &[usize]) -> Vec<usize> {
        let age = |i: usize| self.members[i].regression_age;
        let is_older = |i: &usize| match age(index) {
            Some(own) => age(*i) >= Some(own + OLDER_DAYS),
            None => true,
        };
        let others = of.iter().copied().filter(|i| *i != index);
        others.filter(is_older).collect()
    }
}

/// What nodes of a class are measured by.
struct Measured {
    spread: Option<Spread>,
    ramp: Ramp,
}

/// Forecasts of the members that have no regression of their own, or hardly have one; none where no
/// alike node has one, or nothing tells a node's level.
pub(super) fn cold_starts(
    members: &[Member<'_>],
    today: GasDay,
    horizon: usize,
    hand_over: HandOver,
) -> Vec<Option<ColdStart>> {
    let mut out: Vec<Option<ColdStart>> = members.iter().map(|_| None).collect();
    let is_young = |m: &Member<'_>| !m.is_grown_up();
    let earliest = members.iter().map(|m| m.series.first()).min();
    let Some(first) = earliest.filter(|_| members.iter().any(is_young)) else {
        return out;
    };
    let first = first.max(today.plus(-PROFILE_DAYS));
    let axis = Axis {
        members,
        first,
        known: usize::try_from(today.days_since(first)).unwrap_or(0),
        horizon,
    };
    let mut classes: BTreeMap<CustomerClass, Vec<usize>> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        classes.entry(member.class).or_default().push(index);
    }
    // To measure classes takes its time; nobody young may have anyone to borrow from.
    let has_lenders = |of: &Vec<usize>| {
        let young = of.iter().filter(|i| is_young(&members[**i]));
        let mut lenders = young.flat_map(|i| axis.lenders(*i, of));
        lenders.any(|i| members[i].has_regression())
    };
    if !classes.values().any(has_lenders) {
        return out;
    }
    let measured: BTreeMap<CustomerClass, Measured> = classes
        .iter()
        .map(|(class, of)| (*class, measure(&axis, of)))
        .collect();
    let spreads: Vec<Spread> = measured.values().filter_map(|m| m.spread).collect();
    let everywhere = Spread::of_all(&spreads);
    for (class, of) in &classes {
        let Some(measured) = measured.get(class) else {
            continue;
        };
        let own = measured.spread.unwrap_or_default();
        let spread = own.held_to(&everywhere);
        for index in of.iter().copied().filter(|i| is_young(&members[*i])) {
            let lenders = axis.lenders(index, of);
            out[index] = cold_start(&axis, index, &lenders, &spread, &measured.ramp, hand_over);
        }
    }
    out
}

fn measure(axis: &Axis<'_>, of: &[usize]) -> Measured {
    let default = Ramp::default();
    let Some(pool) = axis.pool(of, Some(&default)) else {
        return Measured {
            spread: None,
            ramp: default,
        };
    };
    let seen: Vec<[f64; RAMP.len()]> = (0..pool.donors.len())
        .filter_map(|i| growth(axis, &pool, i))
        .collect();
    Measured {
        spread: Spread::measured(&pool),
        ramp: Ramp::learnt(&seen),
    }
}

/// Part of a node's customers that must have come within a month for it to show a ramp.
const COHORT_PART: f64 = 0.8;
/// Days known within a month that tell its part, and days that tell the full use.
const MONTH_DAYS_MIN: usize = 10;
const FULL_DAYS_MIN: usize = 30;

/// How a donor grew, if it began within the days looked at: parts of its full use by month.
fn growth(axis: &Axis<'_>, pool: &Pool<'_>, donor: usize) -> Option<[f64; RAMP.len()]> {
    let donors = &pool.donors;
    let member = &axis.members[donors[donor].member];
    let capacity = member.capacity?;
    let start = capacity.steps().first()?.from_on;
    let whole = capacity.m3h_on(axis.first.plus(i64::try_from(axis.known).ok()?));
    let begin = usize::try_from(start.days_since(axis.first)).ok()?;
    if donors.len() < 2
        || begin < MONTH_DAYS_MIN
        || capacity.m3h_on(start.plus(30)) < COHORT_PART * whole
    {
        return None;
    }
    let values = axis.values(member);
    let others = pool.rates(Some(donor));
    let mut sums = [(0.0, 0.0, 0_usize); RAMP.len() + 1];
    for (i, (m3, rate)) in values.iter().zip(&others).enumerate().skip(begin) {
        if m3.is_finite() && rate.is_finite() {
            let age = i - begin;
            // The month after the last step is full use too, but not yet told from it.
            let slot = if Ramp::month_of(age) < RAMP.len() - 1 {
                Ramp::month_of(age)
            } else {
                RAMP.len()
            };
            let in_use = capacity.m3h_on(axis.first.plus(i64::try_from(i).ok()?));
            let (m3_sum, rate_sum, days) = &mut sums[slot];
            *m3_sum += m3;
            *rate_sum += rate * in_use;
            *days += 1;
        }
    }
    let part = |(m3, rate, days): (f64, f64, usize), least| {
        let ratio: f64 = m3 / rate;
        (days >= least && ratio.is_finite() && ratio > 0.0).then_some(ratio)
    };
    let full = part(sums[RAMP.len()], FULL_DAYS_MIN)?;
    let of_month = |month: usize| {
        let seen = part(sums[month], MONTH_DAYS_MIN).map(|p| (p / full).clamp(0.02, 1.5));
        seen.unwrap_or(f64::NAN)
    };
    Some(std::array::from_fn(of_month))
}

fn cold_start(
    axis: &Axis<'_>,
    index: usize,
    others: &[usize],
    spread: &Spread,
    ramp: &Ramp,
    hand_over: HandOver,
) -> Option<ColdStart> {
    let member = &axis.members[index];
    let capacity = member.capacity.filter(|c| !c.steps().is_empty());
    let by_flow = capacity.and_then(|c| Some((c, axis.pool(others, Some(ramp))?)));
    let (levels, pool) = if let Some((capacity, pool)) = by_flow {
        let levels = levels_by_flow(axis, member, &pool, spread, (ramp, capacity));
        (levels, pool)
    } else {
        let pool = axis.pool(others, None)?;
        (vec![level_of_own_days(axis, member, &pool, spread)?], pool)
    };
    let begin = axis.first.days_since(member.series.first());
    let is_festival = |lead: usize| {
        let at = i64::try_from(axis.known + lead).map(|at| begin + at);
        let at = at.ok().and_then(|at| usize::try_from(at).ok());
        let traits = at.and_then(|at| member.series.traits.get(at));
        hand_over == HandOver::Drawn && traits.is_some_and(|of| of.festival.is_some())
    };
    let ahead = pool.ahead(is_festival);
    let weekdays = weekdays(axis, member, &pool);
    let days: Vec<usize> = (0..axis.horizon)
        .map(|lead| weekday(axis.first, axis.known + lead))
        .collect();
    let typical = |level: &Level, lead: usize| {
        ahead[lead] * level.in_use[lead] * level.own_at(lead).exp() * weekdays[days[lead]]
    };
    let p50: Vec<f64> = (0..axis.horizon)
        .map(|lead| {
            let of = levels.iter().map(|l| l.likelihood * typical(l, lead));
            of.sum::<f64>().max(0.0)
        })
        .collect();
    if p50.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let drawn: Vec<Vec<f64>> = levels
        .iter()
        .map(|level| (0..axis.horizon).map(|lead| typical(level, lead)).collect())
        .collect();
    let paths = paths(axis.first, &pool, &levels, &drawn, &p50, member.seed);
    let by_own_days = levels.iter().map(|l| l.likelihood * l.weight).sum::<f64>();
    let forecast = DailyForecast {
        model: if by_own_days < 0.5 {
            BY_DESIGN_FLOW
        } else {
            SCALED
        },
        p50,
        paths,
    };
    Some(ColdStart {
        forecast: handed_over(forecast, member, hand_over),
        donor: pool.donors[0].member,
    })
}

fn weekday(first: GasDay, index: usize) -> usize {
    let day = i64::from(first.epoch_day()) + i64::try_from(index).unwrap_or(0);
    usize::try_from(day.rem_euclid(7)).unwrap_or(0)
}

/// The last days that tell of a node: positions, earliest first.
fn last_days(values: &[f64], rates: &[f64]) -> Vec<usize> {
    let known = (0..values.len()).filter(|i| values[*i].is_finite() && rates[*i].is_finite());
    let mut days: Vec<usize> = known.collect();
    days.drain(..days.len().saturating_sub(PATTERN_DAYS));
    days
}

fn normal_log(apart: f64, variance: f64) -> f64 {
    -0.5 * apart * apart / variance
}

/// One level for each way of following the ramp, by how likely it is.
fn levels_by_flow(
    axis: &Axis<'_>,
    member: &Member<'_>,
    pool: &Pool<'_>,
    spread: &Spread,
    (ramp, capacity): (&Ramp, &NodeCapacity),
) -> Vec<Level> {
    let (values, rates) = (axis.values(member), pool.rates(None));
    let days = last_days(&values, &rates);
    let donors = pool.donors.len() as f64;
    let between = spread.between * (1.0 + 1.0 / donors);
    let told = [0, 1].map(|target| spread.told(days.len(), target, between));
    let mut levels: Vec<Level> = FOLLOWS
        .iter()
        .map(|(follows, likely)| {
            let in_use = ramp.in_use(capacity, axis.first, axis.known + axis.horizon, *follows);
            let shown = |days: &[usize]| -> Option<f64> {
                let used: f64 = days.iter().map(|i| values[*i]).sum();
                let expected: f64 = days.iter().map(|i| rates[*i] * in_use[*i]).sum();
                Some((used / expected).ln()).filter(|l| l.is_finite())
            };
            let mut log_likely = likely.ln();
            let level_of = |told: &Told| shown(&days[days.len() - told.days..]).unwrap_or(0.0);
            if told[0].days > 0 {
                let variance = between + spread.of_days(told[0].days);
                log_likely += normal_log(level_of(&told[0]), variance);
            }
            let (early, late) = days.split_at(days.len() / 2);
            if days.len() >= GROWTH_DAYS_MIN
                && let (Some(early), Some(late)) = (shown(early), shown(late))
            {
                let of_half = spread.of_days(days.len() / 2);
                log_likely += normal_log(late - early, 2.0 * of_half);
            }
            Level {
                likelihood: log_likely,
                weight: told[1].weight,
                own: [0, 1].map(|target| told[target].weight * level_of(&told[target])),
                deviation: told.map(|told| told.variance.sqrt()),
                in_use: in_use[axis.known..].to_vec(),
            }
        })
        .collect();
    let best = levels.iter().map(|l| l.likelihood).fold(f64::MIN, f64::max);
    for level in &mut levels {
        level.likelihood = (level.likelihood - best).exp();
    }
    let sum: f64 = levels.iter().map(|l| l.likelihood).sum();
    for level in &mut levels {
        level.likelihood /= sum;
    }
    levels
}

/// The level of a node whose design flow is not known.
fn level_of_own_days(
    axis: &Axis<'_>,
    member: &Member<'_>,
    pool: &Pool<'_>,
    spread: &Spread,
) -> Option<Level> {
    let (values, rates) = (axis.values(member), pool.rates(None));
    let days = last_days(&values, &rates);
    let told = [0, 1].map(|target| spread.told(days.len(), target, f64::INFINITY));
    let level = |told: Told| -> Option<f64> {
        let of = &days[days.len() - told.days..];
        let used: f64 = of.iter().map(|i| values[*i]).sum();
        let expected: f64 = of.iter().map(|i| rates[*i]).sum();
        let level = (used / expected).ln();
        level.is_finite().then_some(level)
    };
    let [Some(near), Some(later)] = told.map(level) else {
        return None;
    };
    Some(Level {
        likelihood: 1.0,
        weight: 1.0,
        own: [near, later],
        deviation: told.map(|told| told.variance.sqrt()),
        in_use: vec![1.0; axis.horizon],
    })
}

/// Factors of the weekdays: a node's own beside its class's, held to 1 by how few weeks are known.
fn weekdays(axis: &Axis<'_>, member: &Member<'_>, pool: &Pool<'_>) -> [f64; 7] {
    let (values, rates) = (axis.values(member), pool.rates(None));
    let days = last_days(&values, &rates);
    let (mut sums, mut used, mut expected) = ([(0.0, 0.0, 0.0); 7], 0.0, 0.0);
    for i in days {
        let (own, class, count) = &mut sums[weekday(axis.first, i)];
        *own += values[i];
        *class += rates[i];
        *count += 1.0;
        used += values[i];
        expected += rates[i];
    }
    sums.map(|(own, class, count)| {
        let factor: f64 = own / class / (used / expected);
        if factor.is_finite() {
            1.0 + count / (count + WEEKDAY_WORTH) * (factor - 1.0)
        } else {
            1.0
        }
    })
}

/// How paths are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::forecast) enum HandOver {
    /// Each path is one or the other's, by their parts, and towards the end the regression's own. The
    /// two miss the same days, so their errors are no two draws that would even out.
    Drawn,
    /// Each is a mean of both, as runs of earlier programs had them.
    Averaged,
}

/// Part from which on the regression's own paths are enough.
const OWN_PATHS_PART: f64 = 0.75;
/// Fractional parts of multiples fill the unit interval evenly.
const SPREAD_PATHS: f64 = 0.618_033_988_749_895;

/// Hands over to a regression that has just become possible, little by little.
fn handed_over(cold: DailyForecast, member: &Member<'_>, how: HandOver) -> DailyForecast {
    let part = member.grown_up();
    let Some(own) = member.own.filter(|_| part > 0.0) else {
        return cold;
    };
    let mix = |cold: f64, own: f64| cold + part * (own - cold);
    let paths = cold.paths.iter().enumerate().map(|(k, path)| {
        let is_own = ((k + 1) as f64 * SPREAD_PATHS).fract() < part;
        let of_own = path_for(&own.paths, path.origin);
        let residuals = path.residuals.iter().enumerate().map(|(lead, residual)| {
            let of_own = of_own.and_then(|p| p.residuals.get(lead)).copied();
            let of_own = of_own.unwrap_or(*residual);
            match how {
                HandOver::Averaged => mix(*residual, of_own),
                HandOver::Drawn if is_own => of_own,
                HandOver::Drawn => *residual,
            }
        });
        ResidualPath {
            origin: path.origin,
            residuals: residuals.collect(),
        }
    });
    DailyForecast {
        model: if part < 0.5 { cold.model } else { own.model },
        p50: cold
            .p50
            .iter()
            .zip(&own.p50)
            .map(|(c, o)| mix(*c, *o))
            .collect(),
        paths: if how == HandOver::Drawn && part >= OWN_PATHS_PART {
            own.paths.clone()
        } else {
            paths.collect()
        },
    }
}
