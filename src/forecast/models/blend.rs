//! The ensemble of a lead: the corrected regression, the last weeks, the same days of last year.
//!
//! The weights are those of the least absolute error over past origins, of which the correction did not
//! learn. They add up to one, and none is negative; the regression keeps a part whatever the past says.

/// What each member says of a day, m³; none where it has nothing to say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Members {
    /// The corrected regression.
    pub regression: f64,
    /// Mean of the same weekday in the last weeks.
    pub recent: Option<f64>,
    /// The same weekday a year ago at the present level.
    pub last_year: Option<f64>,
}

/// A past forecast and what came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case {
    /// What was said.
    pub members: Members,
    /// What came, m³.
    pub truth: f64,
    /// What it counts.
    pub weight: f64,
}

/// Weights of the members.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blend {
    recent: f64,
    last_year: f64,
}

/// Steps of a weight from 0 to 1.
const STEPS: u32 = 10;
/// The members beside the regression have this much together at most.
const OTHERS_MAX: u32 = 7;
/// Cases from which weights are learnt.
const CASES_MIN: usize = 60;
/// Weights are drawn this part of the way to those of the regression alone.
const SHRINK: f64 = 0.15;

impl Blend {
    /// The regression alone.
    pub const REGRESSION: Self = Self {
        recent: 0.0,
        last_year: 0.0,
    };

    /// The weights of least absolute error; the regression alone where the past is too short to tell.
    pub fn fit(cases: &[Case]) -> Self {
        if cases.len() < CASES_MIN {
            return Self::REGRESSION;
        }
        let loss = |blend: Self| -> f64 {
            cases
                .iter()
                .map(|case| case.weight * (blend.of(case.members) - case.truth).abs())
                .sum()
        };
        let part = |steps: u32| f64::from(steps) / f64::from(STEPS);
        let mut best = (loss(Self::REGRESSION), Self::REGRESSION);
        for recent in 0..=OTHERS_MAX {
            for last_year in 0..=OTHERS_MAX - recent {
                let blend = Self {
                    recent: part(recent),
                    last_year: part(last_year),
                };
                let loss = loss(blend);
                if loss < best.0 {
                    best = (loss, blend);
                }
            }
        }
        Self {
            recent: best.1.recent * (1.0 - SHRINK),
            last_year: best.1.last_year * (1.0 - SHRINK),
        }
    }

    /// The mix; what a member does not say, the regression says for it.
    pub fn of(&self, members: Members) -> f64 {
        let regression = members.regression;
        regression
            + self.recent * (members.recent.unwrap_or(regression) - regression)
            + self.last_year * (members.last_year.unwrap_or(regression) - regression)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(i: usize, truth: f64) -> Case {
        let noise = |k: usize| ((i * 37 + k * 11) % 23) as f64 - 11.0;
        Case {
            members: Members {
                regression: truth + noise(1),
                recent: Some(truth + 30.0 + noise(2)),
                last_year: Some(truth - noise(1)),
            },
            truth,
            weight: 1.0,
        }
    }

    #[test]
    fn weight_goes_to_who_was_right_and_errors_that_cancel_are_mixed() {
        let cases: Vec<Case> = (0..200).map(|i| case(i, 100.0 + i as f64)).collect();
        let blend = Blend::fit(&cases);
        assert!(blend.recent < 1e-9, "{blend:?}");
        // Half and half would be exact; a part goes back to the regression.
        assert!(
            (blend.last_year - 0.5 * (1.0 - SHRINK)).abs() < 1e-9,
            "{blend:?}"
        );
    }

    #[test]
    fn a_short_past_or_a_silent_member_leaves_the_regression() {
        let cases: Vec<Case> = (0..CASES_MIN - 1).map(|i| case(i, 100.0)).collect();
        assert_eq!(Blend::fit(&cases), Blend::REGRESSION);
        let silent = Members {
            regression: 5.0,
            recent: None,
            last_year: None,
        };
        let blend = Blend {
            recent: 0.3,
            last_year: 0.4,
        };
        assert!((blend.of(silent) - 5.0).abs() < 1e-12);
    }
}
