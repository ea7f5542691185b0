//! The ensemble of a later lead: the corrected regression beside plainer ways to say the same day.
//!
//! Members are added one at a time, each the one that makes the mix of least absolute error over past
//! origins, of which the correction did not learn, on days and on their sum. The weights are the
//! counts: they add up to one and none is negative, and a member that is never the best has none.

use crate::forecast::models::seasonal_naive;

/// Number of members.
pub const MEMBERS: usize = 6;

/// What each member says of a day, m³; NaN where it has nothing to say. In order:
///
/// 0. the corrected regression, which always has something to say;
/// 1. mean of the same weekday in the last four weeks;
/// 2. the same weekday a year ago at the present level;
/// 3. the same weeks of up to three years at half the way (geometrically) to the present level;
/// 4. the base regression and the mean of its last 28 errors;
/// 5. the base regression and the mean of its last 7 errors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Members(pub [f64; MEMBERS]);

/// What an origin knows that its members are made from.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Daily volumes, m³; none after the origin is read.
    pub values: &'a [f64],
    /// Index of the last day known.
    pub origin: usize,
    /// Level of the last four weeks to that of the same weeks a year before.
    pub level_ratio: Option<f64>,
    /// Mean of the last 28 and of the last 7 errors of the base regression, m³.
    pub carried: [f64; 2],
}

impl Members {
    /// The corrected regression alone, as in the first week.
    #[inline]
    pub fn regression(value: f64) -> Self {
        let mut members = [f64::NAN; MEMBERS];
        members[0] = value;
        Self(members)
    }

    /// All members of a lead.
    pub fn new(known: &Known<'_>, lead: usize, corrected: f64, base: f64) -> Self {
        let Known {
            values,
            origin,
            level_ratio,
            carried: [month, week],
        } = *known;
        let or_silent = |value: Option<f64>| value.unwrap_or(f64::NAN);
        Self([
            corrected,
            or_silent(seasonal_naive::recent_weeks(values, origin, lead)),
            or_silent(seasonal_naive::last_year(values, origin, lead, level_ratio)),
            or_silent(seasonal_naive::past_years(
                values,
                origin,
                lead,
                level_ratio,
            )),
            base + month,
            base + week,
        ])
    }

    /// Adds what is set apart of the day to the members that are made from values of other days, m³.
    pub fn add_to_naive(&mut self, apart: f64) {
        for said in &mut self.0[1..=3] {
            *said += apart;
        }
    }

    fn said(&self, member: usize) -> f64 {
        let value = self.0[member];
        if value.is_finite() { value } else { self.0[0] }
    }
}

/// A past forecast and what came. Cases of one origin follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case {
    /// What was said.
    pub members: Members,
    /// What came, m³.
    pub truth: f64,
    /// What its origin counts.
    pub weight: f64,
    /// What the truth counts beside a measured one, 0 to 1.
    pub trust: f64,
    /// The origin it was said at.
    pub origin: usize,
}

/// Weights of the members.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blend([f64; MEMBERS]);

/// Members added one at a time, the first being the regression.
const ROUNDS: u32 = 10;
/// Cases from which weights are learnt.
const CASES_MIN: usize = 60;
/// What an error of the sum over an origin's days counts beside those of the days.
const SUM_WEIGHT: f64 = 0.3;

impl Blend {
    /// The regression alone.
    pub const REGRESSION: Self = Self([1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);

    /// The weights of least absolute error; the regression alone where the past is too short to tell.
    pub fn fit(cases: &[Case]) -> Self {
        if cases.len() < CASES_MIN {
            return Self::REGRESSION;
        }
        let errors: [Vec<f64>; MEMBERS] = std::array::from_fn(|member| {
            let error = |case: &Case| case.trust * (case.members.said(member) - case.truth);
            cases.iter().map(error).collect()
        });
        let mut of_origins = Vec::new();
        let mut from = 0;
        for of_origin in cases.chunk_by(|a, b| a.origin == b.origin) {
            let range = from..from + of_origin.len();
            from = range.end;
            of_origins.push((range, of_origin.first().map_or(0.0, |case| case.weight)));
        }
        let loss_with = |mixed: &[f64], added: &[f64]| -> f64 {
            let of_origin = |(range, weight): &(std::ops::Range<usize>, f64)| {
                let (mut days, mut sum) = (0.0, 0.0);
                for (mixed, added) in mixed[range.clone()].iter().zip(&added[range.clone()]) {
                    let error = mixed + added;
                    days += error.abs();
                    sum += error;
                }
                weight * (days + SUM_WEIGHT * sum.abs())
            };
            of_origins.iter().map(of_origin).sum()
        };
        let mut counts = [0_u32; MEMBERS];
        counts[0] = 1;
        let mut mixed = errors[0].clone();
        for _ in 1..ROUNDS {
            let mut best = (f64::INFINITY, 0);
            for (member, errors) in errors.iter().enumerate() {
                let loss = loss_with(&mixed, errors);
                if loss < best.0 {
                    best = (loss, member);
                }
            }
            counts[best.1] += 1;
            for (mixed, added) in mixed.iter_mut().zip(&errors[best.1]) {
                *mixed += added;
            }
        }
        Self(counts.map(|count| f64::from(count) / f64::from(ROUNDS)))
    }

    /// The mix; what a member does not say, the regression says for it.
    #[inline]
    pub fn of(&self, members: Members) -> f64 {
        if *self == Self::REGRESSION {
            return members.0[0];
        }
        let parts = self.0.iter().enumerate();
        parts.map(|(i, weight)| weight * members.said(i)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(i: usize, truth: f64) -> Case {
        let noise = |k: usize| ((i * 37 + k * 11) % 23) as f64 - 11.0;
        let mut members = Members::regression(truth + noise(1));
        members.0[1] = truth + 30.0 + noise(2);
        members.0[2] = truth - noise(1);
        Case {
            members,
            truth,
            weight: 1.0,
            trust: 1.0,
            origin: i,
        }
    }

    #[test]
    fn weight_goes_to_who_was_right_and_errors_that_cancel_are_mixed() {
        let cases: Vec<Case> = (0..200).map(|i| case(i, 100.0 + i as f64)).collect();
        let Blend(weights) = Blend::fit(&cases);
        // Half and half is exact; silent members speak as the regression does.
        assert!(weights[1] < 1e-9, "{weights:?}");
        assert!((weights[2] - 0.5).abs() < 1e-9, "{weights:?}");
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_was_estimated_too_high_gives_no_weight_to_who_says_too_much() {
        // A member says a third too much; two of three origins were estimated so.
        let cases = |trust: f64| -> Vec<Case> {
            (0..200)
                .map(|i| {
                    let is_estimated = i % 3 != 0;
                    let mut case = case(i, 100.0);
                    case.members.0[2] = 133.0;
                    if is_estimated {
                        (case.truth, case.trust) = (140.0, trust);
                    }
                    case
                })
                .collect()
        };
        let weight_of = |cases: &[Case]| Blend::fit(cases).0[2];
        let (measured, told) = (weight_of(&cases(1.0)), weight_of(&cases(0.01)));
        assert!(measured > 0.5 && told < 0.15, "{measured} {told}");
    }

    #[test]
    fn a_short_past_or_a_silent_member_leaves_the_regression() {
        let cases: Vec<Case> = (0..CASES_MIN - 1).map(|i| case(i, 100.0)).collect();
        assert_eq!(Blend::fit(&cases), Blend::REGRESSION);
        let blend = Blend([0.3, 0.3, 0.4, 0.0, 0.0, 0.0]);
        assert!((blend.of(Members::regression(5.0)) - 5.0).abs() < 1e-12);
    }

    #[test]
    fn errors_that_add_up_over_an_origin_count_more_than_ones_that_cancel() {
        // Both are wrong by 24 over two days; those of the other member cancel.
        let cases: Vec<Case> = (0..120)
            .map(|i| {
                let is_first = i % 2 == 0;
                let mut members = Members::regression(if is_first { 120.0 } else { 96.0 });
                members.0[1] = if is_first { 112.0 } else { 88.0 };
                Case {
                    members,
                    truth: 100.0,
                    weight: 1.0,
                    trust: 1.0,
                    origin: i / 2,
                }
            })
            .collect();
        let Blend(weights) = Blend::fit(&cases);
        assert!(weights[1] > 0.8, "{weights:?}");
    }

    #[test]
    fn a_new_level_is_met_by_the_members_that_carry_it() {
        // The regression still says 100, use has been 60 for months: a shift nothing announced.
        let values = vec![60.0; 800];
        let known = Known {
            values: &values,
            origin: 799,
            level_ratio: Some(0.6),
            carried: [-40.0, -40.0],
        };
        let cases: Vec<Case> = (0..200)
            .map(|i| Case {
                members: Members::new(&known, 8 + i % 24, 90.0, 100.0),
                truth: 60.0,
                weight: 1.0,
                trust: 1.0,
                origin: i / 24,
            })
            .collect();
        let said = Blend::fit(&cases).of(Members::new(&known, 20, 90.0, 100.0));
        assert!((said - 60.0).abs() < 5.0, "{said}");
    }
}
